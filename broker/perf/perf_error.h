#ifndef BROKER_PERF_PERF_ERROR_H
#define BROKER_PERF_PERF_ERROR_H

/* What went wrong, as one line for a person. Owned by whoever called; an empty text is no error. */

#include <stdbool.h>

struct perf_error {
    char text[640];
};

/* Formats the text, cut to fit. Returns false, so that a caller can `return perf_error_set(...)`.
 */
bool perf_error_set(struct perf_error *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
