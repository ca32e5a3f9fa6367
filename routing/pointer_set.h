#ifndef ROUTING_POINTER_SET_H
#define ROUTING_POINTER_SET_H

/*
 * Which pointers have been seen, for the time of one routing: a few are searched one by one, many
 * are hashed. There is no removal. Owner: one thread. What is pointed to is never looked at.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POINTER_SET_FEW 16

struct pointer_set {
    size_t count;
    const void **slots; /* Open hash table of all members, empty until they are more than a few. */
    size_t slot_count;  /* A power of two, or 0. */
    const void *few[POINTER_SET_FEW]; /* The first members. */
};

void pointer_set_init(struct pointer_set *s);

/* Releases the memory; the set is empty and usable again. */
void pointer_set_fini(struct pointer_set *s);

/* Keeps the memory unless most of it was idle: the cost is that of what was in, not of what ever
 * was in. */
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
