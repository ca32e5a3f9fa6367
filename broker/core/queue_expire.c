/* What is due, wherever it stands: messages that expire, and queues that nobody uses. All of it on
 * the pager's thread, which alone knows what lies outside of memory. */

#include "broker/core/queue.h"

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/core/entries.h"
#include "broker/core/pager.h"
#include "broker/core/queue_internal.h"
#include "broker/core/record.h"
#include "broker/core/vhost.h"
#include "persistence/log_index.h"

#include <stdlib.h>

/* Ranges looked at together, and the least time between two looks. */
#define RANGES_A_TURN 256
#define SWEEP_INTERVAL_MS 10u
/* Records looked at together where it is not known which of them are due, and when. */
#define SCAN_RECORDS 8192u

struct sweep {
    struct queue *queue;
    uint64_t now_ms;
    struct due_range ranges[RANGES_A_TURN]; /* In order; due_ms becomes that of what is left. */
    size_t count;
    struct dues found; /* In memory, in ranges of which nothing was known. */
    struct effects settled;
    struct leaving leaving;
    struct swept gone; /* Records, from whatever level. */
};

static uint64_t
queue_expiry_ms(const struct queue *q)
{
    const uint64_t after = atomic_load(&q->limits.expires_ms);
    return after == UINT64_MAX || q->consumer_count > 0 ? UINT64_MAX
                                                        : atomic_load(&q->used_ms) + after;
}

static void
set_timer(struct queue *q, uint64_t not_before_ms)
{
    const uint64_t dues = dues_earliest(&q->dues);
    const uint64_t own = queue_expiry_ms(q);
    const uint64_t when = dues < own ? dues : own;
    if (q->pager == NULL || when == UINT64_MAX || atomic_load(&q->deleted))
        return;
    pager_wake_at(q->pager, q, when > not_before_ms ? when : not_before_ms);
}

void
queue_set_timer(struct queue *q)
{
    set_timer(q, 0);
}

