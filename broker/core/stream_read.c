/* How streams are read: each consumer's cursor goes its own way, in memory while it keeps up, and
 * through the pager while it does not. */

#include "broker/core/stream.h"

#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/core/outbox.h"
#include "broker/core/queue_internal.h"
#include "broker/core/record.h"

/* Read for a cursor at a time, by whether memory is short. */
#define READ_OCTETS (256u * 1024u)
#define READ_OCTETS_SHORT (32u * 1024u)

struct stream_cursor *
stream_cursor_create(const struct stream_spec *spec)
{
    struct stream_cursor *c = mem_alloc_zeroed(sizeof(*c));
    atomic_init(&c->refs, 1);
    c->spec = *spec;
    c->spec.filter = bytes_copy(spec->filter);
    list_init(&c->in_wanting);
    return c;
}

static void
drop_ahead(struct stream_cursor *c)
{
    entries_fini(&c->ahead, c->ahead_next);
    c->ahead_next = 0;
}

void
stream_cursor_unref(struct stream_cursor *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    drop_ahead(c);
    mem_free_const(c->spec.filter.data);
    mem_free(c);
}

/* The first offset of the last segment that began no later. */
static uint64_t
offset_at(const struct stream *s, uint64_t wall_us)
{
    size_t low = 0;
    size_t high = s->segment_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->segments[middle].wall_ms <= wall_us / 1000)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? s->first : s->segments[low - 1].first;
}

void
stream_join(struct queue *q, struct stream_cursor *c)
{
    const struct stream *s = q->stream;
    stream_note_committed(q);
    switch (c->spec.start) {
    case STREAM_NEXT:
        c->position = q->next_sequence;
        break;
    case STREAM_FIRST:
        c->position = s->first;
        break;
    case STREAM_LAST:
        c->position = s->readable > s->first ? s->readable - 1 : s->readable;
        break;
    case STREAM_OFFSET:
        c->position = c->spec.offset;
        break;
    case STREAM_TIME:
        c->position = offset_at(s, c->spec.wall_us);
        c->not_before_us = c->spec.wall_us;
        break;
    }
}

void
stream_leave(struct stream_cursor *c)
{
    c->is_over = true;
    list_unlink(&c->in_wanting);
}

/* Whether the cursor stops at a message. The first that is not too old ends the looking for a
 * moment: clocks are set back. */
static bool
stops_at(struct stream_cursor *c, const struct message *m, uint64_t wall_us)
{
    if (wall_us < c->not_before_us)
        return false;
    c->not_before_us = 0;
    return stream_spec_takes(&c->spec, m);
}

static void
want(struct queue *q, struct stream_cursor *c)
{
    if (c->is_broken || c->is_read || list_is_linked(&c->in_wanting))
        return;
    list_push(&q->stream->wanting, &c->in_wanting);
    queue_ask_pager(q);
}

/* What the consumer gets next, without a reference; NULL if it is not in memory, or not there yet.
 */
static struct message *
peek(struct queue *q, struct stream_cursor *c, uint64_t *offset)
{
    struct stream *s = q->stream;
    if (c->ahead_next < c->ahead.count) {
        const struct entry *e = &c->ahead.items[c->ahead_next];
        *offset = e->sequence;
        return e->message;
    }
    if (c->position < s->first)
        c->position = s->first; /* Retention was faster. */
    if (c->position < s->recent_first) {
        want(q, c);
        return NULL;
    }
    for (; c->position < s->readable; c->position++) {
        const struct stream_item *item = stream_item_at(s, c->position);
        if (!stops_at(c, item->message, item->wall_us))
            continue;
        *offset = c->position;
        return item->message;
    }
    return NULL;
}

/* Moves on from what peek has told; the reference to it passes on. */
static void
pass(struct stream_cursor *c, struct message *m)
{
    if (c->ahead_next == c->ahead.count) {
        message_ref(m);
        c->position++;
    } else if (++c->ahead_next == c->ahead.count) {
        drop_ahead(c);
    }
}

/* The consumer waits; it goes on waiting if it could take more than there is. */
static void
feed(struct queue *q, struct consumer *c) UNCHECKED_LOCKING
{
    uint64_t offset;
    struct message *m;
    bool is_open = false;
    while (queue_can_take(q, c) && (m = peek(q, c->cursor, &offset)) != NULL) {
        if (c->shared != NULL && !shared_credit_take(c->shared)) {
            list_unlink(&c->in_waiting); /* Its worker calls queue_retry. */
            break;
        }
        pass(c->cursor, m);
        if (!is_open)
            outbox_open(c->outbox);
        is_open = true;
        queue_assign(q, c, &(struct entry){ .sequence = offset, .message = m });
    }
    if (is_open)
        outbox_close(c->outbox);
    if (!queue_can_take(q, c))
        list_unlink(&c->in_waiting);
}

