#ifndef BROKER_SESSION_UNACKED_H
#define BROKER_SESSION_UNACKED_H

/*
 * Deliveries of one channel that the client has not settled, in order of delivery tag. A ring with
 * holes: settling in the middle leaves a hole, which goes when it reaches the front or when the
 * ring is full and more holes than deliveries are in it. A zeroed struct is empty. Owner: the
 * channel.
 *
 * An item whose consumer is NULL (basic.get, or the consumer was cancelled) owns a reference to its
 * queue; for the others the consumer's reference holds it.
 */

#include "broker/core/queue.h"

struct unacked_item {
    uint64_t tag;
    struct settle settle;
    uint64_t sent_ms;   /* Loop time of the delivery. */
    bool from_consumer; /* Counts against the shared prefetch of the channel. */
    bool in_tx;         /* Settled in a transaction that is not committed. */
    bool is_hole;
};

struct unacked {
    struct unacked_item *items; /* Places are taken modulo capacity, a power of two. */
    size_t capacity;
    size_t head; /* Never a hole, unless empty. */
    size_t tail;
    size_t count; /* Without holes. */
};

/* Tags must ascend. */
void unacked_push(struct unacked *u, const struct unacked_item *item);

/* Removes the item of that tag; false if there is none. */
bool unacked_take(struct unacked *u, uint64_t tag, struct unacked_item *out);

/* Removes the oldest item if its tag is at most `up_to`. */
bool unacked_take_first(struct unacked *u, uint64_t up_to, struct unacked_item *out);

/* The item of that tag, or NULL. */
struct unacked_item *unacked_find(const struct unacked *u, uint64_t tag);

/* The item of the lowest tag, or NULL. */
const struct unacked_item *unacked_oldest(const struct unacked *u);

/* Visits all, oldest first; start with *place = 0. NULL at the end. */
struct unacked_item *unacked_next(struct unacked *u, size_t *place);

/* Where to start if only tags from `tag` on are to be visited. */
size_t unacked_place(const struct unacked *u, uint64_t tag);

/* Must be empty of items that own something. */
void unacked_fini(struct unacked *u);

#endif
