/* The engine and its witness: what the store holds is compared with what the witness tells before
 * anything is written, and the witness is told what was synced. */

#include "persistence/engine_local.h"

#include "broker/base/endian.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/rand.h"
#include "persistence/store_files.h"

#include <dirent.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

#define WITNESS_ROW_SIZE 16u

/* A row of the definitions, by the hash of its key. */
struct known_definition {
    struct map_node by_key;
    uint64_t digest; /* What it adds to the tally. */
};

static bool
hash_matches(const struct map_node *node, const void *key)
{
    (void)node; /* Two keys of one hash would be taken for one: by chance, never. */
    (void)key;
    return true;
}

static void
tally_forget(struct engine_local *e, struct known_definition *known)
{
    e->state.definitions.count--;
    e->state.definitions.digest -= known->digest;
    map_remove(&e->definitions, &known->by_key);
    mem_free(known);
}

void
engine_witness_definition(struct engine_local *e, struct bytes key, const struct bytes *row)
{
    const uint64_t hash = XXH3_64bits(key.data, key.size);
    struct map_node *node = map_find(&e->definitions, hash, hash_matches, NULL);
    if (node != NULL)
        tally_forget(e, MAP_CONTAINER(node, struct known_definition, by_key));
    if (row == NULL)
        return;
    struct known_definition *known = mem_alloc_zeroed(sizeof(*known));
    known->digest = XXH3_64bits_withSeed(row->data, row->size, hash);
    map_insert(&e->definitions, &known->by_key, hash);
    e->state.definitions.count++;
    e->state.definitions.digest += known->digest;
}

static void
definitions_forget(struct engine_local *e)
{
    struct map_node *node;
    while ((node = map_any(&e->definitions)) != NULL)
        tally_forget(e, MAP_CONTAINER(node, struct known_definition, by_key));
}

static void
tally_chunk(struct engine_local *e, const struct key *row_key, bool is_there)
{
    const uint64_t hash = XXH3_64bits(row_key->octets, row_key->size);
    e->state.chunks.count += is_there ? 1 : UINT64_MAX;
    e->state.chunks.digest += is_there ? hash : -hash;
}

void
engine_witness_chunk(struct engine_local *e, const struct key *row_key, bool is_there)
{
    if (e->witness_begun) /* Before, what is read is counted, not what loading does with it. */
        tally_chunk(e, row_key, is_there);
}

static struct bytes
iterator_key(const rocksdb_iterator_t *i)
{
    size_t size;
    const char *data = rocksdb_iter_key(i, &size);
    return bytes_of(data, size);
}

static bool
is_of_kind(const rocksdb_iterator_t *i, char kind)
{
    return rocksdb_iter_valid(i) && iterator_key(i).size > 0 &&
           iterator_key(i).data[0] == (uint8_t)kind;
}

/* The round of the journal row that the iterator stands at; 0 if it is none. */
static uint64_t
iterator_round(const rocksdb_iterator_t *i)
{
    return is_of_kind(i, 'J') && iterator_key(i).size >= 9 ? load_be64(iterator_key(i).data + 1)
                                                           : 0;
}

