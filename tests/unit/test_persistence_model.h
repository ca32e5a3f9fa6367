#ifndef TESTS_UNIT_TEST_PERSISTENCE_MODEL_H
#define TESTS_UNIT_TEST_PERSISTENCE_MODEL_H

/*
 * A model of what a store holds, an engine driven without a door beside it, and their comparison
 * after a start. What is done to the model in a round is done to the engine by the same call.
 */

#include "broker/base/mem.h"
#include "persistence/door.h"
#include "persistence/engine_local.h"
#include "tests/unit/test_persistence.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MODEL_LOGS_MAX = 50, MODEL_DEFINITIONS = 20, ROUND_EFFECTS_MAX = 64, PROBLEM_SIZE = 400 };

struct model_record {
    uint64_t sequence;
    uint64_t mark; /* In the content; unlike the sequence never used twice. */
    uint32_t weight;
};

struct model_log {
    uint64_t id;
    uint64_t next;
    struct model_record *alive; /* In order. */
    size_t count;
    size_t capacity;
    size_t seen; /* By recovery. */
};

struct model {
    size_t log_count;
    struct model_log logs[MODEL_LOGS_MAX];
    uint64_t definitions[MODEL_DEFINITIONS]; /* Mark of each; 0: none. */
    size_t definitions_seen;
    uint64_t last_mark;
};

/* An engine and the round that is being put together. */
struct driver {
    struct random random;
    struct model model;
    struct engine_local *engine;
    char directory[PATH_SIZE];
    uint64_t next_round;
    uint64_t next_log;
    uint64_t done;
    uint64_t journal_bytes_max;
    uint64_t dead_chunks_bytes_max;
    size_t effect_count;
    struct effect effects[ROUND_EFFECTS_MAX];
};

static inline void
driver_done(void *context, uint64_t round_number, enum round_outcome outcome)
{
    struct driver *d = context;
    assert_int_equal(outcome, ROUND_COMMITTED);
    assert_int_equal(round_number, d->next_round);
    d->done++;
}

static inline void
driver_submit(struct driver *d, bool sync)
{
    const uint64_t done = d->done;
    const struct round round = { d->next_round, d->effects, d->effect_count, 0, sync };
    d->engine->engine.ops->submit(&d->engine->engine, &round);
    assert_int_equal(d->done, done + 1);
    d->next_round++;
    for (size_t i = 0; i < d->effect_count; i++) {
        buf_fini(&d->effects[i].key);
        buf_fini(&d->effects[i].payload);
    }
    d->effect_count = 0;
}

static inline struct effect *
effect_add(struct driver *d, enum effect_kind kind, uint64_t log)
{
    assert_true(d->effect_count < ROUND_EFFECTS_MAX);
    struct effect *e = &d->effects[d->effect_count++];
    *e = (struct effect){ .kind = kind, .log = log };
    return e;
}

static inline void
model_append(struct model_log *m, uint64_t sequence, uint64_t mark, uint32_t weight)
{
    if (m->count == m->capacity) {
        m->capacity = m->capacity == 0 ? 64 : m->capacity * 2;
        m->alive = mem_resize(m->alive, m->capacity * sizeof(*m->alive));
    }
    m->alive[m->count++] = (struct model_record){ sequence, mark, weight };
}

/* `count` records of `fill` octets each, and holes of up to `hole` sequences before each. */
static inline void
do_records(struct driver *d, struct model_log *m, uint32_t count, uint32_t fill, uint32_t hole)
{
    struct effect *e = effect_add(d, EFFECT_RECORDS, m->id);
    uint32_t offset = 0;
    e->sequence = m->next;
    e->count = count;
    for (uint32_t i = 0; i < count; i++, offset++) {
        offset += (uint32_t)random_below(&d->random, hole + 1);
        payload_add(&e->payload, offset, ++d->model.last_mark, fill);
        model_append(m, m->next + offset, d->model.last_mark, fill);
    }
    m->next += offset;
}

/* Record number `at` of what is alive. */
static inline void
do_settle(struct model_log *m, struct effect *e, size_t at)
{
    e->count += settled_runs_add(&e->payload, m->alive[at].sequence, m->alive[at].weight);
    m->count--;
    memmove(m->alive + at, m->alive + at + 1, (m->count - at) * sizeof(*m->alive));
}

