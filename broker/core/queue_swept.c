/* Records that died in the middle of a queue, until the store knows it too. */

#include "broker/core/queue.h"

#include "broker/base/endian.h"
#include "broker/base/mem.h"
#include "broker/core/queue_internal.h"

#include <stdlib.h>

/* Records that were taken out of the middle of the queue. Until the store knows that they are
 * settled, which those that are dead-lettered are not before they have been moved, it still gives
 * them to whoever reads what lies around them. The list is the pager's; ticket and count of those
 * to be moved are guarded by the queue's lock. */
struct swept_batch {
    struct swept_batch *next;
    uint64_t ticket;
    size_t to_move;
    size_t count;
    uint64_t sequences[]; /* Ascending. */
};

static int
sequence_order(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

bool
queue_is_swept(const struct queue *q, uint64_t sequence)
{
    for (const struct swept_batch *b = q->swept; b != NULL; b = b->next)
        if (bsearch(&sequence, b->sequences, b->count, sizeof(sequence), sequence_order) != NULL)
            return true;
    return false;
}

static void
push_purge(struct queue *q, uint64_t log, uint64_t first, uint64_t last)
{
    struct effect purge = { .kind = EFFECT_PURGE, .log = log, .sequence = first };
    if (first > last)
        return;
    store_be64(buf_reserve(&purge.payload, 8), last);
    purge.payload.size = 8;
    door_push(q->door, &purge);
}

void
queue_purge_records(struct queue *q, unsigned level, uint64_t first, uint64_t last)
{
    size_t count = 0;
    for (const struct swept_batch *b = q->swept; b != NULL; b = b->next)
        count += b->count;
    uint64_t *kept = mem_alloc(count * sizeof(*kept));
    count = 0;
    for (const struct swept_batch *b = q->swept; b != NULL; b = b->next)
        for (size_t i = 0; i < b->count; i++)
            if (b->sequences[i] >= first && b->sequences[i] <= last)
                kept[count++] = b->sequences[i];
    if (count > 1)
        qsort(kept, count, sizeof(*kept), sequence_order);
    for (size_t i = 0; i < count; i++) {
        push_purge(q, q->log + level, first, kept[i] - 1);
        first = kept[i] + 1;
    }
    push_purge(q, q->log + level, first, last);
    mem_free(kept);
}

void
queue_remember_swept(struct queue *q, struct swept *gone, uint64_t ticket)
{
    const size_t size = gone->count * sizeof(uint64_t);
    if (gone->count > 0) {
        struct swept_batch *b = mem_alloc(sizeof(*b) + size);
        *b = (struct swept_batch){
            .next = q->swept, .ticket = ticket, .to_move = gone->to_move, .count = gone->count
        };
        memcpy(b->sequences, gone->sequences, size);
        qsort(b->sequences, b->count, sizeof(b->sequences[0]), sequence_order);
        q->swept = b;
    }
    mem_free(gone->sequences);
    *gone = (struct swept){ 0 };
}

void
queue_forget_swept(struct queue *q, uint64_t committed)
{
    struct swept_batch **link = &q->swept;
    while (*link != NULL) {
        struct swept_batch *b = *link;
        if (b->to_move > 0 || b->ticket > committed) {
            link = &b->next;
            continue;
        }
        *link = b->next;
        mem_free(b);
    }
}

void
queue_fini_swept(struct queue *q)
{
    while (q->swept != NULL) {
        struct swept_batch *b = q->swept;
        q->swept = b->next;
        mem_free(b);
    }
}

void
queue_note_moved(struct queue *q, const struct dead *items, size_t count, uint64_t ticket)
{
    for (struct swept_batch *b = q->swept; b != NULL; b = b->next)
        for (size_t i = 0; b->to_move > 0 && i < count; i++) {
            if (bsearch(&items[i].entry.sequence, b->sequences, b->count, sizeof(b->sequences[0]),
                        sequence_order) == NULL)
                continue;
            b->to_move--;
            b->ticket = ticket > b->ticket ? ticket : b->ticket;
        }
}
