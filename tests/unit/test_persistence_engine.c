#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/test_persistence_model.h"

enum { GENERATIONS = 6, ROUNDS = 120 };

static struct driver driver;

static uint32_t
random_fill(struct random *r)
{
    const size_t what = random_below(r, 200);
    if (what == 0)
        return 70000; /* More than a chunk takes. */
    return (uint32_t)random_below(r, what < 20 ? 3000 : 150);
}

static struct model_log *
some_log(struct driver *d)
{
    return &d->model.logs[random_below(&d->random, d->model.log_count)];
}

/* In order, at random, or in order but for every tenth, which is stuck. */
static void
settle_some(struct driver *d, struct model_log *m)
{
    struct effect *e = effect_add(d, EFFECT_SETTLE, m->id);
    const size_t mode = random_below(&d->random, 3);
    for (size_t n = random_below(&d->random, 50), at = 0; n > 0 && at < m->count; n--) {
        if (mode == 1)
            at = random_below(&d->random, m->count);
        if (mode == 2 && m->alive[at].mark % 10 == 0)
            at++;
        else
            do_settle(m, e, at);
    }
    /* What is gone already, and what never was. */
    for (size_t n = random_below(&d->random, 3); n > 0; n--) {
        uint64_t sequence = random_below(&d->random, m->next + 20);
        for (size_t i = 0; i < m->count; i++)
            sequence = m->alive[i].sequence == sequence ? UINT64_MAX - n : sequence;
        e->count += settled_runs_add(&e->payload, sequence, 0);
    }
}

/* What is purged is committed: of the round that is being put together nothing is. */
static void
purge_some(struct driver *d, struct model_log *m)
{
    driver_submit(d, false);
    if (m->count == 0)
        return;
    const size_t from = random_below(&d->random, m->count);
    do_purge(d, m, from, 1 + random_below(&d->random, m->count - from));
}

static void
random_effect(struct driver *d)
{
    const size_t what = random_below(&d->random, 100);
    struct model_log *m = some_log(d);
    if (what < 40)
        do_records(d, m, 1 + (uint32_t)random_below(&d->random, 20), random_fill(&d->random),
                   (uint32_t)random_below(&d->random, 3));
    else if (what < 90)
        settle_some(d, m);
    else if (what < 92)
        do_log_end(d, m);
    else if (what < 95)
        purge_some(d, m);
    else
        do_definition(d, random_below(&d->random, MODEL_DEFINITIONS),
                      random_below(&d->random, 3) > 0);
}

static void
random_round(struct driver *d)
{
    for (size_t n = 1 + random_below(&d->random, 8); n > 0; n--)
        random_effect(d);
    driver_submit(d, random_below(&d->random, 10) == 0);
    if (random_below(&d->random, 10) == 0)
        logs_compare(&d->engine->engine, &d->model, &d->random);
}

/* Sorted tables beside the log, so that deletions meet what they delete in other places. */
static void
flush_or_compact(struct driver *d)
{
    char *error = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flush(d->engine->db, options, &error);
    assert_null(error);
    rocksdb_flushoptions_destroy(options);
    if (random_below(&d->random, 2) == 0)
        rocksdb_compact_range(d->engine->db, NULL, 0, NULL, 0);
}

/* A crash now would leave exactly the model. */
static void
crash_check(struct driver *d)
{
    char copy[PATH_SIZE];
    driver_copy(d, copy);
    struct engine_local *e = engine_start(copy);
    engine_compare(&e->engine, &d->model, &d->random);
    engine_stop(e);
    directory_remove(copy);
}

/* As the broker does: where the run's sequences begin. */
static void
sequences_after_start(struct driver *d)
{
    for (size_t l = 0; l < d->model.log_count; l++) {
        assert_true(d->model.logs[l].next < d->engine->engine.first_log);
        d->model.logs[l].next = d->engine->engine.first_log;
    }
}

static void
restart(struct driver *d)
{
    char copy[PATH_SIZE];
    if (random_below(&d->random, 2) == 0) {
        engine_stop(d->engine);
    } else {
        driver_copy(d, copy);
        engine_stop(d->engine);
        directory_remove(d->directory);
        memcpy(d->directory, copy, sizeof(copy));
    }
    driver_open(d);
    sequences_after_start(d);
}

static void
run_generations(struct driver *d)
{
    for (int generation = 0; generation < GENERATIONS; generation++) {
        for (int round = 0; round < ROUNDS; round++) {
            random_round(d);
            if (random_below(&d->random, ROUNDS / 3) == 0)
                crash_check(d);
            if (random_below(&d->random, ROUNDS / 3) == 0)
                flush_or_compact(d);
        }
        restart(d);
    }
}

static void
test_random_work_one_log(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 1);
    run_generations(&driver);
    driver_finish(&driver);
}

static void
test_random_work_some_logs(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 7);
    run_generations(&driver);
    driver_finish(&driver);
}

