#ifndef PERSISTENCE_ENGINE_CLEAN_H
#define PERSISTENCE_ENGINE_CLEAN_H

/*
 * Getting room back from RocksDB, which by itself keeps what is dead until enough of it has come
 * together: far too late on a disk that is short. See space.h, which decides when.
 */

#include "persistence/engine.h"

/* Writes the memtable as a table, in which what is dead is missing, so that the log goes; and
 * compacts the tables of a small store, or has those of a large one compacted in the background.
 * `engine` is one of engine_local_open. Called on the committer's thread; needs as much room as the
 * log is long, and has `room` octets beyond that. False if that was too little for all of it. */
bool engine_local_clean(struct engine *engine, uint64_t room);

#endif
