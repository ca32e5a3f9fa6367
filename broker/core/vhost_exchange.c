/* exchange.declare and exchange.delete. */

#include "broker/base/mem.h"
#include "amqp/table.h"
#include "broker/core/definition.h"
#include "broker/core/policy.h"
#include "broker/core/queue_arguments.h"
#include "broker/core/vhost_internal.h"

void
exchange_changed(struct exchange *x)
{
    atomic_fetch_add(&x->epoch, 1);
    atomic_fetch_add(&x->vhost->epoch, 1);
}

/* Exchanges that lost a binding, each a reference, to look at once all bindings are gone. */
struct losers {
    struct exchange **items;
    size_t count;
    size_t capacity;
};

static void
note_loser(void *context, struct router *source)
{
    struct losers *l = context;
    struct exchange *x = exchange_of_router(source);
    exchange_changed(x);
    if (!x->auto_delete || router_binding_count(source) > 0)
        return;
    if (l->count == l->capacity) {
        l->capacity = l->capacity == 0 ? 8 : l->capacity * 2;
        l->items = mem_resize(l->items, l->capacity * sizeof(struct exchange *));
    }
    exchange_ref(x);
    l->items[l->count++] = x;
}

static bool
is_known(struct vhost *v, const struct exchange *x) REQUIRES(v->topology)
{
    return vhost_find_exchange(v, x->name) == x;
}

static uint64_t
later_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The row of a durable binding goes with the binding. */
static uint64_t
forget_binding(struct vhost *v, const struct binding *b)
{
    const struct exchange *source = exchange_of_router(b->source);
    struct bind_spec spec = { .source = source->name, .key = b->key };
    bool durable = source->durable;
    spec.destination_kind = b->destination->kind;
    if (b->destination->kind == DESTINATION_QUEUE) {
        const struct queue *q = LIST_CONTAINER(b->destination, struct queue, destination);
        spec.destination = q->name;
        durable = durable && q->durable;
    } else {
        const struct exchange *x = exchange_of_router(router_of_destination(b->destination));
        spec.destination = x->name;
        durable = durable && x->durable;
    }
    return durable ? definition_forget_binding(v, &spec, b->arguments) : 0;
}

static uint64_t
forget_bindings_to(struct vhost *v, const struct destination *d)
{
    uint64_t ticket = 0;
    for (const struct binding *b = NULL; (b = destination_next_binding(d, b)) != NULL;)
        ticket = later_of(ticket, forget_binding(v, b));
    return ticket;
}

static uint64_t
forget_bindings_from(struct vhost *v, const struct router *r)
{
    uint64_t ticket = 0;
    for (const struct binding *b = NULL; (b = router_next_binding(r, b)) != NULL;)
        ticket = later_of(ticket, forget_binding(v, b));
    return ticket;
}

/* Takes the exchange out of the vhost. Exchanges that lead to it lose bindings: they are noted.
 * Returns the ticket of its row's deletion, or 0. */
static uint64_t
exchange_take_out(struct vhost *v, struct exchange *x, struct losers *losers) REQUIRES(v->topology)
{
    map_remove(&v->exchanges, &x->by_name);
    uint64_t ticket = forget_bindings_from(v, &x->router);
    ticket = later_of(ticket, forget_bindings_to(v, &x->router.destination));
    if (x->pending != NULL)
        ticket = later_of(ticket, pending_queue_end(v, x->pending));
    if (x->durable)
        ticket = later_of(ticket, definition_forget_exchange(v, x));
    destination_unbind_all(&x->router.destination, note_loser, losers);
    router_fini(&x->router);
    exchange_changed(x);
    exchange_unref(x);
    return ticket;
}

static uint64_t
losers_remove(struct vhost *v, struct losers *losers) REQUIRES(v->topology)
{
    uint64_t ticket = 0;
    while (losers->count > 0) {
        struct exchange *x = losers->items[--losers->count];
        ticket = later_of(ticket, is_known(v, x) ? exchange_take_out(v, x, losers) : 0);
        exchange_unref(x);
    }
    mem_free(losers->items);
    return ticket;
}

uint64_t
exchange_remove(struct vhost *v, struct exchange *x)
{
    struct losers losers = { 0 };
    const uint64_t own = exchange_take_out(v, x, &losers);
    return later_of(own, losers_remove(v, &losers));
}

uint64_t
destination_remove_bindings(struct vhost *v, struct destination *d)
{
    struct losers losers = { 0 };
    const uint64_t own = forget_bindings_to(v, d);
    destination_unbind_all(d, note_loser, &losers);
    return later_of(own, losers_remove(v, &losers));
}

