#include "broker/cli/store_view.h"

#include "broker/base/mem.h"
#include "broker/core/definition.h"
#include "broker/core/queue_arguments.h"
#include "broker/core/record.h"

static bool
log_matches(const struct map_node *node, const void *key)
{
    (void)node; /* The hash is the id. */
    (void)key;
    return true;
}

struct view_queue *
store_view_queue(const struct store_view *v, uint64_t log)
{
    struct map_node *node = map_find(&v->logs, log, log_matches, NULL);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct view_log, by_id)->queue;
}

/* Two queues cannot have one log, nor one that has never been given. */
static bool
logs_are_free(const struct store_view *v, uint64_t first, size_t count)
{
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = store_has_given_log(v->store, first + i) && store_view_queue(v, first + i) == NULL;
    return ok;
}

static void
add_logs(struct store_view *v, struct view_queue *q, uint64_t first)
{
    q->logs = mem_alloc_zeroed(q->log_count * sizeof(*q->logs));
    for (size_t i = 0; i < q->log_count; i++) {
        q->logs[i].queue = q;
        map_insert(&v->logs, &q->logs[i].by_id, first + i);
    }
}

static bool
add_queue(struct store_view *v, const struct definition *d)
{
    struct queue_arguments effective;
    struct amqp_exception ex;
    if (!queue_arguments_parse(d->arguments, d->name, d->vhost, &effective, &ex) ||
        !logs_are_free(v, d->log, effective.max_priority + 1u))
        return false;
    struct view_queue *q = mem_alloc_zeroed(sizeof(*q));
    buf_append_bytes(&q->vhost, d->vhost);
    buf_append_bytes(&q->name, d->name);
    q->log = d->log;
    q->log_count = effective.max_priority + 1u;
    add_logs(v, q, d->log);
    if (v->queue_count == v->queue_capacity) {
        v->queue_capacity = v->queue_capacity == 0 ? 64 : 2 * v->queue_capacity;
        v->queues = mem_resize(v->queues, v->queue_capacity * sizeof(struct view_queue *));
    }
    q->number = v->queue_count;
    v->queues[v->queue_count++] = q;
    return true;
}

static bool
on_definition(void *context, struct bytes key, struct bytes row)
{
    struct store_view *v = context;
    struct definition d;
    if (!definition_decode(key, row, &d))
        return false;
    switch (d.kind) {
    case DEFINITION_EXCHANGE:
        v->exchanges++;
        return true;
    case DEFINITION_QUEUE:
        return add_queue(v, &d);
    case DEFINITION_BINDING:
        v->bindings++;
        return true;
    case DEFINITION_WATERMARK:
    case DEFINITION_DELIVERIES:
    case DEFINITION_DUES:
    case DEFINITION_SEGMENT:
    case DEFINITION_NOTE:
        return true;
    }
    return false;
}

bool
store_view_record(void *context, struct bytes record)
{
    struct entry e;
    (void)context;
    if (!record_decode(record, &e))
        return false;
    message_unref(e.message);
    return true;
}

static bool
on_log(void *context, const struct store_log *log)
{
    struct view_queue *q = store_view_queue(context, log->log);
    if (q == NULL)
        return false;
    q->records += log->records;
    q->octets += log->weight;
    q->last = log->last > q->last ? log->last : q->last;
    return true;
}

static void
on_damage(void *context, const char *row, const char *what)
{
    const struct store_viewing *how = ((struct store_view *)context)->how;
    how->damage(how->context, row, what);
}

bool
store_view_read(struct store_view *v, struct store *store, const struct store_viewing *how)
{
    const struct store_walk walk = {
        .is_deep = how->is_deep,
        .definition = on_definition,
        .record = store_view_record,
        .log = on_log,
        .damage = on_damage,
        .context = v,
        .progress = how->progress,
    };
    *v = (struct store_view){ .store = store, .how = how };
    return store_walk(store, &walk, &v->facts);
}

void
store_view_fini(struct store_view *v)
{
    for (size_t i = 0; i < v->queue_count; i++) {
        struct view_queue *q = v->queues[i];
        for (size_t k = 0; k < q->log_count; k++)
            map_remove(&v->logs, &q->logs[k].by_id);
        mem_free(q->logs);
        buf_fini(&q->vhost);
        buf_fini(&q->name);
        mem_free(q);
    }
    mem_free(v->queues);
    map_fini(&v->logs);
}
