/* Records are read while rounds are committed, moved into chunks and settled; and rounds that are
 * large, or of many parts, come back whole. */

#include "tests/unit/test_persistence_model.h"

#include <pthread.h>
#include <stdatomic.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { READERS = 2, ROUNDS = 500, EACH = 60, STUCK = 10, LAG = 25 };

static struct driver driver;

/* Shared by the readers. Records' marks are their sequences; each whose sequence is a multiple of
 * STUCK is never settled. */
struct shared {
    struct engine_local *engine;
    uint64_t log;
    _Atomic uint64_t committed; /* The highest sequence. */
    atomic_bool stop;
    _Atomic(const char *) broken;
    _Atomic uint64_t readings;
};

static struct shared shared;

struct reading {
    uint64_t last;
    uint64_t next_stuck;
};

static bool
visit(void *context, uint64_t sequence, struct bytes record)
{
    struct reading *r = context;
    if (sequence <= r->last)
        atomic_store(&shared.broken, "a record comes twice, or out of order");
    if (record.size < RECORD_FRAME_SIZE + 8 || load_be64(record.data + 12) != sequence)
        atomic_store(&shared.broken, "a record is another one");
    if (sequence > r->next_stuck)
        atomic_store(&shared.broken, "a record is missing in between");
    if (sequence == r->next_stuck)
        r->next_stuck += STUCK;
    r->last = sequence;
    return atomic_load(&shared.broken) == NULL;
}

static void *
read_again_and_again(void *argument)
{
    struct random dice = { *(const uint64_t *)argument };
    while (!atomic_load(&shared.stop) && atomic_load(&shared.broken) == NULL) {
        const uint64_t to = atomic_load(&shared.committed);
        const uint64_t from = 1 + random_below(&dice, to + 1);
        struct reading r = { from - 1, (from + STUCK - 1) / STUCK * STUCK };
        const struct log_reading reading = { shared.log, from, to, visit, &r };
        if (!shared.engine->engine.ops->read(&shared.engine->engine, &reading))
            atomic_store(&shared.broken, "a reading fails");
        else if (r.next_stuck <= to)
            atomic_store(&shared.broken, "a record is missing at the end");
        atomic_fetch_add(&shared.readings, 1);
    }
    return NULL;
}

static void
add_records(uint64_t base)
{
    struct effect *e = effect_add(&driver, EFFECT_RECORDS, shared.log);
    e->sequence = base;
    e->count = EACH;
    for (uint32_t i = 0; i < EACH; i++)
        payload_add(&e->payload, i, base + i, 200);
}

/* In random order, so that it is told in many runs. */
static void
settle_records(uint64_t base)
{
    struct effect *e = effect_add(&driver, EFFECT_SETTLE, shared.log);
    const uint64_t shift = random_below(&driver.random, EACH);
    for (uint64_t i = 0; i < EACH; i++) {
        const uint64_t sequence = base + (i * 7 + shift) % EACH;
        if (sequence % STUCK != 0)
            e->count += settled_runs_add(&e->payload, sequence, 200);
    }
}

static void
test_reading_while_rounds_are_committed(void **state)
{
    (void)state;
    pthread_t readers[READERS];
    uint64_t seeds[READERS];
    driver_start(&driver, __func__, 1);
    shared = (struct shared){ .engine = driver.engine, .log = driver.model.logs[0].id };
    for (size_t i = 0; i < READERS; i++) {
        seeds[i] = random_next(&driver.random);
        assert_int_equal(pthread_create(&readers[i], NULL, read_again_and_again, &seeds[i]), 0);
    }
    for (uint64_t round = 0; round < ROUNDS || atomic_load(&shared.readings) < 100; round++) {
        if (atomic_load(&shared.broken) != NULL)
            break;
        add_records(1 + round * EACH);
        if (round >= LAG)
            settle_records(1 + (round - LAG) * EACH);
        driver_submit(&driver, round % 50 == 0);
        atomic_store(&shared.committed, (round + 1) * EACH);
    }
    atomic_store(&shared.stop, true);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    if (atomic_load(&shared.broken) != NULL)
        fail_msg("%s", atomic_load(&shared.broken));
    /* Sparse chunks have been written again: not much more is there than is alive. */
    const struct log_index *x = &driver.engine->index;
    assert_true(x->chunk_count > 0);
    assert_true(x->chunk_bytes <= 3 * x->chunk_bytes_alive + driver.dead_chunks_bytes_max);
    driver.model.logs[0].count = 0;
    driver_finish(&driver);
}

/* Restarts as a crash would, and compares. */
static void
crash_and_compare(void)
{
    char copy[PATH_SIZE];
    driver_copy(&driver, copy);
    engine_stop(driver.engine);
    directory_remove(driver.directory);
    memcpy(driver.directory, copy, sizeof(copy));
    driver_open(&driver);
}

