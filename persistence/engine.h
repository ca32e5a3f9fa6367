#ifndef PERSISTENCE_ENGINE_H
#define PERSISTENCE_ENGINE_H

/*
 * A commit engine takes rounds, in order, and says later, in the same order, what became of them.
 * It stands behind the door (door.h), which is its only caller. A round is a run of effects without
 * conditions, clock or read-modify-write: applying it twice leaves what applying it once leaves,
 * and its number, written with it, tells whether it has been applied. The same rounds could be
 * shipped to another node.
 */

#include "broker/base/bytes.h"

#include <stdint.h>

enum round_outcome {
    ROUND_COMMITTED,
    ROUND_UNKNOWN, /* It may or may not be there after a restart. Nothing may be confirmed for it.
                    */
};

struct round {
    uint64_t number; /* Consecutive from the engine's first_round. */
    const struct effect *effects;
    size_t effect_count;
    uint64_t bytes; /* Of all payloads. */
    bool sync;      /* It and all before it must survive a loss of power when it is done. A round
                     * without effects is for that alone. */
};

struct engine;

/* Called once a round, in order, from any thread. */
typedef void engine_done(void *context, uint64_t round_number, enum round_outcome outcome);

/* Called on the committer's thread, within submit, by an engine that has met a full disk and can
 * try again: comes back when that is worth it. `attempt` counts from 0 within a round. False: it
 * shall not try again, and the outcome is unknown. */
typedef bool engine_await_room(void *context, unsigned attempt);

/* Gets a record that is alive; the octets are borrowed for the call. False: enough. */
typedef bool log_visit(void *context, uint64_t sequence, struct bytes record);

struct log_reading {
    uint64_t log;
    uint64_t from; /* The lowest sequence wanted. */
    uint64_t to;   /* The highest. */
    log_visit *visit;
    void *context;
};

struct recovery;

struct engine_ops {
    /* The effects stay valid until the call returns; the outcome may come later, through the
     * engine_done given at creation. Called from the committer's thread only. */
    void (*submit)(struct engine *engine, const struct round *round);
    /* Visits the records of a log that are alive, in order of sequence. False, after a line in the
     * log, if one of them cannot be read; those before it have been visited. Any thread
     * but the committer's; not while destroy runs. */
    bool (*read)(struct engine *engine, const struct log_reading *reading);
    /* Tells what is alive, before the engine is used for anything else. False with a line for
     * people if something is damaged: nothing is skipped silently. */
    bool (*recover)(struct engine *engine, const struct recovery *recovery, char *problem,
                    size_t problem_size);
    /* No submit follows; outcomes still due have been reported when this returns. */
    void (*destroy)(struct engine *engine);
};

/* The first member of every engine. `done`, `await_room` and `done_context` are set by the door. */
struct engine {
    const struct engine_ops *ops;
    engine_done *done;
    engine_await_room *await_room;
    void *done_context;
    uint64_t first_round; /* Above all rounds of earlier runs. */
    uint64_t first_log;   /* Above all log ids, and sequences of records, of earlier runs. */
};

/* What is alive of a log. */
struct log_summary {
    uint64_t log;
    uint64_t first; /* Lowest and highest sequence. */
    uint64_t last;
    uint64_t count;  /* Above 0. */
    uint64_t weight; /* The sum of the records' weights. */
};

/* What a store holds at start-up, in this order: definitions, then a summary of each log that has
 * records. The octets are borrowed for the call. */
struct recovery {
    void (*definition)(void *context, struct bytes key, struct bytes row);
    void (*log)(void *context, const struct log_summary *summary);
    void *context;
};

/* The engine that keeps rounds in RocksDB, in `directory`, which only one process may use. NULL
 * with a line for people in `problem`. */
struct engine *engine_local_open(const char *directory, char *problem, size_t problem_size);

/* The journal may grow to this, if that is less than it may anyway, before what is alive in it
 * moves. Before the first round. */
void engine_local_set_journal_bytes(struct engine *engine, uint64_t bytes_max);

/* What recover of its ops does, without reading records that lie in chunks: it takes no longer for
 * a deep backlog. */
bool engine_local_recover(struct engine *engine, const struct recovery *recovery, char *problem,
                          size_t problem_size);

#endif
