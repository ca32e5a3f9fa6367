#include "tests/bench/store_model.h"

#include "broker/base/clock.h"
#include "broker/base/endian.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#define YOUNG 64u /* Rounds that are never relocated: they are still being settled. */
#define STEP_MIN (1u << 20)
#define STEP_MAX (16u << 20)
#define PERF_LEVEL_DISABLE 1 /* rocksdb_disable */

void
fail(const char *why)
{
    fprintf(stderr, "bench_store_relocation: %s\n", why);
    exit(EXIT_FAILURE);
}

void
check(const char *error)
{
    if (error != NULL)
        fail(error);
}

struct key
key_of(char kind, size_t count, const uint64_t *numbers)
{
    struct key k = { .octets = { kind }, .size = 1 + 8 * count };
    for (size_t i = 0; i < count; i++)
        store_be64((uint8_t *)k.octets + 1 + 8 * i, numbers[i]);
    return k;
}

rocksdb_column_family_handle_t *
family_of(const struct store *s, char kind)
{
    return s->families[s->set->families == 1 ? 0 : kind == 'J' ? 1 : kind == 'C' ? 2 : 0];
}

void
put(const struct store *s, rocksdb_writebatch_t *batch, struct key k, const void *data, size_t size)
{
    rocksdb_writebatch_put_cf(batch, family_of(s, k.octets[0]), k.octets, k.size, data, size);
}

void
single_delete(const struct store *s, rocksdb_writebatch_t *batch, struct key k)
{
    rocksdb_writebatch_singledelete_cf(batch, family_of(s, k.octets[0]), k.octets, k.size);
}

void
delete_range(const struct store *s, rocksdb_writebatch_t *batch, struct key from, struct key to)
{
    rocksdb_writebatch_delete_range_cf(batch, family_of(s, from.octets[0]), from.octets, from.size,
                                       to.octets, to.size);
}

void
write_batch(struct store *s, rocksdb_writebatch_t *batch, const rocksdb_writeoptions_t *how)
{
    char *error = NULL;
    size_t size;
    rocksdb_writebatch_data(batch, &size);
    __atomic_fetch_add(&s->wal_bytes, size, __ATOMIC_RELAXED);
    rocksdb_write(s->db, how, batch, &error);
    check(error);
    rocksdb_writebatch_clear(batch);
}

void
row_finish(uint8_t *row, size_t size, uint64_t count)
{
    store_be32(row, 1);
    store_be32(row + 4, (uint32_t)count);
    store_be64(row + 16, 0);
    store_be64(row + 8, XXH3_64bits(row + 16, size - 16));
}

bool
row_is_sound(const uint8_t *row, size_t size)
{
    return size >= ROW_HEAD_SIZE && load_be64(row + 8) == XXH3_64bits(row + 16, size - 16);
}

static bool
bit_get(const uint64_t *bits, uint64_t i)
{
    return bits[i / 64] >> (i % 64) & 1u;
}

struct round *
round_at(const struct store *s, uint64_t number)
{
    return &s->rounds[number % ROUNDS];
}

/* Settles what was published in an old round and adds the runs to the value of the new one. */
static void
round_settle(struct store *s, struct round *old, struct buf *value)
{
    const uint64_t logs = s->set->logs;
    const uint64_t stuck = s->set->stuck_every;
    uint8_t *run = NULL;
    for (uint64_t log = 0; log < logs && log < old->count; log++) {
        bool open = false;
        for (uint64_t i = log; i < old->count; i += logs) {
            const uint64_t ordinal = old->ordinal + i;
            if (stuck != 0 && (ordinal * UINT64_C(0x9E3779B97F4A7C15) >> 40) % stuck == 0) {
                open = false;
                continue;
            }
            if (!open) {
                run = buf_reserve(value, RUN_SIZE);
                value->size += RUN_SIZE;
                store_be64(run, ordinal % logs);
                store_be64(run + 8, ordinal / logs);
                store_be32(run + 16, 0);
                open = true;
            }
            store_be32(run + 16, load_be32(run + 16) + 1);
            old->settled[i / 64] |= UINT64_C(1) << (i % 64);
            old->alive--;
            s->alive--;
        }
    }
}

static void
round_fill(const struct store *s, struct round *r, struct buf *value)
{
    static const uint8_t body[RECORD_SIZE - RECORD_HEAD_SIZE] = "what a client sent";
    const uint64_t logs = s->set->logs;
    uint8_t *at = buf_reserve(value, (size_t)r->count * RECORD_SIZE);
    r->records = (uint32_t)value->size;
    value->size += (size_t)r->count * RECORD_SIZE;
    for (uint64_t i = 0; i < r->count; i++, at += RECORD_SIZE) {
        store_be64(at, (r->ordinal + i) % logs);
        store_be64(at + 8, (r->ordinal + i) / logs);
        store_be64(at + 16, r->number);
        store_be64(at + 24, RECORD_SIZE);
        memcpy(at + RECORD_HEAD_SIZE, body, sizeof(body));
    }
}

