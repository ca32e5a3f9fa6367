#ifndef BROKER_CLI_STORE_VIEW_H
#define BROKER_CLI_STORE_VIEW_H

/*
 * The rows of a store as what they mean to the broker: definitions, and which queue a log belongs
 * to. Judges them as the broker's start does. One thread.
 */

#include "broker/base/buf.h"
#include "broker/base/map.h"
#include "persistence/store.h"

struct view_queue;

struct view_log {
    struct map_node by_id;
    struct view_queue *queue;
};

struct view_queue {
    struct view_log *logs; /* One a priority. */
    size_t log_count;
    struct buf vhost;
    struct buf name;
    size_t number; /* Its place in the view. */
    uint64_t log;  /* The first of its logs. */
    uint64_t last; /* The highest sequence alive. */
    uint64_t records;
    uint64_t octets; /* Of their bodies. */
};

struct store_viewing {
    bool is_deep;
    void (*damage)(void *context, const char *row, const char *what);
    void *context;
    struct progress *progress;
};

struct store_view {
    struct store *store; /* During store_view_read, and so is `how`. */
    const struct store_viewing *how;
    struct view_queue **queues; /* In the order of their rows: by virtual host and name. */
    size_t queue_count;
    size_t queue_capacity;
    struct map logs; /* Of view_log, by their ids. */
    uint64_t exchanges;
    uint64_t bindings;
    struct store_facts facts;
};

/* Reads all of it. False if something is damaged; the rest has been read nevertheless. Release it
 * with store_view_fini in any case. */
bool store_view_read(struct store_view *v, struct store *store, const struct store_viewing *how);

/* The queue of a log; NULL if there is none. */
struct view_queue *store_view_queue(const struct store_view *v, uint64_t log);

/* Whether a record is one that a start can read. */
bool store_view_record(void *context, struct bytes record);

void store_view_fini(struct store_view *v);

#endif
