#ifndef BROKER_CORE_DEAD_LETTERS_H
#define BROKER_CORE_DEAD_LETTERS_H

/*
 * The thread that moves what died in a queue to the queue's dead-letter exchange: messages that
 * were rejected, have expired, were in excess, or came back too often. Whoever finds them dead
 * holds the lock of one queue, and routing takes others, so they are handed over here.
 *
 * The record of a dead message stays in its queue's log until the message has been appended to the
 * targets; the settlement is pushed after that, and so is durable no sooner. A crash in between
 * leaves it in its queue, where it dies again: moved twice, but never lost.
 */

#include "broker/core/leaving.h"
#include "persistence/door.h"

struct dead_letters;

/* Starts the thread. */
struct dead_letters *dead_letters_create(struct door *door);

/* Behind a door that is stepped there is no thread: moves what has been posted, on this one. False
 * if there was nothing to do. */
bool dead_letters_step(struct dead_letters *d);

/* Moves what has been posted, and ends the thread. Nothing is posted after that but to be let go:
 * its records stay as they are. */
void dead_letters_stop(struct dead_letters *d);
void dead_letters_destroy(struct dead_letters *d);

/* Takes over the array (mem_alloc'ed) with its references. Any thread, without queue locks. With
 * NULL, which only tests without a broker have, they are dropped. */
void dead_letters_post(struct dead_letters *d, struct queue *q, struct dead *dead, size_t count);

#endif
