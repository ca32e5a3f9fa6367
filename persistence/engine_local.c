#include "persistence/engine_local.h"

#include "broker/base/endian.h"
#include "broker/base/fault.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "persistence/rocksdb_crc32c.h"
#include "persistence/store_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define JOURNAL_BYTES_MAX (64u * 1024u * 1024u)
#define WRITE_BUFFER_BYTES (32u * 1024u * 1024u)
#define WRITE_BUFFER_BYTES_MIN (1024u * 1024u)
/* RocksDB allocates a whole log ahead and flushes only when the buffer is full; the journal may be
 * twice there while it moves. On a small file system they get at most these shares. */
#define WRITE_BUFFER_SHARE 64u
#define ROOM_MARGIN_BYTES (48u * 1024u * 1024u)
#define JOURNAL_SHARE 32u
#define BLOCK_CACHE_BYTES (8u * 1024u * 1024u)
#define DEAD_CHUNKS_BYTES_MAX (16u * 1024u * 1024u)

static void
engine_local_destroy(struct engine *engine)
{
    struct engine_local *e = (struct engine_local *)engine;
    if (e->tidy != NULL)
        engine_tidy_stop(e->tidy);
    log_index_fini(&e->index);
    buf_fini(&e->building.row);
    pthread_cond_destroy(&e->written_changed);
    lock_fini(&e->lock);
    rwlock_fini(&e->opened);
    rocksdb_writebatch_destroy(e->batch);
    rocksdb_readoptions_destroy(e->reading);
    rocksdb_writeoptions_destroy(e->synced);
    rocksdb_writeoptions_destroy(e->unsynced);
    /* After a failed write RocksDB's closing would touch the broken file again, and assert. The
     * process is about to end; what was committed is on disk. */
    if (e->db != NULL && !e->failed)
        rocksdb_close(e->db);
    engine_witness_close(e);
    wal_ahead_fini(&e->ahead);
    if (e->options != NULL)
        rocksdb_options_destroy(e->options);
    mem_free(e);
}

void
engine_local_set_journal_bytes(struct engine *engine, uint64_t bytes_max)
{
    struct engine_local *e = (struct engine_local *)engine;
    if (bytes_max < e->journal_bytes_max)
        e->journal_bytes_max = bytes_max;
}

static const struct engine_ops engine_local_ops = {
    .submit = engine_local_submit,
    .read = engine_local_read,
    .recover = engine_local_recover,
    .destroy = engine_local_destroy,
};

/* At most that share of the file system of the directory, which is made if it is missing. */
static uint64_t
share_of_disk(const char *directory, uint64_t share, uint64_t most)
{
    struct statvfs status;
    mkdir(directory, 0750); /* If it fails, opening tells why. */
    if (statvfs(directory, &status) != 0)
        return most;
    const uint64_t part = (uint64_t)status.f_blocks * status.f_frsize / share;
    if (part >= most)
        return most;
    return part < WRITE_BUFFER_BYTES_MIN ? WRITE_BUFFER_BYTES_MIN : part;
}

bool
engine_has_room(const struct engine_local *e, uint64_t bytes)
{
    struct statvfs status;
    return statvfs(e->directory, &status) == 0 &&
           (uint64_t)status.f_bavail * status.f_frsize > 2 * bytes + ROOM_MARGIN_BYTES;
}

static rocksdb_options_t *
make_options(const char *directory)
{
    const uint64_t write_buffer = share_of_disk(directory, WRITE_BUFFER_SHARE, WRITE_BUFFER_BYTES);
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(BLOCK_CACHE_BYTES);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_block_size(table, 16384);
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_cache_destroy(cache);
    rocksdb_block_based_options_destroy(table);
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_write_buffer_size(o, write_buffer);
    rocksdb_options_set_max_write_buffer_number(o, 2);
    rocksdb_options_set_max_total_wal_size(o, 3 * write_buffer);
    rocksdb_options_set_compression(o, rocksdb_no_compression);
    rocksdb_options_set_allow_concurrent_memtable_write(o, 0);
    rocksdb_options_set_paranoid_checks(o, 1);
    /* What follows the first torn or damaged record is cut. Whether it had been confirmed is known
     * by the witness alone. */
    rocksdb_options_set_wal_recovery_mode(o, rocksdb_point_in_time_recovery);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_max_open_files(o, 256);
    rocksdb_options_set_keep_log_file_num(o, 2);
    /* Only what is fatal: on a full disk its log fails, and logging again then asserts. */
    rocksdb_options_set_info_log_level(o, 4);
    return o;
}

static bool
is_empty(struct engine_local *e)
{
    rocksdb_iterator_t *i = rocksdb_create_iterator(e->db, e->reading);
    char *error = NULL;
    rocksdb_iter_seek_to_first(i);
    rocksdb_iter_get_error(i, &error);
    const bool empty = error == NULL && !rocksdb_iter_valid(i);
    rocksdb_free(error);
    rocksdb_iter_destroy(i);
    return empty;
}

/* The epoch of the run before; 0 in a new store. A store without one is not taken for new unless it
 * is empty: numbers would be used again. */
