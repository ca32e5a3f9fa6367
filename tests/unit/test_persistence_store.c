#include "persistence/store.h"

#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/test_persistence_model.h"

#include "persistence/door.h"
#include "persistence/store_engine.h"
#include "persistence/store_files.h"

#include <sys/wait.h>

static struct driver driver;

/* What a walk has told. */
struct telling {
    struct buf text;
    size_t definitions;
    size_t records;
    size_t logs;
    struct store_facts facts;
};

static bool
on_any_definition(void *context, struct bytes key, struct bytes row)
{
    (void)key;
    (void)row;
    ((struct telling *)context)->definitions++;
    return true;
}

static bool
on_any_record(void *context, struct bytes record)
{
    ((struct telling *)context)->records++;
    record_mark(record);
    return true;
}

static bool
on_any_log(void *context, const struct store_log *log)
{
    ((struct telling *)context)->logs++;
    return log->records > 0;
}

static void
on_damage(void *context, const char *row, const char *what)
{
    buf_printf(&((struct telling *)context)->text, "%s: %s\n", row, what);
}

/* The folder that holds the driver's store. */
static void
data_dir(char path[NAME_SIZE])
{
    path_beside(driver.directory, "", path);
    path[strlen(path) - 1] = 0;
}

static bool
walk(const char *directory, bool is_deep, struct telling *t)
{
    char problem[PROBLEM_SIZE];
    *t = (struct telling){ 0 };
    struct store *store = store_open(directory, problem, sizeof(problem));
    if (store == NULL)
        fail_msg("%s", problem);
    const struct store_walk how = {
        .is_deep = is_deep,
        .definition = on_any_definition,
        .record = on_any_record,
        .log = on_any_log,
        .damage = on_damage,
        .context = t,
    };
    const bool sound = store_walk(store, &how, &t->facts);
    store_close(store);
    buf_append(&t->text, "", 1);
    return sound;
}

/* A stopped store with chunks, partly settled, and a journal of several rows. */
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
        driver_submit(&driver, true);
    }
    assert_true(rows_count(driver.engine, 'C').rows >= 2);
    assert_true(rows_count(driver.engine, 'J').rows >= 3);
}

static void
assert_facts(const struct telling *t, struct row_counts journal, size_t chunks)
{
    const struct model *m = &driver.model;
    assert_int_equal(t->facts.records, m->logs[0].count + m->logs[1].count);
    assert_int_equal(t->facts.logs, 2);
    assert_int_equal(t->facts.definitions, MODEL_DEFINITIONS);
    assert_int_equal(t->facts.format, STORE_FORMAT);
    assert_int_equal(t->facts.epoch, 1);
    assert_int_equal(t->facts.journal_rows, journal.rows);
    assert_int_equal(t->facts.journal_bytes, journal.octets);
    assert_int_equal(t->facts.chunks, chunks);
}

static void
test_a_sound_store(void **state)
{
    (void)state;
    char directory[NAME_SIZE];
    struct telling t;
    store_make(__func__);
    data_dir(directory);
    const struct row_counts journal = rows_count(driver.engine, 'J');
    const size_t chunks = rows_count(driver.engine, 'K').rows;
    engine_stop(driver.engine);
    for (int deep = 0; deep < 2; deep++) {
        if (!walk(directory, deep == 1, &t))
            fail_msg("%s", (const char *)t.text.data);
        assert_facts(&t, journal, chunks);
        assert_int_equal(t.definitions, MODEL_DEFINITIONS);
        assert_true(deep == 1 ? t.records >= t.facts.records : t.records == 0);
        buf_fini(&t.text);
    }
    driver_forget(&driver);
}

/* While the engine runs, and goes on: the checkpoint holds what was committed before. */
static void
test_a_checkpoint(void **state)
{
    (void)state;
    char directory[NAME_SIZE];
    char problem[PROBLEM_SIZE];
    struct telling t;
    store_make(__func__);
    data_dir(directory);
    strncat(directory, "/checkpoint", sizeof(directory) - strlen(directory) - 1);
    const struct row_counts journal = rows_count(driver.engine, 'J');
    const size_t chunks = rows_count(driver.engine, 'K').rows;
    if (!engine_local_checkpoint(&driver.engine->engine, directory, problem, sizeof(problem)))
        fail_msg("%s", problem);
    assert_false(
        engine_local_checkpoint(&driver.engine->engine, directory, problem, sizeof(problem)));
    const size_t counts[] = { driver.model.logs[0].count, driver.model.logs[1].count };
    for (int i = 0; i < 10; i++) {
        do_records(&driver, &driver.model.logs[0], 3, 400, 1);
        driver_submit(&driver, true);
    }
    if (!walk(directory, true, &t))
        fail_msg("%s", (const char *)t.text.data);
    assert_int_equal(t.facts.records, counts[0] + counts[1]);
    assert_int_equal(t.facts.journal_rows, journal.rows);
    assert_int_equal(t.facts.chunks, chunks);
    buf_fini(&t.text);
    assert_true(store_files_remove(directory));
    assert_true(store_files_remove(directory));
    driver_finish(&driver);
}

