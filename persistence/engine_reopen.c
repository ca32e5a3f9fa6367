/* A disk that was full after all. RocksDB does not go on reliably after a failed write, so the
 * store is closed and opened again once there is room, and the batch that failed is written if it
 * is not there already. It must never be written twice: a row that is, and is SingleDeleted once,
 * comes back. A batch is there as a whole or not at all, so the rows themselves tell. RocksDB's
 * sequence does not: a flush drops what cancels out, and numbers with it. */

#include "persistence/engine_local.h"

#include "broker/base/endian.h"
#include "broker/base/fault.h"
#include "broker/base/log.h"
#include "persistence/batch_rows.h"

bool
engine_is_out_of_room(const char *error)
{
    /* A sync that failed is not among them: what it was for may be gone although it can be read,
     * so nothing that is tried again would make it true. */
    static const char *const doings[] = {
        "While appending to file",
        "While open a file for appending",
        "While fallocate",
        "While pwrite to file",
    };
    bool is_writing = false;
    for (size_t i = 0; !is_writing && i < sizeof(doings) / sizeof(doings[0]); i++)
        is_writing = strstr(error, doings[i]) != NULL;
    return is_writing && strstr(error, "No space left on device") != NULL;
}

enum reopened {
    REOPENED,
    REOPENED_WITH_BATCH, /* It had been written, and is on disk. */
    REOPENED_FULL,       /* Not yet: there is no room for it. The store may be open for reading. */
    REOPENED_BROKEN,     /* For good, which has been logged. */
};

static enum reopened
explain(char *error)
{
    const bool is_full = engine_is_out_of_room(error);
    if (!is_full)
        log_error("store.reopen", "msg=\"%s\"", error);
    rocksdb_free(error);
    return is_full ? REOPENED_FULL : REOPENED_BROKEN;
}

static void
close_database(struct engine_local *e)
{
    if (e->db != NULL)
        rocksdb_close(e->db);
    e->db = NULL;
}

/* What the last change of a key in the batch leaves there. */
static bool
row_is_there(struct engine_local *e, const struct batch_row *row, bool *is_sound)
{
    char *error = NULL;
    size_t size = 0;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(e->db, e->reading, (const char *)row->key.data, row->key.size, &error);
    const char *data = slice == NULL ? NULL : rocksdb_pinnableslice_value(slice, &size);
    const bool is_there = row->is_put
                              ? slice != NULL && bytes_equal(row->value, bytes_of(data, size))
                              : slice == NULL;
    if (slice != NULL)
        rocksdb_pinnableslice_destroy(slice);
    if (error != NULL) {
        log_error("store.reopen", "msg=\"%s\"", error);
        rocksdb_free(error);
        *is_sound = false;
    }
    return is_there;
}

static bool
batch_is_there(struct engine_local *e, const struct batch_rows *rows, bool *is_sound)
{
    bool is_there = true;
    for (size_t i = 0; is_there && *is_sound && i < rows->count; i++)
        is_there = row_is_there(e, &rows->items[i], is_sound);
    return is_there;
}

