#ifndef BROKER_PERF_PERF_CONFIRMS_H
#define BROKER_PERF_PERF_CONFIRMS_H

/*
 * The unconfirmed publishes of one channel: a window of at most `limit` publish numbers, each with
 * the time it was (meant to be) sent. Acks and nacks may come single or multiple and in any order;
 * a number is settled once, whatever the broker says twice is counted as unexpected.
 *
 * The ring is larger than the limit, because numbers behind one that stays open keep their places;
 * when even the ring is full the channel waits for the oldest. Owner: the producer's thread.
 */

#include "broker/perf/histogram.h"

#include <stdbool.h>
#include <stddef.h>

struct perf_confirms {
    uint64_t *sent_ns; /* By publish number & mask; 0 marks a settled one. */
    uint64_t mask;
    uint64_t lowest; /* All publish numbers below are settled. */
    uint64_t next;   /* The next publish number; the first is 1. */
    uint64_t open;   /* Unsettled ones in [lowest, next). */
    uint64_t limit;
};

/* `limit` is at least 1. */
void perf_confirms_init(struct perf_confirms *c, uint32_t limit);
void perf_confirms_fini(struct perf_confirms *c);

/* How many more may be published now. */
static inline uint64_t
perf_confirms_room(const struct perf_confirms *c)
{
    const uint64_t places = c->mask + 1 - (c->next - c->lowest);
    const uint64_t allowed = c->limit - c->open;
    return places < allowed ? places : allowed;
}

/* A message is published: takes the next number. There must be room; `now_ns` is not 0. */
static inline void
perf_confirms_add(struct perf_confirms *c, uint64_t now_ns)
{
    c->sent_ns[c->next & c->mask] = now_ns;
    c->next++;
    c->open++;
}

/* The broker settled `number`, with `multiple` all up to it (0: all). Records the latency of each.
 * Returns how many that were; 0 means that the broker had no reason to say so. */
uint64_t perf_confirms_settle(struct perf_confirms *c, uint64_t number, bool multiple,
                              uint64_t now_ns, struct histogram *latency);

#endif
