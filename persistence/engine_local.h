#ifndef PERSISTENCE_ENGINE_LOCAL_H
#define PERSISTENCE_ENGINE_LOCAL_H

/*
 * The inside of the engine that keeps rounds in RocksDB: shared by engine_local.c (opening,
 * committing), engine_relocate.c (keeping the journal short) and engine_recover.c (start-up).
 *
 * A round becomes one journal row. The journal is cut at its old end as soon as nothing in the
 * oldest round is alive: in the ordinary case a message costs its octets in one row and nothing
 * else. When the journal grows beyond its limit, what is alive in its oldest rounds is relocated
 * into chunks, one log's records back to back, and the rounds are cut. All of that happens on the
 * committer's thread, in the batch of the round that is being written anyway.
 */

#include "persistence/engine.h"
#include "persistence/rows.h"

#include <rocksdb/c.h>

struct engine_local {
    struct engine engine;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *synced;
    rocksdb_writeoptions_t *unsynced;
    rocksdb_readoptions_t *reading;
    rocksdb_writebatch_t *batch; /* Used again for each round. */
    struct log_index index;
    struct buf row;
    uint64_t previous; /* The journal's newest round. */
    uint64_t journal_bytes_max;
    bool failed;
};

/* Applies a stored effect to the index: the one function for running and for start-up. False if it
 * makes no sense. Rows of chunks that end with their log are deleted in `batch`, if there is one.
 */
bool engine_apply(struct engine_local *e, const struct stored_effect *effect,
                  struct journal_round *round);

/* Adds to the batch what shortens the journal. False if something could not be read. */
bool engine_shorten(struct engine_local *e, uint64_t round_number);

enum row_found {
    ROW_THERE,
    ROW_MISSING,
    ROW_UNREADABLE, /* It has been logged why. */
};

/* Reads a row. If it is there, release it with rocksdb_pinnableslice_destroy. */
enum row_found engine_get(struct engine_local *e, const struct key *key,
                          rocksdb_pinnableslice_t **slice, struct bytes *out);

void batch_put(struct engine_local *e, const struct key *key, struct bytes value);
void batch_delete(struct engine_local *e, const struct key *key);
void batch_single_delete(struct engine_local *e, const struct key *key);

#endif
