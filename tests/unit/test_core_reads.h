#ifndef TESTS_UNIT_TEST_CORE_READS_H
#define TESTS_UNIT_TEST_CORE_READS_H

/*
 * An engine whose reading a test looks at: to do something else meanwhile, or to fail.
 */

#include "persistence/engine.h"

typedef bool engine_read(struct engine *engine, const struct log_reading *reading);

struct watched_reads {
    struct engine_ops ops; /* The engine's own, but for reading. */
    engine_read *sound;    /* The engine's. */
};

/* From now on `read` is called in place of the engine's. Before its door is made; the struct must
 * outlive the engine. */
static inline void
watch_reads(struct watched_reads *w, struct engine *engine, engine_read *read)
{
    w->ops = *engine->ops;
    w->sound = w->ops.read;
    w->ops.read = read;
    engine->ops = &w->ops;
}

#endif
