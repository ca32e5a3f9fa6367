#ifndef ROUTING_ROUTE_SET_H
#define ROUTING_ROUTE_SET_H

/*
 * The destinations of one message, each once, in the order they were found. Made to be kept and
 * used again: clearing keeps the memory, and up to ROUTE_SET_FEW destinations need none.
 *
 * Owner: one thread. The set borrows the destinations and writes nothing into them, so any number
 * of threads may route to the same ones at once. Not to be copied or moved: `items` may point
 * inside.
 */

#include "routing/pointer_set.h"

struct destination;

#define ROUTE_SET_FEW POINTER_SET_FEW

struct route_set {
    struct destination **items;
    size_t count;
    size_t capacity;
    struct pointer_set members;
    struct destination *few[ROUTE_SET_FEW];
};

void route_set_init(struct route_set *s);

/* Releases the memory; the set is empty and usable again. */
void route_set_fini(struct route_set *s);

/* Empties the set and keeps its memory. */
void route_set_clear(struct route_set *s);

/* False if the destination was in already. */
bool route_set_add(struct route_set *s, struct destination *d);

#endif
