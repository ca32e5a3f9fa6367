#ifndef PERSISTENCE_DOOR_INTERNAL_H
#define PERSISTENCE_DOOR_INTERNAL_H

/*
 * The inside of the door: what is pushed and asked for (door.c), and the thread that takes rounds
 * and commits them (committer.c).
 */

#include "broker/base/lock.h"
#include "persistence/door.h"
#include "persistence/gathering.h"

#include <pthread.h>
#include <stdatomic.h>

struct effects {
    struct effect *items;
    size_t count;
    size_t capacity;
    uint64_t bytes;
    uint64_t records;
    bool frees; /* Settlements, or ends of logs and rows. */
};

struct committer_state;

struct door {
    struct engine *engine;
    door_notify *notify;
    void *context;
    uint64_t bytes_max;

    struct lock lock; /* The effects list's: guards what follows up to `stopping`. */
    pthread_cond_t wake;
    struct effects open;
    uint64_t round_open;    /* The round that what is pushed now goes into. */
    uint64_t open_since_ms; /* When the first effect came into it. */
    bool hurry;             /* Somebody waits for it: at once, and synced. */
    uint64_t gathered;      /* The committer sleeps until the round has so many records; or 0. */
    bool is_idle;           /* The committer sleeps until there is something to do. */
    bool is_expecting;      /* It has been woken because there soon will be. */
    bool stopping;
    bool gives_up; /* A round that has met a full disk is not tried again. Also if stopping. */
    struct space *space; /* NULL: there is always room. What it is used for is the committer's. */

    _Atomic uint64_t committed;
    _Atomic uint64_t bytes_pending;
    uint64_t round_bytes;                     /* Of the round at the engine; the committer's. */
    uint64_t round_began_ns;                  /* Likewise. */
    const struct committer_state *submitting; /* Likewise. */
    bool is_out_of_room;                      /* Likewise: the engine has met a full disk. */
    struct door_counters counters;
    _Atomic uint64_t next_log;
    atomic_bool failed;
    bool is_incomplete; /* The committer has ended with rounds that were not written. */
    pthread_t committer;
    struct committer_state *stepped; /* Instead of that thread: its owner's. */
};

/* What the committer knows between two rounds. */
struct committer_state {
    struct effects taken;
    uint64_t number;
    bool sync; /* Of the round that was taken. */
    struct space *space;
    struct gathering gathering;
    bool is_unsynced; /* Rounds have been committed since the last synced one. */
    uint64_t unsynced_since_ms;
};

/* Empties the list and keeps its array, unless a burst has made that large. */
void effects_clear(struct effects *list);

/* The thread; its argument is the door. */
void *committer_run(void *argument);

/* Takes the list and the round's number in one step; a round that only syncs may be empty. The
 * door's lock is held. */
void committer_take(struct door *door, struct committer_state *c, bool sync);

/* Hands the round that was taken to the engine. */
void committer_submit(struct door *door, struct committer_state *c);

/* What the engine calls, see engine.h; the context is the door. */
engine_done committer_round_done;
engine_await_room committer_await_room;

#endif
