#ifndef BROKER_CORE_QUEUE_INTERNAL_H
#define BROKER_CORE_QUEUE_INTERNAL_H

/* What the files queue*.c share. All of it wants the queue's lock. */

#include "broker/core/queue.h"

#include "broker/core/effects.h"

/* The process is about to end: nothing is sent any more. */
bool queue_is_quiet(const struct queue *q);

/* Assigns ready messages to waiting consumers until one of the two runs out. */
void queue_pump(struct queue *q, struct leaving *leaving);

/* The entry, which is in no list any more, dies: it goes to the dead-letter exchange, or away. */
void queue_die(struct queue *q, const struct entry *e, enum death_reason reason,
               struct effects *settled, struct leaving *leaving);

/* Entries at the front that have expired die, until one has not. */
void queue_expire_front(struct queue *q, struct leaving *leaving);

/* The pager's: what is due by now, wherever it stands, dies; and the queue itself, if nobody has
 * used it for too long, in which case the caller must not go on with it. */
void queue_expire(struct queue *q);

/* Has the pager look at the queue when the next thing is due. */
void queue_set_timer(struct queue *q);

/* Counts of deliveries that are kept. */
void deliveries_keep(struct queue *q, const struct entry *e);
void deliveries_forget(struct queue *q, uint64_t sequence);
void deliveries_forget_paged(struct queue *q);
void deliveries_forget_all(struct queue *q);

/* The count of a message that comes into memory. */
uint32_t deliveries_fetch(struct queue *q, uint64_t sequence);
void deliveries_fini(struct queue *q);

/* Records that a sweep has taken out. A zeroed struct is empty. */
struct swept {
    uint64_t *sequences;
    size_t count;
    size_t capacity;
    size_t to_move; /* So many are dead-lettered, and settled when that is done. */
};

/* Remembers them until the round of the ticket, and those to be moved have been; empties `gone`.
 * The pager's thread, as the next two. */
void queue_remember_swept(struct queue *q, struct swept *gone, uint64_t ticket);

/* What the store knows by now need not be remembered. */
void queue_forget_swept(struct queue *q, uint64_t committed);

/* Whether the pager has settled it, but the store may not know yet. */
bool queue_is_swept(const struct queue *q, uint64_t sequence);
void queue_fini_swept(struct queue *q);

static inline struct ready *
queue_level_of(struct queue *q, const struct entry *e)
{
    ASSERT(e->priority <= q->effective.max_priority);
    return &q->levels[e->priority];
}

static inline bool
queue_rejects_when_full(const struct queue *q)
{
    return atomic_load(&q->limits.overflow) != OVERFLOW_DROP_HEAD;
}

/* Whether the consumer's credit allows it another message. */
bool queue_can_take(const struct queue *q, const struct consumer *c);

/* Gives the consumer a message that has left the queue; but for what it shares with others, it pays
 * with its credit. Its outbox is open. */
void queue_assign(struct queue *q, struct consumer *c, const struct entry *e);

/* Lets the consumer wait for messages, if it can take one and is not waiting already. */
void queue_let_wait(struct queue *q, struct consumer *c);

/* Takes the consumer out of the queue, if it is still in. */
void queue_unlink_consumer(struct queue *q, struct consumer *c);

/* Removes the message whose turn is next. There must be one. */
struct entry queue_take(struct queue *q);

/* Puts an entry back at its place. */
void queue_put_back(struct queue *q, const struct entry *e);

/* Whether the message whose turn is next can be taken now. If not, what it waits for is on its way,
 * and queue_resume is called then. There must be one; those that have expired die, and false may
 * mean that there is none left. */
bool queue_front_is_ready(struct queue *q, struct leaving *leaving);

/* What waited for the front goes on: dropping, consumers, basic.get. */
void queue_resume(struct queue *q, struct leaving *leaving);

/* Overflow drop-head: the oldest of the highest priority go until the queue fits its limits, or
 * until the front is not in memory. */
void queue_drop_overflow(struct queue *q, struct leaving *leaving);

/* Lets go of what is in memory beyond the budget, as far as this queue can help. */
void queue_shed(struct queue *q, struct leaving *leaving);

/* The pager's: reads messages of absent entries that are wanted. False if none are. */
bool queue_recall(struct queue *q);

/* What is next in the queue cannot be read. */
void queue_log_broken(const struct queue *q);

/* Asks the pager to look at the queue. */
void queue_ask_pager(struct queue *q);

/* Settles the records from `first` to `last`, but for those that have died there: they are settled
 * when they have been moved. */
void queue_purge_records(struct queue *q, unsigned level, uint64_t first, uint64_t last);

/* What is paged at this level goes unread: settles the records, and leaves the pages to the pager.
 */
void queue_discard_paged(struct queue *q, unsigned level);

/* Frees a page and the messages in it; the pager has freed its place in the swap, or is gone. */
void page_discard(struct page *page);

#endif
