#ifndef BROKER_BASE_LOG_H
#define BROKER_BASE_LOG_H

/*
 * The log: one logfmt line an event on stderr, written with one write(2), so lines of several
 * threads never mix. `event` is stable and dotted ("connection.accept"); the rest is a sentence or
 * key=value pairs. What a peer sent goes through LOG_BYTES-style quoting (log_quote), never raw.
 * Nothing is logged per message. Any thread.
 */

#include "broker/base/bytes.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
};

/* Lines below this level are dropped. Set before threads start. */
void log_set_level(enum log_level level);

bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Renders octets from a peer printable and short: quotes, backslashes and controls are escaped,
 * long text ends in "...". Returns `out`, always terminated. */
const char *log_quote(struct bytes text, char *out, size_t out_size);

#define log_debug(event, ...)                                                                      \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                          \
            log_write(LOG_LEVEL_DEBUG, event, __VA_ARGS__);                                        \
    } while (0)
#define log_info(event, ...) log_write(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warning(event, ...) log_write(LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, __VA_ARGS__)

#endif
