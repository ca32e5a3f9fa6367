/* What a stream keeps: messages come, and go by retention. */

#include "broker/core/stream.h"

#include "broker/base/clock.h"
#include "broker/base/fault.h"
#include "broker/base/mem.h"
#include "broker/core/definition.h"
#include "broker/core/effects.h"
#include "broker/core/pager.h"
#include "broker/core/queue_internal.h"

/* Recent messages kept for consumers that keep up. */
#define RECENT_OCTETS (1024u * 1024u)
#define RECENT_CAPACITY_FIRST 64u

/* Retention lets go of so much at a time, or of an eighth of what is allowed. */
#define SEGMENT_OCTETS_MAX (UINT64_C(8) * 1024 * 1024)
#define SEGMENT_OCTETS_MIN UINT64_C(4096)
#define SEGMENT_MS_MIN UINT64_C(1000)
#define PARTS 8u

struct stream *
stream_create(void)
{
    struct stream *s = mem_alloc_zeroed(sizeof(*s));
    list_init(&s->wanting);
    return s;
}

void
stream_destroy(struct stream *s)
{
    if (s == NULL)
        return;
    ASSERT(s->recent_octets == 0);
    mem_free(s->segments);
    mem_free(s->recent);
    mem_free(s);
}

static void
note_size(struct queue *q)
{
    const struct stream *s = q->stream;
    q->ready_count = q->next_sequence - s->first;
    q->ready_octets = s->segment_count == 0 ? 0 : s->octets - s->segments[0].octets_before;
}

static void
segments_insert(struct stream *s, size_t at, const struct stream_segment *segment)
{
    if (s->segment_count == s->segment_capacity) {
        s->segment_capacity = s->segment_capacity == 0 ? 8 : s->segment_capacity * 2;
        s->segments = mem_resize(s->segments, s->segment_capacity * sizeof(*s->segments));
    }
    memmove(s->segments + at + 1, s->segments + at, (s->segment_count - at) * sizeof(*s->segments));
    s->segments[at] = *segment;
    s->segment_count++;
}

static void
segments_remove_first(struct stream *s)
{
    s->segment_count--;
    memmove(s->segments, s->segments + 1, s->segment_count * sizeof(*s->segments));
}

static uint64_t
segment_octets(const struct queue *q)
{
    uint64_t octets = atomic_load(&q->limits.max_length_bytes) / PARTS;
    const uint64_t asked = atomic_load(&q->limits.segment_bytes);
    octets = asked < octets ? asked : octets;
    octets = octets < SEGMENT_OCTETS_MAX ? octets : SEGMENT_OCTETS_MAX;
    return octets > SEGMENT_OCTETS_MIN ? octets : SEGMENT_OCTETS_MIN;
}

static uint64_t
segment_ms(const struct queue *q)
{
    const uint64_t age = atomic_load(&q->limits.max_age_ms);
    return age == UINT64_MAX              ? UINT64_MAX
           : age / PARTS > SEGMENT_MS_MIN ? age / PARTS
                                          : SEGMENT_MS_MIN;
}

/* What comes next begins a segment, if the last one is large or old enough. Its row goes before its
 * records: one without records does no harm, they are the next that come. */
static void
begin_segment(struct queue *q, uint64_t now_ms)
{
    struct stream *s = q->stream;
    const struct stream_segment *last =
        s->segment_count == 0 ? NULL : &s->segments[s->segment_count - 1];
    struct stream_segment next = { q->next_sequence, now_ms, s->octets };
    if (last != NULL && (last->first == q->next_sequence ||
                         (s->octets - last->octets_before < segment_octets(q) &&
                          (now_ms < last->wall_ms || now_ms - last->wall_ms < segment_ms(q)))))
        return;
    if (last != NULL && next.wall_ms < last->wall_ms)
        next.wall_ms = last->wall_ms; /* The clock was set back. */
    definition_keep_segment(q->vhost, q->log, &next);
    segments_insert(s, s->segment_count, &next);
}

static void
recent_reserve(struct stream *s, uint64_t next, size_t count)
{
    const size_t have = next - s->recent_first;
    size_t capacity = s->recent_capacity == 0 ? RECENT_CAPACITY_FIRST : s->recent_capacity;
    while (capacity < have + count)
        capacity *= 2;
    if (capacity == s->recent_capacity)
        return;
    struct stream_item *items = mem_alloc(capacity * sizeof(*items));
    for (uint64_t offset = s->recent_first; offset < next; offset++)
        items[offset & (capacity - 1)] = *stream_item_at(s, offset);
    mem_free(s->recent);
    s->recent = items;
    s->recent_capacity = capacity;
}

static void
recent_pop(struct stream *s)
{
    struct message *m = stream_item_at(s, s->recent_first)->message;
    s->recent_octets -= message_cost(m);
    s->recent_first++;
    message_unref(m);
}

void
stream_note_committed(struct queue *q)
{
    struct stream *s = q->stream;
    const uint64_t committed = door_committed(q->door);
    while (s->readable < q->next_sequence && stream_item_at(s, s->readable)->ticket <= committed)
        s->readable++;
}

void
stream_trim_recent(struct queue *q)
{
    struct stream *s = q->stream;
    const bool keeps = q->consumer_count > 0 && !message_is_over_budget();
    const uint64_t most = keeps ? RECENT_OCTETS : 0;
    while (s->recent_octets > most && s->recent_first < s->readable)
        recent_pop(s);
    if (s->recent_octets > 0 || s->recent_capacity <= RECENT_CAPACITY_FIRST)
        return;
    mem_free(s->recent);
    s->recent = NULL;
    s->recent_capacity = 0;
}

