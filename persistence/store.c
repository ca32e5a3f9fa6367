#include "persistence/store.h"

#include "broker/base/endian.h"
#include "broker/base/fault.h"
#include "broker/base/mem.h"
#include "persistence/store_files.h"
#include "persistence/store_internal.h"
#include "persistence/witness.h"

#include <stdio.h>
#include <stdlib.h>

/* RocksDB's log goes nowhere: it would be made in the store's directory, by whoever looks. */
#define NO_DIRECTORY "/proc/self/none"

rocksdb_options_t *
store_reading_options(void)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_db_log_dir(o, NO_DIRECTORY);
    rocksdb_options_set_paranoid_checks(o, 1);
    rocksdb_options_set_wal_recovery_mode(o, rocksdb_point_in_time_recovery);
    rocksdb_options_set_max_open_files(o, 256);
    rocksdb_options_set_info_log_level(o, 4);
    return o;
}

static bool
read_format(struct store *store, char *problem, size_t problem_size)
{
    struct engine_local *e = &store->reader;
    const struct key key = { .octets = { 'F' }, .size = 1 };
    rocksdb_pinnableslice_t *slice = NULL;
    struct bytes row;
    const enum row_found found = engine_get(e, &key, &slice, &row);
    const bool sound = found == ROW_THERE && format_row_decode(row, &store->format, &store->epoch);
    if (found == ROW_THERE)
        rocksdb_pinnableslice_destroy(slice);
    if (sound && store->format == STORE_FORMAT)
        return true;
    if (sound)
        snprintf(problem, problem_size,
                 "the store in %s has format %u, this program reads %u; use the program that wrote "
                 "it",
                 e->directory, store->format, STORE_FORMAT);
    else
        snprintf(problem, problem_size,
                 "the store in %s is damaged at row F, or is not a store of this program",
                 e->directory);
    return false;
}

/* The newest row of the journal is always kept, and its number has the epoch. */
static uint64_t
epoch_of_journal(struct store *store)
{
    size_t size = 0;
    uint64_t epoch = 0;
    rocksdb_iterator_t *it = rocksdb_create_iterator(store->reader.db, store->reader.reading);
    rocksdb_iter_seek_for_prev(it, "K", 1);
    const char *key = rocksdb_iter_valid(it) ? rocksdb_iter_key(it, &size) : NULL;
    if (key != NULL && size == 9 && key[0] == 'J')
        epoch = load_be64((const uint8_t *)key + 1) >> EPOCH_SHIFT;
    rocksdb_iter_destroy(it);
    return epoch;
}

/* Row F may be lost, or only what the newest start wrote into it: numbers that were given since
 * would be taken for damage, and given again. */
static bool
find_epoch(struct store *store)
{
    struct witness_state told;
    const uint64_t format_epoch = store->epoch;
    const uint64_t journal_epoch = epoch_of_journal(store);
    if (store->epoch < journal_epoch)
        store->epoch = journal_epoch;
    if (witness_peek(store->reader.witness_path, &told) == WITNESS_TELLS &&
        store->epoch < told.epoch)
        store->epoch = told.epoch;
    store->has_lost_format = store->format == 0 || store->epoch > format_epoch;
    store->format = STORE_FORMAT;
    return store->epoch > 0;
}

static bool
read_damaged_format(struct store *store, char *problem, size_t problem_size)
{
    const bool is_read = read_format(store, problem, problem_size);
    const bool is_other = !is_read && store->format != 0;
    return !is_other && find_epoch(store);
}

static struct store *
open_store(const char *data_dir, bool is_damaged, char *problem, size_t problem_size)
{
    struct store *store = mem_alloc_zeroed(sizeof(*store));
    struct engine_local *e = &store->reader;
    char *error = NULL;
    snprintf(e->directory, sizeof(e->directory), "%s/store", data_dir);
    snprintf(e->witness_path, sizeof(e->witness_path), "%s/witness", data_dir);
    e->options = store_reading_options();
    e->reading = rocksdb_readoptions_create();
    e->batch = rocksdb_writebatch_create(); /* Never written. */
    rocksdb_readoptions_set_fill_cache(e->reading, 0);
    rocksdb_readoptions_set_verify_checksums(e->reading, 1);
    log_index_init(&e->index);
    e->db = rocksdb_open_for_read_only(e->options, e->directory, 0, &error);
    if (e->db == NULL)
        engine_explain_open_error(e->directory, error, problem, problem_size);
    rocksdb_free(error);
    if (e->db != NULL && (is_damaged ? read_damaged_format(store, problem, problem_size)
                                     : read_format(store, problem, problem_size)))
        return store;
    store_close(store);
    return NULL;
}

struct store *
store_open(const char *data_dir, char *problem, size_t problem_size)
{
    return open_store(data_dir, false, problem, problem_size);
}

struct store *
store_open_damaged(const char *data_dir, char *problem, size_t problem_size)
{
    return open_store(data_dir, true, problem, problem_size);
}

void
store_close(struct store *store)
{
    struct engine_local *e = &store->reader;
    log_index_fini(&e->index);
    rocksdb_writebatch_destroy(e->batch);
    rocksdb_readoptions_destroy(e->reading);
    if (e->db != NULL)
        rocksdb_close(e->db);
    rocksdb_options_destroy(e->options);
    mem_free(store);
}

bool
engine_local_checkpoint(struct engine *engine, const char *directory, char *problem,
                        size_t problem_size)
{
    struct engine_local *e = (struct engine_local *)engine;
    char store[sizeof(e->directory) + 16];
    char *error = NULL;
    /* The witness first: what it tells is in the store by then. */
    if (!store_files_start_copy(directory, e->witness_path, problem, problem_size))
        return false;
    FAULT_POINT("checkpoint.started");
    snprintf(store, sizeof(store), "%s/store", directory);
    rwlock_read(&e->opened);
    rocksdb_checkpoint_t *checkpoint =
        e->db == NULL ? NULL : rocksdb_checkpoint_object_create(e->db, &error);
    /* Write-ahead logs are copied, never flushed for it: most of what is in them is soon settled,
     * and a flush that finds the disk full would end the broker. */
    if (checkpoint != NULL && error == NULL)
        rocksdb_checkpoint_create(checkpoint, store, UINT64_MAX, &error);
    if (checkpoint != NULL)
        rocksdb_checkpoint_object_destroy(checkpoint);
    rwlock_read_end(&e->opened);
    FAULT_POINT("checkpoint.made");
    if (checkpoint != NULL && error == NULL)
        return true;
    snprintf(problem, problem_size, "no checkpoint of the store could be made: %s",
             error == NULL ? "the disk is full" : error);
    rocksdb_free(error);
    return false;
}