/* What the open database holds, as the witness would tell it. False if it cannot be read. */
static bool
state_read(struct engine_local *e, char *problem, size_t problem_size)
{
    char *error = NULL;
    rocksdb_iterator_t *i = rocksdb_create_iterator(e->db, e->reading);
    definitions_forget(e);
    e->state = (struct witness_state){ 0 };
    for (rocksdb_iter_seek(i, "D", 1); is_of_kind(i, 'D'); rocksdb_iter_next(i)) {
        size_t size;
        const char *row = rocksdb_iter_value(i, &size);
        const struct bytes octets = bytes_of(row, size);
        engine_witness_definition(e, iterator_key(i), &octets);
    }
    rocksdb_iter_seek(i, "J", 1);
    e->state.oldest = iterator_round(i);
    rocksdb_iter_seek_for_prev(i, "J\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    e->state.newest = iterator_round(i);
    for (rocksdb_iter_seek(i, "K", 1); is_of_kind(i, 'K'); rocksdb_iter_next(i)) {
        struct key key = { .size = iterator_key(i).size };
        if (key.size > sizeof(key.octets))
            break; /* Loading it tells what is wrong. */
        memcpy(key.octets, iterator_key(i).data, key.size);
        tally_chunk(e, &key, true);
    }
    rocksdb_iter_get_error(i, &error);
    rocksdb_iter_destroy(i);
    if (error == NULL)
        return true;
    snprintf(problem, problem_size, "the store cannot be read: %s. Mend the disk, " STORE_ADVICE,
             error);
    rocksdb_free(error);
    return false;
}

static const struct key format_key = { .octets = { 'F' }, .size = 1 };
static const struct key witness_key = { .octets = { 'W' }, .size = 1 };

/* False if the store is none that can be compared: opening it tells why. What has no format row is
 * new, or has lost everything: its epoch is 0. */
static bool
epoch_read(struct engine_local *e)
{
    rocksdb_pinnableslice_t *slice = NULL;
    struct bytes row;
    uint32_t version = 0;
    const enum row_found found = engine_get(e, &format_key, &slice, &row);
    if (found != ROW_THERE)
        return found == ROW_MISSING && e->state.newest == 0 && e->state.definitions.count == 0;
    const bool sound = format_row_decode(row, &version, &e->state.epoch);
    rocksdb_pinnableslice_destroy(slice);
    return sound && version == STORE_FORMAT;
}

/* The id of the witness that belongs to the store, or 0. */
static bool
id_read(struct engine_local *e, char *problem, size_t problem_size)
{
    rocksdb_pinnableslice_t *slice = NULL;
    struct bytes row;
    const enum row_found found = engine_get(e, &witness_key, &slice, &row);
    if (found == ROW_MISSING)
        return true;
    if (found == ROW_THERE && row.size == WITNESS_ROW_SIZE &&
        load_be64(row.data + 8) == XXH3_64bits(row.data, 8))
        e->state.id = load_be64(row.data);
    if (found == ROW_THERE)
        rocksdb_pinnableslice_destroy(slice);
    if (e->state.id != 0)
        return true;
    snprintf(problem, problem_size, "the store is damaged at row W: " STORE_ADVICE);
    return false;
}

/* Rounds as people can tell them apart: the epoch, and the number within it. */
#define ROUND_FORMAT "%llu.%llu"
#define ROUND_ARGS(round)                                                                          \
    (unsigned long long)((round) >> EPOCH_SHIFT),                                                  \
        (unsigned long long)((round) & (((uint64_t)1 << EPOCH_SHIFT) - 1))

static bool
is_same(struct tally a, struct tally b)
{
    return a.count == b.count && a.digest == b.digest;
}

/* Says what the store lacks of what the witness tells; nothing if it lacks nothing. After the
 * newest round that the witness knows, more may have come, so only rounds can be compared. */
static void
compare(const struct witness_state *told, const struct witness_state *found, struct buf *out)
{
    if (found->newest < told->newest)
        buf_printf(out,
                   "the journal ends at round " ROUND_FORMAT ", but rounds up to " ROUND_FORMAT
                   " were confirmed",
                   ROUND_ARGS(found->newest), ROUND_ARGS(told->newest));
    else if (found->epoch < told->epoch)
        buf_printf(out, "it was started %llu times, but the witness has seen %llu starts",
                   (unsigned long long)found->epoch, (unsigned long long)told->epoch);
    else if (found->newest > told->newest ? found->oldest < told->oldest
                                          : found->oldest != told->oldest)
        buf_printf(out, "the journal begins at round " ROUND_FORMAT ", not at " ROUND_FORMAT,
                   ROUND_ARGS(found->oldest), ROUND_ARGS(told->oldest));
    else if (found->newest > told->newest)
        return;
    else if (!is_same(found->chunks, told->chunks))
        buf_printf(out, "it has %llu chunks that are not the %llu it should have",
                   (unsigned long long)found->chunks.count, (unsigned long long)told->chunks.count);
    else if (!is_same(found->definitions, told->definitions))
        buf_printf(out, "it has %llu definitions that are not the %llu it should have",
                   (unsigned long long)found->definitions.count,
                   (unsigned long long)told->definitions.count);
}

static void
refuse(const struct engine_local *e, const char *what, char *problem, size_t problem_size)
{
    snprintf(
        problem, problem_size,
        "the store lacks what was confirmed: %s; part of it is missing, damaged or older than "
        "the rest (a file in %s). Nothing was changed. Now " STORE_ADVICE
        "; or, to go on with what is there and without what is lost, write the word " WITNESS_ACCEPT
        " into %s",
        what, e->directory, e->witness_path);
}

static bool
judge_missing_witness(struct engine_local *e, const char *how, char *problem, size_t problem_size)
{
    if (e->state.id == 0 && e->state.epoch == 0)
        return true;
    if (e->state.id == 0) {
        log_warning("store.witness",
                    "file=%s msg=\"the store has no witness yet that tells whether it is complete: "
                    "it is taken as it is\"",
                    e->witness_path);
        return true;
    }
    snprintf(problem, problem_size,
             "the file %s is %s: it belongs to the store in %s and tells whether that is complete. "
             "Put it back; or, to take the store as it is, for example because it is a backup, "
             "write the word " WITNESS_ACCEPT " into it",
             e->witness_path, how, e->directory);
    return false;
}

static bool
judge(struct engine_local *e, const struct witness_state *told, char *problem, size_t problem_size)
{
    struct buf what = { 0 };
    if (e->state.id != 0 && e->state.id != told->id)
        buf_printf(&what, "the witness belongs to another store");
    else
        compare(told, &e->state, &what);
    const bool lacks = what.size > 0;
    buf_append(&what, "", 1);
    if (lacks)
        refuse(e, (const char *)what.data, problem, problem_size);
    buf_fini(&what);
    e->state.id = told->id;
    return !lacks;
}

static bool
ends_in(const char *name, const char *end)
{
    const size_t size = strlen(name);
    return size > strlen(end) && strcmp(name + size - strlen(end), end) == 0;
}

/* RocksDB would make a new store there, and delete what it does not know. */
static bool
has_remains(const char *directory)
{
    bool found = false;
    DIR *d = opendir(directory);
    if (d == NULL)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(d)) != NULL;)
        found = ends_in(entry->d_name, ".log") || ends_in(entry->d_name, ".sst");
    closedir(d);
    return found;
}

