#ifndef BROKER_CORE_LEAVING_H
#define BROKER_CORE_LEAVING_H

/*
 * What leaves a queue in one step: messages whose references go once the queue's lock is released,
 * and those that died in it and go to its dead-letter exchange. A zeroed struct is empty.
 */

#include "broker/core/entry.h"

#include <stddef.h>

struct queue;

enum death_reason {
    DEATH_REJECTED,
    DEATH_EXPIRED,
    DEATH_MAXLEN,
    DEATH_DELIVERY_LIMIT,
    DEATH_DELAYED, /* No death: its time has come, and its exchange routes it now. */
};

struct dead {
    struct entry entry; /* With its reference; its record is still alive. */
    enum death_reason reason;
    bool was_absent; /* Its message was read for its being moved. */
};

struct leaving {
    struct message **messages;
    size_t message_count;
    size_t message_capacity;
    struct dead *dead;
    size_t dead_count;
    size_t dead_capacity;
};

/* Takes over the message of the entry, if it has one. */
void leaving_add(struct leaving *l, const struct entry *e);
void leaving_add_dead(struct leaving *l, const struct entry *e, enum death_reason reason);

/* Hands the dead over to be dead-lettered. Under the queue's lock: else what dies next may come
 * before them, if another thread sees to that. */
void leaving_post(struct leaving *l, struct queue *q);

/* Lets go of the messages. The dead have been handed over; no lock is held. */
void leaving_release(struct leaving *l);

#endif
