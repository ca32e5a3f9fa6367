#ifndef BROKER_CORE_QUEUE_INTERNAL_H
#define BROKER_CORE_QUEUE_INTERNAL_H

/* What queue.c, queue_consumers.c and queue_settle.c share. All of it wants the queue's lock. */

#include "broker/core/queue.h"

/* Messages to let go of once the lock is released: freeing is slow and needs no lock. */
struct message_list {
    struct message **items;
    size_t count;
    size_t capacity;
};

void message_list_add(struct message_list *l, struct message *m);
void message_list_release(struct message_list *l);

/* Assigns ready messages to waiting consumers until one of the two runs out. */
void queue_pump(struct queue *q);

/* Lets the consumer wait for messages, if it can take one and is not waiting already. */
void queue_let_wait(struct queue *q, struct consumer *c);

/* Takes the consumer out of the queue, if it is still in. */
void queue_unlink_consumer(struct queue *q, struct consumer *c);

/* Removes the message whose turn is next. There must be one. */
struct entry queue_take(struct queue *q);

/* Puts an entry back at its place. */
void queue_put_back(struct queue *q, const struct entry *e);

/* Whether the message whose turn is next can be taken now. If not, what it waits for is on its way,
 * and queue_resume is called then. There must be one. */
bool queue_front_is_ready(struct queue *q);

/* What waited for the front goes on: dropping, consumers, basic.get. Dropped messages go to the
 * list. */
void queue_resume(struct queue *q, struct message_list *dropped);

/* Overflow drop-head: the oldest of the highest priority go until the queue fits its limits, or
 * until the front is not in memory. */
void queue_drop_overflow(struct queue *q, struct message_list *dropped);

/* Lets go of what is in memory beyond the budget, as far as this queue can help. */
void queue_shed(struct queue *q, struct message_list *dropped);

/* Asks the pager to look at the queue. */
void queue_ask_pager(struct queue *q);

/* What is paged at this level goes unread: settles the records, and leaves the pages to the pager.
 */
void queue_discard_paged(struct queue *q, unsigned level);

/* Frees a page and the messages in it; the pager has freed its place in the swap, or is gone. */
void page_discard(struct page *page);

#endif
