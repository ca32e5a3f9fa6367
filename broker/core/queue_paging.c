/* Messages leave memory and come back: what is done under the queue's lock, and what the pager does
 * for it without. */

#include "broker/core/queue.h"

#include "broker/base/fault.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/core/entries.h"
#include "broker/core/pager.h"
#include "broker/core/queue_internal.h"
#include "broker/core/record.h"
#include "broker/core/stream.h"
#include "persistence/log_index.h"

/* Read back at a time, by whether memory is short. */
#define FETCH_OCTETS (512u * 1024u)
#define FETCH_OCTETS_SHORT (64u * 1024u)
/* Pages written before another queue has its turn. */
#define PAGES_A_TURN 16

void
queue_ask_pager(struct queue *q)
{
    if (q->is_asked || q->pager == NULL)
        return;
    q->is_asked = pager_ask(q->pager, q);
}

static void
note_written(const struct queue *q, struct page *page)
{
    pager_note_unwritten(q->pager, -(int64_t)page->octets);
    page->octets = 0;
}

void
page_discard(struct page *page)
{
    for (size_t i = 0; i < page->entry_count; i++)
        message_unref(page->entries[i].message);
    mem_free(page->entries);
    mem_free(page);
}

void
queue_discard_paged(struct queue *q, unsigned level)
{
    struct paged *p = &q->levels[level].paged;
    if (p->records > 0 && !atomic_load_explicit(&q->deleted, memory_order_relaxed))
        queue_purge_records(q, level, p->first, p->last);
    if (p->pages.first != NULL) {
        page_list_join(&q->dead_pages, &p->pages);
        queue_ask_pager(q);
    }
    *p = (struct paged){ .version = p->version + 1 };
}

/* Records need only be forgotten; what has none becomes a page. */
static void
page_out(struct queue *q, struct ready *r, struct ready_block *b, struct leaving *leaving)
{
    struct paged *p = &r->paged;
    struct page *page = NULL;
    for (uint32_t i = b->first; i < b->end; i++) {
        const struct entry *e = &b->entries[i];
        if (e->is_durable) {
            if (p->records++ == 0)
                p->first = e->sequence;
            p->last = e->sequence;
            leaving_add(leaving, e);
            continue;
        }
        if (page == NULL) {
            page = mem_alloc_zeroed(sizeof(*page));
            page->entries = mem_alloc((b->end - i) * sizeof(*e));
            page->first = e->sequence;
        }
        page->last = e->sequence;
        page->entries[page->entry_count++] = *e;
        page->octets += message_cost(e->message);
    }
    if (page == NULL)
        return;
    page->count = page->entry_count;
    p->others += page->count;
    pager_note_unwritten(q->pager, (int64_t)page->octets);
    page_list_push(&p->pages, page);
    if (p->unwritten == NULL)
        p->unwritten = page;
}

void
queue_shed(struct queue *q, struct leaving *leaving)
{
    if (q->pager == NULL || (q->log != 0 && !door_can_read(q->door)))
        return;
    const uint64_t committed = door_committed(q->door);
    uint64_t excess = message_over_budget();
    for (unsigned level = 0; level <= q->effective.max_priority && excess > 0; level++) {
        struct ready *r = &q->levels[level];
        struct ready_block *b;
        while (excess > 0 && (b = ready_shed(r, committed)) != NULL) {
            excess -= b->octets < excess ? b->octets : excess;
            page_out(q, r, b, leaving);
            ready_block_free(b);
            FAULT_POINT("page.out");
        }
        if (r->paged.unwritten != NULL)
            queue_ask_pager(q);
    }
}

/* What a page becomes in the swap: records, whose offsets count from its first sequence. */
static void
page_encode(const struct page *page, struct buf *out)
{
    for (size_t i = 0; i < page->entry_count; i++) {
        const struct entry *e = &page->entries[i];
        record_append(out, e, (uint32_t)(e->sequence - page->first), 0);
    }
}

/* The first page of any level that is still in memory. */
static struct page *
unwritten_page(struct queue *q, unsigned *level)
{
    for (*level = 0; *level <= q->effective.max_priority; ++*level) {
        struct paged *p = &q->levels[*level].paged;
        while (p->unwritten != NULL && p->unwritten->entries == NULL)
            p->unwritten = p->unwritten->next;
        if (p->unwritten != NULL)
            return p->unwritten;
    }
    return NULL;
}

/* Writes one page. Only this thread frees pages, so it stays where it is, whatever the queue does.
 * False if there is none, or no room. */
