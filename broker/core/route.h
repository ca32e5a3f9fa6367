#ifndef BROKER_CORE_ROUTE_H
#define BROKER_CORE_ROUTE_H

/*
 * Where publishes go, remembered. Each worker has a cache of routes keyed by (exchange, routing
 * key), so that a topic match costs a hash look-up. A route stands as long as its exchange's epoch
 * does; one that went through other exchanges, as long as nothing in the vhost changes; one of the
 * default exchange, as long as its queue is not deleted. Routes that depend on headers or on
 * CC/BCC are worked out anew each time.
 *
 * Owner: one worker. Routes hold references to their queues; those given out stay valid until
 * route_cache_release, so a batch may keep bare pointers to queues that long.
 */

#include "amqp/exception.h"
#include "broker/core/vhost.h"

struct route {
    struct route *next_retired;
    uint64_t hash;
    struct exchange *exchange;     /* A reference; NULL for the default exchange. */
    const _Atomic uint64_t *epoch; /* What it depends on; NULL for the default exchange. */
    uint64_t epoch_seen;
    struct vhost *vhost;
    struct bytes key; /* At the end of this block. */
    uint32_t queue_count;
    struct queue *queues[]; /* References. */
};

#define ROUTE_CACHE_SLOTS 4096

struct route_cache {
    struct route **slots; /* Direct-mapped by hash. */
    struct route *retired;
    struct route_set found; /* Scratch. */
};

void route_cache_init(struct route_cache *c);
void route_cache_fini(struct route_cache *c);

/* What of a message decides its route. */
struct route_address {
    struct bytes exchange;
    struct bytes key;
    const struct bytes *more_keys; /* CC and BCC. */
    size_t more_key_count;
    struct bytes headers;                /* Table; only headers exchanges look at it. */
    const struct properties *properties; /* For hashing; may be NULL. */
    bool is_ours;                        /* No client publishes: internal exchanges are open. */
};

/* The route, maybe to no queue at all; NULL with 404 or 403 in `ex`. */
const struct route *route_find(struct route_cache *c, struct vhost *v,
                               const struct route_address *address, struct amqp_exception *ex);

/* Lets go of routes that have been replaced. No queue pointer taken from a route before may be used
 * after this. */
void route_cache_release(struct route_cache *c);

#endif
