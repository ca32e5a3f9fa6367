/* Entries that came back without their messages get them again when their turn is near. */

#include "broker/core/queue.h"

#include "broker/base/fault.h"
#include "broker/core/absent.h"
#include "broker/core/queue_internal.h"

/* Read at a time: entries, and octets, by whether memory is short. */
#define RECALL_MAX 512u
#define RECALL_OCTETS (512u * 1024u)
#define RECALL_OCTETS_SHORT (64u * 1024u)
#define MESSAGE_OCTETS 64u /* Of a message, beside its body. */

/* The lowest entries of one level. They stay in the queue while copies of them get the messages. */
struct recall {
    struct queue *queue;
    unsigned level;
    size_t count;
    struct entry entries[RECALL_MAX];
};

bool
queue_can_recall(const struct queue *q)
{
    return q->pager != NULL && q->log != 0 && door_can_read(q->door);
}

static void
copy_lowest(struct recall *x, struct entry_heap *heap)
{
    const uint64_t octets_max = message_is_over_budget() ? RECALL_OCTETS_SHORT : RECALL_OCTETS;
    uint64_t octets = 0;
    while (heap->count > 0 && x->count < RECALL_MAX && octets < octets_max) {
        x->entries[x->count] = entry_heap_take(heap);
        octets += x->entries[x->count++].absent_size + MESSAGE_OCTETS;
    }
    for (size_t i = 0; i < x->count; i++)
        entry_heap_add(heap, &x->entries[i]);
}

/* Picks what is wanted most. */
static bool
recall_start(struct queue *q, struct recall *x)
{
    x->queue = q;
    x->count = 0;
    lock_acquire(&q->lock);
    for (int level = q->effective.max_priority; level >= 0 && x->count == 0; level--) {
        struct ready_absent *absent = &q->levels[level].absent;
        if (!absent->is_wanted)
            continue;
        copy_lowest(x, &absent->entries);
        x->level = (unsigned)level;
        absent->is_wanted = x->count > 0; /* Else all of it has gone meanwhile. */
    }
    lock_release(&q->lock);
    return x->count > 0;
}

static void
recall_read(struct recall *x)
{
    struct entry *entries[RECALL_MAX];
    for (size_t i = 0; i < x->count; i++)
        entries[i] = &x->entries[i];
    absent_read(x->queue, entries, x->count);
}

/* Gives the entries at the front the messages that were read for them, and returns how many were
 * looked at. A sequence is never used again: what is still there is what was copied. */
static size_t
recall_install(struct recall *x, struct ready *r, struct leaving *leaving)
{
    struct entry_heap *heap = &r->absent.entries;
    size_t done = 0;
    FAULT_POINT("page.in");
    for (; done < x->count && heap->count > 0; done++) {
        const struct entry *read = &x->entries[done];
        if (heap->items[0].sequence < read->sequence)
            break; /* It came back meanwhile: its turn is first. */
        if (heap->items[0].sequence > read->sequence) {
            leaving_add(leaving, read); /* It has left the queue. */
            continue;
        }
        if (read->is_absent)
            break;
        struct entry e = entry_heap_take(heap);
        entry_rejoin(&e, read->message);
        ready_return(r, &e);
    }
    return done;
}

/* Whether the first that is wanted now was looked for and not found. */
static bool
is_missing(const struct recall *x, const struct ready *r)
{
    const struct entry_heap *heap = &r->absent.entries;
    return heap->count > 0 && x->entries[0].is_absent &&
           heap->items[0].sequence == x->entries[0].sequence;
}

static void
recall_finish(struct recall *x)
{
    struct queue *q = x->queue;
    struct leaving leaving = { 0 };
    lock_acquire(&q->lock);
    struct ready *r = &q->levels[x->level];
    r->absent.is_wanted = false;
    r->absent.is_broken = is_missing(x, r); /* Whoever waits for the front is told. */
    if (r->absent.is_broken)
        queue_log_broken(q);
    for (size_t i = recall_install(x, r, &leaving); i < x->count; i++)
        leaving_add(&leaving, &x->entries[i]);
    queue_resume(q, &leaving);
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    leaving_release(&leaving);
}

bool
queue_recall(struct queue *q)
{
    struct recall x;
    if (!recall_start(q, &x))
        return false;
    recall_read(&x);
    recall_finish(&x);
    return true;
}
