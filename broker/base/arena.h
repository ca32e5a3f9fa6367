#ifndef BROKER_BASE_ARENA_H
#define BROKER_BASE_ARENA_H

/*
 * Memory that is given out piece by piece and freed as a whole: for trees and lists that are built
 * once, read, and dropped. A zeroed arena is empty. Owner: whoever embeds it; one thread at a time.
 */

#include "broker/base/bytes.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* The one in use first. */
};

/* Zeroed, aligned for anything; valid until arena_fini. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull, alloc_size(2)));

/* A copy with a zero octet behind it, which the size does not count. */
struct bytes arena_copy(struct arena *a, struct bytes b);

/* The arena is empty and usable again. */
void arena_fini(struct arena *a);

#endif