/* A store that has no CURRENT is new, or it has lost everything. */
static bool
judge_absent(struct engine_local *e, char *problem, size_t problem_size)
{
    struct witness_state told;
    const bool tells = witness_read(e->witness, &told) == WITNESS_TELLS;
    if (tells && (told.newest > 0 || told.definitions.count > 0)) {
        refuse(e, "there is no file CURRENT", problem, problem_size);
        return false;
    }
    if (!has_remains(e->directory))
        return true;
    snprintf(problem, problem_size,
             "the store in %s has files, but none that is called CURRENT: " STORE_ADVICE
             "; or move the directory away",
             e->directory);
    return false;
}

static bool
judge_present(struct engine_local *e, enum witness_word word, const struct witness_state *told,
              char *problem, size_t problem_size)
{
    if (!epoch_read(e))
        return true;
    if (!id_read(e, problem, problem_size))
        return false;
    switch (word) {
    case WITNESS_TELLS:
        return judge(e, told, problem, problem_size);
    case WITNESS_ACCEPTS:
        log_warning("store.witness",
                    "file=%s msg=\"it says that the store is to be taken as it is: so it is\"",
                    e->witness_path);
        return true;
    case WITNESS_NONE:
        return judge_missing_witness(e, "missing or empty", problem, problem_size);
    case WITNESS_DAMAGED:
        return judge_missing_witness(e, "damaged", problem, problem_size);
    case WITNESS_NEWER:
        snprintf(problem, problem_size,
                 "the file %s was written by a later version of this program; use that",
                 e->witness_path);
        return false;
    }
    return false;
}

/* Read-only: RocksDB deletes files that it believes to be of no use, and damage would make it
 * believe that of what is left. */
