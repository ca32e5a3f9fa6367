#ifndef BROKER_PERF_PERF_RUN_H
#define BROKER_PERF_PERF_RUN_H

/*
 * One run from the first connection to the last goodbye. The steps, in order:
 *
 *     prepare   resolve, declare, connect and log in everybody (blocking, one after the other)
 *     start     consumers subscribe; when all have, producers begin and the clock starts
 *     watch     (perf_watch) report, until time, counts, a signal or a failure end it
 *     stop      threads end; consumers acknowledge what is left
 *     close     orderly close of all connections, the made-up queue is deleted
 *
 * Everything here runs on the main thread.
 */

#include "broker/perf/perf_producer.h"
#include "broker/perf/perf_report.h"

/* The workers of one role. */
struct perf_group {
    struct perf_worker *workers;
    uint32_t count;
};

struct perf_run {
    const struct perf_options *options;
    struct perf_broker broker;
    struct perf_topology topology;
    struct perf_shared shared;
    int signal_fd;
    char id[64];
    struct perf_connection *connections;
    uint32_t connection_count;
    struct perf_producer **producers;
    struct perf_consumer **consumers;
    struct perf_link *idle;
    struct perf_group producing;
    struct perf_group consuming;
    struct perf_group idling;
    struct perf_cpu cpu_before;
};

/* On failure of any of these the run must still be stopped and closed. */
bool perf_run_prepare(struct perf_run *r, const struct perf_options *o, struct perf_error *error);
bool perf_run_start(struct perf_run *r, struct perf_error *error);

/* Ends all threads. */
void perf_run_stop(struct perf_run *r);
void perf_run_close(struct perf_run *r);

/* The sums of now. */
void perf_run_sum(const struct perf_run *r, struct perf_totals *t);

/* How many deliveries those publishes should become: each once, or once a queue if spread; what was
 * nacked or returned, not at all. */
uint64_t perf_run_expected(const struct perf_run *r, const struct perf_counters *produced);

/* True if all workers of the group have finished; of an empty group, too. */
bool perf_group_is_finished(const struct perf_group *g);
void perf_group_command(const struct perf_group *g, enum perf_command command);

/* CPU time of the process so far. */
struct perf_cpu perf_cpu_now(void);

/* How a run ended. */
enum perf_end {
    PERF_END_COMPLETE,    /* What was to be done is done, and consumers had time to drain. */
    PERF_END_INTERRUPTED, /* By a signal. */
    PERF_END_FAILED,
};

/* Reports each interval to `out` and returns when the run is over. */
enum perf_end perf_watch(struct perf_run *r, FILE *out);

#endif