static int
range_order(const void *a, const void *b)
{
    const struct due_range *x = a;
    const struct due_range *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* What came back alone has a range within that of those it was appended with: one tells of both. */
static void
merge_ranges(struct sweep *s)
{
    size_t kept = 0;
    for (size_t i = 1; i < s->count; i++) {
        struct due_range *last = &s->ranges[kept];
        if (s->ranges[i].first > last->last)
            s->ranges[++kept] = s->ranges[i];
        else if (s->ranges[i].last > last->last)
            last->last = s->ranges[i].last;
    }
    s->count = kept + 1;
}

static void
take_ranges(struct sweep *s)
{
    while (s->count < RANGES_A_TURN && dues_take(&s->queue->dues, s->now_ms, &s->ranges[s->count]))
        s->ranges[s->count++].due_ms = UINT64_MAX;
    if (s->count < 2)
        return;
    qsort(s->ranges, s->count, sizeof(s->ranges[0]), range_order);
    merge_ranges(s);
}

/* What is still due is looked at again then. */
static void
return_found(struct queue *q, struct dues *found)
{
    struct due_range range;
    while (dues_take(found, UINT64_MAX, &range))
        dues_add_range(&q->dues, &range);
    dues_fini(found);
}

static void
return_ranges(struct sweep *s)
{
    return_found(s->queue, &s->found);
    for (size_t i = 0; i < s->count; i++)
        if (s->ranges[i].due_ms != UINT64_MAX)
            dues_add_range(&s->queue->dues, &s->ranges[i]);
}

/* A start leaves each log as one range: what in it is due, and when, is found out by reading it. */
static bool
is_unknown(const struct due_range *r)
{
    return r->last - r->first >= DUE_RANGE_SPAN;
}

/* Whether the entry is to go. If not, its range remembers it, or the ranges that are made of one
 * that is too long. */
static bool
judge(const struct sweep *s, struct due_range *r, struct dues *found, uint64_t sequence,
      uint64_t due_ms)
{
    if (due_ms == 0)
        return false;
    if (due_ms <= s->now_ms)
        return true;
    if (is_unknown(r))
        dues_add(found, sequence, due_ms);
    else if (due_ms < r->due_ms)
        r->due_ms = due_ms;
    return false;
}

static bool
judge_ready(void *context, const struct entry *e)
{
    struct sweep *s = context;
    size_t low = 0;
    size_t high = s->count;
    while (low < high) { /* The last range that begins at the entry or before it. */
        const size_t middle = low + (high - low) / 2;
        if (s->ranges[middle].first <= e->sequence)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || s->ranges[low - 1].last < e->sequence)
        return false;
    return judge(s, &s->ranges[low - 1], &s->found, e->sequence, e->due_ms);
}

static void
dies(void *context, const struct entry *e)
{
    struct sweep *s = context;
    const size_t dead = s->leaving.dead_count;
    s->queue->ready_count--;
    s->queue->ready_octets -= entry_body_size(e);
    queue_die(s->queue, e, DEATH_EXPIRED, &s->settled, &s->leaving);
    if (!e->is_durable)
        return;
    struct swept *gone = &s->gone;
    if (gone->count == gone->capacity) {
        gone->capacity = gone->capacity == 0 ? 64 : gone->capacity * 2;
        gone->sequences = mem_resize(gone->sequences, gone->capacity * sizeof(uint64_t));
    }
    gone->sequences[gone->count++] = e->sequence;
    gone->to_move += s->leaving.dead_count - dead;
}

static void
sweep_memory(struct sweep *s)
{
    struct queue *q = s->queue;
    for (unsigned level = 0; level <= q->effective.max_priority; level++)
        ready_remove(&q->levels[level], s->ranges[0].first, s->ranges[s->count - 1].last,
                     &(struct ready_removal){ judge_ready, dies, s });
}

/* Reading the records of one range. */
struct record_sweep {
    struct sweep *sweep;
    struct due_range *range;
    unsigned level;
    struct entries dead;
    struct dues found;
    uint32_t visited;
    uint64_t stopped_at; /* Here it goes on another time; 0: it has seen all. */
    bool failed;
};

static bool
visit_record(void *context, uint64_t sequence, struct bytes record)
{
    struct record_sweep *x = context;
    struct entry e = { .sequence = sequence, .is_durable = true };
    uint32_t weight;
    if (is_unknown(x->range) && x->visited++ == SCAN_RECORDS) {
        x->stopped_at = sequence;
        return false;
    }
    if (queue_is_swept(x->sweep->queue, sequence))
        return true;
    if (!record_due(record, &e.due_ms, &weight)) {
        x->failed = true;
        return false;
    }
    if (!judge(x->sweep, x->range, &x->found, sequence, e.due_ms))
        return true;
    if (!record_decode(record, &e)) {
        x->failed = true;
        return false;
    }
    e.priority = (uint8_t)x->level;
    entries_push(&x->dead, &e);
    return true;
}

static void
bury_records(struct record_sweep *x)
{
    struct ready *r = &x->sweep->queue->levels[x->level];
    r->paged.records -= x->dead.count;
    for (size_t i = 0; i < x->dead.count; i++)
        dies(x->sweep, &x->dead.items[i]);
    ready_join(r);
}

static void
sweep_records(struct sweep *s, struct due_range *range, unsigned level)
{
    struct queue *q = s->queue;
    struct paged *p = &q->levels[level].paged;
    struct record_sweep x = { .sweep = s, .range = range, .level = level };
    lock_acquire(&q->lock);
    const uint64_t version = p->version;
    const struct log_reading reading = {
        .log = q->log + level,
        .from = range->first > p->first ? range->first : p->first,
        .to = range->last < p->last ? range->last : p->last,
        .visit = visit_record,
        .context = &x,
    };
    const bool any = p->records > 0 && reading.from <= reading.to;
    lock_release(&q->lock);
    char name[300];
    if (any && (!door_read(q->door, &reading) || x.failed))
        log_error("queue.expire",
                  "queue=\"%s\" msg=\"what has expired cannot be read: it stays in the queue; see "
                  "the line before\"",
                  log_quote(q->name, name, sizeof(name)));
    lock_acquire(&q->lock);
    const bool is_valid = p->version == version && !atomic_load(&q->deleted);
    if (is_valid && x.dead.count > 0)
        bury_records(&x);
    return_found(q, &x.found);
    if (is_valid && x.stopped_at != 0)
        dues_add_range(&q->dues, &(struct due_range){ s->now_ms, x.stopped_at, range->last });
    lock_release(&q->lock);
    entries_fini(&x.dead, is_valid ? x.dead.count : 0);
}

/* Survivors of a page, which lie in memory from now on. */
static void
page_replace(struct sweep *s, struct paged *p, struct page *page, struct entry *entries,
             size_t count)
{
    page->entries = entries;
    page->entry_count = count;
    page->count = count;
    page->taken = 0;
    page->octets = 0;
    for (size_t i = 0; i < count; i++)
        page->octets += message_cost(entries[i].message);
    pager_note_unwritten(s->queue->pager, (int64_t)page->octets);
    p->unwritten = p->pages.first;
    if (count > 0)
        return;
    struct page_list rest = { 0 };
    while (p->pages.first != NULL) {
        struct page *other = page_list_pop(&p->pages);
        page_list_push(other == page ? &s->queue->dead_pages : &rest, other);
    }
    p->pages = rest;
    p->unwritten = rest.first;
}

static size_t
page_sift(struct sweep *s, struct due_range *range, struct entry *entries, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct entry e = entries[i];
        const bool is_in = e.sequence >= range->first && e.sequence <= range->last;
        if (is_in && judge(s, range, &s->found, e.sequence, e.due_ms))
            dies(s, &e);
        else
            entries[kept++] = e;
    }
    return kept;
}

