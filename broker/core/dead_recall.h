#ifndef BROKER_CORE_DEAD_RECALL_H
#define BROKER_CORE_DEAD_RECALL_H

/*
 * Dead letters whose messages are not in memory: on their way to the dead-letter exchange they get
 * them again, a few at a time. The dead-letter thread's part; no lock is held.
 */

#include "broker/core/leaving.h"

/* Dead letters that are moved together, at most. */
#define DEAD_SLICE 256

struct queue;

/* How many of the items are moved together: fewer, where many octets have to be read first. */
size_t dead_slice(const struct dead *items, size_t count);

/* Reads messages that are wanted; at most DEAD_SLICE items. Returns how many of them, now the
 * first, have their message. What cannot be read is not settled: the store keeps it as it is. */
size_t dead_recall(struct queue *q, struct dead *items, size_t count);

#endif
