#ifndef BROKER_CORE_QUEUE_INTERNAL_H
#define BROKER_CORE_QUEUE_INTERNAL_H

/* What queue.c, queue_consumers.c and queue_settle.c share. All of it wants the queue's lock. */

#include "broker/core/queue.h"

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

/* Collects sequences of durable records for one settle effect. */
struct settled_records {
    struct buf sequences;
    uint32_t count;
};

void settled_records_add(struct settled_records *s, const struct entry *e);

/* Pushes the effect, if there is anything in it, and returns its ticket or 0. */
uint64_t settled_records_push(struct settled_records *s, struct queue *q);

/* Messages to let go of once the lock is released: freeing is slow and needs no lock. */
struct message_list {
    struct message **items;
    size_t count;
    size_t capacity;
};

void message_list_add(struct message_list *l, struct message *m);
void message_list_release(struct message_list *l);

#endif
