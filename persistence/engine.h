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
    uint64_t number; /* From 1, without holes. */
    const struct effect *effects;
    size_t effect_count;
    uint64_t bytes; /* Of all payloads. */
};

struct engine;

/* Called once a round, in order, from any thread. */
typedef void engine_done(void *context, uint64_t round_number, enum round_outcome outcome);

struct engine_ops {
    /* The effects stay valid until the call returns; the outcome may come later, through the
     * engine_done given at creation. Called from the committer's thread only. */
    void (*submit)(struct engine *engine, const struct round *round);
    /* No submit follows; outcomes still due have been reported when this returns. */
    void (*destroy)(struct engine *engine);
};

/* The first member of every engine. `done` and `done_context` are set by the door. */
struct engine {
    const struct engine_ops *ops;
    engine_done *done;
    void *done_context;
};

/* An engine that keeps nothing: it reports each round as committed `delay_ms` milliseconds after it
 * was submitted. For a broker without durable storage, and for tests that want commits late. */
struct engine *engine_memory_create(uint64_t delay_ms);

#endif
