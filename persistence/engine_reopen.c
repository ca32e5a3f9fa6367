/* A disk that was full after all. RocksDB does not go on reliably after a failed write, so the
 * store is closed and opened again once there is room, and the batch that failed is written if it
 * is not there already. It must never be written twice: a row that is, and is SingleDeleted once,
 * comes back. Each batch takes as many numbers of RocksDB's sequence as it has changes, so the
 * number that the store stands at tells. */

#include "persistence/engine_local.h"

#include "broker/base/fault.h"
#include "broker/base/log.h"

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

/* Where the open store stands: before the batch, or behind it. Anywhere else, something is lost. */
static enum reopened
judge_sequence(const struct engine_local *e, const struct unwritten *u)
{
    const uint64_t stands = rocksdb_get_latest_sequence_number(e->db);
    if (stands == u->before)
        return REOPENED;
    if (stands == u->before + u->changes)
        return REOPENED_WITH_BATCH;
    log_error("store.reopen",
              "stands=%llu before=%llu changes=%llu msg=\"the store does not hold what had been "
              "written when the disk was full\"",
              (unsigned long long)stands, (unsigned long long)u->before,
              (unsigned long long)u->changes);
    return REOPENED_BROKEN;
}

/* Opening for reading changes nothing: damage is seen before RocksDB acts upon it. */
static enum reopened
look(struct engine_local *e, const struct unwritten *u)
{
    char *error = NULL;
    e->db = rocksdb_open_for_read_only(e->options, e->directory, 0, &error);
    return e->db == NULL ? explain(error) : judge_sequence(e, u);
}

/* Opening flushes what is in the log, and has that on disk when it is done: the batch, too, if it
 * is there. */
static enum reopened
open_again(struct engine_local *e, const struct unwritten *u)
{
    char *error = NULL;
    const enum reopened seen = look(e, u);
    if (seen != REOPENED && seen != REOPENED_WITH_BATCH)
        return seen;
    close_database(e);
    e->db = rocksdb_open(e->options, e->directory, &error);
    if (e->db != NULL)
        return judge_sequence(e, u);
    const enum reopened result = explain(error);
    error = NULL;
    if (result == REOPENED_FULL) /* For those who read. */
        e->db = rocksdb_open_for_read_only(e->options, e->directory, 0, &error);
    rocksdb_free(error);
    return result;
}

static enum reopened
reopen(struct engine_local *e, const struct unwritten *u)
{
    if (e->db != NULL)
        rocksdb_disable_manual_compaction(e->db); /* Whoever merges is not waited for. */
    rwlock_write(&e->opened);
    close_database(e);
    FAULT_POINT("reopen.closed");
    const enum reopened result = open_again(e, u);
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

bool
engine_write_when_room(struct engine_local *e, const struct unwritten *u, bool sync)
{
    struct engine *engine = &e->engine;
    unsigned attempts = 0;
    e->is_reopening = true;
    enum reopened result = REOPENED_FULL;
    while (result == REOPENED_FULL && engine->await_room(engine->done_context, attempts++)) {
        result = reopen(e, u);
        if (result == REOPENED)
            result = write_again(e, sync);
    }
    e->is_reopening = false;
    if (result != REOPENED_WITH_BATCH)
        return false;
    log_info("store.reopened", "attempts=%u changes=%llu", attempts,
             (unsigned long long)u->changes);
    return true;
}