struct kept_row {
    struct buf key;
    struct buf row;
};

static struct kept_row
row_read(char kind, size_t n)
{
    struct engine_local *e = driver.engine;
    struct kept_row kept = { 0 };
    size_t size;
    rocksdb_iterator_t *i = rocksdb_create_iterator(e->db, e->reading);
    for (rocksdb_iter_seek(i, &kind, 1); n > 0; n--)
        rocksdb_iter_next(i);
    const char *key = rocksdb_iter_key(i, &size);
    assert_int_equal(key[0], kind);
    buf_append(&kept.key, key, size);
    const char *row = rocksdb_iter_value(i, &size);
    buf_append(&kept.row, row, size);
    rocksdb_iter_destroy(i);
    return kept;
}

static void
row_put(struct bytes key, struct bytes row)
{
    char *error = NULL;
    rocksdb_put(driver.engine->db, driver.engine->unsynced, (const char *)key.data, key.size,
                (const char *)row.data, row.size, &error);
    assert_null(error);
}

static void
kept_fini(struct kept_row *kept)
{
    buf_fini(&kept->key);
    buf_fini(&kept->row);
}

/* The last octet of row `n` of a kind is another; returns how the row is called. */
static struct buf
spoil(char kind, size_t n)
{
    struct buf name = { 0 };
    struct kept_row kept = row_read(kind, n);
    kept.row.data[kept.row.size - 1] ^= 1;
    row_put(buf_bytes(&kept.key), buf_bytes(&kept.row));
    buf_printf(&name, "%c ", kind);
    for (size_t i = 1; i < kept.key.size; i++)
        buf_printf(&name, "%02x", kept.key.data[i]);
    buf_append(&name, "", 1);
    kept_fini(&kept);
    return name;
}

static void
drop(char kind, size_t n)
{
    char *error = NULL;
    struct kept_row kept = row_read(kind, n);
    rocksdb_delete(driver.engine->db, driver.engine->unsynced, (const char *)kept.key.data,
                   kept.key.size, &error);
    assert_null(error);
    kept_fini(&kept);
}

static size_t
findings(const struct telling *t)
{
    size_t count = 0;
    for (size_t i = 0; i < t->text.size; i++)
        count += t->text.data[i] == '\n';
    assert_int_equal(count, t->facts.damaged);
    return count;
}

/* One walk names all of them. */
static void
test_every_damaged_row_is_named(void **state)
{
    (void)state;
    char directory[NAME_SIZE];
    struct telling t;
    struct buf names[5];
    store_make(__func__);
    data_dir(directory);
    const size_t journal = rows_count(driver.engine, 'J').rows;
    const size_t chunks = rows_count(driver.engine, 'K').rows;
    assert_true(journal >= 3 && chunks >= 3);
    names[0] = spoil('J', 0);
    names[1] = spoil('J', journal - 1);
    names[2] = spoil('C', 0);
    names[3] = spoil('C', chunks - 1);
    names[4] = spoil('K', 1);
    engine_stop(driver.engine);
    assert_false(walk(directory, true, &t));
    for (size_t i = 0; i < 5; i++) {
        if (strstr((const char *)t.text.data, (const char *)names[i].data) == NULL)
            fail_msg("%s is not in:\n%s", (const char *)names[i].data, (const char *)t.text.data);
        buf_fini(&names[i]);
    }
    assert_true(findings(&t) >= 5);
    buf_fini(&t.text);
    driver_forget(&driver);
}

static void
assert_found(const char *text)
{
    char directory[NAME_SIZE];
    struct telling t;
    data_dir(directory);
    engine_stop(driver.engine);
    assert_false(walk(directory, true, &t));
    if (strstr((const char *)t.text.data, text) == NULL)
        fail_msg("\"%s\" is not in:\n%s", text, (const char *)t.text.data);
    findings(&t);
    buf_fini(&t.text);
    driver_forget(&driver);
}

static void
test_rows_that_are_missing(void **state)
{
    (void)state;
    store_make("a row of the journal");
    drop('J', 1);
    assert_found("the row before it is missing");
    store_make("the last row of the journal");
    drop('J', rows_count(driver.engine, 'J').rows - 1);
    assert_found("witness: ");
    store_make("a chunk");
    drop('C', 1);
    assert_found("its chunk, the C row of the same numbers, is missing");
    store_make("the last chunk");
    drop('C', rows_count(driver.engine, 'C').rows - 1);
    assert_found("its chunk, the C row of the same numbers, is missing");
    store_make("what a chunk holds");
    drop('K', 0);
    assert_found("there is no K row for it");
    store_make("what all chunks hold");
    while (rows_count(driver.engine, 'K').rows > 0)
        drop('K', 0);
    assert_found("there is no K row for it");
    store_make("a definition");
    drop('D', 3);
    assert_found("witness: ");
}

