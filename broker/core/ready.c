#include "broker/core/ready.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

#define FIRST_BLOCK_ENTRIES 6u
/* The head keeps at most so much when the rest is paged, and less if there is little memory for all
 * queues. Below twice that it is filled up. */
#define HEAD_OCTETS_KEPT (128u * 1024u)
#define HEAD_SHARE 16u

static uint64_t
head_octets_kept(void)
{
    const uint64_t share = message_budget() / HEAD_SHARE;
    return share < HEAD_OCTETS_KEPT ? share : HEAD_OCTETS_KEPT;
}

static void
block_charge(const struct ready_block *b, int sign)
{
    message_charge(sign * (int64_t)(sizeof(*b) + b->capacity * sizeof(b->entries[0])));
}

/* Small first: most queues are short. */
static struct ready_block *
block_create(const struct ready_block *before)
{
    uint32_t capacity = before == NULL ? FIRST_BLOCK_ENTRIES : before->capacity * 4;
    if (capacity > READY_BLOCK_ENTRIES)
        capacity = READY_BLOCK_ENTRIES;
    struct ready_block *b = mem_alloc(sizeof(*b) + capacity * sizeof(b->entries[0]));
    *b = (struct ready_block){ .capacity = capacity };
    block_charge(b, 1);
    return b;
}

void
ready_block_free(struct ready_block *b)
{
    block_charge(b, -1);
    mem_free(b);
}

static void
blocks_push(struct ready_blocks *blocks, struct ready_block *b)
{
    if (blocks->last == NULL)
        blocks->first = b;
    else
        blocks->last->next = b;
    blocks->last = b;
    b->next = NULL;
}

static struct ready_block *
blocks_pop(struct ready_blocks *blocks)
{
    struct ready_block *b = blocks->first;
    blocks->first = b->next;
    if (blocks->first == NULL)
        blocks->last = NULL;
    blocks->count -= b->end - b->first;
    blocks->octets -= b->octets;
    return b;
}

static void
blocks_append(struct ready_blocks *blocks, const struct entry *e, uint64_t ticket)
{
    struct ready_block *b = blocks->last;
    const uint64_t octets = message_cost(e->message);
    if (b == NULL || b->end == b->capacity || b->octets >= READY_BLOCK_OCTETS) {
        b = block_create(b);
        blocks_push(blocks, b);
    }
    b->entries[b->end++] = *e;
    b->octets += octets;
    if (ticket > b->ticket)
        b->ticket = ticket;
    blocks->count++;
    blocks->octets += octets;
}

void
ready_append(struct ready *r, const struct entry *e, uint64_t ticket)
{
    const bool is_whole = paged_count(&r->paged) == 0 && r->tail.count == 0;
    blocks_append(is_whole ? &r->head : &r->tail, e, ticket);
}

void
ready_return(struct ready *r, const struct entry *e)
{
    if (e->is_absent) {
        entry_heap_add(&r->absent.entries, e);
        r->absent.is_broken = false; /* It may be before the one that cannot be read. */
        return;
    }
    entry_heap_add(&r->returned, e);
    r->returned_octets += message_cost(e->message);
}

bool
ready_front_is_absent(const struct ready *r)
{
    const struct entry_heap *absent = &r->absent.entries;
    return absent->count > 0 &&
           (r->returned.count == 0 || absent->items[0].sequence < r->returned.items[0].sequence);
}

const struct entry *
ready_front(const struct ready *r)
{
    if (ready_front_is_absent(r))
        return NULL;
    if (r->returned.count > 0)
        return &r->returned.items[0];
    return r->head.count > 0 ? &r->head.first->entries[r->head.first->first] : NULL;
}

static struct entry
returned_take(struct ready *r)
{
    const struct entry front = entry_heap_take(&r->returned);
    r->returned_octets -= message_cost(front.message);
    return front;
}

struct entry
ready_take(struct ready *r)
{
    if (ready_front_is_absent(r))
        return entry_heap_take(&r->absent.entries);
    if (r->returned.count > 0)
        return returned_take(r);
    ASSERT(r->head.count > 0);
    struct ready_block *b = r->head.first;
    const struct entry front = b->entries[b->first++];
    const uint64_t octets = message_cost(front.message);
    b->octets -= octets;
    r->head.octets -= octets;
    r->head.count--;
    if (b->first == b->end)
        ready_block_free(blocks_pop(&r->head));
    if (r->head.count == 0)
        ready_join(r);
    return front;
}

