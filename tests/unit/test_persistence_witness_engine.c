#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/test_persistence_model.h"

static struct driver driver;

/* A store with chunks, rounds and definitions, all synced. */
static void
store_make(const char *test)
{
    driver_start(&driver, test, 2);
    driver.journal_bytes_max = 4096;
    driver.engine->journal_bytes_max = 4096;
    for (int i = 0; i < 40; i++) {
        do_records(&driver, &driver.model.logs[i % 2], 3, 40, 1);
        do_definition(&driver, (size_t)i % MODEL_DEFINITIONS, i % 3 > 0);
        driver_submit(&driver, true);
    }
    assert_true(rows_count(driver.engine, 'C').rows >= 2);
}

/* As a broker does. False with a line for people if the start is refused. */
static bool
starts(const char *directory, char problem[NAME_SIZE])
{
    struct model m = driver.model;
    const struct recovery recovery = { on_definition, on_log, &m };
    m.definitions_seen = 0;
    for (size_t l = 0; l < m.log_count; l++)
        m.logs[l].seen = 0;
    struct engine *engine = engine_local_open(directory, problem, NAME_SIZE);
    if (engine == NULL)
        return false;
    const bool ok = engine_local_recover(engine, &recovery, problem, NAME_SIZE);
    engine->ops->destroy(engine);
    for (size_t l = 0; ok && l < m.log_count; l++)
        assert_int_equal(m.logs[l].seen, m.logs[l].count > 0);
    for (size_t i = 0; i < MODEL_DEFINITIONS; i++)
        m.definitions_seen -= ok && m.definitions[i] != 0;
    assert_true(!ok || m.definitions_seen == 0);
    return ok;
}

static void
assert_starts(const char *directory)
{
    char problem[NAME_SIZE];
    if (!starts(directory, problem))
        fail_msg("%s", problem);
}