struct round *
round_start(struct store *s, struct buf *value)
{
    const struct settings *set = s->set;
    const uint64_t span = set->round_max - set->round_min + 1;
    struct round *r = round_at(s, s->next);
    *r = (struct round){ .number = s->next++, .ordinal = s->published };
    r->count = (uint32_t)(set->round_min + r->number * UINT64_C(2654435761) / 65536 % span);
    r->alive = r->count;
    r->settled = mem_alloc_zeroed((r->count + 63) / 64 * sizeof(uint64_t));
    memset(buf_reserve(value, ROW_HEAD_SIZE), 0, ROW_HEAD_SIZE);
    value->size = ROW_HEAD_SIZE;
    if (set->settle_after != 0 && r->number > set->settle_after)
        round_settle(s, round_at(s, r->number - set->settle_after), value);
    round_fill(s, r, value);
    row_finish(value->data, value->size, r->count);
    r->bytes = value->size;
    s->alive += r->count;
    s->published += r->count;
    s->journal_bytes += r->bytes;
    return r;
}

static void
round_forget(struct store *s, struct round *r)
{
    s->journal_bytes -= r->bytes;
    s->alive -= r->alive;
    mem_free(r->value);
    mem_free(r->settled);
    s->oldest++;
}

static const uint8_t *
round_load(struct store *s, struct step *step, const struct round *r)
{
    if (r->value != NULL)
        return r->value + r->records;
    char *error = NULL;
    size_t size;
    const struct key k = KEY('J', r->number);
    uint8_t *value = (uint8_t *)rocksdb_get_cf(s->db, s->reading, family_of(s, 'J'), k.octets,
                                               k.size, &size, &error);
    check(error);
    ASSERT(value != NULL && row_is_sound(value, size));
    step->loaded[step->loaded_count++] = value;
    return value + r->records;
}

/* Enough for chunks of 4 KiB, without a batch that makes a round wait for long. */
static uint64_t
step_bytes(const struct store *s)
{
    const uint64_t wanted = s->set->logs * 4096;
    if (s->set->step_kb != 0)
        return s->set->step_kb * 1024;
    return wanted < STEP_MIN ? STEP_MIN : wanted > STEP_MAX ? STEP_MAX : wanted;
}

/* 0: the journal is short enough. Otherwise what it should be shorter than. */
static uint64_t
journal_limit(const struct store *s)
{
    if (s->journal_bytes > s->set->journal_mb << 20)
        return s->set->journal_mb << 20;
    if (s->journal_bytes > s->set->floor_mb << 20 && s->alive * RECORD_SIZE < s->journal_bytes / 2)
        return s->set->floor_mb << 20;
    return 0;
}

/* Chooses the oldest rounds, until enough is alive in them or half of the limit is left. The rest
 * may happen on the other thread. */
static void
step_choose(struct store *s)
{
    const uint64_t limit = journal_limit(s);
    const uint64_t wanted = step_bytes(s);
    uint64_t left = s->journal_bytes;
    uint64_t alive = 0;
    s->step = (struct step){ .first = s->oldest, .last = s->oldest };
    while (limit != 0 && alive < wanted && left > limit / 2 && s->step.last + YOUNG < s->next) {
        const struct round *r = round_at(s, s->step.last++);
        alive += (uint64_t)r->alive * RECORD_SIZE;
        left -= r->bytes;
    }
    s->stepping = s->step.last > s->step.first;
}

/* Sorts what is alive by log: counts, then places. */
static void
step_sort(struct store *s, struct step *step)
{
    const uint64_t logs = s->set->logs;
    ASSERT(logs > 0);
    step->ends = mem_alloc_zeroed((logs + 1) * sizeof(uint32_t));
    step->loaded = mem_alloc((step->last - step->first) * sizeof(uint8_t *));
    for (uint64_t n = step->first; n < step->last; n++) {
        const struct round *r = round_at(s, n);
        for (uint64_t i = 0; r->alive > 0 && i < r->count; i++)
            if (!bit_get(r->settled, i)) {
                step->ends[(r->ordinal + i) % logs + 1]++;
                step->count++;
            }
    }
    for (uint64_t log = 0; log < logs; log++)
        step->ends[log + 1] += step->ends[log];
    step->records = mem_alloc((step->count + 1u) * sizeof(uint8_t *));
    for (uint64_t n = step->first; n < step->last; n++) {
        const struct round *r = round_at(s, n);
        const uint8_t *records = r->alive > 0 ? round_load(s, step, r) : NULL;
        for (uint64_t i = 0; r->alive > 0 && i < r->count; i++)
            if (!bit_get(r->settled, i))
                step->records[step->ends[(r->ordinal + i) % logs]++] = records + i * RECORD_SIZE;
    }
}

