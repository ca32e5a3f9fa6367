#ifndef BROKER_CORE_ABSENT_H
#define BROKER_CORE_ABSENT_H

/*
 * Reading the messages of absent entries back from their records. What lies between two of them
 * belongs to others, and is passed over. The pager does so for entries that came back to their
 * queue, the dead-letter thread for those that died; neither holds a lock.
 */

#include "broker/core/entry.h"

#include <stddef.h>

struct queue;

/* All are absent, of this queue, and nobody else's. Puts them in order of their records. Those that
 * cannot be read, or are not there, stay absent. May wait for the disk. */
void absent_read(struct queue *q, struct entry **entries, size_t count);

#endif