static bool
write_page(struct queue *q)
{
    unsigned level;
    struct buf octets = { 0 };
    lock_acquire(&q->lock);
    struct page *page = unwritten_page(q, &level);
    lock_release(&q->lock);
    if (page == NULL)
        return false;
    page_encode(page, &octets);
    const bool written = pager_write_page(q->pager, &page->place, buf_bytes(&octets));
    buf_fini(&octets);
    if (!written)
        return false;
    lock_acquire(&q->lock);
    struct entry *entries = page->entries;
    const size_t count = page->entry_count;
    page->entries = NULL;
    page->entry_count = 0;
    /* A purge may have taken it out meanwhile; what is unwritten then is another page, or none. */
    struct paged *p = &q->levels[level].paged;
    if (p->unwritten == page)
        p->unwritten = page->next;
    lock_release(&q->lock);
    for (size_t i = 0; i < count; i++)
        message_unref(entries[i].message);
    mem_free(entries);
    note_written(q, page);
    return true;
}

static void
free_dead_pages(struct queue *q)
{
    struct page_list dead;
    lock_acquire(&q->lock);
    dead = q->dead_pages;
    q->dead_pages = (struct page_list){ 0 };
    lock_release(&q->lock);
    while (dead.first != NULL) {
        struct page *page = page_list_pop(&dead);
        pager_free_page(q->pager, &page->place);
        note_written(q, page);
        page_discard(page);
    }
}

/* What is read back for one level. */
struct fetch {
    struct queue *queue;
    unsigned level;
    uint64_t version;
    uint64_t octets_max;
    uint64_t from; /* Records from here */
    uint64_t to;   /* to here. */
    size_t expected;
    struct page *page; /* The first one, or NULL. */
    struct entries records;
    struct entries others;
    bool failed;
};

static bool
visit_record(void *context, uint64_t sequence, struct bytes record)
{
    struct fetch *f = context;
    struct entry e = {
        .sequence = sequence,
        .is_durable = true,
        .redelivered = sequence <= f->queue->watermark.recovered,
    };
    if (queue_is_swept(f->queue, sequence))
        return true;
    if (!record_decode(record, &e)) {
        f->failed = true;
        return false;
    }
    e.priority = (uint8_t)f->level;
    entries_push(&f->records, &e);
    return f->records.octets < f->octets_max;
}

static void
read_records(struct fetch *f)
{
    const struct log_reading reading = {
        .log = f->queue->log + f->level,
        .from = f->from,
        .to = f->to,
        .visit = visit_record,
        .context = f,
    };
    const bool sound = door_read(f->queue->door, &reading);
    const bool has_all = f->records.count == f->expected || f->records.octets >= f->octets_max;
    /* What comes before the damage is still delivered. */
    if ((!sound || !has_all) && f->records.count == 0)
        f->failed = true;
}

static void
read_page(struct fetch *f)
{
    struct buf octets = { 0 };
    for (size_t i = f->page->taken; i < f->page->entry_count; i++) {
        message_ref(f->page->entries[i].message);
        entries_push(&f->others, &f->page->entries[i]);
    }
    if (f->page->entries != NULL)
        return; /* It has not been written yet. */
    f->failed = !pager_read_page(f->queue->pager, &f->page->place, &octets);
    struct bytes rest = buf_bytes(&octets);
    struct record record;
    size_t count = 0;
    for (size_t i = 0; !f->failed && payload_next(&rest, &record); i++, count++) {
        struct entry e = { .sequence = f->page->first + record.offset };
        if (i < f->page->taken)
            continue;
        f->failed = !record_decode(record.octets, &e);
        e.priority = (uint8_t)f->level;
        if (!f->failed)
            entries_push(&f->others, &e);
    }
    f->failed = f->failed || count != f->page->count;
    buf_fini(&octets);
}

/* Picks what is wanted most. */
static bool
fetch_start(struct queue *q, struct fetch *f)
{
    bool any = false;
    lock_acquire(&q->lock);
    for (int level = q->effective.max_priority; level >= 0 && !any; level--) {
        struct paged *p = &q->levels[level].paged;
        if (paged_count(p) == 0)
            p->is_wanted = false; /* All of it has expired meanwhile; what is paged next is asked
                                     for anew. */
        any = p->is_wanted;
        *f = (struct fetch){
            .queue = q,
            .level = (unsigned)level,
            .version = p->version,
            .octets_max = message_is_over_budget() ? FETCH_OCTETS_SHORT : FETCH_OCTETS,
            .from = p->first,
            .to = p->last,
            .expected = p->records,
            .page = p->pages.first,
        };
    }
    lock_release(&q->lock);
    return any;
}

/* Up to which sequence everything that has been paged is at hand. */
static uint64_t
fetch_bound(const struct fetch *f)
{
    uint64_t bound = UINT64_MAX;
    if (f->records.count < f->expected)
        bound = f->records.count == 0 ? 0 : f->records.items[f->records.count - 1].sequence;
    if (f->page != NULL && f->others.count == 0 && bound >= f->page->first)
        bound = f->page->first - 1;
    if (f->others.count > 0 && f->page->next != NULL && bound > f->page->last)
        bound = f->page->last;
    return bound;
}

