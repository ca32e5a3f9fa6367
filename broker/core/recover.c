#include "broker/core/recover.h"

#include "amqp/table.h"
#include "broker/base/endian.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/core/definition.h"
#include "broker/core/stream.h"
#include "broker/core/vhost_internal.h"
#include "broker/core/vhosts.h"

#include <stdio.h>

/* A queue by the id of its log. */
struct known_log {
    struct map_node by_id;
    uint64_t id;
    struct queue *queue;
};

struct kept_binding {
    struct list link;
    struct buf key;
};

struct recovery_state {
    struct broker *broker;
    struct recovered *counts;
    struct map logs;
    struct list bindings;
    struct buf complaint;
};

static void
complain(struct recovery_state *s, const char *what, struct bytes key)
{
    char quoted[200];
    if (s->complaint.size == 0)
        buf_printf(&s->complaint, "the store holds %s that cannot be understood: \"%s\"", what,
                   log_quote(key, quoted, sizeof(quoted)));
}

static struct bytes
delays_for(const struct definition *d)
{
    const size_t prefix = strlen(PENDING_QUEUE_PREFIX);
    return d->is_delayed && d->name.size > prefix
               ? bytes_of(d->name.data + prefix, d->name.size - prefix)
               : BYTES_NONE;
}

static void
restore_queue(struct recovery_state *s, const struct definition *d, struct bytes key)
{
    struct queue_spec spec = {
        .name = d->name,
        .arguments = d->arguments,
        .durable = true,
        .auto_delete = d->auto_delete,
        .delays_for = delays_for(d),
        .window = s->broker->config->limits.outbox_bytes,
        .log = d->log,
    };
    struct amqp_exception ex;
    if (!queue_arguments_parse(spec.arguments, spec.name, d->vhost, &spec.effective, &ex)) {
        complain(s, "a queue", key);
        return;
    }
    struct queue *q = vhost_restore_queue(vhosts_restore(s->broker, d->vhost), &spec);
    for (uint64_t level = 0; level <= spec.effective.max_priority; level++) {
        struct known_log *known = mem_alloc_zeroed(sizeof(*known));
        known->id = d->log + level;
        known->queue = q;
        map_insert(&s->logs, &known->by_id, known->id);
    }
    s->counts->queues++;
}

static bool
id_matches(const struct map_node *node, const void *key)
{
    (void)node; /* The hash is the id. */
    (void)key;
    return true;
}

static struct queue *
find_queue(struct recovery_state *s, uint64_t log)
{
    struct map_node *node = map_find(&s->logs, log, id_matches, NULL);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct known_log, by_id)->queue;
}

static void
restore_watermark(struct recovery_state *s, const struct definition *d, struct bytes key)
{
    struct queue *q = find_queue(s, d->log);
    if (q == NULL)
        complain(s, "a watermark", key);
    else
        queue_restore_watermark(q, d->sequence);
}

/* A queue takes its rows along when it goes. */
static void
restore_deliveries(struct recovery_state *s, const struct definition *d, struct bytes key)
{
    struct queue *q = find_queue(s, d->log);
    if (q == NULL)
        complain(s, "a count of deliveries", key);
    else
        queue_restore_deliveries(q, d->sequence, d->count);
}

static void
restore_dues(struct recovery_state *s, const struct definition *d, struct bytes key)
{
    struct queue *q = find_queue(s, d->log);
    if (q == NULL)
        complain(s, "a mark of messages that are due", key);
    else
        queue_restore_dues(q);
}

/* What salvage could not place goes the way of its queue. */
static void
restore_segment(struct recovery_state *s, const struct definition *d)
{
    struct queue *q = find_queue(s, d->log);
    if (q != NULL && q->stream != NULL)
        stream_restore_segment(q, &(struct stream_segment){
                                      .first = d->sequence,
                                      .wall_ms = d->wall_ms,
                                      .octets_before = d->octets_before,
                                  });
}

static void
keep_binding(struct recovery_state *s, struct bytes key)
{
    struct kept_binding *kept = mem_alloc_zeroed(sizeof(*kept));
    buf_append_bytes(&kept->key, key);
    list_push(&s->bindings, &kept->link);
}

static void
on_definition(void *context, struct bytes key, struct bytes row)
{
    struct recovery_state *s = context;
    struct definition d;
    if (!definition_decode(key, row, &d)) {
        complain(s, "a definition", key);
        return;
    }
    switch (d.kind) {
    case DEFINITION_EXCHANGE:
        vhost_restore_exchange(vhosts_restore(s->broker, d.vhost), &(struct exchange_spec){
                                                                       .name = d.name,
                                                                       .type = d.type,
                                                                       .is_delayed = d.is_delayed,
                                                                       .arguments = d.arguments,
                                                                       .durable = true,
                                                                       .auto_delete = d.auto_delete,
                                                                       .internal = d.internal,
                                                                   });
        s->counts->exchanges++;
        return;
    case DEFINITION_QUEUE:
        restore_queue(s, &d, key);
        return;
    case DEFINITION_BINDING:
        keep_binding(s, key);
        return;
    case DEFINITION_WATERMARK:
        restore_watermark(s, &d, key);
        return;
    case DEFINITION_NOTE:
        notes_restore(&s->broker->notes, d.name, d.arguments);
        return;
    case DEFINITION_DELIVERIES:
        restore_deliveries(s, &d, key);
        return;
    case DEFINITION_DUES:
        restore_dues(s, &d, key);
        return;
    case DEFINITION_SEGMENT:
        restore_segment(s, &d);
        return;
    }
}

static void
on_log(void *context, const struct log_summary *summary)
{
    struct recovery_state *s = context;
    struct queue *q = find_queue(s, summary->log);
    if (q == NULL || !queue_restore(q, summary))
        complain(s, "messages of a queue", BYTES_NONE);
    s->counts->messages += summary->count;
}

/* Bindings whose ends have gone are rows that their ends' deletion left behind. */
static void
restore_bindings(struct recovery_state *s)
{
    while (!list_is_empty(&s->bindings)) {
        struct kept_binding *kept = LIST_CONTAINER(s->bindings.next, struct kept_binding, link);
        struct definition d;
        const bool sound = definition_decode(buf_bytes(&kept->key), BYTES_NONE, &d);
        ASSERT(sound);
        if (vhost_restore_binding(vhosts_restore(s->broker, d.vhost), &d.binding))
            s->counts->bindings++;
        list_unlink(&kept->link);
        buf_fini(&kept->key);
        mem_free(kept);
    }
}

static void
forget_logs(struct recovery_state *s)
{
    struct map_node *node;
    while ((node = map_any(&s->logs)) != NULL) {
        map_remove(&s->logs, node);
        mem_free(MAP_CONTAINER(node, struct known_log, by_id));
    }
}

bool
broker_recover(struct broker *b, struct engine *engine, struct recovered *out, char *problem,
               size_t problem_size)
{
    struct recovery_state s = { .broker = b, .counts = out };
    *out = (struct recovered){ 0 };
    list_init(&s.bindings);
    const struct recovery recovery = { on_definition, on_log, &s };
    bool ok = engine->ops->recover(engine, &recovery, problem, problem_size);
    restore_bindings(&s);
    if (!policies_restore(&b->policies))
        complain(&s, "a policy", BYTES_NONE);
    forget_logs(&s);
    if (ok && s.complaint.size > 0) {
        snprintf(problem, problem_size, "%.*s", BYTES_ARGS(buf_bytes(&s.complaint)));
        ok = false;
    }
    buf_fini(&s.complaint);
    return ok;
}
