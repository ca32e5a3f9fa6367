#include "persistence/engine_clean.h"

#include "broker/base/log.h"
#include "persistence/engine_local.h"

/* Below this, tables stand on few levels, and compacting them all takes about a second. */
#define COMPACT_BYTES_MAX (256u * 1024u * 1024u)

static uint64_t
size_of_kind(struct engine_local *e, char kind, char **error)
{
    const char next = (char)(kind + 1);
    const char *const start = &kind;
    const char *const limit = &next;
    const size_t size = 1;
    uint64_t bytes = 0;
    rocksdb_approximate_sizes(e->db, 1, &start, &size, &limit, &size, &bytes, error);
    return bytes;
}

/* While a compaction runs, the old tables and the new ones are there. What can be alive after it:
 * the journal that is not cut, and chunks. A hint is enough for a store with more, but does nothing
 * while all tables are on one level. */
static bool
compact(struct engine_local *e, uint64_t room, char **error)
{
    const uint64_t alive = e->index.journal_bytes + size_of_kind(e, 'C', error);
    if (*error == NULL && alive > COMPACT_BYTES_MAX)
        rocksdb_suggest_compact_range(e->db, NULL, 0, NULL, 0, error);
    else if (*error == NULL && alive <= room - room / 8)
        rocksdb_compact_range(e->db, NULL, 0, NULL, 0);
    else
        return false;
    return *error == NULL;
}

bool
engine_local_clean(struct engine *engine, uint64_t room)
{
    struct engine_local *e = (struct engine_local *)engine;
    char *error = NULL;
    bool is_clean = false;
    if (e->failed)
        return true;
    if (e->is_reopening)
        return false;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    rocksdb_flush(e->db, options, &error);
    rocksdb_flushoptions_destroy(options);
    if (error == NULL)
        is_clean = compact(e, room, &error);
    if (error == NULL)
        return is_clean;
    /* Nothing is lost by it; if the store is broken, the next round says so. */
    log_warning("store.clean", "msg=\"%s\"", error);
    rocksdb_free(error);
    return false;
}
