#ifndef BROKER_CORE_CONSUMER_H
#define BROKER_CORE_CONSUMER_H

/*
 * A consumer: the right of a channel to be sent the messages of a queue, as far as its credit goes.
 * Owner: the channel, on its worker, which alone creates and frees it. The queue links it until it
 * is detached, by the owner (cancel) or by the queue's deletion, both under the queue's lock.
 *
 * Credit is two things: what the client allows (prefetch, per consumer, and maybe shared by the
 * channel), and the dispatch window, which bounds what may wait in the outbox of a slow connection.
 */

#include "broker/base/bytes.h"
#include "broker/base/list.h"
#include "broker/base/map.h"

#include <stdatomic.h>

#define PREFETCH_UNLIMITED UINT32_MAX

struct queue;
struct outbox;
struct stream_cursor;

/* The limit that basic.qos(global) sets for all consumers of a channel. Lives in the channel. */
struct shared_credit {
    _Atomic uint32_t limit; /* 0: none. */
    _Atomic uint32_t used;
};

struct consumer {
    struct queue *queue;   /* A reference. */
    struct outbox *outbox; /* Of the owner's connection. */
    void *channel;         /* The owner; opaque here. */
    struct bytes tag;
    bool no_ack;
    bool exclusive;
    int64_t priority;
    struct stream_cursor *cursor; /* Of a stream, with a reference; NULL of other queues. */

    /* Guarded by the queue's lock. */
    struct list in_queue;   /* All consumers, in order of registration. */
    struct list in_waiting; /* Those that can take a message now; unlinked otherwise. */
    uint32_t prefetch_left; /* PREFETCH_UNLIMITED never runs out. */
    uint64_t window_used;   /* Octets assigned and not yet reported as encoded. */
    uint32_t outstanding;   /* Assigned and not yet settled or requeued. */
    bool detached;
    struct shared_credit *shared; /* NULL until basic.qos(global) was used on the channel. */

    /* The owner's. */
    struct list in_channel;
    struct map_node by_tag; /* Of the channel. */
    uint64_t encoded;       /* Octets encoded and not yet given back to the window. */
};

/* Tries to use one unit; false if the limit is reached. Any thread. */
static inline bool
shared_credit_take(struct shared_credit *s)
{
    const uint32_t limit = atomic_load(&s->limit);
    uint32_t used = atomic_load(&s->used);
    do {
        if (limit != 0 && used >= limit)
            return false; /* Without a trace: a failed attempt must not make another one fail. */
    } while (!atomic_compare_exchange_weak(&s->used, &used, used + 1));
    return true;
}

static inline void
shared_credit_give(struct shared_credit *s)
{
    atomic_fetch_sub(&s->used, 1);
}

#endif
