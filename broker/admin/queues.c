#include "broker/admin/list_core.h"

#include "broker/admin/queue_rules.h"
#include "broker/base/clock.h"
#include "broker/base/mem.h"

#include <stdlib.h>

/* Looked up once for a row, and only if a column asks. */
struct found_rules {
    struct queue_rules rules;
    bool is_found;
};

/* A queue at one moment. */
struct queue_view {
    struct queue *queue;
    size_t ready;
    size_t unacked;
    size_t consumers;
    uint64_t ready_octets;
    bool is_exclusive;         /* In exclusive use by a consumer. */
    struct found_rules *found; /* For the columns that need them; NULL outside listings. */
};

static int
name_order(const void *a, const void *b)
{
    const struct queue *const *x = a;
    const struct queue *const *y = b;
    return bytes_compare((*x)->name, (*y)->name);
}

struct queue **
admin_queues(struct vhost *v, size_t *count)
{
    size_t used = 0;
    rwlock_read(&v->topology);
    struct queue **queues = mem_alloc((v->queues.count + 1) * sizeof(struct queue *));
    for (struct map_node *n = NULL; (n = map_next(&v->queues, n)) != NULL;) {
        queues[used] = MAP_CONTAINER(n, struct queue, by_name);
        queue_ref(queues[used++]);
    }
    rwlock_read_end(&v->topology);
    *count = used;
    return queues;
}

void
admin_queues_release(struct queue **queues, size_t count)
{
    for (size_t i = 0; i < count; i++)
        queue_unref(queues[i]);
    mem_free(queues);
}

static struct queue_view
view_of(struct queue *q)
{
    lock_acquire(&q->lock);
    const struct queue_view view = {
        .queue = q,
        .ready = q->ready_count,
        .unacked = q->unacked_count,
        .consumers = q->consumer_count,
        .ready_octets = q->ready_octets,
        .is_exclusive = q->has_exclusive_consumer,
    };
    lock_release(&q->lock);
    return view;
}

#define VIEW(object) ((const struct queue_view *)(object))

static void
put_name(struct rows *r, const void *object)
{
    cell_put_text(r, VIEW(object)->queue->name);
}

static void
put_vhost(struct rows *r, const void *object)
{
    cell_put_text(r, VIEW(object)->queue->vhost->name);
}

static void
put_type(struct rows *r, const void *object)
{
    cell_put_string(r, queue_type_name(VIEW(object)->queue->effective.type));
}

static void
put_durable(struct rows *r, const void *object)
{
    cell_put_bool(r, VIEW(object)->queue->durable);
}

static void
put_auto_delete(struct rows *r, const void *object)
{
    cell_put_bool(r, VIEW(object)->queue->auto_delete);
}

static void
put_exclusive(struct rows *r, const void *object)
{
    cell_put_bool(r, VIEW(object)->queue->owner != 0);
}

static void
put_owner(struct rows *r, const void *object)
{
    if (VIEW(object)->queue->owner == 0)
        cell_put_none(r);
    else
        cell_put_number(r, VIEW(object)->queue->owner);
}

static void
put_arguments(struct rows *r, const void *object)
{
    cell_put_table(r, VIEW(object)->queue->arguments);
}

static const struct queue_rules *
rules_of(const void *object)
{
    struct found_rules *found = VIEW(object)->found;
    if (!found->is_found)
        queue_rules_find(VIEW(object)->queue, &found->rules);
    found->is_found = true;
    return &found->rules;
}

static void
put_effective_arguments(struct rows *r, const void *object)
{
    cell_put_rules(r, VIEW(object)->queue, rules_of(object));
}

static void
put_policy(struct rows *r, const void *object)
{
    cell_put_policy(r, &rules_of(object)->policies[POLICY_USERS]);
}

static void
put_operator_policy(struct rows *r, const void *object)
{
    cell_put_policy(r, &rules_of(object)->policies[POLICY_OPERATORS]);
}

static void
put_policy_definition(struct rows *r, const void *object)
{
    cell_put_policy_definition(r, rules_of(object));
}

static void
put_ready(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->ready);
}

