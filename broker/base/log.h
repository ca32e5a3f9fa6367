#ifndef BROKER_BASE_LOG_H
#define BROKER_BASE_LOG_H

/*
 * The log: one line an event, on stderr or in a file. A caller gives the name of the event, stable
 * and dotted ("connection.accept"), and pairs of key=value in the form of logfmt, of which
 * msg="..." is the sentence for people. Keys that mean the same everywhere: conn, peer, vhost,
 * user, chan, queue, err. What a peer sent goes through log_quote, never raw. Nothing is logged per
 * message.
 *
 * Until log_start, and in tools, lines are written where they arise. After it a caller only copies
 * its line into a queue of bounded size, without allocation; the thread `log` takes the pairs
 * apart, brings them into the format that is set, and writes. Nobody waits for a terminal or a disk
 * because of a line: what does not fit into the queue is dropped, counted, and the count is logged.
 * Any thread.
 */

#include "broker/base/bytes.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
};

enum log_format {
    LOG_FORMAT_LOGFMT,
    LOG_FORMAT_JSON, /* An object a line. */
    LOG_FORMAT_TEXT, /* For people: the sentence first. */
};

/* Lines below this level are dropped. */
void log_set_level(enum log_level level);

/* Before threads start. */
void log_set_format(enum log_format format);

bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Lines go to this file from now on, which is made if there is none; stderr until then. Before
 * threads start. False with errno set. */
bool log_open(const char *path);

/* The file is opened again by its name, because somebody has moved it away. Any thread. */
void log_reopen(void);

/* Starts the thread; it takes no signals that the caller has blocked. False if there can be none:
 * lines are then written where they arise, as before. */
bool log_start(void);

/* Writes what is in the queue, ends the thread, and goes back to writing where lines arise. A place
 * that takes nothing for two seconds is given up. */
void log_stop(void);

/* Waits until what has been logged so far is written, but not longer than this. For those who are
 * about to end the process. Does nothing on the log's own thread. */
void log_flush(unsigned timeout_ms);

/* Lines that were dropped since the start. */
uint64_t log_dropped(void);

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
