#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/test_persistence_model.h"

#include <signal.h>
#include <sys/wait.h>

static struct driver driver;

struct kept_row {
    struct buf key;
    struct buf row;
};

/* Row number `n` of a kind. */
static struct kept_row
row_read(struct engine_local *e, char kind, size_t n)
{
    struct kept_row kept = { 0 };
    size_t size;
    rocksdb_iterator_t *i = rocksdb_create_iterator(e->db, e->reading);
    rocksdb_iter_seek(i, &kind, 1);
    for (; n > 0; n--)
        rocksdb_iter_next(i);
    assert_true(rocksdb_iter_valid(i));
    const char *key = rocksdb_iter_key(i, &size);
    buf_append(&kept.key, key, size);
    assert_int_equal(key[0], kind);
    const char *row = rocksdb_iter_value(i, &size);
    buf_append(&kept.row, row, size);
    rocksdb_iter_destroy(i);
    return kept;
}

static void
kept_fini(struct kept_row *kept)
{
    buf_fini(&kept->key);
    buf_fini(&kept->row);
}

static void
row_write(struct engine_local *e, struct bytes key, struct bytes row)
{
    char *error = NULL;
    rocksdb_put(e->db, e->unsynced, (const char *)key.data, key.size, (const char *)row.data,
                row.size, &error);
    assert_null(error);
}

static void
row_delete(struct engine_local *e, struct bytes key)
{
    char *error = NULL;
    rocksdb_delete(e->db, e->unsynced, (const char *)key.data, key.size, &error);
    assert_null(error);
}

/* As a start does, without opening the store again. */
static bool
recover_again(struct engine_local *e, char problem[PROBLEM_SIZE])
{
    if (e->tidy != NULL)
        engine_tidy_stop(e->tidy); /* It looks at the index. */
    e->tidy = NULL;
    log_index_fini(&e->index);
    log_index_init(&e->index);
    e->newest_row = 0;
    problem[0] = 0;
    return engine_local_recover(&e->engine, &recovery_ignored, problem, PROBLEM_SIZE);
}