static void
drop_segment(struct queue *q)
{
    struct stream *s = q->stream;
    const uint64_t first = s->segments[0].first;
    segments_remove_first(s);
    if (s->first < s->segments[0].first)
        s->first = s->segments[0].first;
    queue_purge_records(q, 0, first, s->segments[0].first - 1);
    FAULT_POINT("stream.retained");
    definition_forget_segment(q->vhost, q->log, first);
}

/* All of the first segment is older than the beginning of the second. */
static bool
first_is_too_old(const struct queue *q, uint64_t now_ms)
{
    const uint64_t age = atomic_load(&q->limits.max_age_ms);
    const uint64_t wall_ms = q->stream->segments[1].wall_ms;
    return age != UINT64_MAX && now_ms > age && wall_ms <= now_ms - age;
}

void
stream_retain(struct queue *q)
{
    struct stream *s = q->stream;
    const uint64_t now_ms = clock_wall_us() / 1000;
    const uint64_t most = atomic_load(&q->limits.max_length_bytes);
    while (s->segment_count > 1 && s->readable >= s->segments[1].first &&
           (s->segments[1].first <= s->first || /* A crash has left its row behind. */
            s->octets - s->segments[0].octets_before > most || first_is_too_old(q, now_ms)))
        drop_segment(q);
    while (s->recent_first < s->first && s->recent_octets > 0)
        recent_pop(s);
    note_size(q);
    const uint64_t age = atomic_load(&q->limits.max_age_ms);
    if (s->segment_count > 1 && age != UINT64_MAX && q->pager != NULL)
        pager_wake_at(q->pager, q, clock_monotonic_of_wall_ms(s->segments[1].wall_ms + age));
}

static void
put(struct queue *q, struct append *item, uint64_t ticket, uint64_t wall_us)
{
    struct stream *s = q->stream;
    struct message *m = item->entry.message;
    s->recent[q->next_sequence & (s->recent_capacity - 1)] =
        (struct stream_item){ m, ticket, wall_us };
    s->recent_octets += message_cost(m);
    s->octets += m->body_size;
    q->next_sequence++;
}

static uint64_t
append_locked(struct queue *q, struct append *items, size_t count, struct effects *records,
              uint64_t wall_us)
{
    struct stream *s = q->stream;
    stream_note_committed(q);
    begin_segment(q, wall_us / 1000);
    const uint64_t ticket = effects_push(records, q, q->next_sequence);
    recent_reserve(s, q->next_sequence, count);
    for (size_t i = 0; i < count; i++)
        put(q, &items[i], ticket, wall_us);
    stream_retain(q);
    stream_trim_recent(q);
    if (!list_is_empty(&q->waiting) && !s->is_awaited)
        queue_ask_pager(q); /* It waits for the commit on behalf of the consumers. */
    return ticket;
}

uint64_t
stream_append(struct queue *q, struct append *items, size_t count)
{
    struct effects records;
    uint64_t ticket = 0;
    const uint64_t wall_us = clock_wall_us();
    effects_init(&records, q, EFFECT_RECORDS);
    for (size_t i = 0; i < count; i++) {
        items[i].entry.is_durable = true;
        items[i].entry.priority = 0;
        effects_add_record(&records, &items[i].entry, (uint32_t)i, wall_us);
    }
    lock_acquire(&q->lock);
    const bool is_gone = atomic_load_explicit(&q->deleted, memory_order_relaxed);
    for (size_t i = 0; i < count; i++)
        items[i].outcome = is_gone ? APPEND_GONE : APPEND_DONE;
    if (!is_gone)
        ticket = append_locked(q, items, count, &records, wall_us);
    lock_release(&q->lock);
    effects_fini(&records);
    return ticket;
}

void
stream_restore_segment(struct queue *q, const struct stream_segment *segment)
{
    struct stream *s = q->stream;
    size_t at = s->segment_count;
    while (at > 0 && s->segments[at - 1].first > segment->first)
        at--;
    segments_insert(s, at, segment);
}

/* Of the rows before the first record the last one tells of it. There may be others: they go with
 * the next retention. */
static size_t
first_segment(const struct stream *s, uint64_t first)
{
    size_t at = 0;
    while (at + 1 < s->segment_count && s->segments[at + 1].first <= first)
        at++;
    return at;
}

void
stream_restore(struct queue *q, const struct log_summary *summary)
{
    struct stream *s = q->stream;
    lock_acquire(&q->lock);
    q->next_sequence = summary->last + 1;
    while (s->segment_count > 0 && s->segments[s->segment_count - 1].first > q->next_sequence)
        s->segment_count--; /* Only salvage leaves such a row. */
    if (s->segment_count == 0 || s->segments[0].first > summary->first)
        segments_insert(s, 0, &(struct stream_segment){ .first = summary->first });
    const uint64_t least = s->segments[s->segment_count - 1].octets_before;
    s->octets = s->segments[first_segment(s, summary->first)].octets_before + summary->weight;
    s->octets = s->octets > least ? s->octets : least;
    s->first = summary->first;
    s->readable = q->next_sequence;
    s->recent_first = q->next_sequence;
    note_size(q);
    lock_release(&q->lock);
}

void
stream_end(struct queue *q, bool keeps_rows, struct leaving *leaving)
{
    struct stream *s = q->stream;
    for (; s->recent_first < q->next_sequence; s->recent_first++)
        leaving_add(leaving,
                    &(struct entry){ .message = stream_item_at(s, s->recent_first)->message });
    s->recent_octets = 0;
    for (size_t i = 0; !keeps_rows && i < s->segment_count; i++)
        definition_forget_segment(q->vhost, q->log, s->segments[i].first);
    s->segment_count = 0;
    s->first = q->next_sequence;
    s->readable = q->next_sequence;
    note_size(q);
}