static void
test_random_work_many_logs(void **state)
{
    (void)state;
    driver_start(&driver, __func__, MODEL_LOGS_MAX);
    driver.journal_bytes_max = 256 * 1024;
    run_generations(&driver);
    driver_finish(&driver);
}

static void
settle_all(struct driver *d)
{
    for (size_t l = 0; l < d->model.log_count; l++) {
        do_settle_oldest(d, &d->model.logs[l], d->model.logs[l].count);
        driver_submit(d, false);
    }
}

/* Only the newest round stays: it tells what has been applied. */
static void
assert_nothing_left(struct driver *d)
{
    assert_int_equal(rows_count(d->engine, 'C').rows, 0);
    assert_int_equal(rows_count(d->engine, 'K').rows, 0);
    assert_int_equal(rows_count(d->engine, 'J').rows, 1);
    assert_int_equal(d->engine->index.journal_alive, 0);
}

/* Random work, which may or may not leave chunks; and then records that nobody settles until it
 * has. */
static void
work_until_chunks(struct driver *d)
{
    for (int round = 0; round < 200; round++)
        random_round(d);
    for (size_t round = 0; round < 1000 && rows_count(d->engine, 'C').rows == 0; round++) {
        do_records(d, &d->model.logs[round % d->model.log_count], 50, 84, 0);
        driver_submit(d, false);
    }
    assert_true(rows_count(d->engine, 'C').rows > 0);
}

static void
test_settling_all_leaves_nothing(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 10);
    work_until_chunks(&driver);
    settle_all(&driver);
    assert_nothing_left(&driver);
    restart(&driver);
    assert_nothing_left(&driver);
    driver_finish(&driver);
}

static void
test_ending_logs_leaves_nothing(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 10);
    work_until_chunks(&driver);
    restart(&driver);
    for (size_t l = 0; l < driver.model.log_count; l++)
        do_log_end(&driver, &driver.model.logs[l]);
    driver_submit(&driver, false);
    assert_nothing_left(&driver);
    restart(&driver);
    driver_finish(&driver);
}

/* A message in a thousand is never settled: the journal keeps its limit all the same, and what is
 * stored beyond it is near to what is alive. */
static void
test_stuck_messages_do_not_pin_the_journal(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 1);
    struct model_log *m = &driver.model.logs[0];
    size_t largest = 0;
    for (int round = 0; round < 600; round++) {
        do_records(&driver, m, 100, 84, 0);
        struct effect *e = effect_add(&driver, EFFECT_SETTLE, m->id);
        for (size_t at = 0; m->count > at + 100;)
            if (m->alive[at].mark % 1000 == 0)
                at++;
            else
                do_settle(m, e, at);
        driver_submit(&driver, false);
        if (driver.engine->index.journal_bytes > largest)
            largest = driver.engine->index.journal_bytes;
    }
    assert_true(largest <= driver.journal_bytes_max);
    assert_int_equal(m->count, 159); /* Of them the last hundred. */
    const struct row_counts chunks = rows_count(driver.engine, 'C');
    assert_true(chunks.rows > 0);
    assert_true(chunks.octets < 4 * m->count * 100);
    crash_check(&driver);
    driver_finish(&driver);
}

/* What nobody settles leaves the journal as a whole, and is stored once. */
static void
test_a_backlog_leaves_the_journal(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 3);
    for (int round = 0; round < 300; round++) {
        do_records(&driver, &driver.model.logs[round % 3], 50, 84, 0);
        driver_submit(&driver, false);
        assert_true(driver.engine->index.journal_bytes <= driver.journal_bytes_max);
    }
    const struct row_counts chunks = rows_count(driver.engine, 'C');
    assert_true(chunks.octets + driver.engine->index.journal_bytes < 300 * 50 * 107);
    crash_check(&driver);
    settle_all(&driver);
    assert_nothing_left(&driver);
    driver_finish(&driver);
}

/* An old round with one alive and another log with nothing but short-lived messages. */
static void
test_a_stuck_round_of_another_log(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 2);
    do_records(&driver, &driver.model.logs[0], 1, 10, 0);
    for (int round = 0; round < 300; round++) {
        do_records(&driver, &driver.model.logs[1], 50, 100, 0);
        driver_submit(&driver, false);
        do_settle_oldest(&driver, &driver.model.logs[1], 50);
        driver_submit(&driver, false);
        assert_true(driver.engine->index.journal_bytes <= driver.journal_bytes_max);
    }
    assert_int_equal(rows_count(driver.engine, 'C').rows, 1);
    crash_check(&driver);
    driver_finish(&driver);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_work_one_log),
        cmocka_unit_test(test_random_work_some_logs),
        cmocka_unit_test(test_random_work_many_logs),
        cmocka_unit_test(test_settling_all_leaves_nothing),
        cmocka_unit_test(test_ending_logs_leaves_nothing),
        cmocka_unit_test(test_stuck_messages_do_not_pin_the_journal),
        cmocka_unit_test(test_a_backlog_leaves_the_journal),
        cmocka_unit_test(test_a_stuck_round_of_another_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