static void
assert_refused(struct engine_local *e, struct bytes key)
{
    char problem[PROBLEM_SIZE];
    char name[80];
    int size = snprintf(name, sizeof(name), "damaged at row %c ", key.data[0]);
    for (size_t i = 1; i < key.size && i < KEY_SIZE_MAX; i++)
        size += snprintf(name + size, sizeof(name) - (size_t)size, "%02x", key.data[i]);
    assert_false(recover_again(e, problem));
    if (strstr(problem, name) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", problem, name);
}

static bool
ignore_record(void *context, uint64_t sequence, struct bytes record)
{
    (void)context;
    (void)sequence;
    (void)record;
    return true;
}

static bool
logs_are_readable(struct engine_local *e)
{
    bool ok = true;
    for (size_t l = 0; l < driver.model.log_count; l++) {
        const struct log_reading all = { .log = driver.model.logs[l].id,
                                         .to = UINT64_MAX,
                                         .visit = ignore_record };
        ok = e->engine.ops->read(&e->engine, &all) && ok;
    }
    return ok;
}

static void
assert_sound(struct engine_local *e)
{
    char problem[PROBLEM_SIZE];
    if (!recover_again(e, problem))
        fail_msg("%s", problem);
    assert_true(logs_are_readable(e));
}

/* Chunks are not read by a start: whoever wants what is in them is told. */
static void
assert_damage_found(struct engine_local *e, struct bytes key)
{
    char problem[PROBLEM_SIZE];
    if (key.data[0] != 'C') {
        assert_refused(e, key);
        return;
    }
    assert_true(recover_again(e, problem));
    assert_false(logs_are_readable(e));
}

/* A store with chunks, partly settled, and a journal of several rounds. */
static void
store_make(const char *test)
{
    driver_start(&driver, test, 2);
    driver.journal_bytes_max = 4096;
    driver.engine->journal_bytes_max = 4096;
    for (int i = 0; i < 30; i++) {
        do_records(&driver, &driver.model.logs[0], 3, 40, 1);
        do_records(&driver, &driver.model.logs[1], 2, 40, 0);
        driver_submit(&driver, false);
        do_settle_oldest(&driver, &driver.model.logs[i % 2], 1);
        do_definition(&driver, (size_t)i % MODEL_DEFINITIONS, true);
        driver_submit(&driver, false);
    }
    engine_stop(driver.engine);
    driver_open(&driver);
    assert_true(rows_count(driver.engine, 'C').rows >= 2);
    assert_true(rows_count(driver.engine, 'J').rows >= 3);
}

/* Each octet in turn, of the first, a middle and the last row. */
static void
flip_everywhere(char kind)
{
    struct engine_local *e = driver.engine;
    const size_t rows = rows_count(e, kind).rows;
    for (size_t third = 0; third < 3; third++) {
        struct kept_row kept = row_read(e, kind, third * (rows - 1) / 2);
        const struct bytes key = buf_bytes(&kept.key);
        for (size_t i = 0; i < kept.row.size; i++) {
            const uint8_t octet = kept.row.data[i];
            kept.row.data[i] ^= (uint8_t)(1u << random_below(&driver.random, 8));
            row_write(e, key, buf_bytes(&kept.row));
            assert_damage_found(e, key);
            kept.row.data[i] = octet;
        }
        row_write(e, key, bytes_of(kept.row.data, kept.row.size / 2));
        assert_damage_found(e, key);
        row_write(e, key, BYTES_NONE);
        assert_damage_found(e, key);
        row_write(e, key, buf_bytes(&kept.row));
        assert_sound(e);
        kept_fini(&kept);
    }
}

static void
test_flipped_octets_are_refused(void **state)
{
    (void)state;
    store_make(__func__);
    flip_everywhere('J');
    flip_everywhere('K');
    flip_everywhere('C');
    driver_finish(&driver);
}

/* The row after the hole is named: it knows what should have come before it. */
static void
test_missing_rows_are_refused(void **state)
{
    (void)state;
    store_make(__func__);
    struct engine_local *e = driver.engine;
    for (size_t n = 1; n + 1 < rows_count(e, 'J').rows; n++) {
        struct kept_row kept = row_read(e, 'J', n);
        struct kept_row next = row_read(e, 'J', n + 1);
        row_delete(e, buf_bytes(&kept.key));
        assert_refused(e, buf_bytes(&next.key));
        row_write(e, buf_bytes(&kept.key), buf_bytes(&kept.row));
        kept_fini(&kept);
        kept_fini(&next);
    }
    struct kept_row chunk = row_read(e, 'C', 0);
    row_delete(e, buf_bytes(&chunk.key));
    assert_damage_found(e, buf_bytes(&chunk.key));
    row_write(e, buf_bytes(&chunk.key), buf_bytes(&chunk.row));
    kept_fini(&chunk);
    assert_sound(e);
    driver_finish(&driver);
}

static void
count_unknown(void *context, uint64_t round_number, enum round_outcome outcome)
{
    (void)round_number;
    *(size_t *)context += outcome == ROUND_UNKNOWN;
}

/* Found while running: from then on nothing is committed, and nothing is written. */
static void
test_damage_found_by_relocation_is_final(void **state)
{
    (void)state;
    size_t unknown = 0;
    store_make(__func__);
    struct engine_local *e = driver.engine;
    rocksdb_t *db = e->db;
    struct kept_row damaged = row_read(e, 'J', 0); /* Something in the oldest is alive. */
    damaged.row.data[damaged.row.size - 1] ^= 1;
    row_write(e, buf_bytes(&damaged.key), buf_bytes(&damaged.row));
    const size_t chunks = rows_count(e, 'C').rows;
    e->engine.done = count_unknown;
    e->engine.done_context = &unknown;
    e->journal_bytes_max = 1;
    for (size_t i = 0; i < 3; i++) {
        struct effect put = { .kind = EFFECT_PUT };
        buf_append(&put.key, "late", 4);
        const struct round round = { driver.next_round++, &put, 1, 0, true };
        e->engine.ops->submit(&e->engine, &round);
        assert_int_equal(unknown, i + 1);
        buf_fini(&put.key);
    }
    assert_int_equal(rows_count(e, 'C').rows, chunks);
    /* The first of them was written before, its outcome unknown; then nothing more. */
    assert_true(rows_count(e, 'D').rows <= MODEL_DEFINITIONS + 1);
    engine_stop(e);
    rocksdb_close(db); /* Which a process that has failed leaves to its end. */
    driver.engine = engine_start(driver.directory);
    assert_refused(driver.engine, buf_bytes(&damaged.key));
    kept_fini(&damaged);
    driver_finish(&driver);
}

/* Rows where none can be: of odd keys, of rounds still to come, over the sequences of others. */
static void
test_strange_rows_are_refused(void **state)
{
    (void)state;
    store_make(__func__);
    struct engine_local *e = driver.engine;
    const char kinds[] = { 'J', 'K' };
    for (size_t k = 0; k < COUNT(kinds); k++) {
        struct kept_row kept = row_read(e, kinds[k], 0);
        buf_append(&kept.key, "x", 1);
        row_write(e, buf_bytes(&kept.key), buf_bytes(&kept.row));
        assert_refused(e, buf_bytes(&kept.key));
        row_delete(e, buf_bytes(&kept.key));
        kept_fini(&kept);
    }
    struct kept_row last = row_read(e, 'J', rows_count(e, 'J').rows - 1);
    last.key.data[1] = 0x7f;
    store_be64(last.row.data + 16, load_be64(last.key.data + 1));
    row_write(e, buf_bytes(&last.key), buf_bytes(&last.row));
    assert_refused(e, buf_bytes(&last.key));
    row_delete(e, buf_bytes(&last.key));
    kept_fini(&last);
    struct kept_row twice = row_read(e, 'K', 0);
    twice.key.data[24]++; /* Another generation of the same records. */
    row_write(e, buf_bytes(&twice.key), buf_bytes(&twice.row));
    assert_refused(e, buf_bytes(&twice.key));
    row_delete(e, buf_bytes(&twice.key));
    kept_fini(&twice);
    assert_sound(e);
    driver_finish(&driver);
}

static void
assert_not_opened(const char *directory, const char *says)
{
    char problem[PROBLEM_SIZE] = "";
    assert_null(engine_local_open(directory, problem, sizeof(problem)));
    if (strstr(problem, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", problem, says);
}

/* Puts a row past the engine, which does not open the store. */
static void
row_write_from_outside(const char *directory, struct bytes key, struct bytes row)
{
    char *error = NULL;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_t *db = rocksdb_open(options, directory, &error);
    assert_null(error);
    rocksdb_put(db, writing, (const char *)key.data, key.size, (const char *)row.data, row.size,
                &error);
    assert_null(error);
    rocksdb_close(db);
    rocksdb_writeoptions_destroy(writing);
    rocksdb_options_destroy(options);
}

/* Without its number a run would use keys of earlier ones again. */
static void
test_format_row_is_needed(void **state)
{
    (void)state;
    store_make(__func__);
    struct kept_row format = row_read(driver.engine, 'F', 0);
    const struct bytes key = BYTES_LITERAL("F");
    engine_stop(driver.engine);
    for (size_t i = 0; i < format.row.size; i++) {
        format.row.data[i] ^= 0x10;
        row_write_from_outside(driver.directory, key, buf_bytes(&format.row));
        assert_not_opened(driver.directory, i < 4 ? "has format" : "damaged at row F");
        format.row.data[i] ^= 0x10;
    }
    row_write_from_outside(driver.directory, key, buf_bytes(&format.row));
    driver_open(&driver);
    row_delete(driver.engine, key);
    engine_stop(driver.engine);
    for (int again = 0; again < 2; again++)
        assert_not_opened(driver.directory, "damaged at row F");
    row_write_from_outside(driver.directory, key, buf_bytes(&format.row));
    kept_fini(&format);
    driver_forget(&driver);
}

static void
test_a_store_of_something_else_is_left_alone(void **state)
{
    (void)state;
    directory_make(driver.directory);
    row_write_from_outside(driver.directory, BYTES_LITERAL("a"), BYTES_LITERAL("b"));
    assert_not_opened(driver.directory, "not a store of this program");
    directory_remove(driver.directory);
}

static void
test_second_open_is_refused(void **state)
{
    (void)state;
    driver_start(&driver, __func__, 1);
    assert_not_opened(driver.directory, driver.directory);
    assert_not_opened(driver.directory, "another process uses it");
    do_records(&driver, &driver.model.logs[0], 3, 40, 1);
    driver_submit(&driver, true);
    engine_stop(driver.engine);
    driver_open(&driver);
    driver_finish(&driver);
}

static void
test_directory_that_cannot_be_made(void **state)
{
    (void)state;
    assert_not_opened("/proc/rail-test-store", "/proc/rail-test-store");
}

/* Commits until it is killed; says so after each round. */
static void
victim(struct driver *d, int pipe_out, size_t rounds)
{
    driver_open(d);
    d->model.log_count = 1;
    d->model.logs[0] = (struct model_log){ .id = d->next_log, .next = 1 };
    for (size_t i = 0; i < rounds; i++) {
        do_records(d, &d->model.logs[0], 20, 40, 1);
        if (i % 3 == 2)
            do_settle_oldest(d, &d->model.logs[0], 25);
        driver_submit(d, false);
        if (write(pipe_out, &i, sizeof(i)) != sizeof(i))
            _exit(1);
    }
    for (;;)
        pause();
}

static void
read_progress(int pipe_in, size_t rounds)
{
    for (size_t i = 0, got; i < rounds; i++)
        assert_int_equal(read(pipe_in, &got, sizeof(got)), sizeof(got));
}

/* What the victim has done, done to the model alone. */
static void
model_like_victim(struct driver *d, size_t rounds)
{
    struct model_log *m = &d->model.logs[0];
    d->model.log_count = 1;
    m->id = (uint64_t)1 << EPOCH_SHIFT | 1;
    m->next = 1;
    for (size_t i = 0; i < rounds; i++) {
        do_records(d, m, 20, 40, 1);
        if (i % 3 == 2)
            do_settle_oldest(d, m, 25);
        for (size_t k = 0; k < d->effect_count; k++)
            buf_fini(&d->effects[k].payload);
        d->effect_count = 0;
    }
}

/* Runs before anything else has touched RocksDB in this process, whose threads a fork would lose.
 * Another process has the store; it is refused; that process is killed; all is there. */
static void
test_another_process_and_its_death(void **state)
{
    (void)state;
    const size_t rounds = 200;
    int pipes[2];
    int status;
    driver = (struct driver){ .random = random_start(__func__), .journal_bytes_max = 8192 };
    directory_make(driver.directory);
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        victim(&driver, pipes[1], rounds);
    read_progress(pipes[0], rounds);
    assert_not_opened(driver.directory, "another process uses it");
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(pipes[0]);
    close(pipes[1]);
    model_like_victim(&driver, rounds);
    driver_open(&driver);
    driver_finish(&driver);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_process_and_its_death),
        cmocka_unit_test(test_second_open_is_refused),
        cmocka_unit_test(test_directory_that_cannot_be_made),
        cmocka_unit_test(test_flipped_octets_are_refused),
        cmocka_unit_test(test_missing_rows_are_refused),
        cmocka_unit_test(test_damage_found_by_relocation_is_final),
        cmocka_unit_test(test_strange_rows_are_refused),
        cmocka_unit_test(test_format_row_is_needed),
        cmocka_unit_test(test_a_store_of_something_else_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
