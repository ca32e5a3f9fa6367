/* Start-up: what the rows tell becomes the index again, and the broker gets what is alive. */

#include "persistence/engine_local.h"
#include "persistence/store_files.h"

#include "broker/base/endian.h"
#include "broker/base/progress.h"

#include <stdio.h>

struct scan {
    rocksdb_iterator_t *iterator;
    char kind;
};

static struct scan
scan_start(struct engine_local *e, char kind)
{
    struct scan s = { rocksdb_create_iterator(e->db, e->reading), kind };
    rocksdb_iter_seek(s.iterator, &kind, 1);
    return s;
}

/* The row the scan stands at; false at the end of its kind. */
static bool
scan_get(const struct scan *s, struct bytes *key, struct bytes *row)
{
    if (!rocksdb_iter_valid(s->iterator))
        return false;
    size_t size;
    const char *data = rocksdb_iter_key(s->iterator, &size);
    *key = bytes_of(data, size);
    if (size == 0 || data[0] != s->kind)
        return false;
    data = rocksdb_iter_value(s->iterator, &size);
    *row = bytes_of(data, size);
    return true;
}

/* False if reading failed, which looks like the end. */
static bool
scan_finish(struct scan *s, char *problem, size_t problem_size)
{
    char *error = NULL;
    rocksdb_iter_get_error(s->iterator, &error);
    rocksdb_iter_destroy(s->iterator);
    if (error == NULL)
        return true;
    snprintf(problem, problem_size, "the store cannot be read: %s. Mend the disk, " STORE_ADVICE,
             error);
    rocksdb_free(error);
    return false;
}

static bool
damaged(char kind, struct bytes key, char *problem, size_t problem_size)
{
    char name[2 * KEY_SIZE_MAX + 1] = "";
    for (size_t i = 1; i < key.size && i < KEY_SIZE_MAX; i++)
        snprintf(name + 2 * (i - 1), 3, "%02x", key.data[i]);
    snprintf(problem, problem_size, "the store is damaged at row %c %s: " STORE_ADVICE, kind, name);
    return false;
}

static bool
load_chunks(struct engine_local *e, struct progress *progress, char *problem, size_t problem_size)
{
    struct bytes key;
    struct bytes row;
    bool ok = true;
    struct scan s = scan_start(e, 'K');
    progress_start(progress, "reading what chunks hold", PROGRESS_COUNT, e->state.chunks.count);
    for (; ok && scan_get(&s, &key, &row); rocksdb_iter_next(s.iterator), progress_add(progress, 1))
        ok = (key.size == 25 &&
              chunk_row_decode(&e->index, load_be64(key.data + 1), load_be64(key.data + 9),
                               load_be64(key.data + 17), row) != NULL) ||
             damaged('K', key, problem, problem_size);
    return scan_finish(&s, problem, problem_size) && ok;
}

static bool
load_row(struct engine_local *e, struct bytes key, struct bytes row)
{
    struct row_head head;
    struct bytes all;
    if (key.size != 9 || !row_open(row, &head, &all))
        return false;
    /* Each row names the one before it: a hole in the journal does not go unnoticed. */
    if (!list_is_empty(&e->index.journal) && head.previous != e->newest_row)
        return false;
    e->newest_row = load_be64(key.data + 1);
    if (e->newest_row >= e->next_row || head.round >= e->engine.first_round)
        return false;
    struct journal_row *journal_row = log_index_add_row(&e->index, e->newest_row, row.size);
    struct bytes content = all;
    struct stored_effect effect = { 0 };
    for (; head.count > 0; head.count--)
        if (!row_next_effect(&content, &effect) ||
            !engine_apply(e, &effect, (uint32_t)(effect.payload.data - all.data), journal_row))
            return false;
    return content.size == 0;
}

static bool
load_journal(struct engine_local *e, struct progress *progress, char *problem, size_t problem_size)
{
    struct bytes key;
    struct bytes row;
    bool ok = true;
    struct scan s = scan_start(e, 'J');
    progress_start(progress, "reading the journal", PROGRESS_OCTETS, 0);
    for (; ok && scan_get(&s, &key, &row); rocksdb_iter_next(s.iterator)) {
        progress_add(progress, row.size);
        ok = load_row(e, key, row) || damaged('J', key, problem, problem_size);
    }
    return scan_finish(&s, problem, problem_size) && ok;
}

static bool
give_definitions(struct engine_local *e, const struct recovery *r, char *problem,
                 size_t problem_size)
{
    struct bytes key;
    struct bytes row;
    struct scan s = scan_start(e, 'D');
    for (; scan_get(&s, &key, &row); rocksdb_iter_next(s.iterator))
        r->definition(r->context, bytes_of(key.data + 1, key.size - 1), row);
    return scan_finish(&s, problem, problem_size);
}

static void
give_logs(struct engine_local *e, const struct recovery *r)
{
    for (struct map_node *node = map_next(&e->index.logs, NULL); node != NULL;
         node = map_next(&e->index.logs, node)) {
        const struct log *log = MAP_CONTAINER(node, struct log, by_id);
        struct log_summary summary = { .log = log->id, .count = log->alive, .weight = log->weight };
        if (log_bounds(log, &summary.first, &summary.last))
            r->log(r->context, &summary);
    }
}

bool
engine_local_recover(struct engine *engine, const struct recovery *recovery, char *problem,
                     size_t problem_size)
{
    struct engine_local *e = (struct engine_local *)engine;
    struct progress progress;
    progress_init(&progress, PROGRESS_LOG, "store.recovering");
    /* Ended logs have the rows of their chunks deleted in the batch, which the first round writes.
     */
    if (!load_chunks(e, &progress, problem, problem_size) ||
        !load_journal(e, &progress, problem, problem_size) ||
        !give_definitions(e, recovery, problem, problem_size))
        return false;
    give_logs(e, recovery);
    if (!engine_witness_begin(e, problem, problem_size))
        return false;
    if (e->tidy == NULL)
        e->tidy = engine_tidy_start(e, e->directory);
    return true;
}
