#ifndef BROKER_CORE_DUES_H
#define BROKER_CORE_DUES_H

/*
 * When messages of a queue are due (to expire, or to be let go of), wherever they stand. Messages
 * that were appended together share one range of sequences, which is due as early as the first of
 * them: so a message costs a fraction of an octet, and the cost of what is due does not depend on
 * how long the queue is. A range may tell of messages that have gone: looking at it then finds
 * nothing. A zeroed struct is empty. Guarded by the queue's lock.
 */

#include "broker/base/bytes.h"

#include <stddef.h>

/* Sequences of one range, at most. */
#define DUE_RANGE_SPAN 128u

struct due_range {
    uint64_t due_ms;
    uint64_t first;
    uint64_t last;
};

struct dues {
    struct due_range *heap; /* The earliest first. */
    size_t count;
    size_t capacity;
    struct due_range open; /* Grows as long as sequences follow each other; due_ms 0: none. */
};

/* The message of that sequence is due then; not 0. */
void dues_add(struct dues *d, uint64_t sequence, uint64_t due_ms);

/* The same for all that a range tells of. */
void dues_add_range(struct dues *d, const struct due_range *r);

/* The earliest moment at which anything is due; UINT64_MAX if nothing is. */
uint64_t dues_earliest(const struct dues *d);

/* Takes a range that is due out; false if there is none. */
bool dues_take(struct dues *d, uint64_t now_ms, struct due_range *out);

/* Nothing below that sequence is left: forgets what is only about that, if it is much. */
void dues_trim(struct dues *d, uint64_t lowest);

void dues_fini(struct dues *d);

#endif