static bool
read_epoch(struct engine_local *e, const struct key *key, uint64_t *epoch, char *problem,
           size_t problem_size)
{
    rocksdb_pinnableslice_t *slice = NULL;
    struct bytes row;
    uint32_t version = 0;
    const enum row_found found = engine_get(e, key, &slice, &row);
    *epoch = 0;
    if (found == ROW_MISSING && is_empty(e))
        return true;
    const bool sound = found == ROW_THERE && format_row_decode(row, &version, epoch);
    if (found == ROW_THERE)
        rocksdb_pinnableslice_destroy(slice);
    if (sound && version == STORE_FORMAT)
        return true;
    if (sound)
        snprintf(problem, problem_size,
                 "the store has format %u, this program reads %u; use the program that wrote it",
                 version, STORE_FORMAT);
    else
        snprintf(problem, problem_size,
                 "the store is damaged at row F, or is not a store of this program: " STORE_ADVICE
                 "; or move the data directory away");
    return false;
}

/* Every start takes a new epoch, on disk before anything else: numbers are never used again. */
static bool
take_epoch(struct engine_local *e, char *problem, size_t problem_size)
{
    const struct key key = { .octets = { 'F' }, .size = 1 };
    uint64_t epoch;
    if (!read_epoch(e, &key, &epoch, problem, problem_size))
        return false;
    struct buf row = { 0 };
    format_row_encode(++epoch, &row);
    batch_put(e, &key, buf_bytes(&row));
    buf_fini(&row);
    if (!engine_write_batch(e, true)) {
        snprintf(problem, problem_size, "the store cannot be written; see the log line before");
        return false;
    }
    e->engine.first_round = epoch << EPOCH_SHIFT | 1;
    e->engine.first_log = epoch << EPOCH_SHIFT | 1;
    e->next_row = epoch << EPOCH_SHIFT | 1;
    e->generation = epoch << EPOCH_SHIFT;
    return true;
}

void
engine_explain_open_error(const char *directory, const char *error, char *problem,
                          size_t problem_size)
{
    /* What RocksDB says of a lock means nothing to people. */
    if (strstr(error, "While lock file") != NULL || strstr(error, "lock hold by") != NULL)
        snprintf(problem, problem_size,
                 "the store in %s cannot be locked: another process uses it; stop that one, or "
                 "give this one a directory of its own (%s)",
                 directory, error);
    else if (strstr(error, "No space left on device") != NULL)
        snprintf(problem, problem_size,
                 "the store in %s cannot be opened: the disk is full; make room and start again, "
                 "nothing is lost (%s)",
                 directory, error);
    else
        snprintf(
            problem, problem_size,
            "the store in %s cannot be opened: %s. If a file is missing or damaged, " STORE_ADVICE
            "; or move the directory away to begin without what is in it. If the "
            "disk is, mend it first",
            directory, error);
}

static struct engine_local *
engine_local_prepare(const char *directory)
{
    struct engine_local *e = mem_alloc_zeroed(sizeof(*e));
    if (!rocksdb_crc32c_is_ours())
        log_info("store.checksum", "msg=\"RocksDB uses its own checksum, which may be slower\"");
    e->engine.ops = &engine_local_ops;
    e->dead_chunks_bytes_max = DEAD_CHUNKS_BYTES_MAX;
    lock_init(&e->lock);
    rwlock_init(&e->opened);
    pthread_cond_init(&e->written_changed, NULL);
    e->synced = rocksdb_writeoptions_create();
    e->unsynced = rocksdb_writeoptions_create();
    e->reading = rocksdb_readoptions_create();
    e->batch = rocksdb_writebatch_create();
    rocksdb_writeoptions_set_sync(e->synced, 1);
    rocksdb_readoptions_set_fill_cache(e->reading, 0);
    log_index_init(&e->index);
    snprintf(e->directory, sizeof(e->directory), "%s", directory);
    wal_ahead_init(&e->ahead, e->directory);
    return e;
}

static bool
open_database(struct engine_local *e, char *problem, size_t problem_size)
{
    char *error = NULL;
    e->db = rocksdb_open(e->options, e->directory, &error);
    if (e->db == NULL)
        engine_explain_open_error(e->directory, error, problem, problem_size);
    rocksdb_free(error);
    return e->db != NULL;
}

/* A directory that a store is only just being restored into is left as it is. */
static bool
engine_local_begin(struct engine_local *e, char *problem, size_t problem_size)
{
    if (!engine_witness_lock(e, problem, problem_size))
        return false;
    e->journal_bytes_max = share_of_disk(e->directory, JOURNAL_SHARE, JOURNAL_BYTES_MAX);
    e->options = make_options(e->directory);
    return engine_witness_open(e, problem, problem_size) &&
           open_database(e, problem, problem_size) && take_epoch(e, problem, problem_size);
}

struct engine *
engine_local_open(const char *directory, char *problem, size_t problem_size)
{
    struct engine_local *e = engine_local_prepare(directory);
    if (engine_local_begin(e, problem, problem_size))
        return &e->engine;
    engine_local_destroy(&e->engine);
    return NULL;
}
