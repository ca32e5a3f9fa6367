#ifndef ROUTING_POINTER_SET_H
#define ROUTING_POINTER_SET_H

/*
 * Which pointers have been seen: an open hash table without removal, for the time of one routing.
 * A zeroed set is empty and owns nothing. Owner: one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pointer_set {
    const void **slots;
    size_t slot_count; /* In use: a power of two, or 0. */
    size_t capacity;   /* Allocated slots. */
    size_t count;
};

void pointer_set_fini(struct pointer_set *s);

/* Keeps the memory. Costs as much as the set was large, not as it ever was. */
void pointer_set_clear(struct pointer_set *s);

/* False if the pointer was in already. NULL cannot be added. */
bool pointer_set_add(struct pointer_set *s, const void *pointer);

/* Spreads an address, mixed with another hash (0 for none), over all 64 bits. */
static inline uint64_t
pointer_hash(const void *pointer, uint64_t other)
{
    const uint64_t product = ((uint64_t)(uintptr_t)pointer ^ other) * UINT64_C(0x9E3779B97F4A7C15);
    return product ^ product >> 32;
}

#endif
