#ifndef BROKER_CORE_NOTES_H
#define BROKER_CORE_NOTES_H

/*
 * Small durable facts, each a key and a value of octets, that are neither queues nor messages: what
 * a configuration has made, and policies. What they mean is their owners' business, who keep their
 * keys apart by the first octets. In memory as a whole. Any thread; its lock is a leaf but for the
 * door's.
 */

#include "broker/base/buf.h"
#include "broker/base/lock.h"
#include "broker/base/map.h"
#include "persistence/door.h"

struct notes {
    struct lock lock;
    struct map by_key; /* Guarded by lock. */
    struct door *door;
};

void notes_init(struct notes *n, struct door *door);

/* From memory only; the store keeps them. */
void notes_fini(struct notes *n);

/* Start-up: what the store has kept. */
void notes_restore(struct notes *n, struct bytes key, struct bytes value);

/* Return tickets; 0 if nothing changes. */
uint64_t notes_put(struct notes *n, struct bytes key, struct bytes value);
uint64_t notes_delete(struct notes *n, struct bytes key);

/* Appends the value; false if there is none. */
bool notes_get(struct notes *n, struct bytes key, struct buf *value);

/* Calls `each` for every note whose key begins with the prefix, in no particular order, with the
 * lock held: it must not call back. */
void notes_each(struct notes *n, struct bytes prefix,
                void (*each)(void *context, struct bytes key, struct bytes value), void *context);

#endif
