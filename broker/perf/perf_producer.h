#ifndef BROKER_PERF_PERF_PRODUCER_H
#define BROKER_PERF_PERF_PRODUCER_H

/*
 * A publishing connection. All frames of a message are encoded once, for each channel and route;
 * to publish is to copy them into the send buffer and to write time and number into the copy.
 * Messages of 16 KiB and more are not copied: their body exists once a connection and is sent
 * from where it is.
 *
 * With a rate each message has a due time, whatever the broker does meanwhile; what could not be
 * sent in time is sent as soon as possible and still stamped with its due time, so that waiting is
 * measured (open loop). Where the worker's messages are due more often than every 200 us, due times
 * are rounded up to a grid of 200 us and sent together: waking up for each would cost more than the
 * messages.
 */

#include "broker/perf/perf_link.h"

struct perf_producer;

/* Opens the channels `first` (counted through all producers) and following on a fresh connection
 * and prepares their messages. The producer borrows the connection. NULL on failure. */
struct perf_producer *perf_producer_create(struct perf_worker *w, struct perf_connection *c,
                                           uint32_t first, struct perf_error *error);

/* The worker must have ended. NULL is fine. */
void perf_producer_destroy(struct perf_producer *p);

extern const struct perf_role perf_role_producer;

#endif