/* The `count` oldest. */
static inline void
do_settle_oldest(struct driver *d, struct model_log *m, size_t count)
{
    struct effect *e = effect_add(d, EFFECT_SETTLE, m->id);
    for (; count > 0; count--)
        do_settle(m, e, 0);
}

/* All from record number `from` on, `count` of them: one range. */
static inline void
do_purge(struct driver *d, struct model_log *m, size_t from, size_t count)
{
    struct effect *e = effect_add(d, EFFECT_PURGE, m->id);
    e->sequence = m->alive[from].sequence;
    store_be64(buf_reserve(&e->payload, 8), m->alive[from + count - 1].sequence);
    e->payload.size = 8;
    m->count -= count;
    memmove(m->alive + from, m->alive + from + count, (m->count - from) * sizeof(*m->alive));
}

static inline void
do_log_end(struct driver *d, struct model_log *m)
{
    effect_add(d, EFFECT_LOG_END, m->id);
    m->id = d->next_log++;
    m->next = 1;
    m->count = 0;
}

/* Puts a new row, or, with `put` false, deletes it. */
static inline void
do_definition(struct driver *d, size_t which, bool put)
{
    struct effect *e = effect_add(d, put ? EFFECT_PUT : EFFECT_DELETE, 0);
    buf_printf(&e->key, "definition %zu", which);
    const uint64_t mark = put ? ++d->model.last_mark : 0;
    if (put)
        payload_add(&e->payload, 0, mark, (uint32_t)(mark % 50));
    d->model.definitions[which] = mark;
}

static inline void
on_definition(void *context, struct bytes key, struct bytes row)
{
    struct model *m = context;
    char name[32] = "";
    size_t which;
    assert_true(key.size < sizeof(name));
    memcpy(name, key.data, key.size);
    assert_int_equal(sscanf(name, "definition %zu", &which), 1);
    assert_true(which < MODEL_DEFINITIONS);
    assert_int_equal(record_mark(row), m->definitions[which]);
    m->definitions_seen++;
}

static inline void
on_log(void *context, const struct log_summary *summary)
{
    struct model *m = context;
    uint64_t weight = 0;
    for (size_t l = 0; l < m->log_count; l++) {
        struct model_log *known = &m->logs[l];
        if (known->id != summary->log)
            continue;
        assert_true(known->count > 0);
        for (size_t i = 0; i < known->count; i++)
            weight += known->alive[i].weight;
        assert_int_equal(summary->count, known->count);
        assert_int_equal(summary->weight, weight);
        assert_int_equal(summary->first, known->alive[0].sequence);
        assert_int_equal(summary->last, known->alive[known->count - 1].sequence);
        known->seen++;
        return;
    }
    fail_msg("log %llu has come back", (unsigned long long)summary->log);
}

/* One log as it is read, against the model from `seen` on. */
struct log_check {
    const struct model_log *log;
    size_t seen;
    size_t most;
};

static inline bool
check_record(void *context, uint64_t sequence, struct bytes record)
{
    struct log_check *c = context;
    assert_true(c->seen < c->log->count);
    assert_int_equal(sequence, c->log->alive[c->seen].sequence);
    assert_int_equal(record_mark(record), c->log->alive[c->seen].mark);
    assert_int_equal(load_be32(record.data + 8), c->log->alive[c->seen].weight);
    c->seen++;
    return c->seen < c->most;
}

/* Reads the records number `from` to `to`, but at most `most`. */
static inline void
log_compare(struct engine *e, const struct model_log *m, size_t from, size_t to, size_t most)
{
    struct log_check check = { m, from, from + most };
    const struct log_reading reading = {
        .log = m->id,
        .from = m->alive[from].sequence,
        .to = m->alive[to].sequence,
        .visit = check_record,
        .context = &check,
    };
    assert_true(e->ops->read(e, &reading));
    const size_t end = from + most < to + 1 ? from + most : to + 1;
    assert_int_equal(check.seen, end);
}

