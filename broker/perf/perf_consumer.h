#ifndef BROKER_PERF_PERF_CONSUMER_H
#define BROKER_PERF_PERF_CONSUMER_H

/*
 * A consuming connection. A delivery whose three frames lie complete in the read buffer, which is
 * the rule, is handled by one function that looks at nothing it does not need; everything else goes
 * frame by frame. The clock is read once a read, acknowledgements are sent once a read.
 */

#include "broker/perf/perf_link.h"
#include "broker/perf/perf_order.h"

struct perf_consumer;

/* What the consumers of a run saw, summed up at its end. */
struct perf_order_totals {
    bool watched;
    bool inexact;
    uint64_t out_of_order;
    uint64_t duplicates;
    uint64_t lost;
    uint64_t foreign;
    uint64_t unwatched;
};

/* Opens the channels `first` (counted through all consumers) and following on a fresh connection.
 * The consumer borrows the connection and subscribes when its worker starts. NULL on failure. */
struct perf_consumer *perf_consumer_create(struct perf_worker *w, struct perf_connection *c,
                                           uint32_t first, struct perf_error *error);

/* The worker must have ended. NULL is fine. */
void perf_consumer_destroy(struct perf_consumer *c);

/* True once the broker has confirmed all subscriptions. Any thread. */
bool perf_consumer_is_subscribed(const struct perf_consumer *c);

/* Adds what this consumer saw. The worker must have ended. */
void perf_consumer_sum(const struct perf_consumer *c, struct perf_order_totals *totals);

extern const struct perf_role perf_role_consumer;

#endif
