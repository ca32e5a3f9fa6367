#ifndef BROKER_ADMIN_PROMETHEUS_H
#define BROKER_ADMIN_PROMETHEUS_H

/*
 * Writes Prometheus' text format, version 0.0.4: a family is a name with its type and help,
 * followed by its samples. Names are literals of ours; values of labels may be anything. Pure.
 */

#include "broker/base/buf.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct prometheus_label {
    const char *name;
    struct bytes value;
};

/* `type` is "counter", "gauge" or "histogram". */
void prometheus_family(struct buf *out, const char *name, const char *type, const char *help);

/* One sample of the family that was begun last. */
void prometheus_sample(struct buf *out, const char *name, const struct prometheus_label *labels,
                       size_t label_count, double value);

/* Whole numbers beyond what a double holds are written exactly. */
void prometheus_count(struct buf *out, const char *name, const struct prometheus_label *labels,
                      size_t label_count, uint64_t value);

/* A family of one sample without labels. */
void prometheus_gauge(struct buf *out, const char *name, const char *help, double value);
void prometheus_counter(struct buf *out, const char *name, const char *help, uint64_t value);

/* A whole histogram: `counts` has one more than `bounds`, and they are not cumulative. */
void prometheus_histogram(struct buf *out, const char *name, const char *help, const double *bounds,
                          const uint64_t *counts, size_t bound_count, double sum);

#endif
