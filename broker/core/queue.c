#include "broker/core/queue.h"

#include "broker/base/clock.h"
#include "broker/base/mem.h"
#include "broker/core/outbox.h"
#include "broker/core/queue_internal.h"
#include "broker/core/record.h"
#include "broker/core/vhost.h"

struct queue *
queue_create(struct vhost *vhost, struct door *door, const struct queue_spec *spec)
{
    struct queue *q = mem_alloc_zeroed(sizeof(*q));
    q->vhost = vhost;
    q->name = bytes_copy(spec->name);
    q->arguments = bytes_copy(spec->arguments);
    q->effective = spec->effective;
    q->durable = spec->durable;
    q->auto_delete = spec->auto_delete;
    q->owner = spec->owner;
    q->door = door;
    q->log = spec->log != 0 ? spec->log : spec->durable ? door_new_log(door) : 0;
    q->window = spec->window;
    list_init(&q->in_connection);
    destination_init(&q->destination, DESTINATION_QUEUE);
    atomic_init(&q->refs, 1);
    lock_init(&q->lock);
    q->levels = mem_alloc_zeroed((q->effective.max_priority + 1u) * sizeof(*q->levels));
    list_init(&q->consumers);
    list_init(&q->waiting);
    q->next_sequence = door_first_sequence(door);
    return q;
}

void
queue_unref(struct queue *q)
{
    const uint32_t before = atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    ASSERT(q->ready_count == 0);
    ASSERT(list_is_empty(&q->consumers));
    for (unsigned level = 0; level <= q->effective.max_priority; level++)
        ready_fini(&q->levels[level]);
    mem_free(q->levels);
    mem_free_const(q->name.data);
    mem_free_const(q->arguments.data);
    lock_fini(&q->lock);
    mem_free(q);
}

void
message_list_add(struct message_list *l, struct message *m)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity == 0 ? 16 : l->capacity * 2;
        l->items = mem_resize(l->items, l->capacity * sizeof(struct message *));
    }
    l->items[l->count++] = m;
}

void
message_list_release(struct message_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        message_unref(l->items[i]);
    mem_free(l->items);
    *l = (struct message_list){ 0 };
}

static struct ready *
level_of(struct queue *q, const struct entry *e)
{
    ASSERT(e->priority <= q->effective.max_priority);
    return &q->levels[e->priority];
}

struct entry
queue_take(struct queue *q)
{
    ASSERT(q->ready_count > 0);
    unsigned level = q->effective.max_priority;
    while (ready_count(&q->levels[level]) == 0) {
        ASSERT(level > 0);
        level--;
    }
    q->ready_count--;
    const struct entry e = ready_take(&q->levels[level]);
    q->ready_octets -= e.message->body_size;
    return e;
}

void
queue_put_back(struct queue *q, const struct entry *e)
{
    ready_return(level_of(q, e), e);
    q->ready_count++;
    q->ready_octets += e->message->body_size;
}

static void
queue_put(struct queue *q, const struct entry *e)
{
    ready_append(level_of(q, e), e);
    q->ready_count++;
    q->ready_octets += e->message->body_size;
}

static bool
is_full(const struct queue *q, const struct message *m)
{
    return q->ready_count >= q->effective.max_length ||
           q->ready_octets + m->body_size > q->effective.max_length_bytes;
}

static bool
is_over(const struct queue *q)
{
    return q->ready_count > q->effective.max_length ||
           q->ready_octets > q->effective.max_length_bytes;
}

static bool
rejects_when_full(const struct queue *q)
{
    return q->effective.overflow == OVERFLOW_REJECT_PUBLISH;
}

static bool
wants_record(const struct queue *q, const struct append *item)
{
    return q->log != 0 && item->entry.message->is_persistent;
}

/* Serialises what is going to be appended. Done before the lock is taken, except where the lock
 * decides what is appended. */
static void
records_serialise(const struct queue *q, const struct append *items, size_t count,
                  struct effect *records)
{
    uint64_t wall_us = 0;
    for (size_t i = 0; i < count; i++) {
        if (!wants_record(q, &items[i]) || items[i].outcome != APPEND_DONE)
            continue;
        if (wall_us == 0)
            wall_us = clock_wall_us();
        record_append(&records->payload, items[i].entry.message, (uint32_t)i,
                      items[i].entry.priority, wall_us);
        records->count++;
    }
}

static uint64_t
records_push(struct queue *q, struct effect *records, uint64_t base)
{
    if (records->count == 0)
        return 0;
    records->kind = EFFECT_RECORDS;
    records->log = q->log;
    records->sequence = base;
    return door_push(q->door, records);
}

/* The first part of appending: who gets in. */
static void
items_admit(struct queue *q, struct append *items, size_t count, uint64_t base)
{
    for (size_t i = 0; i < count; i++) {
        struct entry *e = &items[i].entry;
        if (rejects_when_full(q) && is_full(q, e->message)) {
            items[i].outcome = APPEND_REJECTED;
            continue;
        }
        e->sequence = base + i;
        e->is_durable = wants_record(q, &items[i]);
        if (e->priority > q->effective.max_priority)
            e->priority = q->effective.max_priority;
        queue_put(q, e);
    }
}

/* Overflow drop-head: the oldest of the highest priority go until the queue fits its limits. */
static void
overflow_drop(struct queue *q, struct message_list *dropped)
{
    struct settled_records settled = { 0 };
    while (q->ready_count > 0 && is_over(q)) {
        const struct entry e = queue_take(q);
        settled_records_add(&settled, &e);
        message_list_add(dropped, e.message);
    }
    settled_records_push(&settled, q);
}

/* Under the lock: the messages are in, have their ticket, and go out as far as consumers can take
 * them. The ticket comes before anybody can see them: a settle is never in an earlier round than
 * its record. */
