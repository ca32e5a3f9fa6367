#include "broker/admin/list_core.h"

#include "broker/admin/queue_rules.h"
#include "broker/base/mem.h"

#include <stdlib.h>

#define EXCHANGE(object) ((const struct exchange *)(object))
#define BINDING(object) ((const struct binding *)(object))

static void
put_name(struct rows *r, const void *object)
{
    cell_put_text(r, EXCHANGE(object)->name);
}

static void
put_vhost(struct rows *r, const void *object)
{
    cell_put_text(r, EXCHANGE(object)->vhost->name);
}

static void
put_type(struct rows *r, const void *object)
{
    cell_put_string(r, exchange_type_name(object));
}

static void
put_durable(struct rows *r, const void *object)
{
    cell_put_bool(r, EXCHANGE(object)->durable);
}

static void
put_auto_delete(struct rows *r, const void *object)
{
    cell_put_bool(r, EXCHANGE(object)->auto_delete);
}

static void
put_internal(struct rows *r, const void *object)
{
    cell_put_bool(r, EXCHANGE(object)->internal);
}

static void
put_bindings(struct rows *r, const void *object)
{
    cell_put_number(r, router_binding_count(&EXCHANGE(object)->router));
}

static void
put_arguments(struct rows *r, const void *object)
{
    cell_put_table(r, EXCHANGE(object)->arguments);
}

static void
put_policy(struct rows *r, const void *object)
{
    const struct exchange *x = EXCHANGE(object);
    struct policy_in_force found[POLICY_SORTS] = { 0 };
    if (x->vhost->policies != NULL)
        policy_for(x->vhost->policies, x->vhost->name, x->name, POLICY_FOR_EXCHANGE, found);
    cell_put_policy(r, &found[POLICY_USERS]);
    policies_in_force_fini(found);
}

const struct column exchange_columns[] = {
    { "name", put_name, true, "Its name." },
    { "vhost", put_vhost, false, "The virtual host it is in." },
    { "type", put_type, true, "direct, fanout, topic, headers, or an extension's." },
    { "durable", put_durable, true, "It survives a restart." },
    { "auto_delete", put_auto_delete, false, "It goes with its last binding." },
    { "internal", put_internal, false, "Clients may not publish to it." },
    { "bindings", put_bindings, true, "Bindings that lead on from it." },
    { "arguments", put_arguments, false, "Its arguments, as JSON." },
    { "policy", put_policy, false, "The policy in force for it." },
};
const size_t exchange_column_count = sizeof(exchange_columns) / sizeof(exchange_columns[0]);

static int
name_order(const void *a, const void *b)
{
    const struct exchange *const *x = a;
    const struct exchange *const *y = b;
    return bytes_compare((*x)->name, (*y)->name);
}

/* With the topology lock held, as is what is done with them. */
static struct exchange **
sorted_exchanges(struct vhost *v, size_t *count) REQUIRES_SHARED(v->topology)
{
    struct exchange **all = mem_alloc((v->exchanges.count + 1) * sizeof(struct exchange *));
    *count = 0;
    for (struct map_node *n = NULL; (n = map_next(&v->exchanges, n)) != NULL;)
        all[(*count)++] = MAP_CONTAINER(n, struct exchange, by_name);
    qsort(all, *count, sizeof(struct exchange *), name_order);
    return all;
}

void
list_exchanges(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r)
{
    size_t count;
    (void)b;
    rwlock_read(&v->topology);
    struct exchange **all = sorted_exchanges(v, &count);
    for (size_t i = 0; i < count; i++)
        selection_put(s, r, all[i]);
    rwlock_read_end(&v->topology);
    mem_free(all);
}

static struct bytes
source_name(const struct binding *binding)
{
    return exchange_of_router(binding->source)->name;
}

static bool
leads_to_queue(const struct binding *binding)
{
    return binding->destination->kind == DESTINATION_QUEUE;
}

static void
put_source(struct rows *r, const void *object)
{
    cell_put_text(r, source_name(BINDING(object)));
}

static void
put_source_kind(struct rows *r, const void *object)
{
    (void)object;
    cell_put_string(r, "exchange");
}

static void
put_destination(struct rows *r, const void *object)
{
    struct destination *d = BINDING(object)->destination;
    if (leads_to_queue(object))
        cell_put_text(r, LIST_CONTAINER(d, struct queue, destination)->name);
    else
        cell_put_text(r, exchange_of_router(router_of_destination(d))->name);
}

static void
put_destination_kind(struct rows *r, const void *object)
{
    cell_put_string(r, leads_to_queue(object) ? "queue" : "exchange");
}

static void
put_key(struct rows *r, const void *object)
{
    cell_put_text(r, BINDING(object)->key);
}

static void
put_binding_arguments(struct rows *r, const void *object)
{
    cell_put_table(r, BINDING(object)->arguments);
}

static void
put_binding_vhost(struct rows *r, const void *object)
{
    cell_put_text(r, exchange_of_router(BINDING(object)->source)->vhost->name);
}

const struct column binding_columns[] = {
    { "source_name", put_source, true, "The exchange it leads from." },
    { "source_kind", put_source_kind, false, "Always exchange." },
    { "destination_name", put_destination, true, "What it leads to." },
    { "destination_kind", put_destination_kind, true, "queue or exchange." },
    { "routing_key", put_key, true, "Its binding key." },
    { "arguments", put_binding_arguments, true, "Its arguments, as JSON." },
    { "vhost", put_binding_vhost, false, "The virtual host it is in." },
};
const size_t binding_column_count = sizeof(binding_columns) / sizeof(binding_columns[0]);

void
list_bindings(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r)
{
    size_t count;
    (void)b;
    rwlock_read(&v->topology);
    struct exchange **all = sorted_exchanges(v, &count);
    for (size_t i = 0; i < count; i++) {
        const struct binding *binding = NULL;
        while ((binding = router_next_binding(&all[i]->router, binding)) != NULL)
            selection_put(s, r, binding);
    }
    rwlock_read_end(&v->topology);
    mem_free(all);
}
