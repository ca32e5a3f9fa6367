#ifndef BROKER_BASE_LOG_LINE_H
#define BROKER_BASE_LOG_LINE_H

/*
 * What becomes of one line of the log: pairs as callers wrote them, in the format that is set.
 * Every format comes out whole and on one line whatever the values are: UTF-8 passes, control
 * characters are escaped, octets that are no UTF-8 become U+FFFD. Pure; any thread.
 */

#include "broker/base/log.h"

/* Of the pairs of a line; more is cut. */
#define LOG_PAIRS_MAX 1024u
/* Of a line in any format: an escape takes six octets, and the shortest of pairs ten beside its
 * two; the rest is small. */
#define LOG_LINE_MAX (LOG_PAIRS_MAX * 9 + 512)

struct log_line {
    uint64_t wall_us;
    enum log_level level;
    const char *event; /* At most 64 octets count. */
    struct bytes pairs;
};

/* Writes the line with its end into `out` of LOG_LINE_MAX octets; returns its size. */
size_t log_line_render(const struct log_line *line, enum log_format format, char *out);

#endif