/* Everything that is alive, and some part of it. */
static inline void
logs_compare(struct engine *e, struct model *m, struct random *r)
{
    for (size_t l = 0; l < m->log_count; l++) {
        const struct model_log *log = &m->logs[l];
        if (log->count == 0)
            continue;
        log_compare(e, log, 0, log->count - 1, SIZE_MAX / 2);
        const size_t from = random_below(r, log->count);
        log_compare(e, log, from, from + random_below(r, log->count - from),
                    1 + random_below(r, log->count));
    }
}

static inline struct engine_local *
engine_start(const char *directory)
{
    char problem[PROBLEM_SIZE] = "";
    struct engine *engine = engine_local_open(directory, problem, sizeof(problem));
    if (engine == NULL)
        fail_msg("%s", problem);
    return (struct engine_local *)engine;
}

static inline void
engine_stop(struct engine_local *e)
{
    e->engine.ops->destroy(&e->engine);
}

/* What the engine recovers is what the model holds, no more, no less, in order. */
static inline void
engine_compare(struct engine *e, struct model *m, struct random *r)
{
    char problem[PROBLEM_SIZE] = "";
    const struct recovery recovery = { on_definition, on_log, m };
    size_t definitions = 0;
    m->definitions_seen = 0;
    for (size_t l = 0; l < m->log_count; l++)
        m->logs[l].seen = 0;
    if (!e->ops->recover(e, &recovery, problem, sizeof(problem)))
        fail_msg("%s", problem);
    for (size_t l = 0; l < m->log_count; l++)
        assert_int_equal(m->logs[l].seen, m->logs[l].count > 0);
    for (size_t i = 0; i < MODEL_DEFINITIONS; i++)
        definitions += m->definitions[i] != 0;
    assert_int_equal(m->definitions_seen, definitions);
    if (e->ops->read != NULL)
        logs_compare(e, m, r);
}

/* Opens the store and compares. */
static inline void
driver_open(struct driver *d)
{
    d->engine = engine_start(d->directory);
    d->engine->engine.done = driver_done;
    d->engine->engine.done_context = d;
    d->engine->journal_bytes_max = d->journal_bytes_max;
    d->engine->dead_chunks_bytes_max = d->dead_chunks_bytes_max;
    engine_compare(&d->engine->engine, &d->model, &d->random);
    assert_true(d->engine->engine.first_round > d->next_round);
    assert_true(d->engine->engine.first_log > d->next_log);
    d->next_round = d->engine->engine.first_round;
    d->next_log = d->engine->engine.first_log;
}

static inline void
driver_start(struct driver *d, const char *test, size_t log_count)
{
    *d = (struct driver){ .random = random_start(test),
                          .journal_bytes_max = 64 * 1024,
                          .dead_chunks_bytes_max = 16 * 1024 };
    directory_make(d->directory);
    driver_open(d);
    d->model.log_count = log_count;
    for (size_t l = 0; l < log_count; l++)
        d->model.logs[l] = (struct model_log){ .id = d->next_log++, .next = 1 };
}

/* The engine has been stopped. */
static inline void
driver_forget(struct driver *d)
{
    directory_remove(d->directory);
    for (size_t l = 0; l < MODEL_LOGS_MAX; l++)
        mem_free(d->model.logs[l].alive);
}

static inline void
driver_finish(struct driver *d)
{
    engine_stop(d->engine);
    driver_forget(d);
}

/* What a process killed now leaves, as a directory of its own. */
static inline void
driver_copy(struct driver *d, char copy[PATH_SIZE])
{
    char *error = NULL;
    rocksdb_disable_file_deletions(d->engine->db, &error);
    assert_null(error);
    directory_copy(d->directory, copy);
    rocksdb_enable_file_deletions(d->engine->db, 1, &error);
    assert_null(error);
}

struct row_counts {
    size_t rows;
    size_t octets;
};

static inline struct row_counts
rows_count(struct engine_local *e, char kind)
{
    struct row_counts counts = { 0, 0 };
    size_t size;
    rocksdb_iterator_t *i = rocksdb_create_iterator(e->db, e->reading);
    for (rocksdb_iter_seek(i, &kind, 1);
         rocksdb_iter_valid(i) && rocksdb_iter_key(i, &size)[0] == kind; rocksdb_iter_next(i)) {
        counts.rows++;
        rocksdb_iter_value(i, &size);
        counts.octets += size;
    }
    rocksdb_iter_destroy(i);
    return counts;
}

#endif
