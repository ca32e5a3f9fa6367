/* Judging the rows of a store, as start-up would, but to the end. */

#include "persistence/store.h"

#include "broker/base/endian.h"
#include "persistence/store_files.h"
#include "persistence/store_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define CHUNK_KEY_SIZE 25u
#define ROW_KEY_SIZE 9u

struct walking {
    struct store *store;
    const struct store_walk *walk;
    struct store_facts *facts;
};

static void
tell(void *context, const char *row, const char *what)
{
    struct walking *w = context;
    w->facts->damaged++;
    w->walk->damage(w->walk->context, row, what);
}

static void
found(struct walking *w, struct bytes key, const char *what)
{
    char name[ROW_NAME_SIZE];
    row_name(key, name);
    tell(w, name, what);
}

static void
scan_of(struct walking *w, struct scan *s, char kind)
{
    scan_start(s, w->store, kind, tell, w);
}

static void
count_row(struct walking *w, struct bytes key, struct bytes row)
{
    w->facts->rows++;
    progress_add(w->walk->progress, key.size + row.size);
}

static void
walk_definitions(struct walking *w)
{
    struct scan s;
    struct bytes key;
    struct bytes row;
    scan_of(w, &s, 'D');
    for (; scan_get(&s, &key, &row); scan_next(&s)) {
        count_row(w, key, row);
        w->facts->definitions++;
        if (!w->walk->definition(w->walk->context, bytes_of(key.data + 1, key.size - 1), row))
            found(w, key, "it is not a sound definition");
    }
    scan_finish(&s);
}

/* True if all records of a sound payload are ones. */
static bool
records_are_sound(struct walking *w, struct bytes payload)
{
    struct record record;
    bool sound = true;
    while (w->walk->is_deep && payload_next(&payload, &record))
        sound = w->walk->record(w->walk->context, record.octets) && sound;
    return sound;
}

/* `s` is what the chunk's 'K' row tells; NULL if that is damaged. */
static void
check_chunk(struct walking *w, struct bytes key, struct bytes row, const struct segment *s)
{
    struct row_head head;
    uint32_t records;
    struct bytes payload;
    count_row(w, key, row);
    if (!row_open(row, &head, &payload))
        found(w, key, "its checksum is wrong");
    else if (!payload_is_sound(payload, &records) || records != head.count)
        found(w, key, "its records are not framed as they should be");
    else if (s != NULL && (s->count != head.count || s->bytes != payload.size))
        found(w, key, "it holds other records than its K row tells of");
    else if (!records_are_sound(w, payload))
        found(w, key, "it holds a message that cannot be understood");
}

/* Goes on to the chunk of a 'K' row, past chunks that have none. */
static void
match_chunk(struct walking *w, struct scan *chunks, struct bytes k_key, const struct segment *s)
{
    struct bytes key;
    struct bytes row;
    int order = 1;
    while (scan_get(chunks, &key, &row) &&
           (order = bytes_compare(bytes_of(key.data + 1, key.size - 1),
                                  bytes_of(k_key.data + 1, k_key.size - 1))) < 0) {
        found(w, key, "there is no K row for it");
        scan_next(chunks);
    }
    if (order == 0 && !chunks->has_ended) {
        check_chunk(w, key, row, s);
        scan_next(chunks);
    } else if (!chunks->has_gap && !chunks->has_ended) {
        found(w, k_key, "its chunk, the C row of the same numbers, is missing");
    }
}

static const struct segment *
load_chunk_row(struct walking *w, struct bytes key, struct bytes row)
{
    if (key.size != CHUNK_KEY_SIZE)
        return NULL;
    return chunk_row_decode(&w->store->reader.index, load_be64(key.data + 1),
                            load_be64(key.data + 9), load_be64(key.data + 17), row);
}

/* 'K' rows and, in the same order, the chunks they tell of. */
static void
walk_chunks(struct walking *w)
{
    struct scan s;
    struct scan chunks;
    struct bytes key;
    struct bytes row;
    scan_of(w, &s, 'K');
    if (w->walk->is_deep)
        scan_of(w, &chunks, 'C');
    for (; scan_get(&s, &key, &row); scan_next(&s)) {
        count_row(w, key, row);
        w->facts->chunks++;
        const struct segment *segment = load_chunk_row(w, key, row);
        if (segment == NULL)
            found(w, key, "its checksum is wrong, or it does not fit to its neighbours");
        if (w->walk->is_deep)
            match_chunk(w, &chunks, key, segment);
    }
    if (w->walk->is_deep) {
        for (; scan_get(&chunks, &key, &row); scan_next(&chunks))
            if (!s.has_ended)
                found(w, key, "there is no K row for it");
        scan_finish(&chunks);
    }
    scan_finish(&s);
}

/* Applies what a row of the journal tells to the index, as far as it makes sense. Returns what is
 * wrong with it, or NULL. */