void
stream_pump(struct queue *q)
{
    stream_note_committed(q);
    if (queue_is_quiet(q))
        return;
    LIST_FOREACH (link, &q->waiting)
        feed(q, LIST_CONTAINER(link, struct consumer, in_waiting));
}

/* What is read for one cursor. */
struct cursor_read {
    struct stream_cursor *cursor; /* A reference. Its filter does not change. */
    uint64_t from;
    uint64_t to;
    uint64_t not_before_us;
    uint64_t octets;
    uint64_t octets_max;
    struct entries found;
    bool failed;
};

static bool
visit_record(void *context, uint64_t sequence, struct bytes record)
{
    struct cursor_read *r = context;
    struct entry e = { .sequence = sequence };
    uint64_t wall_us;
    if (r->octets >= r->octets_max)
        return false;
    if (!record_wall(record, &wall_us)) {
        r->failed = true;
        return false;
    }
    r->from = sequence + 1;
    r->octets += record.size;
    if (wall_us < r->not_before_us)
        return true;
    r->not_before_us = 0;
    if (!record_decode(record, &e)) {
        r->failed = true;
        return false;
    }
    if (stream_spec_takes(&r->cursor->spec, e.message))
        entries_push(&r->found, &e);
    else
        message_unref(e.message);
    return true;
}

/* Takes the next cursor that wants something. What is read has been committed, and is not in
 * memory. */
static bool
read_start(struct queue *q, struct cursor_read *r)
{
    struct stream *s = q->stream;
    struct list *first = list_first(&s->wanting);
    if (first == NULL)
        return false;
    struct stream_cursor *c = LIST_CONTAINER(first, struct stream_cursor, in_wanting);
    list_unlink(first);
    c->is_read = true;
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    *r = (struct cursor_read){
        .cursor = c,
        .from = c->position > s->first ? c->position : s->first,
        .to = s->recent_first,
        .not_before_us = c->not_before_us,
        .octets_max = message_is_over_budget() ? READ_OCTETS_SHORT : READ_OCTETS,
    };
    return true;
}

static void
read_records(struct queue *q, struct cursor_read *r)
{
    if (r->from >= r->to)
        return;
    const struct log_reading reading = {
        .log = q->log,
        .from = r->from,
        .to = r->to - 1,
        .visit = visit_record,
        .context = r,
    };
    if (!door_read(q->door, &reading))
        r->failed = true;
    else if (!r->failed && r->octets < r->octets_max)
        r->from = r->to; /* It has seen all. */
}

static void
note_broken(const struct queue *q, struct stream_cursor *c)
{
    char name[300];
    c->is_broken = true;
    log_error("queue.broken",
              "queue=\"%s\" offset=%llu msg=\"what follows in this stream cannot be read: its "
              "consumer gets no more; one that begins behind the damage does; see the line "
              "before\"",
              log_quote(q->name, name, sizeof(name)), (unsigned long long)c->position);
}

/* Retention may have taken away meanwhile what could not be read. What was read is still good. */
static void
read_finish(struct queue *q, struct cursor_read *r)
{
    struct stream_cursor *c = r->cursor;
    c->is_read = false;
    if (c->is_over)
        return;
    c->position = r->from;
    c->not_before_us = r->not_before_us;
    c->ahead = r->found;
    c->ahead_next = 0;
    r->found = (struct entries){ 0 };
    if (r->failed && c->position >= q->stream->first)
        note_broken(q, c);
}

/* The round that consumers wait for, or 0. */
static uint64_t
awaited_ticket(struct queue *q)
{
    struct stream *s = q->stream;
    const bool waits = !list_is_empty(&q->waiting) && s->readable < q->next_sequence;
    s->is_awaited = waits;
    return waits ? stream_item_at(s, s->readable)->ticket : 0;
}

/* Reads for one cursor, if one wants it. The lock is held, but while reading. */
static void
read_for_one(struct queue *q) UNCHECKED_LOCKING
{
    struct cursor_read r;
    if (!read_start(q, &r))
        return;
    lock_release(&q->lock);
    read_records(q, &r);
    lock_acquire(&q->lock);
    read_finish(q, &r);
    stream_pump(q);
    entries_fini(&r.found, 0);
    stream_cursor_unref(r.cursor);
}

uint64_t
stream_page(struct queue *q)
{
    lock_acquire(&q->lock);
    q->is_asked = false;
    stream_pump(q);
    read_for_one(q);
    if (!atomic_load_explicit(&q->deleted, memory_order_relaxed)) {
        stream_retain(q);
        stream_trim_recent(q);
    }
    if (!list_is_empty(&q->stream->wanting))
        queue_ask_pager(q); /* Others first. */
    const uint64_t ticket = awaited_ticket(q);
    lock_release(&q->lock);
    return ticket;
}