static void
take_record(struct paged *p, const struct entry *e)
{
    p->records--;
    p->first = e->sequence + 1;
}

/* Returns the page if it is all in memory again. */
static struct page *
take_other(struct paged *p)
{
    struct page *page = p->pages.first;
    p->others--;
    page->taken++;
    if (page->taken < page->count)
        return NULL;
    if (p->unwritten == page)
        p->unwritten = page->next;
    return page_list_pop(&p->pages);
}

/* Merges both kinds by sequence behind the head. */
static void
fetch_install(struct fetch *f, struct ready *r, size_t *records, size_t *others)
{
    const uint64_t bound = fetch_bound(f);
    FAULT_POINT("page.in");
    for (;;) {
        const struct entry *record =
            *records < f->records.count ? &f->records.items[*records] : NULL;
        const struct entry *other = *others < f->others.count ? &f->others.items[*others] : NULL;
        const bool takes_record =
            record != NULL && (other == NULL || record->sequence < other->sequence);
        const struct entry *next = takes_record ? record : other;
        if (next == NULL || next->sequence > bound)
            break;
        struct entry restored = *next;
        restored.deliveries = deliveries_fetch(f->queue, next->sequence);
        restored.redelivered = next->redelivered || restored.deliveries > 0;
        ready_restore(r, &restored);
        if (takes_record) {
            take_record(&r->paged, record);
            ++*records;
        } else {
            struct page *done = take_other(&r->paged);
            if (done != NULL)
                page_list_push(&f->queue->dead_pages, done);
            ++*others;
        }
    }
    ready_join(r);
}

void
queue_log_broken(const struct queue *q)
{
    char name[300];
    log_error("queue.broken",
              "queue=\"%s\" ready=%zu msg=\"its next message cannot be read: nothing of this "
              "queue is delivered until it is purged, or the broker is started on a sound store; "
              "see the line before\"",
              log_quote(q->name, name, sizeof(name)), q->ready_count);
}

static void
fetch_finish(struct fetch *f)
{
    struct queue *q = f->queue;
    struct leaving leaving = { 0 };
    size_t records = 0;
    size_t others = 0;
    lock_acquire(&q->lock);
    struct ready *r = &q->levels[f->level];
    if (r->paged.version == f->version) {
        r->paged.is_wanted = false;
        r->paged.is_broken = f->failed; /* Whoever waits for the front is told when it goes on. */
        if (f->failed)
            queue_log_broken(q);
        else
            fetch_install(f, r, &records, &others);
        queue_resume(q, &leaving);
    }
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    /* What has been taken in the queue owns its references; a page that is not written yet owns
     * those of its entries beside. */
    entries_fini(&f->records, records);
    entries_fini(&f->others, others);
    leaving_release(&leaving);
}

static bool
fetch_once(struct queue *q)
{
    struct fetch f;
    if (!fetch_start(q, &f))
        return false;
    if (f.expected > 0)
        read_records(&f);
    /* A purge meanwhile leaves nothing to be read. */
    const bool reaches_page =
        f.records.count == f.expected || f.page == NULL ||
        (f.records.count > 0 && f.records.items[f.records.count - 1].sequence > f.page->first);
    if (f.page != NULL && !f.failed && reaches_page)
        read_page(&f);
    fetch_finish(&f);
    return true;
}

/* What waited for its reservation goes on, or still waits for the ticket that is returned. */
static uint64_t
resume_after_commit(struct queue *q)
{
    struct leaving leaving = { 0 };
    uint64_t ticket = 0;
    lock_acquire(&q->lock);
    if (door_committed(q->door) < q->watermark.ticket)
        ticket = q->watermark.ticket;
    else
        queue_resume(q, &leaving);
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    leaving_release(&leaving);
    return ticket;
}

uint64_t
queue_page(struct queue *q)
{
    bool goes_on;
    if (q->stream != NULL)
        return stream_page(q);
    lock_acquire(&q->lock);
    q->is_asked = false;
    lock_release(&q->lock);
    free_dead_pages(q);
    queue_expire(q);
    int pages = 0;
    while (pages < PAGES_A_TURN && write_page(q))
        pages++;
    const bool has_recalled = queue_recall(q);
    goes_on = fetch_once(q) || has_recalled || pages == PAGES_A_TURN;
    free_dead_pages(q);
    if (goes_on) {
        lock_acquire(&q->lock);
        queue_ask_pager(q); /* Others first. */
        lock_release(&q->lock);
    }
    return resume_after_commit(q);
}
