#ifndef PERSISTENCE_STORE_H
#define PERSISTENCE_STORE_H

/*
 * A store that no process writes, opened to be looked at and not changed: for people who want to
 * know what is in it and whether it is sound. It lies in a data directory, with its witness beside
 * it. What a running broker's store holds is seen through a checkpoint, a data directory with
 * copies of both as of one moment, which shares the tables.
 *
 * Looking reads the rows with the functions that start-up reads them with, but goes on behind what
 * is damaged. Owner: the caller; one thread.
 */

#include "broker/base/progress.h"
#include "persistence/door.h"
#include "persistence/engine.h"

struct store;

/* NULL with a line for people. Writes nothing, not even a lock: see store_lock. */
struct store *store_open(const char *data_dir, char *problem, size_t problem_size);

/* The same for a store that start-up refuses: row F may be lost, or not tell of the newest start.
 */
struct store *store_open_damaged(const char *data_dir, char *problem, size_t problem_size);

struct store_files_look {
    /* Once a file: its name, and what is wrong with it. */
    void (*damage)(void *context, const char *file, const char *what);
    void *context;
};

/* Whether the write-ahead logs can be read to their ends. Behind a place that cannot, RocksDB reads
 * nothing. */
bool store_logs_are_sound(const char *data_dir, const struct store_files_look *look);

/* Whether the manifest, of which RocksDB drops a damaged end, tells of all tables of a store that
 * lacks something. */
bool store_tables_are_known(struct store *store, const struct store_files_look *look);

/* Makes the data directory `copy` of the files of a store that is damaged, sharing the tables where
 * that can be. Its logs have all records that are sound. False with a line for people. */
bool store_copy_mended(const char *data_dir, const char *copy, struct progress *progress,
                       char *problem, size_t problem_size);

/* For such a copy that RocksDB still does not open, because a file is missing or cannot be read:
 * has RocksDB make of it what it can. Rows that had been deleted may be there again. False with a
 * line for people. */
bool store_repair(const char *copy, char *problem, size_t problem_size);

void store_close(struct store *store);

struct store_facts {
    uint32_t format;
    uint64_t epoch;
    uint64_t journal_rows;
    uint64_t journal_bytes;
    uint64_t chunks;
    uint64_t definitions;
    uint64_t logs;    /* With records alive. */
    uint64_t records; /* Alive. */
    uint64_t rows;    /* That were read. */
    uint64_t damaged; /* Findings. */
};

struct store_log {
    uint64_t log;
    uint64_t first; /* Lowest and highest sequence alive. */
    uint64_t last;
    uint64_t records; /* Alive; above 0. */
    uint64_t weight;  /* Of these. */
};

struct store_walk {
    bool is_deep; /* Reads chunks as well, and has all records judged. */
    /* False if the octets are not sound. All definitions come before all else. */
    bool (*definition)(void *context, struct bytes key, struct bytes row);
    /* The same for a record, in deep walks. */
    bool (*record)(void *context, struct bytes record);
    /* What is alive; after the rows. False if there is no queue that it belongs to. */
    bool (*log)(void *context, const struct store_log *log);
    /* Once a finding: the row's name and what is wrong with it. */
    void (*damage)(void *context, const char *row, const char *what);
    void *context;
    struct progress *progress; /* May be NULL. */
};

/* Goes through all rows. False if something is damaged; it has been told of then. */
bool store_walk(struct store *store, const struct store_walk *walk, struct store_facts *facts);

/* Whether the id is one that the store may have given to a log. */
bool store_has_given_log(const struct store *store, uint64_t log);

struct store_salvage {
    /* Whether this definition, which can be read, shall be kept. */
    bool (*keeps)(void *context, struct bytes key, struct bytes row);
    /* Whether the octets of a record are sound. */
    bool (*record)(void *context, struct bytes record);
    /* Whether there is a queue that the log belongs to. */
    bool (*has_queue)(void *context, uint64_t log);
    /* Puts definitions that must be there and are not. */
    void (*complete)(void *context, struct door *door);
    /* Of some of the records that are alive in a log so many are kept, and so many are not. */
    void (*saved)(void *context, uint64_t log, uint64_t kept, uint64_t lost);
    void *context;
    struct progress *progress; /* May be NULL. */
};

/* Writes what can be read of a store that has been walked into a new one, in the data directory
 * `to`, which must be there and empty. Sequences and logs keep their numbers. False with a line for
 * people if the new one cannot be written. */
bool store_salvage(struct store *store, const char *to, const struct store_salvage *salvage,
                   char *problem, size_t problem_size);

/* Makes a checkpoint of what `engine`, a local one, has committed: `directory`, which must not
 * exist; after a failure it may be there in part. Any thread, while the engine runs. False with a
 * line for people. */
bool engine_local_checkpoint(struct engine *engine, const char *directory, char *problem,
                             size_t problem_size);

#endif