bool
ready_runs_low(const struct ready *r)
{
    return paged_count(&r->paged) > 0 && r->head.octets < 2 * head_octets_kept();
}

bool
ready_absent_runs_low(const struct ready *r)
{
    return r->absent.entries.count > 0 && r->returned_octets < head_octets_kept();
}

/* While nothing is paged: what the head need not keep becomes the tail. */
static void
split_head(struct ready *r)
{
    struct ready_blocks kept = { 0 };
    const uint64_t enough = head_octets_kept();
    while (r->head.first != NULL && kept.octets < enough) {
        struct ready_block *b = blocks_pop(&r->head);
        kept.count += b->end - b->first;
        kept.octets += b->octets;
        blocks_push(&kept, b);
    }
    r->tail = r->head;
    r->head = kept;
}

struct ready_block *
ready_shed(struct ready *r, uint64_t committed)
{
    const bool is_whole = paged_count(&r->paged) == 0 && r->tail.count == 0;
    if (is_whole && r->head.octets > 2 * head_octets_kept())
        split_head(r);
    struct ready_block *b = r->tail.first;
    if (b == NULL || b == r->tail.last || b->ticket > committed)
        return NULL;
    return blocks_pop(&r->tail);
}

void
ready_restore(struct ready *r, const struct entry *e)
{
    blocks_append(&r->head, e, 0);
}

void
ready_join(struct ready *r)
{
    if (paged_count(&r->paged) > 0 || r->tail.first == NULL)
        return;
    if (r->head.last == NULL)
        r->head.first = r->tail.first;
    else
        r->head.last->next = r->tail.first;
    r->head.last = r->tail.last;
    r->head.count += r->tail.count;
    r->head.octets += r->tail.octets;
    r->tail = (struct ready_blocks){ 0 };
}

static void
heap_remove(struct entry_heap *h, uint64_t *octets, const struct ready_removal *removal)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct entry e = h->items[i];
        if (!removal->goes(removal->context, &e)) {
            h->items[kept++] = e;
            continue;
        }
        if (!e.is_absent)
            *octets -= message_cost(e.message);
        removal->gone(removal->context, &e);
    }
    if (kept < h->count)
        entry_heap_mend(h, kept);
}

/* Closes the gaps. */
static void
block_remove(struct ready_blocks *blocks, struct ready_block *b,
             const struct ready_removal *removal)
{
    uint32_t kept = b->first;
    for (uint32_t i = b->first; i < b->end; i++) {
        const struct entry e = b->entries[i];
        if (!removal->goes(removal->context, &e)) {
            b->entries[kept++] = e;
            continue;
        }
        const uint64_t octets = message_cost(e.message);
        b->octets -= octets;
        blocks->octets -= octets;
        blocks->count--;
        removal->gone(removal->context, &e);
    }
    b->end = kept;
}

static void
blocks_remove(struct ready_blocks *blocks, uint64_t first, uint64_t last,
              const struct ready_removal *removal)
{
    struct ready_block *before = NULL;
    struct ready_block *b = blocks->first;
    while (b != NULL && b->entries[b->first].sequence <= last) {
        struct ready_block *next = b->next;
        if (b->entries[b->end - 1].sequence >= first)
            block_remove(blocks, b, removal);
        if (b->first < b->end) {
            before = b;
        } else {
            if (before == NULL)
                blocks->first = next;
            else
                before->next = next;
            if (blocks->last == b)
                blocks->last = before;
            ready_block_free(b);
        }
        b = next;
    }
}

void
ready_remove(struct ready *r, uint64_t first, uint64_t last, const struct ready_removal *removal)
{
    heap_remove(&r->returned, &r->returned_octets, removal);
    const size_t absent = r->absent.entries.count;
    heap_remove(&r->absent.entries, &r->returned_octets, removal);
    if (r->absent.entries.count < absent)
        r->absent.is_broken = false; /* That one may have gone. */
    blocks_remove(&r->head, first, last, removal);
    blocks_remove(&r->tail, first, last, removal);
    if (r->head.count == 0)
        ready_join(r);
}

static void
blocks_fini(struct ready_blocks *blocks)
{
    while (blocks->first != NULL)
        ready_block_free(blocks_pop(blocks));
}

void
ready_fini(struct ready *r)
{
    blocks_fini(&r->head);
    blocks_fini(&r->tail);
    entry_heap_fini(&r->returned);
    entry_heap_fini(&r->absent.entries);
    *r = (struct ready){ 0 };
}
