/* Zeros ahead of the write-ahead log: behind its end only, of the newest one, for small rounds. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/test_persistence_model.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROUND = 200, OCTETS = 5000 };

static char directory[PATH_SIZE];

static void
log_write(const char *name, char fill)
{
    char path[2 * PATH_SIZE];
    char octets[OCTETS];
    memset(octets, fill, sizeof(octets));
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_int_equal(write(fd, octets, sizeof(octets)), sizeof(octets));
    close(fd);
}

/* The size, after a look at what is in it: what was written, then zeros. */
static uint64_t
log_size(const char *name, char fill)
{
    char path[2 * PATH_SIZE];
    uint8_t page[4096];
    ssize_t got;
    uint64_t size = 0;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    const int fd = open(path, O_RDONLY);
    while ((got = read(fd, page, sizeof(page))) > 0)
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(page[i], size++ < OCTETS ? fill : 0);
    close(fd);
    return size;
}

static void
rounds(struct wal_ahead *a, unsigned count, uint64_t octets)
{
    for (unsigned i = 0; i < count; i++) {
        wal_ahead_note(a, octets);
        assert_true(wal_ahead_extend(a));
    }
}

static int
setup(void **state)
{
    (void)state;
    directory_make(directory);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    directory_remove(directory);
    return 0;
}

static void
test_zeros_go_behind_the_end(void **state)
{
    (void)state;
    struct wal_ahead a;
    wal_ahead_init(&a, directory);
    log_write("000004.log", 'a');
    log_write("LOG", 'b');
    rounds(&a, WAL_AHEAD_ROUNDS - 1, ROUND);
    assert_int_equal(log_size("000004.log", 'a'), OCTETS);
    rounds(&a, 1, ROUND);
    if (!a.is_of_use) {
        print_message("the file system of %s does not overwrite in place\n", directory);
        skip();
    }
    const uint64_t size = log_size("000004.log", 'a');
    assert_in_range(size, OCTETS + WAL_AHEAD_OCTETS, OCTETS + WAL_AHEAD_OCTETS + 4096);
    assert_int_equal(log_size("LOG", 'b'), OCTETS);
    /* There is enough until most of it is written over. */
    rounds(&a, WAL_AHEAD_ROUNDS, ROUND);
    assert_int_equal(log_size("000004.log", 'a'), size);
    rounds(&a, WAL_AHEAD_OCTETS / ROUND, ROUND);
    assert_int_equal(log_size("000004.log", 'a'), size + WAL_AHEAD_OCTETS);
    /* The next log takes over; nothing more happens to the old one. */
    log_write("000010.log", 'c');
    rounds(&a, 2 * WAL_AHEAD_OCTETS / ROUND, ROUND);
    assert_int_equal(log_size("000004.log", 'a'), size + WAL_AHEAD_OCTETS);
    assert_true(log_size("000010.log", 'c') > OCTETS);
    wal_ahead_fini(&a);
}

static void
test_large_rounds_are_left_alone(void **state)
{
    (void)state;
    struct wal_ahead a;
    wal_ahead_init(&a, directory);
    log_write("000004.log", 'a');
    rounds(&a, 10 * WAL_AHEAD_ROUNDS, 2ul * WAL_AHEAD_ROUND_MAX);
    assert_int_equal(log_size("000004.log", 'a'), OCTETS);
    wal_ahead_fini(&a);
}

static void
test_without_a_log_it_gives_up(void **state)
{
    (void)state;
    struct wal_ahead a;
    wal_ahead_init(&a, directory);
    rounds(&a, WAL_AHEAD_ROUNDS, ROUND);
    assert_false(a.is_of_use);
    log_write("000004.log", 'a');
    rounds(&a, 10 * WAL_AHEAD_ROUNDS, ROUND);
    assert_int_equal(log_size("000004.log", 'a'), OCTETS);
    wal_ahead_fini(&a);
}

/* A store whose log has zeros at its end, and one with zeros in front of its newest log, are read
 * as if they had none. */
static void
test_a_store_is_read_back(void **state)
{
    (void)state;
    static struct driver d;
    char copy[PATH_SIZE];
    driver_start(&d, __func__, 1);
    struct model_log *log = &d.model.logs[0];
    for (unsigned i = 0; i < 20 * WAL_AHEAD_ROUNDS; i++) {
        do_records(&d, log, 1, ROUND, 0);
        driver_submit(&d, true);
        if (i % 300 != 299)
            continue;
        driver_copy(&d, copy);
        struct engine_local *e = engine_start(copy);
        engine_compare(&e->engine, &d.model, &d.random);
        engine_stop(e);
        directory_remove(copy);
        rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
        char *error = NULL;
        rocksdb_flush(d.engine->db, options, &error); /* The next log begins. */
        assert_null(error);
        rocksdb_flushoptions_destroy(options);
    }
    driver_finish(&d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_zeros_go_behind_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_rounds_are_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_log_it_gives_up, setup, teardown),
        cmocka_unit_test(test_a_store_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