/* Records of one log from `at` on that make a chunk. */
static uint32_t
chunk_count(const struct store *s, const struct step *step, uint32_t at, uint64_t *log)
{
    const uint32_t most = (uint32_t)((s->set->chunk_kb * 1024 - ROW_HEAD_SIZE) / RECORD_SIZE);
    while (step->ends[*log] <= at)
        ++*log;
    const uint32_t left = step->ends[*log] - at;
    return left < most ? left : most;
}

/* Puts chunks into the batch, up to `most` octets. True when all are in. */
static bool
step_fill(struct store *s, struct step *step, uint64_t most, rocksdb_writebatch_t *batch)
{
    struct buf *chunk = &s->chunk;
    for (uint64_t filled = 0; step->at < step->count && filled < most; filled += chunk->size) {
        const uint32_t count = chunk_count(s, step, step->at, &step->log);
        chunk->size = 0;
        memset(buf_reserve(chunk, ROW_HEAD_SIZE), 0, ROW_HEAD_SIZE);
        chunk->size = ROW_HEAD_SIZE;
        for (uint32_t i = 0; i < count; i++)
            buf_append(chunk, step->records[step->at + i], RECORD_SIZE);
        row_finish(chunk->data, chunk->size, count);
        const struct key k =
            KEY('C', step->log, load_be64(step->records[step->at] + 8), step->last);
        put(s, batch, k, chunk->data, chunk->size);
        step->at += count;
        s->chunks++;
        s->chunk_bytes += chunk->size;
    }
    return step->at == step->count;
}

/* What makes the chunks valid and the rounds superfluous: all in one batch. */
static void
step_finish(struct store *s, const struct step *step, rocksdb_writebatch_t *batch)
{
    uint8_t row[80] = { 0 };
    uint64_t log = 0;
    for (uint32_t at = 0; at < step->count;) {
        uint32_t count = chunk_count(s, step, at, &log);
        if (!s->set->chunk_rows)
            count = step->ends[log] - at;
        const uint64_t base = load_be64(step->records[at] + 8);
        s->tails[log] = load_be64(step->records[at + count - 1] + 8) + 1;
        store_be64(row, s->tails[log]);
        if (s->set->chunk_rows)
            put(s, batch, KEY('K', log, base, step->last), row, 17 + (count + 63) / 64 * 8);
        else
            put(s, batch, KEY('L', log), row, 48);
        at += count;
    }
    if (s->set->cut_range)
        delete_range(s, batch, KEY('J', step->first), KEY('J', step->last));
    for (uint64_t n = step->first; !s->set->cut_range && n < step->last; n++)
        single_delete(s, batch, KEY('J', n));
    s->steps++;
    s->relocated += step->count;
}

static void
step_release(struct store *s)
{
    while (s->oldest < s->step.last)
        round_forget(s, round_at(s, s->oldest));
    for (uint32_t i = 0; i < s->step.loaded_count; i++)
        rocksdb_free(s->step.loaded[i]);
    mem_free(s->step.loaded);
    mem_free(s->step.records);
    mem_free(s->step.ends);
    s->stepping = false;
}

static uint64_t
slice_bytes(const struct store *s)
{
    return s->set->slice_kb == 0 ? UINT64_MAX : s->set->slice_kb * 1024;
}

/* A step of the thread: what is not yet valid may be written in several batches. */
static void
step_run(struct store *s, rocksdb_writebatch_t *batch)
{
    step_sort(s, &s->step);
    while (!step_fill(s, &s->step, slice_bytes(s), batch))
        write_batch(s, batch, s->unsynced);
    step_finish(s, &s->step, batch);
    write_batch(s, batch, s->unsynced);
}

static void *
relocator_run(void *context)
{
    struct store *s = context;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_set_perf_level(PERF_LEVEL_DISABLE);
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        if (!s->wanted) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        s->wanted = false;
        pthread_mutex_unlock(&s->lock);
        step_run(s, batch);
        pthread_mutex_lock(&s->lock);
        s->done = true;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    rocksdb_writebatch_destroy(batch);
    return NULL;
}

/* Gives a step to the thread and takes it back when done; waits when the journal is far too long.
 */