static bool
look(struct engine_local *e, char *problem, size_t problem_size)
{
    char *error = NULL;
    struct witness_state told;
    const enum witness_word word = witness_read(e->witness, &told);
    e->db = rocksdb_open_for_read_only(e->options, e->directory, 0, &error);
    if (e->db == NULL) {
        engine_explain_open_error(e->directory, error, problem, problem_size);
        rocksdb_free(error);
        return false;
    }
    const bool ok = state_read(e, problem, problem_size) &&
                    judge_present(e, word, &told, problem, problem_size);
    rocksdb_close(e->db);
    e->db = NULL;
    return ok;
}

bool
engine_witness_compare(struct engine_local *e, char *problem, size_t problem_size)
{
    struct witness_state told;
    const enum witness_word word = witness_peek(e->witness_path, &told);
    const bool ok = state_read(e, problem, problem_size) &&
                    judge_present(e, word, &told, problem, problem_size);
    definitions_forget(e);
    return ok;
}

static bool
witness_locate(struct engine_local *e, char *problem, size_t problem_size)
{
    bool busy;
    char why[400];
    const char *slash = strrchr(e->directory, '/');
    const int parent = slash == NULL ? 0 : (int)(slash - e->directory) + 1;
    snprintf(e->witness_path, sizeof(e->witness_path), "%.*switness", parent, e->directory);
    e->witness = witness_open(e->witness_path, &busy, why, sizeof(why));
    if (e->witness == NULL)
        snprintf(problem, problem_size,
                 busy ? "the store in %s cannot be locked: another process uses it; stop that one, "
                        "or give this one a directory of its own (%s)"
                      : "the store in %s cannot be opened: %s",
                 e->directory, why);
    return e->witness != NULL;
}

bool
engine_witness_lock(struct engine_local *e, char *problem, size_t problem_size)
{
    char data_dir[sizeof(e->witness_path)];
    if (!witness_locate(e, problem, problem_size))
        return false;
    snprintf(data_dir, sizeof(data_dir), "%s", e->witness_path);
    return !store_files_is_unfinished(dirname(data_dir), problem, problem_size);
}

bool
engine_witness_open(struct engine_local *e, char *problem, size_t problem_size)
{
    char current[sizeof(e->directory) + 16];
    snprintf(current, sizeof(current), "%s/CURRENT", e->directory);
    if (access(current, F_OK) != 0)
        return judge_absent(e, problem, problem_size);
    return look(e, problem, problem_size);
}

static bool
witness_row_put(struct engine_local *e, char *problem, size_t problem_size)
{
    uint8_t row[WITNESS_ROW_SIZE];
    store_be64(row, e->state.id);
    store_be64(row + 8, XXH3_64bits(row, 8));
    rocksdb_writebatch_clear(e->batch);
    batch_put(e, &witness_key, bytes_of(row, sizeof(row)));
    if (engine_write_batch(e, true))
        return true;
    snprintf(problem, problem_size, "the store cannot be written; see the log line before");
    return false;
}

static void
state_refresh(struct engine_local *e)
{
    struct list *first = list_first(&e->index.journal);
    e->state.epoch = e->engine.first_round >> EPOCH_SHIFT;
    e->state.newest = e->newest_row;
    e->state.oldest =
        first == NULL ? 0 : LIST_CONTAINER(first, struct journal_row, in_journal)->number;
}

bool
engine_witness_begin(struct engine_local *e, char *problem, size_t problem_size)
{
    if (e->witness_begun)
        return true;
    while (e->state.id == 0)
        rand_bytes(&e->state.id, sizeof(e->state.id));
    state_refresh(e);
    /* First the witness, then the row that says there must be one. */
    e->witness_begun = witness_begin(e->witness, &e->state, problem, problem_size) &&
                       witness_row_put(e, problem, problem_size);
    return e->witness_begun;
}

void
engine_witness_tell(struct engine_local *e)
{
    if (!e->witness_begun)
        return;
    state_refresh(e);
    witness_tell(e->witness, &e->state);
}

void
engine_witness_close(struct engine_local *e)
{
    definitions_forget(e);
    if (e->witness != NULL)
        witness_close(e->witness);
}