static void
put_unacked(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->unacked);
}

static void
put_messages(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->ready + VIEW(object)->unacked);
}

static void
put_octets(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->ready_octets);
}

static void
put_consumers(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->consumers);
}

static void
put_exclusive_use(struct rows *r, const void *object)
{
    cell_put_bool(r, VIEW(object)->is_exclusive);
}

static void
put_single_active(struct rows *r, const void *object)
{
    cell_put_bool(r, VIEW(object)->queue->effective.single_active_consumer);
}

static void
put_idle(struct rows *r, const void *object)
{
    const uint64_t used_ms = atomic_load(&VIEW(object)->queue->used_ms);
    const uint64_t now_ms = clock_monotonic_ms();
    if (VIEW(object)->consumers > 0 || used_ms == 0 || used_ms > now_ms)
        cell_put_none(r);
    else
        cell_put_number(r, (now_ms - used_ms) / 1000u);
}

const struct column queue_columns[] = {
    { "name", put_name, true, "Its name." },
    { "vhost", put_vhost, false, "The virtual host it is in." },
    { "type", put_type, true, "classic or quorum." },
    { "messages_ready", put_ready, true, "Messages that wait for a consumer." },
    { "messages_unacknowledged", put_unacked, true, "Messages sent and not settled." },
    { "messages", put_messages, true, "Both together." },
    { "message_bytes_ready", put_octets, false, "Octets of the bodies of messages that wait." },
    { "consumers", put_consumers, true, "Consumers." },
    { "durable", put_durable, false, "It survives a restart." },
    { "auto_delete", put_auto_delete, false, "It goes with its last consumer." },
    { "exclusive", put_exclusive, false, "It belongs to one connection and goes with it." },
    { "owner", put_owner, false, "The id of that connection." },
    { "exclusive_consumer", put_exclusive_use, false, "A consumer has it for itself." },
    { "single_active_consumer", put_single_active, false, "One consumer at a time is served." },
    { "idle_seconds", put_idle, false,
      "Seconds since it was last declared or read from; none while it has consumers." },
    { "arguments", put_arguments, false, "Its arguments, as JSON." },
    { "policy", put_policy, false, "The policy in force for it." },
    { "operator_policy", put_operator_policy, false, "The operator policy in force for it." },
    { "effective_policy_definition", put_policy_definition, false,
      "The definitions of both together, as JSON." },
    { QUEUE_DETAIL, put_effective_arguments, false,
      "What it goes by: each argument in force, whether it comes from the queue's own arguments, "
      "the policy or the operator policy, and from which. On a terminal in lines of their own." },
};
const size_t queue_column_count = sizeof(queue_columns) / sizeof(queue_columns[0]);

void
list_queues(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r)
{
    size_t count;
    (void)b;
    struct queue **queues = admin_queues(v, &count);
    qsort(queues, count, sizeof(struct queue *), name_order);
    for (size_t i = 0; i < count; i++) {
        struct found_rules found = { 0 };
        struct queue_view view = view_of(queues[i]);
        view.found = &found;
        if (!atomic_load(&queues[i]->deleted))
            selection_put(s, r, &view);
        queue_rules_fini(&found.rules);
    }
    admin_queues_release(queues, count);
}

static void
add_totals(void *context, struct vhost *v)
{
    struct queue_totals *totals = context;
    size_t count;
    rwlock_read(&v->topology);
    totals->exchanges += v->exchanges.count;
    rwlock_read_end(&v->topology);
    struct queue **queues = admin_queues(v, &count);
    for (size_t i = 0; i < count; i++) {
        const struct queue_view view = view_of(queues[i]);
        totals->ready += view.ready;
        totals->unacked += view.unacked;
        totals->consumers += view.consumers;
        totals->ready_octets += view.ready_octets;
    }
    totals->queues += count;
    admin_queues_release(queues, count);
}

void
admin_totals(struct broker *b, struct vhost *v, struct queue_totals *out)
{
    *out = (struct queue_totals){ 0 };
    if (v != NULL)
        add_totals(out, v);
    else
        admin_each_vhost(b, add_totals, out);
}