static void
relocate_beside(struct store *s)
{
    const uint64_t most = s->set->journal_mb << 20;
    pthread_mutex_lock(&s->lock);
    while (s->stepping && !s->done && s->journal_bytes > 2 * most)
        pthread_cond_wait(&s->changed, &s->lock);
    if (s->done)
        step_release(s);
    s->done = false;
    if (!s->stepping) {
        step_choose(s);
        s->wanted = s->stepping;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Adds a slice of the step to the batch of the round. */
static void
relocate_between(struct store *s)
{
    if (!s->stepping) {
        step_choose(s);
        if (s->stepping)
            step_sort(s, &s->step);
    }
    if (s->stepping && step_fill(s, &s->step, slice_bytes(s), s->batch)) {
        step_finish(s, &s->step, s->batch);
        step_release(s);
    }
}

/* Rounds in which nothing is alive go at once, from the old end. */
static void
cut_dead_rounds(struct store *s)
{
    while (!s->stepping && s->oldest < s->next && round_at(s, s->oldest)->alive == 0) {
        single_delete(s, s->batch, KEY('J', s->oldest));
        round_forget(s, round_at(s, s->oldest));
    }
}

static void
latency_add(struct store *s, double ms)
{
    if (s->latency_count == s->latency_room) {
        s->latency_room = s->latency_room * 2 + 4096;
        s->latencies = mem_resize(s->latencies, s->latency_room * sizeof(float));
    }
    s->latencies[s->latency_count++] = (float)ms;
}

void
round_commit(struct store *s)
{
    const double start = (double)clock_monotonic_ns() / 1e9;
    struct buf value = s->spare;
    struct round *r = round_start(s, &value);
    put(s, s->batch, KEY('J', r->number), value.data, value.size);
    if (s->set->from_disk) {
        s->spare = value;
    } else {
        r->value = value.data;
        s->spare = (struct buf){ 0 };
    }
    cut_dead_rounds(s);
    if (s->set->thread)
        relocate_beside(s);
    else
        relocate_between(s);
    write_batch(s, s->batch, s->set->sync ? s->synced : s->unsynced);
    latency_add(s, ((double)clock_monotonic_ns() / 1e9 - start) * 1e3);
}

static rocksdb_options_t *
make_options(const struct settings *set, const char *extra, uint64_t buffer_mb)
{
    char *error = NULL;
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(8 << 20);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_block_size(table, 16384);
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_cache_destroy(cache);
    rocksdb_block_based_options_destroy(table);
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_write_buffer_size(o, buffer_mb << 20);
    rocksdb_options_set_max_write_buffer_number(o, (int)set->buffers);
    rocksdb_options_set_max_total_wal_size(o, set->wal_mb << 20);
    rocksdb_options_set_compression(o, rocksdb_no_compression);
    rocksdb_options_set_allow_concurrent_memtable_write(o, 0);
    rocksdb_options_set_wal_recovery_mode(o, rocksdb_tolerate_corrupted_tail_records_recovery);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_bytes_per_sync(o, 1 << 20);
    rocksdb_options_t *result = rocksdb_options_create_copy(o);
    rocksdb_get_options_from_string(o, extra, result, &error);
    check(error);
    rocksdb_options_destroy(o);
    return result;
}

void
store_open(struct store *s, const struct settings *set, const char *directory)
{
    char *error = NULL;
    const char *const names[] = { "default", "journal", "chunks" };
    *s = (struct store){ .set = set, .directory = directory, .oldest = 1, .next = 1 };
    s->options[0] = make_options(set, set->families == 1 ? set->journal_options : "",
                                 set->families == 1 ? set->buffer_mb : 8);
    s->options[1] = make_options(set, set->journal_options, set->buffer_mb);
    s->options[2] = make_options(set, set->chunk_options, set->buffer_mb);
    s->db = rocksdb_open_column_families(s->options[0], directory, (int)set->families, names,
                                         (const rocksdb_options_t *const *)s->options, s->families,
                                         &error);
    check(error);
    rocksdb_set_perf_level(PERF_LEVEL_DISABLE);
    s->synced = rocksdb_writeoptions_create();
    s->unsynced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(s->synced, 1);
    s->reading = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(s->reading, 0);
    s->batch = rocksdb_writebatch_create();
    s->rounds = mem_alloc_zeroed(ROUNDS * sizeof(*s->rounds));
    s->tails = mem_alloc_zeroed(set->logs * sizeof(uint64_t));
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (set->thread)
        pthread_create(&s->thread, NULL, relocator_run, s);
}

void
store_close(struct store *s)
{
    if (s->set->thread) {
        pthread_mutex_lock(&s->lock);
        while (s->stepping && !s->done)
            pthread_cond_wait(&s->changed, &s->lock);
        s->stop = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    for (uint64_t i = 0; i < s->set->families; i++)
        rocksdb_column_family_handle_destroy(s->families[i]);
    rocksdb_close(s->db);
}