static bool
exchange_equivalent(const struct exchange *x, const struct exchange_spec *spec,
                    struct amqp_exception *ex)
{
    char subject[OBJECT_NAME_SIZE];
    exchange_subject(subject, x->vhost, x->name);
    if (x->is_delayed != spec->is_delayed || (!x->is_delayed && x->router.type != spec->type))
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "inequivalent arg 'type' for %s: received '%s' but current is '%s'",
                          subject,
                          spec->is_delayed ? EXCHANGE_DELAYED_TYPE : router_type_name(spec->type),
                          exchange_type_name(x));
    return bool_equivalent("durable", spec->durable, x->durable, subject, ex) &&
           bool_equivalent("auto_delete", spec->auto_delete, x->auto_delete, subject, ex) &&
           bool_equivalent("internal", spec->internal, x->internal, subject, ex) &&
           argument_equivalent(spec->arguments, x->arguments, "alternate-exchange", subject, ex) &&
           (!x->is_delayed ||
            argument_equivalent(spec->arguments, x->arguments, "x-delayed-type", subject, ex));
}

/* An exchange without an alternate of its own may get one from a policy. */
static void
exchange_apply_policies(struct vhost *v, struct exchange *x) REQUIRES(v->topology)
{
    struct policy_in_force found[POLICY_SORTS];
    struct table_field f;
    struct bytes alternate = BYTES_NONE;
    if (v->policies == NULL)
        return;
    if (policy_for(v->policies, v->name, x->name, POLICY_FOR_EXCHANGE, found) &&
        table_find(buf_bytes(&found[POLICY_USERS].definition), BYTES_LITERAL("alternate-exchange"),
                   &f) &&
        f.tag == 'S')
        alternate = f.value;
    const bool is_news = !bytes_equal(alternate, x->policy_alternate);
    if (is_news) {
        mem_free_const(x->policy_alternate.data);
        x->policy_alternate = alternate.size == 0 ? BYTES_NONE : bytes_copy(alternate);
        exchange_changed(x);
    }
    policies_in_force_fini(found);
}

void
vhost_apply_policies(struct vhost *v)
{
    rwlock_write(&v->topology);
    for (struct map_node *n = map_next(&v->exchanges, NULL); n != NULL;
         n = map_next(&v->exchanges, n))
        exchange_apply_policies(v, MAP_CONTAINER(n, struct exchange, by_name));
    for (struct map_node *n = map_next(&v->queues, NULL); n != NULL; n = map_next(&v->queues, n))
        queue_apply_policies(MAP_CONTAINER(n, struct queue, by_name));
    rwlock_write_end(&v->topology);
}

bool
vhost_declare_exchange(struct vhost *v, const struct exchange_spec *spec, uint64_t *ticket,
                       struct amqp_exception *ex)
{
    bool ok = true;
    *ticket = 0;
    rwlock_write(&v->topology);
    struct exchange *x = vhost_find_exchange(v, spec->name);
    if (x != NULL) {
        ok = exchange_equivalent(x, spec, ex);
        *ticket = x->ticket; /* It may not be committed yet. */
    } else if (bytes_start_with(spec->name, BYTES_LITERAL("amq."))) {
        ok = amqp_raise(ex, AMQP_ACCESS_REFUSED,
                        "exchange name '%.*s' contains reserved prefix 'amq.*'",
                        BYTES_ARGS(spec->name));
    } else if ((ok = vhost_is_up(v, ex))) {
        x = exchange_create(v, spec);
        map_insert(&v->exchanges, &x->by_name, bytes_hash(x->name));
        exchange_apply_policies(v, x);
        exchange_changed(x);
        if (x->is_delayed)
            x->pending = pending_queue_get(v, x);
        if (x->durable)
            x->ticket = definition_keep_exchange(v, x);
        *ticket = x->ticket;
    }
    rwlock_write_end(&v->topology);
    return ok;
}

void
vhost_restore_exchange(struct vhost *v, const struct exchange_spec *spec)
{
    rwlock_write(&v->topology);
    if (vhost_find_exchange(v, spec->name) == NULL) {
        struct exchange *x = exchange_create(v, spec);
        map_insert(&v->exchanges, &x->by_name, bytes_hash(x->name));
        if (x->is_delayed)
            x->pending = pending_queue_get(v, x);
    }
    rwlock_write_end(&v->topology);
}

bool
vhost_check_exchange(struct vhost *v, struct bytes name, struct amqp_exception *ex)
{
    rwlock_read(&v->topology);
    const bool found = vhost_find_exchange(v, name) != NULL;
    rwlock_read_end(&v->topology);
    return found || vhost_raise_no_exchange(v, name, ex);
}

bool
vhost_delete_exchange(struct vhost *v, struct bytes name, bool if_unused, uint64_t *ticket,
                      struct amqp_exception *ex)
{
    bool ok = true;
    *ticket = 0;
    rwlock_write(&v->topology);
    struct exchange *x = vhost_find_exchange(v, name);
    if (x != NULL && if_unused && router_binding_count(&x->router) > 0) {
        char subject[OBJECT_NAME_SIZE];
        exchange_subject(subject, v, name);
        ok = amqp_raise(ex, AMQP_PRECONDITION_FAILED, "%s in use", subject);
    } else if (x != NULL) {
        *ticket = exchange_remove(v, x);
    }
    rwlock_write_end(&v->topology);
    return ok;
}
