#ifndef BROKER_PERF_PERF_TOPOLOGY_H
#define BROKER_PERF_PERF_TOPOLOGY_H

/*
 * Exchange, queues and who uses which. Channels are numbered through all connections. Where there
 * are at least as many channels as queues, channel c uses queue c mod queues; otherwise it uses
 * queues c, c + channels, c + 2 * channels and so on. This holds for producers and for consumers.
 *
 * If the exchange copies a message to all queues (fanout, or one key for all), it is `spread`:
 * each producer channel has one route, and each queue gets everything. Constant during a run.
 */

#include "broker/perf/perf_connection.h"

struct perf_topology {
    char **queues;
    uint32_t queue_count;
    uint32_t producers; /* Channels of all producers. */
    uint32_t consumers; /* Channels of all consumers. */
    bool spread;
    bool made_up; /* The queue's name is ours, so we delete it. */
};

/* The queues of one channel: first, first + step, ... below the queue count. */
struct perf_share {
    uint32_t first;
    uint32_t step;
    uint32_t count;
};

bool perf_topology_init(struct perf_topology *t, const struct perf_options *o,
                        struct perf_error *error);
void perf_topology_fini(struct perf_topology *t);

/* Declares and binds over a connection of its own, unless everything is predeclared. */
bool perf_topology_declare(const struct perf_topology *t, const struct perf_broker *b,
                           struct perf_error *error);

/* Deletes the queue whose name was made up, if any. Failures do not matter: it is transient. */
void perf_topology_remove(const struct perf_topology *t, const struct perf_broker *b);

/* What channel `index` of `channels` uses of `queues`. */
struct perf_share perf_share_of(uint32_t index, uint32_t channels, uint32_t queues);

/* The routes of a producer channel: of one, if spread. */
struct perf_share perf_topology_routes(const struct perf_topology *t, uint32_t producer);

/* The key that reaches a queue. */
const char *perf_topology_key(const struct perf_topology *t, const struct perf_options *o,
                              uint32_t queue);

/* How many producer channels write to a queue, and the place of one among them. A channel that does
 * not write to the queue gets a place beyond the count. */
uint32_t perf_topology_writers(const struct perf_topology *t, uint32_t queue);
uint32_t perf_topology_writer_place(const struct perf_topology *t, uint32_t queue,
                                    uint32_t producer);

#endif