/* The number of the newest row of the journal; 0 if it has none. */
static uint64_t
newest_row(const struct engine_local *e)
{
    rocksdb_iterator_t *i = rocksdb_create_iterator(e->db, e->reading);
    uint64_t number = 0;
    size_t size = 0;
    rocksdb_iter_seek_for_prev(i, "J\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    const char *key = rocksdb_iter_valid(i) ? rocksdb_iter_key(i, &size) : NULL;
    if (size >= 9 && key[0] == 'J')
        number = load_be64((const uint8_t *)key + 1);
    rocksdb_iter_destroy(i);
    return number;
}

/* The journal's newest row is never cut: it tells whether all that had been written is there. */
static uint64_t
expected_row(const struct engine_local *e, const struct batch_rows *rows, bool is_there)
{
    struct row_head head;
    struct bytes content;
    const struct batch_row *first = batch_rows_first_put(rows, 'J');
    if (!is_there && first != NULL && row_open(first->value, &head, &content))
        return head.previous;
    return e->newest_row;
}

static enum reopened
judge(struct engine_local *e, const struct batch_rows *rows)
{
    bool is_sound = true;
    const bool is_there = batch_is_there(e, rows, &is_sound);
    const uint64_t found = newest_row(e);
    const uint64_t expected = expected_row(e, rows, is_there);
    if (is_sound && found == expected)
        return is_there ? REOPENED_WITH_BATCH : REOPENED;
    if (is_sound)
        log_error("store.reopen",
                  "newest=%llu expected=%llu msg=\"the store does not hold what had been written "
                  "when the disk was full\"",
                  (unsigned long long)found, (unsigned long long)expected);
    return REOPENED_BROKEN;
}

/* Opening for reading changes nothing: damage is seen before RocksDB acts upon it. */
static enum reopened
look(struct engine_local *e, const struct batch_rows *rows)
{
    char *error = NULL;
    e->db = rocksdb_open_for_read_only(e->options, e->directory, 0, &error);
    return e->db == NULL ? explain(error) : judge(e, rows);
}

/* Opening flushes what is in the log, and has that on disk when it is done: the batch, too, if it
 * is there. */
static enum reopened
open_again(struct engine_local *e, const struct batch_rows *rows)
{
    char *error = NULL;
    const enum reopened seen = look(e, rows);
    if (seen != REOPENED && seen != REOPENED_WITH_BATCH)
        return seen;
    close_database(e);
    e->db = rocksdb_open(e->options, e->directory, &error);
    if (e->db != NULL)
        return judge(e, rows);
    const enum reopened result = explain(error);
    error = NULL;
    if (result == REOPENED_FULL) /* For those who read. */
        e->db = rocksdb_open_for_read_only(e->options, e->directory, 0, &error);
    rocksdb_free(error);
    return result;
}

static enum reopened
reopen(struct engine_local *e, const struct batch_rows *rows)
{
    if (e->db != NULL)
        rocksdb_disable_manual_compaction(e->db); /* Whoever merges is not waited for. */
    rwlock_write(&e->opened);
    close_database(e);
    FAULT_POINT("reopen.closed");
    const enum reopened result = open_again(e, rows);
    rwlock_write_end(&e->opened);
    FAULT_POINT("reopen.opened");
    return result;
}

/* The batch is written to a store that is open again. */
static enum reopened
write_again(struct engine_local *e, bool sync)
{
    char *error = NULL;
    rocksdb_write(e->db, sync ? e->synced : e->unsynced, e->batch, &error);
    return error == NULL ? REOPENED_WITH_BATCH : explain(error);
}

static bool
write_when_room(struct engine_local *e, const struct batch_rows *rows, bool sync)
{
    struct engine *engine = &e->engine;
    unsigned attempts = 0;
    enum reopened result = REOPENED_FULL;
    e->is_reopening = true;
    while (result == REOPENED_FULL && engine->await_room(engine->done_context, attempts++)) {
        result = reopen(e, rows);
        if (result == REOPENED)
            result = write_again(e, sync);
    }
    e->is_reopening = false;
    if (result != REOPENED_WITH_BATCH)
        return false;
    log_info("store.reopened", "attempts=%u rows=%zu", attempts, rows->count);
    return true;
}

bool
engine_write_when_room(struct engine_local *e, bool sync)
{
    struct batch_rows rows;
    size_t size;
    const char *octets = rocksdb_writebatch_data(e->batch, &size);
    const bool is_known = batch_rows_parse(&rows, bytes_of(octets, size));
    if (!is_known)
        log_error("store.reopen", "msg=\"the batch that was to be written cannot be read\"");
    const bool ok = is_known && write_when_room(e, &rows, sync);
    batch_rows_fini(&rows);
    return ok;
}
