#ifndef PERSISTENCE_ENGINE_LOCAL_H
#define PERSISTENCE_ENGINE_LOCAL_H

/*
 * The inside of the engine that keeps rounds in RocksDB: shared by engine_local.c (opening),
 * engine_commit.c (rounds), engine_relocate.c (keeping the journal short), engine_read.c (giving
 * records back), engine_tidy.c (giving space back), engine_reopen.c (going on after the disk was
 * full) and engine_recover.c (start-up).
 *
 * A round becomes one or more journal rows. The journal is cut at its old end as soon as nothing in
 * the oldest row is alive: in the ordinary case a message costs its octets in one row and nothing
 * else. When the journal grows beyond its limit, what is alive in its oldest rows is relocated into
 * chunks, one log's records back to back, and the rows are cut. All writing happens on the
 * committer's thread, in write batches of the round that is being committed anyway.
 *
 * engine_witness.c compares the store with its witness (witness.h) before it is opened for writing,
 * and tells the witness what has been synced.
 */

#include "broker/base/lock.h"
#include "persistence/engine.h"
#include "persistence/rows.h"
#include "persistence/wal_ahead.h"
#include "persistence/witness.h"

#include <rocksdb/c.h>

struct engine_tidy;

struct engine_local {
    struct engine engine;
    struct engine_tidy *tidy; /* NULL until records are recovered. */
    struct rwlock opened;     /* Held for reading by whoever uses `db` on another thread than the
                               * committer's, before `lock`: the committer may open it again. */
    rocksdb_t *db;            /* NULL: it could not be opened again. */
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *synced;
    rocksdb_writeoptions_t *unsynced;
    rocksdb_readoptions_t *reading;
    char directory[4224];

    /* The committer's. */
    rocksdb_writebatch_t *batch; /* Used again and again. */
    uint64_t batch_bytes;
    struct row_builder building; /* The journal row that is being put together. */
    uint64_t newest_row;         /* Its number. */
    uint64_t next_row;
    uint64_t generation; /* Of the chunks written last. */
    uint64_t journal_bytes_max;
    uint64_t dead_chunks_bytes_max;
    bool failed;
    bool is_reopening;
    struct wal_ahead ahead;

    char witness_path[4232];
    struct witness *witness;
    struct witness_state state; /* What the store holds, as the witness would tell it. */
    struct map definitions;     /* Of known_definition. */
    bool witness_begun;

    /* Readers on other threads and the committer, when it changes what they look at. A leaf: no
     * other lock is taken under it. */
    struct lock lock;
    pthread_cond_t written_changed;
    uint64_t written; /* Batches. */
    bool is_writing;  /* The index is ahead of what is written. */
    bool unreadable;  /* Nothing will be written any more. */
    struct log_index index;
};

/* Applies a stored effect to the index: the one function for running and for start-up. `at` is
 * where the payload begins in the content of its row. False if it makes no sense. Rows of chunks
 * that end with their log are deleted in the batch. */
bool engine_apply(struct engine_local *e, const struct stored_effect *effect, uint32_t at,
                  struct journal_row *row);

/* Adds to the batch what shortens the journal, and writes it whenever it is large. False if
 * something could not be read or written. */
bool engine_shorten(struct engine_local *e);

/* Whether the disk has room for so much, written to the log and once more to tables, and then some.
 * What moves records or merges files waits for that: rounds have their room seen to (space.h), and
 * meeting a full disk would be the end of the store. Any thread. */
bool engine_has_room(const struct engine_local *e, uint64_t bytes);

enum row_found {
    ROW_THERE,
    ROW_MISSING,
    ROW_UNREADABLE, /* It has been logged why. */
};

/* Reads a row. If it is there, release it with rocksdb_pinnableslice_destroy. Any thread. */
enum row_found engine_get(struct engine_local *e, const struct key *key,
                          rocksdb_pinnableslice_t **slice, struct bytes *out);

/* Finds the payload of a segment in its row, which has been read. False if the row is not sound or
 * does not hold it. */
bool engine_find_payload(const struct segment *s, struct bytes row, struct bytes *payload);

/* The row a segment lies in. */
struct key engine_key_of_segment(const struct segment *s);

/* Logs that a row is damaged, and what to do. */
void engine_log_damage(const struct key *key);

/* Starts the thread that gives space back in the store's directory. */
struct engine_tidy *engine_tidy_start(struct engine_local *e, const char *directory);
void engine_tidy_stop(struct engine_tidy *t);

/* Before anything is made in the store's directory: locks the witness. False, with a line for
 * people, if another process has it, or if the store is only just being restored. */
bool engine_witness_lock(struct engine_local *e, char *problem, size_t problem_size);

/* Before the store is opened, and behind engine_witness_lock: false, with a line for people, if it
 * holds less than its witness tells. Such a store is left as it is. */
bool engine_witness_open(struct engine_local *e, char *problem, size_t problem_size);

/* The same for one who only looks: the store is open for reading, its witness is not. Touches
 * neither. */
bool engine_witness_compare(struct engine_local *e, char *problem, size_t problem_size);

/* When all is loaded: from now on the witness is told. False if it cannot be written. */
bool engine_witness_begin(struct engine_local *e, char *problem, size_t problem_size);

/* A definition is put (or, without a row, deleted) under this key of the store. */
void engine_witness_definition(struct engine_local *e, struct bytes key, const struct bytes *row);

/* The row that tells of a chunk is new, or goes. */
void engine_witness_chunk(struct engine_local *e, const struct key *row_key, bool is_there);

/* All that has been written is on disk. */
void engine_witness_tell(struct engine_local *e);

void engine_witness_close(struct engine_local *e);

/* What RocksDB says when it opens a store, and what to do about it. */
void engine_explain_open_error(const char *directory, const char *error, char *problem,
                               size_t problem_size);

/* Writes the batch, and with `sync` all before it; false if that failed, which has been logged, and
 * is final. Waits while the disk is full, see engine_reopen.c. */
bool engine_write_batch(struct engine_local *e, bool sync);

/* Whether the error is a full disk, met while writing: then it is not final. */
bool engine_is_out_of_room(const char *error);

/* The batch could not be written: closes the store and opens it again when there is room, until the
 * batch is in it. False if that cannot be, or if it is not to be waited for any longer. */
bool engine_write_when_room(struct engine_local *e, bool sync);

void batch_put(struct engine_local *e, const struct key *key, struct bytes value);
void batch_delete(struct engine_local *e, const struct key *key);
void batch_single_delete(struct engine_local *e, const struct key *key);

void engine_local_submit(struct engine *engine, const struct round *round);
bool engine_local_read(struct engine *engine, const struct log_reading *reading);

#endif
