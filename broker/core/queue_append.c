/* What is published comes into a queue: each message gets its place, its record and its ticket, or
 * the queue is full. */

#include "broker/core/queue.h"

#include "broker/base/clock.h"
#include "broker/core/definition.h"
#include "broker/core/effects.h"
#include "broker/core/message_properties.h"
#include "broker/core/queue_internal.h"
#include "broker/core/stream.h"

static void
queue_put(struct queue *q, const struct entry *e, uint64_t ticket)
{
    ready_append(queue_level_of(q, e), e, ticket);
    q->ready_count++;
    q->ready_octets += e->message->body_size;
}

static bool
is_full(const struct queue *q, const struct message *m)
{
    return q->ready_count >= atomic_load(&q->limits.max_length) ||
           q->ready_octets + m->body_size > atomic_load(&q->limits.max_length_bytes);
}

static bool
wants_record(const struct queue *q, const struct append *item)
{
    return q->log != 0 && (item->entry.message->is_persistent || q->effective.type == QUEUE_QUORUM);
}

/* When a message that comes now expires; 0: never. */
static uint64_t
due_of(const struct queue *q, const struct message *m)
{
    if (q->delays_for.size > 0)
        return clock_monotonic_ms() + message_delay_ms(m) +
               1; /* The clock tells whole milliseconds. */
    const uint64_t own = message_expiration_ms(m);
    const uint64_t all = atomic_load_explicit(&q->limits.message_ttl_ms, memory_order_relaxed);
    const uint64_t ttl = own < all ? own : all;
    return ttl == UINT64_MAX ? 0 : clock_monotonic_ms() + ttl;
}

static void
item_admit(const struct queue *q, struct append *item)
{
    struct entry *e = &item->entry;
    item->outcome = APPEND_DONE;
    e->is_durable = wants_record(q, item);
    e->due_ms = due_of(q, e->message);
    if (e->priority > q->effective.max_priority)
        e->priority = q->effective.max_priority;
}

/* Serialises what is going to be appended; it needs no lock. */
static void
records_serialise(const struct append *items, size_t count, struct effects *records)
{
    uint64_t wall_us = 0;
    for (size_t i = 0; i < count; i++) {
        if (!items[i].entry.is_durable)
            continue;
        if (wall_us == 0)
            wall_us = clock_wall_us();
        effects_add_record(records, &items[i].entry, (uint32_t)i, wall_us);
    }
}

/* After a restart it is looked for records that are due only where there may be some. */
static void
keep_dues(struct queue *q, const struct append *items, size_t count)
{
    for (size_t i = 0; q->log != 0 && !q->keeps_dues && i < count; i++) {
        if (!items[i].entry.is_durable || items[i].entry.due_ms == 0)
            continue;
        q->keeps_dues = true;
        definition_keep_dues(q->vhost, q->log);
    }
}

/* What was not taken at once: when does it expire? That may be now. */
static void
note_dues(struct queue *q, const struct append *items, size_t count, struct leaving *leaving)
{
    for (size_t i = 0; i < count; i++)
        if (items[i].entry.due_ms != 0)
            dues_add(&q->dues, items[i].entry.sequence, items[i].entry.due_ms);
    queue_expire_front(q, leaving);
    if (q->ready_count == 0)
        dues_trim(&q->dues, UINT64_MAX);
    queue_set_timer(q);
}

/* Under the lock: the messages get their places and their ticket, and go out as far as consumers
 * can take them. The ticket comes before anybody can see them: a settle is never in an earlier
 * round than its record. */
static uint64_t
append_locked(struct queue *q, struct append *items, size_t count, struct effects *records,
              struct leaving *leaving)
{
    const uint64_t base = q->next_sequence;
    bool has_dues = false;
    if (q->log != 0 && q->pager != NULL && !list_is_empty(&q->waiting) &&
        base + count > q->watermark.reserved)
        watermark_reserve(q, base + count); /* They will be sent at once. */
    q->next_sequence += count;
    keep_dues(q, items, count);
    const uint64_t ticket = effects_push(records, q, base);
    for (size_t i = 0; i < count; i++) {
        items[i].entry.sequence = base + i;
        queue_put(q, &items[i].entry, ticket);
        has_dues = has_dues || items[i].entry.due_ms != 0;
    }
    q->fresh = base;
    queue_pump(q, leaving);
    q->fresh = UINT64_MAX;
    if (has_dues && q->ready_count > 0)
        note_dues(q, items, count, leaving);
    return ticket;
}

/* What the queue does not take may be wanted elsewhere. It never had a record here. */
static void
reject(struct queue *q, const struct entry *e, struct leaving *leaving)
{
    struct entry rejected = *e;
    if (atomic_load(&q->limits.overflow) != OVERFLOW_REJECT_PUBLISH_DLX ||
        !atomic_load(&q->limits.dead_letters))
        return;
    rejected.is_durable = false;
    rejected.due_ms = 0;
    message_ref(rejected.message);
    leaving_add_dead(leaving, &rejected, DEATH_MAXLEN);
}

/* Where being full means rejection, each is judged by itself: what consumers take makes room. */
static uint64_t
append_one_by_one(struct queue *q, struct append *items, size_t count, struct leaving *leaving)
{
    uint64_t ticket = 0;
    for (size_t i = 0; i < count; i++) {
        struct effects records;
        if (is_full(q, items[i].entry.message)) {
            items[i].outcome = APPEND_REJECTED;
            reject(q, &items[i].entry, leaving);
            continue;
        }
        effects_init(&records, q, EFFECT_RECORDS);
        records_serialise(&items[i], 1, &records);
        const uint64_t later = append_locked(q, &items[i], 1, &records, leaving);
        ticket = later > ticket ? later : ticket;
        effects_fini(&records);
    }
    return ticket;
}

static void
refuse_all(struct append *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        items[i].outcome = APPEND_GONE;
}

uint64_t
queue_append(struct queue *q, struct append *items, size_t count)
{
    struct effects records;
    struct leaving leaving = { 0 };
    uint64_t ticket = 0;
    if (q->stream != NULL)
        return stream_append(q, items, count);
    for (size_t i = 0; i < count; i++)
        item_admit(q, &items[i]);
    effects_init(&records, q, EFFECT_RECORDS);
    const bool one_by_one = queue_rejects_when_full(q);
    if (!one_by_one)
        records_serialise(items, count, &records);

    lock_acquire(&q->lock);
    if (atomic_load_explicit(&q->deleted, memory_order_relaxed))
        refuse_all(items, count);
    else if (one_by_one)
        ticket = append_one_by_one(q, items, count, &leaving);
    else
        ticket = append_locked(q, items, count, &records, &leaving);
    queue_drop_overflow(q, &leaving);
    if (message_is_over_budget())
        queue_shed(q, &leaving);
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    effects_fini(&records);
    leaving_release(&leaving);
    return ticket;
}
