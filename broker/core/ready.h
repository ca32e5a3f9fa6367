#ifndef BROKER_CORE_READY_H
#define BROKER_CORE_READY_H

/*
 * The ready messages of one priority, in order of sequence: new ones at the tail of a deque of
 * blocks, returned ones in a small heap in front. What is taken comes from the front, so every
 * returned sequence is lower than all in the deque, and order needs no search. A zeroed struct is
 * empty and owns nothing. Guarded by the queue's lock.
 */

#include "broker/core/entry.h"

#include <stddef.h>

#define READY_BLOCK_ENTRIES 126

struct ready_block {
    struct ready_block *next;
    uint64_t reserved;
    struct entry entries[READY_BLOCK_ENTRIES];
};

struct ready {
    struct ready_block *head;
    struct ready_block *tail;
    uint32_t head_index;    /* First entry taken next, in `head`. */
    uint32_t tail_index;    /* First free place in `tail`. */
    size_t appended;        /* Entries in the blocks. */
    struct entry *returned; /* Binary heap, lowest sequence first. */
    size_t returned_count;
    size_t returned_capacity;
};

static inline size_t
ready_count(const struct ready *r)
{
    return r->appended + r->returned_count;
}

/* The sequence must be above all that were ever appended. */
void ready_append(struct ready *r, const struct entry *e);

/* Puts back what was taken, at its old place. */
void ready_return(struct ready *r, const struct entry *e);

/* The entry at the front, or NULL. Stays until the next change. */
const struct entry *ready_front(const struct ready *r);

/* Removes the front; there must be one. */
struct entry ready_take(struct ready *r);

/* Releases the memory of an empty or abandoned struct; references are the caller's business. */
void ready_fini(struct ready *r);

#endif
