/* Start-up: what the rows tell becomes the index again, and the broker gets what is alive. */

#include "persistence/engine_local.h"

#include "broker/base/endian.h"

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
    snprintf(problem, problem_size, "the store cannot be read: %s", error);
    rocksdb_free(error);
    return false;
}

static bool
damaged(char kind, struct bytes key, char *problem, size_t problem_size)
{
    char name[2 * KEY_SIZE_MAX + 1] = "";
    for (size_t i = 1; i < key.size && i < KEY_SIZE_MAX; i++)
        snprintf(name + 2 * (i - 1), 3, "%02x", key.data[i]);
    snprintf(problem, problem_size,
             "the store is damaged at row %c %s: restore a backup, or move the data directory away",
             kind, name);
    return false;
}

static bool
load_chunks(struct engine_local *e, char *problem, size_t problem_size)
{
    struct bytes key;
    struct bytes row;
    bool ok = true;
    struct scan s = scan_start(e, 'K');
    for (; ok && scan_get(&s, &key, &row); rocksdb_iter_next(s.iterator))
        ok = (key.size == 25 &&
              chunk_row_decode(&e->index, load_be64(key.data + 1), load_be64(key.data + 9),
                               load_be64(key.data + 17), row) != NULL) ||
             damaged('K', key, problem, problem_size);
    return scan_finish(&s, problem, problem_size) && ok;
}

static bool
load_round(struct engine_local *e, struct bytes key, struct bytes row)
{
    uint32_t count;
    uint64_t previous;
    struct bytes content;
    if (key.size != 9 || !row_open(row, &count, &previous, &content))
        return false;
    /* Each round names the one before it: a hole in the journal does not go unnoticed. */
    if (!list_is_empty(&e->index.journal) && previous != e->previous)
        return false;
    e->previous = load_be64(key.data + 1);
    if (e->previous >= e->engine.first_round)
        return false;
    struct journal_round *round = log_index_add_round(&e->index, e->previous, row.size);
    struct stored_effect effect;
    for (; count > 0; count--)
        if (!row_next_effect(&content, &effect) || !engine_apply(e, &effect, round))
            return false;
    return content.size == 0;
}

static bool
load_journal(struct engine_local *e, char *problem, size_t problem_size)
{
    struct bytes key;
    struct bytes row;
    bool ok = true;
    struct scan s = scan_start(e, 'J');
    for (; ok && scan_get(&s, &key, &row); rocksdb_iter_next(s.iterator))
        ok = load_round(e, key, row) || damaged('J', key, problem, problem_size);
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
give_segment(const struct segment *s, struct bytes payload, const struct recovery *r)
{
    struct bytes record;
    uint32_t offset;
    for (uint32_t i = 0; payload_next(&payload, &offset, &record); i++)
        if (!segment_is_settled(s, i))
            r->record(r->context, s->log->id, s->base + offset, record);
}

static bool
give_chunk(struct engine_local *e, const struct segment *s, const struct recovery *r)
{
    rocksdb_pinnableslice_t *slice = NULL;
    struct bytes row;
    struct bytes payload;
    uint32_t count;
    uint64_t previous;
    const struct key key = key_of_chunk('C', s);
    if (engine_get(e, &key, &slice, &row) != ROW_THERE)
        return false;
    uint32_t records;
    const bool sound = row_open(row, &count, &previous, &payload) && count == s->count &&
                       payload_is_sound(payload, &records) && records == count;
    if (sound)
        give_segment(s, payload, r);
    rocksdb_pinnableslice_destroy(slice);
    return sound;
}

static bool
give_chunks(struct engine_local *e, const struct recovery *r, char *problem, size_t problem_size)
{
    for (struct map_node *node = map_next(&e->index.logs, NULL); node != NULL;
         node = map_next(&e->index.logs, node)) {
        const struct log *log = MAP_CONTAINER(node, struct log, by_id);
        for (size_t i = log->first; i < log->count; i++) {
            const struct segment *s = log->segments[i];
            if (s->round != NULL || s->alive == 0)
                continue;
            const struct key key = key_of_chunk('C', s);
            if (!give_chunk(e, s, r))
                return damaged('C', bytes_of(key.octets, key.size), problem, problem_size);
        }
    }
    return true;
}

static bool
give_round(const struct journal_round *round, struct bytes row, const struct recovery *r)
{
    uint32_t count;
    uint64_t previous;
    struct bytes content;
    struct stored_effect effect;
    struct list *link = round->segments.next;
    if (!row_open(row, &count, &previous, &content))
        return false;
    while (link != &round->segments && row_next_effect(&content, &effect)) {
        const struct segment *s = LIST_CONTAINER(link, struct segment, in_round);
        if (effect.kind != EFFECT_RECORDS || effect.log != s->log->id || effect.sequence != s->base)
            continue;
        give_segment(s, effect.payload, r);
        link = link->next;
    }
    return link == &round->segments;
}

/* Chunks hold what is older than all of the journal, so each log comes in order. */
static bool
give_journal(struct engine_local *e, const struct recovery *r, char *problem, size_t problem_size)
{
    struct bytes key;
    struct bytes row;
    struct scan s = scan_start(e, 'J');
    bool ok = true;
    struct list *link = e->index.journal.next;
    for (; ok && scan_get(&s, &key, &row) && link != &e->index.journal; link = link->next) {
        const struct journal_round *round = LIST_CONTAINER(link, struct journal_round, in_journal);
        ok = round->alive == 0 || give_round(round, row, r) ||
             damaged('J', key, problem, problem_size);
        rocksdb_iter_next(s.iterator);
    }
    return scan_finish(&s, problem, problem_size) && ok;
}

bool
engine_local_recover(struct engine *engine, const struct recovery *recovery, char *problem,
                     size_t problem_size)
{
    struct engine_local *e = (struct engine_local *)engine;
    rocksdb_writebatch_clear(e->batch); /* Ended logs note the rows of their chunks here. */
    return load_chunks(e, problem, problem_size) && load_journal(e, problem, problem_size) &&
           give_definitions(e, recovery, problem, problem_size) &&
           give_chunks(e, recovery, problem, problem_size) &&
           give_journal(e, recovery, problem, problem_size);
}
