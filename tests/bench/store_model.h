#ifndef TESTS_BENCH_STORE_MODEL_H
#define TESTS_BENCH_STORE_MODEL_H

/*
 * A model of the store for measuring it: a journal with one row a round, and chunks into which old
 * rounds are relocated. Rows are as in persistence/rows.h, with records of one size. Which log and
 * sequence a record has follows from its ordinal: publishers take turns over the logs. The caller
 * is the committer; everything is called from its thread. An error of RocksDB ends the process.
 */

#include "broker/base/buf.h"

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#define RECORD_HEAD_SIZE 32u
#define RECORD_SIZE (RECORD_HEAD_SIZE + 100u)
#define ROW_HEAD_SIZE 24u
#define ROUNDS (1u << 18) /* More than ever are in the journal. */
#define RUN_SIZE 20u      /* A settlement in the journal: log(8) first(8) count(4). */

struct settings {
    uint64_t messages, logs, round_min, round_max, settle_after, stuck_every, sync;
    uint64_t journal_mb, floor_mb, step_kb, slice_kb, chunk_kb, thread, from_disk, families;
    uint64_t chunk_rows, cut_range, drain, flush_mb, kill_at, buffer_mb, buffers, wal_mb, trace;
    char journal_options[256], chunk_options[256];
};

enum drain { DRAIN_NONE, DRAIN_SINGLE, DRAIN_RANGE };

struct round {
    uint64_t number;
    uint64_t ordinal; /* Of its first message. */
    uint64_t bytes;
    uint64_t *settled; /* One bit a record. */
    uint8_t *value;    /* NULL: only on disk. */
    uint32_t records;  /* Where in the value they start. */
    uint32_t count;
    uint32_t alive;
};

/* Rounds first to last - 1 on their way into chunks. */
struct step {
    uint64_t first;
    uint64_t last;
    const uint8_t **records; /* Alive, by log and then by sequence. */
    uint32_t *ends;          /* Of each log among them. */
    uint32_t count;
    uint32_t at; /* What is before is in chunks. */
    uint64_t log;
    uint8_t **loaded; /* Values that were read back. */
    uint32_t loaded_count;
};

struct store {
    const struct settings *set;
    const char *directory;
    rocksdb_t *db;
    rocksdb_options_t *options[3];
    rocksdb_column_family_handle_t *families[3];
    rocksdb_writeoptions_t *synced, *unsynced;
    rocksdb_readoptions_t *reading;
    rocksdb_writebatch_t *batch;
    struct round *rounds; /* Ring of ROUNDS. */
    uint64_t *tails;      /* Of each log: the first sequence that is in no chunk. */
    uint64_t oldest, next;
    uint64_t published;
    uint64_t journal_bytes, wal_bytes, chunks, chunk_bytes, steps, relocated;
    uint64_t alive; /* In the journal. */
    struct buf spare;
    struct buf chunk;
    struct step step;
    /* The relocating thread: `wanted` passes the step to it, `done` back. */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stepping, wanted, done, stop;
    float *latencies; /* Of each round, ms. */
    size_t latency_count, latency_room;
};

struct key {
    char octets[25];
    size_t size;
};

/* Ends the process. */
noreturn void fail(const char *why);

/* Ends the process if there is an error. */
void check(const char *error);

/* A key is its kind and up to three numbers. */
struct key key_of(char kind, size_t count, const uint64_t *numbers);
#define KEY(kind, ...)                                                                             \
    key_of(kind, sizeof((uint64_t[]){ __VA_ARGS__ }) / 8, (uint64_t[]){ __VA_ARGS__ })

/* The column family of rows of that kind. */
rocksdb_column_family_handle_t *family_of(const struct store *s, char kind);

void put(const struct store *s, rocksdb_writebatch_t *batch, struct key k, const void *data,
         size_t size);
void single_delete(const struct store *s, rocksdb_writebatch_t *batch, struct key k);
void delete_range(const struct store *s, rocksdb_writebatch_t *batch, struct key from,
                  struct key to);

/* Writes and clears the batch. */
void write_batch(struct store *s, rocksdb_writebatch_t *batch, const rocksdb_writeoptions_t *how);

/* Fills in the head; `size` counts it. */
void row_finish(uint8_t *row, size_t size, uint64_t count);

bool row_is_sound(const uint8_t *row, size_t size);

struct round *round_at(const struct store *s, uint64_t number);

/* The next round with its messages and what is settled now; its row is in `value`. */
struct round *round_start(struct store *s, struct buf *value);

/* Publishes a round, cuts and relocates what is due, and writes it. */
void round_commit(struct store *s);

/* Opens or creates the store; `s` stays where it is. */
void store_open(struct store *s, const struct settings *set, const char *directory);

/* Waits for the relocating thread. The process ends soon, so memory is left to it. */
void store_close(struct store *s);

#endif