static uint64_t
append_locked(struct queue *q, struct append *items, size_t count, struct effect *records)
{
    const uint64_t base = q->next_sequence;
    q->next_sequence += count;
    items_admit(q, items, count, base);
    if (rejects_when_full(q))
        records_serialise(q, items, count, records);
    const uint64_t ticket = records_push(q, records, base);
    queue_pump(q);
    return ticket;
}

uint64_t
queue_append(struct queue *q, struct append *items, size_t count)
{
    struct effect records = { 0 };
    struct message_list dropped = { 0 };
    uint64_t ticket = 0;
    for (size_t i = 0; i < count; i++)
        items[i].outcome = APPEND_DONE;
    if (!rejects_when_full(q))
        records_serialise(q, items, count, &records);

    lock_acquire(&q->lock);
    if (atomic_load_explicit(&q->deleted, memory_order_relaxed)) {
        lock_release(&q->lock);
        for (size_t i = 0; i < count; i++)
            items[i].outcome = APPEND_GONE;
        buf_fini(&records.payload);
        return 0;
    }
    /* Where being full means rejection, what consumers take first makes room for the next. */
    const size_t step = rejects_when_full(q) ? 1 : count;
    for (size_t i = 0; i < count; i += step) {
        const uint64_t later = append_locked(q, items + i, step, &records);
        ticket = later > ticket ? later : ticket;
        records = (struct effect){ 0 };
    }
    if (is_over(q))
        overflow_drop(q, &dropped);
    lock_release(&q->lock);
    message_list_release(&dropped);
    return ticket;
}

void
queue_restore(struct queue *q, struct message *m, uint64_t sequence, uint8_t priority)
{
    const struct entry e = {
        .sequence = sequence,
        .message = m,
        .priority = priority < q->effective.max_priority ? priority : q->effective.max_priority,
        .is_durable = true,
        .redelivered = true, /* It may have been sent; nobody remembers. */
    };
    lock_acquire(&q->lock);
    ASSERT(sequence < q->next_sequence); /* Each start begins above all earlier ones. */
    queue_put(q, &e);
    lock_release(&q->lock);
}

bool
queue_get(struct queue *q, struct entry *out, size_t *left)
{
    lock_acquire(&q->lock);
    const bool any = q->ready_count > 0;
    if (any) {
        *out = queue_take(q);
        q->unacked_count++;
    }
    *left = q->ready_count;
    lock_release(&q->lock);
    return any;
}

struct queue_counts
queue_counts(struct queue *q)
{
    lock_acquire(&q->lock);
    const struct queue_counts counts = { q->ready_count, q->unacked_count, q->consumer_count };
    lock_release(&q->lock);
    return counts;
}

/* Moves all ready messages out, however many, in one step. */
static struct ready *
take_levels(struct queue *q)
{
    struct ready *levels = q->levels;
    q->levels = mem_alloc_zeroed((q->effective.max_priority + 1u) * sizeof(*q->levels));
    q->ready_count = 0;
    q->ready_octets = 0;
    return levels;
}

/* Lets go of messages that were moved out, without the lock: there may be millions. */
static void
release_levels(const struct queue *q, struct ready *levels, struct settled_records *settled)
{
    for (unsigned level = 0; level <= q->effective.max_priority; level++) {
        while (ready_count(&levels[level]) > 0) {
            const struct entry e = ready_take(&levels[level]);
            settled_records_add(settled, &e);
            message_unref(e.message);
        }
        ready_fini(&levels[level]);
    }
    mem_free(levels);
}

size_t
queue_purge(struct queue *q)
{
    struct settled_records settled = { 0 };
    lock_acquire(&q->lock);
    const size_t count = q->ready_count;
    struct ready *levels = take_levels(q);
    lock_release(&q->lock);
    release_levels(q, levels, &settled);
    settled_records_push(&settled, q);
    return count;
}

static void
detach_all_consumers(struct queue *q)
{
    LIST_FOREACH (link, &q->consumers) {
        struct consumer *c = LIST_CONTAINER(link, struct consumer, in_queue);
        const struct entry queue_is_gone = { 0 };
        list_unlink(&c->in_queue);
        list_unlink(&c->in_waiting);
        c->detached = true;
        outbox_open(c->outbox);
        outbox_push(c->outbox, c, &queue_is_gone);
        outbox_close(c->outbox);
    }
    q->consumer_count = 0;
    q->active = NULL;
}

bool
queue_end(struct queue *q, bool if_unused, bool if_empty, struct queue_remains *remains,
          struct amqp_exception *ex)
{
    lock_acquire(&q->lock);
    const char *obstacle = if_unused && q->consumer_count > 0 ? "in use"
                           : if_empty && q->ready_count > 0   ? "not empty"
                                                              : NULL;
    if (obstacle == NULL) {
        atomic_store_explicit(&q->deleted, true, memory_order_relaxed);
        detach_all_consumers(q);
        if (q->log != 0 && !q->vhost->is_closing)
            door_push(q->door, &(struct effect){ .kind = EFFECT_LOG_END, .log = q->log });
        remains->count = q->ready_count;
        remains->levels = take_levels(q);
    }
    lock_release(&q->lock);
    if (obstacle == NULL)
        return true;
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "queue '%.*s' in vhost '%.*s' %s",
                      BYTES_ARGS(q->name), BYTES_ARGS(q->vhost->name), obstacle);
}

void
queue_release_remains(const struct queue *q, struct queue_remains *remains)
{
    struct settled_records untold = { 0 }; /* The log has ended as a whole. */
    release_levels(q, remains->levels, &untold);
    buf_fini(&untold.sequences);
}