/* Refused, and left as it is: a second start says the same. */
static void
assert_refused(const char *directory, const char *says)
{
    char problem[NAME_SIZE];
    for (int again = 0; again < 2; again++) {
        assert_false(starts(directory, problem));
        if (strstr(problem, says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", problem, says);
    }
}

static void
witness_copy(const char *from, const char *to)
{
    char source[NAME_SIZE];
    char target[NAME_SIZE];
    path_beside(from, "witness", source);
    path_beside(to, "witness", target);
    unlink(target);
    file_copy(source, target);
}

static void
witness_write(const char *directory, const char *text)
{
    char name[NAME_SIZE];
    path_beside(directory, "witness", name);
    unlink(name);
    if (text == NULL)
        return;
    const int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* One round more, of each kind in turn. */
static void
some_round(size_t i)
{
    struct model_log *m = &driver.model.logs[i % 2];
    switch (random_below(&driver.random, 4)) {
    case 0:
        do_definition(&driver, random_below(&driver.random, MODEL_DEFINITIONS), i % 3 > 0);
        break;
    case 1:
        do_records(&driver, m, 3, 400, 1);
        break;
    case 2:
        if (m->count > 5)
            do_settle_oldest(&driver, m, m->count - 5);
        break;
    default:
        if (i % 20 == 0)
            do_log_end(&driver, m);
        break; /* Perhaps nothing at all: a round that only syncs. */
    }
}

/* A loss of power leaves a witness of any age. */
static void
test_old_witness_is_no_alarm(void **state)
{
    (void)state;
    char then[PATH_SIZE];
    char now[PATH_SIZE];
    store_make(__func__);
    driver_copy(&driver, then);
    for (size_t i = 0; i < 60; i++) {
        some_round(i);
        driver_submit(&driver, random_below(&driver.random, 3) > 0);
        driver_copy(&driver, now);
        if (random_below(&driver.random, 2) == 0)
            witness_copy(then, now);
        assert_starts(now);
        directory_remove(now);
        if (random_below(&driver.random, 3) == 0) {
            directory_remove(then);
            driver_copy(&driver, then);
        }
        if (i % 30 == 29) { /* Of a run before. */
            engine_stop(driver.engine);
            driver_open(&driver);
        }
    }
    directory_remove(then);
    driver_finish(&driver);
}

/* Parts of the past, whatever was done since that was synced. */
static void
test_old_store_is_refused(void **state)
{
    (void)state;
    char then[PATH_SIZE];
    store_make(__func__);
    for (size_t i = 0; i < 30; i++) {
        driver_copy(&driver, then);
        do_definition(&driver, i % MODEL_DEFINITIONS, i % 2 == 0);
        driver_submit(&driver, true);
        witness_copy(driver.directory, then);
        assert_refused(then, "lacks what was confirmed: the journal ends at round 1.");
        directory_remove(then);
    }
    engine_stop(driver.engine);
    directory_copy(driver.directory, then);
    driver_open(&driver);
    witness_copy(driver.directory, then);
    assert_refused(then, "it was started 1 times, but the witness has seen 2");
    witness_write(then, "accept\n");
    assert_starts(then);
    assert_starts(then);
    directory_remove(then);
    driver_finish(&driver);
}

static void
test_witness_belongs_to_its_store(void **state)
{
    (void)state;
    char other[PATH_SIZE];
    char problem[NAME_SIZE];
    store_make(__func__);
    driver_copy(&driver, other);
    witness_write(other, NULL);
    assert_refused(other, "is missing or empty: it belongs to the store");
    witness_write(other, "what is this");
    assert_refused(other, "is damaged: it belongs to the store");
    witness_write(other, "accept");
    assert_starts(other);
    assert_starts(other);
    directory_remove(other);

    directory_make(other);
    struct engine *engine = engine_local_open(other, problem, sizeof(problem));
    const struct recovery nothing = { on_definition, on_log, &driver.model };
    assert_non_null(engine);
    assert_true(engine_local_recover(engine, &nothing, problem, sizeof(problem)));
    engine->ops->destroy(engine);
    engine_stop(driver.engine);
    witness_copy(other, driver.directory);
    assert_refused(driver.directory, "the witness belongs to another store");
    directory_remove(other);
    driver_forget(&driver);
}

static rocksdb_t *
open_past_engine(const char *directory, rocksdb_options_t *options)
{
    char *error = NULL;
    rocksdb_t *db = rocksdb_open(options, directory, &error);
    assert_null(error);
    return db;
}

static void
row_delete(const char *directory, char kind)
{
    char *error = NULL;
    size_t size;
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
    rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
    rocksdb_t *db = open_past_engine(directory, options);
    rocksdb_iterator_t *i = rocksdb_create_iterator(db, reading);
    rocksdb_iter_seek(i, &kind, 1);
    assert_true(rocksdb_iter_valid(i));
    const char *key = rocksdb_iter_key(i, &size);
    assert_int_equal(key[0], kind);
    rocksdb_delete(db, writing, key, size, &error);
    assert_null(error);
    rocksdb_iter_destroy(i);
    rocksdb_close(db);
    rocksdb_readoptions_destroy(reading);
    rocksdb_writeoptions_destroy(writing);
    rocksdb_options_destroy(options);
}

/* Rows that nothing else misses. */
static void
test_missing_rows_are_refused(void **state)
{
    (void)state;
    const struct {
        char kind;
        const char *says;
    } rows[] = {
        { 'D', "definitions that are not the" },
        { 'K', "chunks that are not the" },
        { 'J', "the journal begins at round 1." },
    };
    store_make(__func__);
    engine_stop(driver.engine);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char copy[PATH_SIZE];
        directory_copy(driver.directory, copy);
        row_delete(copy, rows[i].kind);
        assert_refused(copy, rows[i].says);
        directory_remove(copy);
    }
    driver_forget(&driver);
}

/* A store of the time before there were witnesses. */
static void
test_store_without_witness_gets_one(void **state)
{
    (void)state;
    store_make(__func__);
    engine_stop(driver.engine);
    row_delete(driver.directory, 'W');
    witness_write(driver.directory, NULL);
    assert_starts(driver.directory);
    witness_write(driver.directory, NULL);
    assert_refused(driver.directory, "missing");
    driver_forget(&driver);
}

/* Killed between making the witness and noting in the store that it has one. */
static void
test_witness_that_the_store_does_not_know_yet(void **state)
{
    (void)state;
    store_make(__func__);
    engine_stop(driver.engine);
    row_delete(driver.directory, 'W');
    assert_starts(driver.directory);
    witness_write(driver.directory, NULL);
    assert_refused(driver.directory, "missing");
    driver_forget(&driver);
}

/* Each file in turn is gone, empty, or cut in half. Either all is there, or the start is refused.
 */
static void
test_each_file_may_be_missing(void **state)
{
    (void)state;
    size_t refused = 0;
    size_t files = 0;
    store_make(__func__);
    for (int again = 0; again < 2; again++) { /* What is in a log now is in a table then. */
        engine_stop(driver.engine);
        driver_open(&driver);
        do_records(&driver, &driver.model.logs[0], 3, 40, 1);
        driver_submit(&driver, true);
    }
    engine_stop(driver.engine);
    DIR *d = opendir(driver.directory);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        files++;
        for (int how = 0; how < 3; how++) {
            char copy[PATH_SIZE];
            char name[NAME_SIZE];
            char problem[NAME_SIZE] = "";
            struct stat status;
            directory_copy(driver.directory, copy);
            snprintf(name, sizeof(name), "%s/%s", copy, entry->d_name);
            assert_int_equal(stat(name, &status), 0);
            assert_int_equal(
                how == 0 ? unlink(name) : truncate(name, how == 1 ? 0 : status.st_size / 2), 0);
            if (!starts(copy, problem)) {
                refused++;
                if (strstr(problem, "backup") == NULL)
                    fail_msg("%s: \"%s\" does not say what to do", entry->d_name, problem);
            }
            directory_remove(copy);
        }
    }
    closedir(d);
    print_message("%zu files, %zu starts refused\n", files, refused);
    assert_true(refused >= 10);
    driver_forget(&driver);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_witness_is_no_alarm),
        cmocka_unit_test(test_old_store_is_refused),
        cmocka_unit_test(test_witness_belongs_to_its_store),
        cmocka_unit_test(test_missing_rows_are_refused),
        cmocka_unit_test(test_store_without_witness_gets_one),
        cmocka_unit_test(test_witness_that_the_store_does_not_know_yet),
        cmocka_unit_test(test_each_file_may_be_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
