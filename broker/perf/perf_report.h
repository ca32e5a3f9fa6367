#ifndef BROKER_PERF_PERF_REPORT_H
#define BROKER_PERF_PERF_REPORT_H

/*
 * What a run tells: a line each interval, a summary or a JSON object at the end. Main thread.
 */

#include "broker/perf/perf_consumer.h"

/* The sums over all workers at one moment. */
struct perf_totals {
    struct perf_counters produced;
    struct perf_counters consumed;
    struct histogram consumer_latency;
    struct histogram confirm_latency;
};

struct perf_cpu {
    double user_s;
    double system_s;
};

struct perf_result {
    const struct perf_options *options;
    const char *id;
    double time_s;
    struct perf_totals totals;
    struct perf_order_totals order;
    bool accounted;   /* Published and consumed here and left to drain: what is missing is known. */
    uint64_t missing; /* Not received, of what was published and neither nacked nor returned. */
    struct perf_cpu producers;
    struct perf_cpu consumers;
    struct perf_cpu process; /* The whole run, preparation not included. */
    const char *failure;     /* NULL if it went well. */
};

/* Adds the counters and histograms of `count` workers. */
void perf_totals_add_producers(struct perf_totals *t, const struct perf_worker *w, uint32_t count);
void perf_totals_add_consumers(struct perf_totals *t, const struct perf_worker *w, uint32_t count);

/* Messages a second from the first to the last. */
double perf_counters_rate(const struct perf_counters *c, uint64_t count, uint64_t last_ns);

/* One line for the interval that ended at `time_s` and took `interval_s`. Spoils `before`: on
 * return it equals `now`. */
void perf_report_interval(FILE *out, const struct perf_options *o, const char *id,
                          const struct perf_totals *now, struct perf_totals *before, double time_s,
                          double interval_s);

void perf_report_summary(FILE *out, const struct perf_result *r);

void perf_report_json(FILE *out, const struct perf_result *r);

#endif