/* Gives all of the page that has not been taken, with references of its own. */
static struct entry *
page_load(struct queue *q, unsigned level, struct page *page, size_t *count)
{
    struct buf octets = { 0 };
    struct record record;
    struct entry *entries = mem_alloc(page->count * sizeof(*entries));
    bool ok = pager_read_page(q->pager, &page->place, &octets);
    struct bytes rest = buf_bytes(&octets);
    *count = 0;
    for (size_t i = 0; ok && payload_next(&rest, &record) && i < page->count; i++) {
        struct entry e = { .sequence = page->first + record.offset };
        if (i < page->taken)
            continue;
        ok = record_decode(record.octets, &e);
        e.priority = (uint8_t)level;
        if (ok)
            entries[(*count)++] = e;
    }
    ok = ok && *count == page->count - page->taken;
    buf_fini(&octets);
    if (ok)
        return entries;
    for (size_t i = 0; i < *count; i++)
        message_unref(entries[i].message);
    mem_free(entries);
    return NULL;
}

/* A page that is in the swap: it is read, and what is left of it waits to be written again. The
 * lock is held, but while reading. */
static void
sweep_written_page(struct sweep *s, struct due_range *range, unsigned level,
                   struct page *page) UNCHECKED_LOCKING
{
    struct queue *q = s->queue;
    struct paged *p = &q->levels[level].paged;
    size_t count;
    const uint64_t version = p->version;
    lock_release(&q->lock); /* Only this thread frees pages and takes from them. */
    struct entry *entries = page_load(q, level, page, &count);
    lock_acquire(&q->lock);
    if (entries == NULL)
        return;
    if (p->version != version) {
        for (size_t i = 0; i < count; i++)
            leaving_add(&s->leaving, &entries[i]);
        mem_free(entries);
        return;
    }
    const size_t kept = page_sift(s, range, entries, count);
    p->others -= count - kept;
    pager_free_page(q->pager, &page->place);
    page_replace(s, p, page, entries, kept);
}

static void
sweep_unwritten_page(struct sweep *s, struct due_range *range, struct paged *p, struct page *page)
{
    const size_t count = page->entry_count - page->taken;
    for (size_t i = 0; i < page->taken; i++)
        leaving_add(&s->leaving, &page->entries[i]);
    memmove(page->entries, page->entries + page->taken, count * sizeof(page->entries[0]));
    const size_t kept = page_sift(s, range, page->entries, count);
    p->others -= count - kept;
    pager_note_unwritten(s->queue->pager, -(int64_t)page->octets);
    page_replace(s, p, page, page->entries, kept);
}

