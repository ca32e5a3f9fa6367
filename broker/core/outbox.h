#ifndef BROKER_CORE_OUTBOX_H
#define BROKER_CORE_OUTBOX_H

/*
 * What queues have assigned to the consumers of one connection and its worker has not encoded yet.
 * Queues push under their own lock, from any thread; the connection's worker alone takes. The
 * worker is woken by mail when the first delivery comes. Its size is bounded by what the consumers'
 * dispatch windows and prefetch allow. An idle outbox holds no memory beyond this struct.
 */

#include "broker/base/lock.h"
#include "broker/core/entry.h"
#include "broker/net/loop.h"

struct consumer;

struct delivery {
    struct consumer *consumer;
    struct entry entry; /* entry.message == NULL: the queue is gone, and the consumer with it. */
};

struct deliveries {
    struct delivery *items;
    uint32_t count;
    uint32_t capacity;
};

struct outbox {
    struct lock lock;
    struct deliveries pushed; /* Guarded by lock. */
    struct deliveries taken;  /* The worker's, from `next` on. */
    uint32_t next;
    struct loop *loop;
    struct mail mail;
};

void outbox_init(struct outbox *o, struct loop *loop, void (*deliver)(struct mail *mail));

/* Owner's thread; the outbox must be empty of references that matter (see outbox_extract). */
void outbox_fini(struct outbox *o);

/* For a run of pushes: open, push any number, close. Close wakes the worker. Any thread. */
void outbox_open(struct outbox *o) ACQUIRES(o->lock);
void outbox_push(struct outbox *o, struct consumer *consumer, const struct entry *e)
    REQUIRES(o->lock);
void outbox_close(struct outbox *o) RELEASES(o->lock);

/* The next delivery in order of pushing; false if there is none. Owner's thread. */
bool outbox_take(struct outbox *o, struct delivery *out);

/* Puts back the delivery that was taken last. Owner's thread. */
void outbox_untake(struct outbox *o);

/* Calls visit for every delivery of `consumer`, and drops those for which it returns true. Owner's
 * thread, which may hold the queue's lock; visit must not push. */
void outbox_visit(struct outbox *o, const struct consumer *consumer,
                  bool (*visit)(void *context, struct delivery *d), void *context);

#endif
