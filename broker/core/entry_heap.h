#ifndef BROKER_CORE_ENTRY_HEAP_H
#define BROKER_CORE_ENTRY_HEAP_H

/*
 * Entries that have come back to their queue, in any order; the lowest sequence is at hand. A
 * binary heap: what is taken in order costs a few comparisons each. A zeroed struct is empty and
 * owns nothing. Guarded by the queue's lock.
 */

#include "broker/core/entry.h"

#include <stddef.h>

struct entry_heap {
    struct entry *items; /* The first is the lowest. */
    size_t count;
    size_t capacity;
};

void entry_heap_add(struct entry_heap *h, const struct entry *e);

/* Removes the lowest; there must be one. */
struct entry entry_heap_take(struct entry_heap *h);

/* What has been moved within the heap, or out of it, leaves `count` entries in any order: puts them
 * in order again. */
void entry_heap_mend(struct entry_heap *h, size_t count);

/* References are the caller's business. */
void entry_heap_fini(struct entry_heap *h);

#endif