static void
sweep_pages(struct sweep *s, struct due_range *range, unsigned level)
{
    struct queue *q = s->queue;
    struct paged *p = &q->levels[level].paged;
    struct page *next;
    lock_acquire(&q->lock);
    const uint64_t version = p->version;
    for (struct page *page = p->pages.first; page != NULL && p->version == version; page = next) {
        next = page->next;
        if (page->first > range->last || page->last < range->first)
            continue;
        if (page->entries != NULL)
            sweep_unwritten_page(s, range, p, page);
        else
            sweep_written_page(s, range, level, page);
    }
    ready_join(&q->levels[level]);
    lock_release(&q->lock);
}

static void
sweep_paged(struct sweep *s)
{
    struct queue *q = s->queue;
    for (unsigned level = 0; level <= q->effective.max_priority; level++) {
        const struct paged *p = &q->levels[level].paged;
        lock_acquire(&q->lock);
        const bool has_records = p->records > 0;
        const bool has_pages = p->pages.first != NULL;
        lock_release(&q->lock);
        for (size_t i = 0; has_records && i < s->count; i++)
            sweep_records(s, &s->ranges[i], level);
        for (size_t i = 0; has_pages && i < s->count; i++)
            sweep_pages(s, &s->ranges[i], level);
    }
}

/* Before the lock is released: what lies around them may be paged at once, and the store still has
 * their records. */
static void
settle_gone(struct sweep *s)
{
    struct queue *q = s->queue;
    queue_remember_swept(q, &s->gone, effects_push(&s->settled, q, 0));
    effects_fini(&s->settled);
    effects_init(&s->settled, q, EFFECT_SETTLE);
}

static void
sweep_once(struct queue *q)
{
    struct sweep *s = mem_alloc_zeroed(sizeof(*s));
    s->queue = q;
    s->now_ms = clock_monotonic_ms();
    effects_init(&s->settled, q, EFFECT_SETTLE);
    lock_acquire(&q->lock);
    take_ranges(s);
    if (s->count > 0) {
        sweep_memory(s);
        settle_gone(s);
        lock_release(&q->lock);
        sweep_paged(s);
        lock_acquire(&q->lock);
        settle_gone(s);
    }
    return_ranges(s);
    if (q->ready_count == 0)
        dues_trim(&q->dues, UINT64_MAX);
    queue_resume(q, &s->leaving);
    set_timer(q, s->now_ms + SWEEP_INTERVAL_MS);
    leaving_post(&s->leaving, q);
    lock_release(&q->lock);
    effects_fini(&s->settled);
    leaving_release(&s->leaving);
    mem_free(s);
}

/* Nobody consumes, and nobody has used it for as long as x-expires says. */
static void
expire_queue(struct queue *q)
{
    size_t ready;
    uint64_t ticket;
    struct amqp_exception ex;
    char name[300];
    lock_acquire(&q->lock);
    const bool is_due = queue_expiry_ms(q) <= clock_monotonic_ms();
    if (!is_due)
        set_timer(q, 0);
    lock_release(&q->lock);
    if (is_due && vhost_delete_queue(q->vhost, q, true, false, &ready, &ticket, &ex))
        log_info("queue.expired", "queue=\"%s\" messages=%zu msg=\"nobody has used it\"",
                 log_quote(q->name, name, sizeof(name)), ready);
}

void
queue_expire(struct queue *q)
{
    if (atomic_load(&q->deleted))
        return;
    lock_acquire(&q->lock);
    if (q->swept != NULL)
        queue_forget_swept(q, door_committed(q->door));
    const bool has_dues = dues_earliest(&q->dues) <= clock_monotonic_ms();
    if (!has_dues)
        queue_set_timer(q); /* An earlier look may have taken what this one was meant for. */
    lock_release(&q->lock);
    if (has_dues)
        sweep_once(q);
    if (atomic_load(&q->limits.expires_ms) != UINT64_MAX)
        expire_queue(q);
}