static void
test_rows_that_do_not_belong(void **state)
{
    (void)state;
    const struct {
        const char *key;
        const char *says;
    } rows[] = {
        { "A", "rows of this kind do not belong into a store" },
        { "G\x01", "rows of this kind do not belong into a store" },
        { "z", "rows of this kind do not belong into a store" },
        { "J\x01", "J 01: its key is no number" },
        { "K\x01", "K 01: its checksum is wrong" },
        { "C\x01", "C 01: there is no K row for it" },
        { "Czzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "there is no K row for it" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        store_make(rows[i].says);
        row_put(bytes_of_string(rows[i].key), BYTES_LITERAL("row"));
        assert_found(rows[i].says);
    }
    store_make("a number to come");
    struct kept_row last = row_read('J', rows_count(driver.engine, 'J').rows - 1);
    last.key.data[1] = 0x7f;
    row_put(buf_bytes(&last.key), buf_bytes(&last.row));
    kept_fini(&last);
    assert_found("its number is above all that the store has given");
}

static void
test_stores_that_are_none(void **state)
{
    (void)state;
    char directory[NAME_SIZE];
    char problem[PROBLEM_SIZE] = "";
    store_make(__func__);
    data_dir(directory);
    row_put(BYTES_LITERAL("F"), BYTES_LITERAL("\0\0\0\x07"));
    engine_stop(driver.engine);
    assert_null(store_open(directory, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "has format 7, this program reads 3"));
    assert_null(store_open("/nowhere/at/all", problem, sizeof(problem)));
    assert_int_not_equal(access("/nowhere", F_OK), 0);
    driver_forget(&driver);
}

/* Who copies or looks keeps engines out, but not others who look. */
static void
test_lock(void **state)
{
    (void)state;
    char directory[NAME_SIZE];
    char problem[PROBLEM_SIZE] = "";
    int fd;
    store_make(__func__);
    data_dir(directory);
    engine_stop(driver.engine);
    assert_true(store_lock(directory, &fd, problem, sizeof(problem)));
    assert_true(fd >= 0);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    const pid_t child = fork();
    if (child == 0) { /* A lock is a process's: this is another one. */
        char path[NAME_SIZE];
        snprintf(path, sizeof(path), "%s/LOCK", driver.directory);
        const int other = open(path, O_RDWR | O_CLOEXEC);
        _exit(other >= 0 && fcntl(other, F_SETLK, &lock) != 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_unlock(fd);
    driver_open(&driver);
    driver_finish(&driver);
}

static void
nobody_waits(void *context)
{
    (void)context;
}

/* What it recovers is what the model holds; what is pushed is committed and goes nowhere. */
static void
test_an_engine_that_keeps_nothing(void **state)
{
    (void)state;
    char directory[NAME_SIZE];
    char problem[PROBLEM_SIZE] = "";
    store_make(__func__);
    data_dir(directory);
    const uint64_t first_round = driver.engine->engine.first_round;
    engine_stop(driver.engine);
    for (int i = 0; i < 2; i++) {
        struct engine *e = store_engine_open(directory, problem, sizeof(problem));
        assert_non_null(e);
        assert_true(e->first_round > first_round);
        engine_compare(e, &driver.model, &driver.random);
        struct door *door = door_create_stepped(e, UINT64_MAX, nobody_waits, NULL);
        struct effect put = { .kind = EFFECT_PUT };
        buf_printf(&put.key, "definition 0");
        const uint64_t ticket = door_push(door, &put);
        assert_true(door_step(door, true));
        assert_int_equal(door_committed(door), ticket);
        assert_true(door_destroy(door));
    }
    driver_open(&driver);
    struct buf row = spoil('J', 1);
    engine_stop(driver.engine);
    struct engine *e = store_engine_open(directory, problem, sizeof(problem));
    assert_false(e->ops->recover(e, &recovery_ignored, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "the store is damaged at "));
    assert_non_null(strstr(problem, (const char *)row.data));
    e->ops->destroy(e);
    buf_fini(&row);
    driver_forget(&driver);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sound_store),
        cmocka_unit_test(test_a_checkpoint),
        cmocka_unit_test(test_every_damaged_row_is_named),
        cmocka_unit_test(test_rows_that_are_missing),
        cmocka_unit_test(test_rows_that_do_not_belong),
        cmocka_unit_test(test_stores_that_are_none),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_an_engine_that_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