static void
settle_everything(void)
{
    for (size_t l = 0; l < driver.model.log_count; l++)
        do_settle_oldest(&driver, &driver.model.logs[l], driver.model.logs[l].count);
    driver_submit(&driver, true);
    assert_int_equal(rows_count(driver.engine, 'C').rows, 0);
    assert_int_equal(rows_count(driver.engine, 'J').rows, 1);
}

/* Larger than a batch: its rows are written in several, and each row has its bound. */
static void
test_a_large_round(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 3);
    driver.journal_bytes_max = UINT64_MAX;
    driver.engine->journal_bytes_max = UINT64_MAX;
    for (size_t i = 0; i < 40; i++)
        do_records(&driver, &driver.model.logs[i % 3], 5, 90000, 1);
    driver_submit(&driver, true);
    const struct row_counts rows = rows_count(driver.engine, 'J');
    assert_true(rows.rows >= rows.octets / (1024 * 1024));
    assert_true(rows.octets > 40 * 5 * 90000);
    logs_compare(&driver.engine->engine, &driver.model, &driver.random);
    crash_and_compare();
    settle_everything();
    driver_finish(&driver);
}

/* One record larger than a row, between small ones of the same log. */
static void
test_a_large_record(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 1);
    for (uint32_t i = 0; i < 30; i++)
        do_records(&driver, &driver.model.logs[0], 1, i % 10 == 5 ? 3000000 : 10, 0);
    driver_submit(&driver, true);
    logs_compare(&driver.engine->engine, &driver.model, &driver.random);
    crash_and_compare();
    driver.model.logs[0].next = driver.engine->engine.first_log;
    do_records(&driver, &driver.model.logs[0], 1, 10, 0); /* Moves the rest. */
    driver_submit(&driver, true);
    logs_compare(&driver.engine->engine, &driver.model, &driver.random);
    crash_and_compare();
    settle_everything();
    driver_finish(&driver);
}

/* Rows with very many small segments move into chunks however little they take. */
static void
test_many_segments_leave_the_journal(void **state)
{
    (void)state;
    enum { SEGMENTS = 131072, MORE = 140000 };
    driver_start(&driver, __func__, MODEL_LOGS_MAX);
    driver.journal_bytes_max = UINT64_MAX;
    driver.engine->journal_bytes_max = UINT64_MAX;
    for (size_t i = 0; i < MORE; i++) {
        do_records(&driver, &driver.model.logs[i % MODEL_LOGS_MAX], 1, 0, 0);
        if (driver.effect_count == ROUND_EFFECTS_MAX)
            driver_submit(&driver, false);
        assert_true(driver.engine->index.journal_segments <= SEGMENTS);
    }
    driver_submit(&driver, false);
    assert_true(driver.engine->index.chunk_count > 0);
    logs_compare(&driver.engine->engine, &driver.model, &driver.random);
    crash_and_compare();
    driver_finish(&driver);
}

/* A row that is gone is damage and not the end; what comes before it is still given. */
struct seen {
    uint64_t count;
    uint64_t last;
};

static bool
count_record(void *context, uint64_t sequence, struct bytes record)
{
    struct seen *seen = context;
    record_mark(record);
    seen->count++;
    seen->last = sequence;
    return true;
}

static void
test_a_missing_chunk_is_damage(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 1);
    struct model_log *m = &driver.model.logs[0];
    for (int round = 0; round < 100; round++) {
        do_records(&driver, m, 50, 84, 0);
        driver_submit(&driver, false);
    }
    const struct log *log = log_find(&driver.engine->index, m->id);
    struct segment *s = log->segments[log->first + 2];
    assert_null(s->row);
    const struct key key = engine_key_of_segment(s);
    char *error = NULL;
    rocksdb_delete(driver.engine->db, driver.engine->unsynced, (const char *)key.octets, key.size,
                   &error);
    assert_null(error);
    struct seen seen = { 0 };
    struct log_reading reading = { m->id, 1, m->next, count_record, &seen };
    assert_false(driver.engine->engine.ops->read(&driver.engine->engine, &reading));
    assert_int_equal(seen.last, s->base - 1);
    assert_int_equal(seen.count, s->base - 1);
    /* Behind it nothing is wrong. */
    seen = (struct seen){ 0 };
    reading.from = s->base + s->span;
    assert_true(driver.engine->engine.ops->read(&driver.engine->engine, &reading));
    assert_int_equal(seen.count, m->next - (s->base + s->span));
    driver_finish(&driver);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading_while_rounds_are_committed),
        cmocka_unit_test(test_a_large_round),
        cmocka_unit_test(test_a_large_record),
        cmocka_unit_test(test_many_segments_leave_the_journal),
        cmocka_unit_test(test_a_missing_chunk_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
