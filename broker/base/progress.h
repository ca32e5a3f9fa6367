#ifndef BROKER_BASE_PROGRESS_H
#define BROKER_BASE_PROGRESS_H

/*
 * How far long work is, for people who wait for it: one line on a terminal that is written over
 * again and again, or a line in the log every five seconds. Work that is soon done says nothing.
 * Owner: whoever does the work; one thread. All functions take NULL for nobody who wants to know.
 */

#include "broker/base/bytes.h"

enum progress_sink {
    PROGRESS_SILENT,
    PROGRESS_TERMINAL, /* stderr. */
    PROGRESS_LOG,
};

enum progress_unit {
    PROGRESS_COUNT,
    PROGRESS_OCTETS,
};

struct progress {
    enum progress_sink sink;
    enum progress_unit unit;
    const char *event; /* Of the log. */
    const char *what;  /* "reading the journal". */
    uint64_t done;
    uint64_t total; /* 0: not known. An estimate may turn out too low. */
    uint64_t due_ms;
    size_t shown; /* Columns of the terminal's line. */
};

/* PROGRESS_TERMINAL if stderr is one, else PROGRESS_SILENT. */
enum progress_sink progress_terminal(void);

void progress_init(struct progress *p, enum progress_sink sink, const char *event);

/* Begins a piece of work; `what` is borrowed until the next one or the end. */
void progress_start(struct progress *p, const char *what, enum progress_unit unit, uint64_t total);

void progress_add(struct progress *p, uint64_t done);

/* Nothing is going on any more: wipes the terminal's line. Before anything else is written there.
 */
void progress_end(struct progress *p);

/* `watcher` hears, too, each time that a line is logged; NULL: nobody. Set while no other thread
 * shows progress. */
typedef void progress_watcher(const char *what, uint64_t done, uint64_t total);
void progress_watch(progress_watcher *watcher);

#endif
