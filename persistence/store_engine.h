#ifndef PERSISTENCE_STORE_ENGINE_H
#define PERSISTENCE_STORE_ENGINE_H

/*
 * An engine that holds what a store holds that no process writes, and takes rounds without keeping
 * them: behind it a broker can be set up as a start would set it up, to be looked at, and nothing
 * on disk changes. Damage is found as store_walk finds it. Owner: the door, or whoever has opened
 * it.
 */

#include "persistence/engine.h"

/* The store of the data directory, which store_lock keeps brokers out of. NULL with a line for
 * people. Records are not read: its ops have no `read`. */
struct engine *store_engine_open(const char *data_dir, char *problem, size_t problem_size);

#endif
