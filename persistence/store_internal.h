#ifndef PERSISTENCE_STORE_INTERNAL_H
#define PERSISTENCE_STORE_INTERNAL_H

/*
 * The inside of a store that is looked at: opening it (store.c), or a copy that is mended first
 * (store_mend.c), going through its rows one kind after another (store_scan.c) and judging them
 * (store_walk.c). One thread.
 */

#include "persistence/engine_local.h"
#include "persistence/store.h"

struct store {
    struct engine_local reader; /* Without its engine: the index, and what reading needs. */
    uint32_t format;
    uint64_t epoch;
    bool has_lost_format; /* They are what others tell of them: the journal, or the witness. */
};

/* For RocksDB, which then changes nothing. */
rocksdb_options_t *store_reading_options(void);

/* A row's key as a number that one can count on from; longer keys are cut. */
#define POSITION_SIZE 33u

/* The rows of one kind, in order. Behind octets that the disk has lost it goes on where it can. */
struct scan {
    struct store *store;
    rocksdb_iterator_t *iterator;
    char kind;
    bool has_gap;   /* Rows before this one could not be read. */
    bool has_ended; /* Nor can any behind. */
    uint8_t last[POSITION_SIZE];
    size_t last_size;
    void (*gap)(void *context, const char *row, const char *what);
    void *context;
};

/* `gap` is told of what cannot be read. */
void scan_start(struct scan *s, struct store *store, char kind,
                void (*gap)(void *context, const char *row, const char *what), void *context);

/* The row the scan stands at; false at the end of its kind. Valid until scan_next. */
bool scan_get(struct scan *s, struct bytes *key, struct bytes *row);
void scan_next(struct scan *s);
void scan_finish(struct scan *s);

#define ROW_NAME_SIZE 256

/* What people call a row: its kind, and the rest of its key. */
void row_name(struct bytes key, char name[ROW_NAME_SIZE]);

#endif