static const char *
load_effects(struct walking *w, struct bytes all, uint32_t count, struct journal_row *row)
{
    struct bytes content = all;
    struct stored_effect effect = { 0 };
    bool fits = true;
    bool sound = true;
    for (; count > 0; count--) {
        if (!row_next_effect(&content, &effect))
            return "what it tells makes no sense";
        if (!engine_apply(&w->store->reader, &effect, (uint32_t)(effect.payload.data - all.data),
                          row))
            fits = false;
        else if (effect.kind == EFFECT_RECORDS)
            sound = records_are_sound(w, effect.payload) && sound;
    }
    if (!fits)
        return "what it tells makes no sense";
    if (content.size != 0)
        return "there is more in it than it tells of";
    return sound ? NULL : "it holds a message that cannot be understood";
}

/* `follows`: the row before it has been read, and is sound. */
static const char *
load_row(struct walking *w, struct bytes key, struct bytes row, bool follows)
{
    struct engine_local *e = &w->store->reader;
    const uint64_t limit = (w->store->epoch + 1) << EPOCH_SHIFT;
    struct row_head head;
    struct bytes content;
    if (key.size != ROW_KEY_SIZE)
        return "its key is no number";
    if (!row_open(row, &head, &content))
        return "its checksum is wrong";
    const bool is_missed = follows && head.previous != e->newest_row;
    e->newest_row = load_be64(key.data + 1);
    if (e->newest_row > limit || head.round > limit)
        return "its number is above all that the store has given";
    struct journal_row *loaded = log_index_add_row(&e->index, e->newest_row, row.size);
    const char *wrong = load_effects(w, content, head.count, loaded);
    return wrong == NULL && is_missed ? "the row before it is missing" : wrong;
}

static void
walk_journal(struct walking *w)
{
    struct scan s;
    struct bytes key;
    struct bytes row;
    bool follows = false;
    scan_of(w, &s, 'J');
    for (; scan_get(&s, &key, &row); scan_next(&s)) {
        const char *wrong = load_row(w, key, row, follows && !s.has_gap);
        count_row(w, key, row);
        w->facts->journal_rows++;
        w->facts->journal_bytes += row.size;
        if (wrong != NULL)
            found(w, key, wrong);
        follows = wrong == NULL;
    }
    scan_finish(&s);
}

static void
walk_logs(struct walking *w)
{
    const struct map *logs = &w->store->reader.index.logs;
    for (struct map_node *node = map_next(logs, NULL); node != NULL; node = map_next(logs, node)) {
        const struct log *log = MAP_CONTAINER(node, struct log, by_id);
        struct store_log summary = { .log = log->id, .records = log->alive, .weight = log->weight };
        if (!log_bounds(log, &summary.first, &summary.last))
            continue;
        w->facts->logs++;
        w->facts->records += summary.records;
        if (w->walk->log(w->walk->context, &summary))
            continue;
        char name[ROW_NAME_SIZE];
        snprintf(name, sizeof(name), "log %016llx", (unsigned long long)summary.log);
        tell(w, name, "it has messages, but no queue has it");
    }
}

/* Rows of kinds that there are none of. */
static void
walk_strangers(struct walking *w)
{
    static const char kinds[] = { 'C', 'D', 'F', 'J', 'K', 'W' };
    static const char after[] = { 0, 'C' + 1, 'D' + 1, 'F' + 1, 'J' + 1, 'K' + 1, 'W' + 1 };
    for (size_t i = 0; i < sizeof(after); i++) {
        rocksdb_iterator_t *it =
            rocksdb_create_iterator(w->store->reader.db, w->store->reader.reading);
        size_t size = 0;
        rocksdb_iter_seek(it, &after[i], i == 0 ? 0 : 1);
        const char *data = rocksdb_iter_valid(it) ? rocksdb_iter_key(it, &size) : NULL;
        if (data != NULL && (size == 0 || memchr(kinds, data[0], sizeof(kinds)) == NULL))
            found(w, bytes_of(data, size), "rows of this kind do not belong into a store");
        rocksdb_iter_destroy(it);
    }
}

/* RocksDB takes some damage for the end of what was written, and says nothing. */
static void
walk_witness(struct walking *w)
{
    char problem[1024];
    if (!engine_witness_compare(&w->store->reader, problem, sizeof(problem)))
        tell(w, "witness", problem);
}

bool
store_has_given_log(const struct store *store, uint64_t log)
{
    return log != 0 && log <= (store->epoch + 1) << EPOCH_SHIFT;
}

bool
store_walk(struct store *store, const struct store_walk *walk, struct store_facts *facts)
{
    struct walking w = { store, walk, facts };
    struct store_sizes sizes = { 0 };
    *facts = (struct store_facts){ .format = store->format, .epoch = store->epoch, .rows = 1 };
    if (walk->is_deep)
        store_files_size(store->reader.directory, &sizes);
    progress_start(walk->progress, walk->is_deep ? "checking the store" : "reading the store",
                   PROGRESS_OCTETS, sizes.table_bytes + sizes.wal_bytes);
    if (store->has_lost_format)
        tell(&w, "F", "it is missing or damaged; the journal or the witness tells the epoch");
    walk_definitions(&w);
    walk_chunks(&w);
    walk_journal(&w);
    walk_logs(&w);
    walk_strangers(&w);
    walk_witness(&w);
    progress_end(walk->progress);
    return facts->damaged == 0;
}
