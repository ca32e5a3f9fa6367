#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/test_persistence_model.h"

enum { TORN_ROUNDS = 80, TORN_CUTS = 60, FLIPS = 40, WAL_BLOCK = 32768 };

static struct driver driver;

/* A number for all that a store holds, whatever the order. */
struct fingerprint {
    struct engine *engine;
    uint64_t log; /* That is being read. */
    uint64_t value;
};

static uint64_t
mix(uint64_t a, uint64_t b)
{
    struct random r = { a * 0x9E3779B97F4A7C15u ^ b };
    return random_next(&r);
}

static void
fingerprint_definition(void *context, struct bytes key, struct bytes row)
{
    struct fingerprint *f = context;
    f->value += mix(key.data[key.size - 1], record_mark(row));
}

static bool
fingerprint_record(void *context, uint64_t sequence, struct bytes record)
{
    struct fingerprint *f = context;
    f->value += mix(mix(f->log, sequence), record_mark(record));
    return true;
}

static void
fingerprint_log(void *context, const struct log_summary *summary)
{
    struct fingerprint *f = context;
    const struct log_reading all = { summary->log, 0, UINT64_MAX, fingerprint_record, f };
    f->log = summary->log;
    assert_true(f->engine->ops->read(f->engine, &all));
}

static uint64_t
model_fingerprint(const struct model *m)
{
    uint64_t value = 0;
    for (size_t l = 0; l < m->log_count; l++)
        for (size_t i = 0; i < m->logs[l].count; i++)
            value +=
                mix(mix(m->logs[l].id, m->logs[l].alive[i].sequence), m->logs[l].alive[i].mark);
    for (size_t i = 0; i < MODEL_DEFINITIONS; i++)
        if (m->definitions[i] != 0)
            value += mix('0' + i % 10, m->definitions[i]);
    return value;
}

/* The newest write-ahead log: its name within the directory, and its size. */
static off_t
wal_find(const char *directory, char name[NAME_SIZE])
{
    char newest[64] = "";
    struct stat status;
    DIR *d = opendir(directory);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        const size_t size = strlen(entry->d_name);
        if (size > 4 && size < sizeof(newest) && strcmp(entry->d_name + size - 4, ".log") == 0 &&
            strcmp(entry->d_name, newest) > 0)
            snprintf(newest, sizeof(newest), "%.60s", entry->d_name);
    }
    closedir(d);
    snprintf(name, NAME_SIZE, "%s/%s", directory, newest);
    assert_int_equal(stat(name, &status), 0);
    return status.st_size;
}

/* After each round: what the store holds, and how long the log is. */
struct history {
    uint64_t fingerprints[TORN_ROUNDS + 1];
    off_t sizes[TORN_ROUNDS + 1];
};

static void
history_make(struct history *h, const char *test, bool sync)
{
    char name[NAME_SIZE];
    driver_start(&driver, test, 3);
    driver.engine->journal_bytes_max = 8192;
    for (size_t i = 0; i <= TORN_ROUNDS; i++) {
        h->fingerprints[i] = model_fingerprint(&driver.model);
        h->sizes[i] = wal_find(driver.directory, name);
        if (i == TORN_ROUNDS)
            return;
        struct model_log *m = &driver.model.logs[random_below(&driver.random, 3)];
        do_records(&driver, m, 10, (uint32_t)random_below(&driver.random, 200), 1);
        if (m->count > 20)
            do_settle_oldest(&driver, m, m->count - 13);
        if (i % 20 == 7)
            do_log_end(&driver, m);
        do_definition(&driver, random_below(&driver.random, 10), i % 3 > 0);
        driver_submit(&driver, sync);
    }
}

/* How many rounds of the history a store holds; -1 if it is refused. Anything but the state after
 * some round is an error. */
static int
rounds_held(const char *directory, const struct history *h)
{
    char problem[PROBLEM_SIZE] = "";
    struct fingerprint f = { 0 };
    const struct recovery recovery = { fingerprint_definition, fingerprint_log, &f };
    struct engine *engine = engine_local_open(directory, problem, sizeof(problem));
    if (engine == NULL) {
        assert_true(problem[0] != 0);
        return -1;
    }
    f.engine = engine;
    assert_true(engine_local_recover(engine, &recovery, problem, sizeof(problem)));
    engine->ops->destroy(engine);
    for (int i = 0; i <= TORN_ROUNDS; i++)
        if (h->fingerprints[i] == f.value)
            return i;
    fail_msg("the store is in a state in which it never was");
    return -1;
}

/* A log that ends anywhere holds all rounds that are whole. What a round moves is written after it:
 * without that the round itself may be there, which changes nothing. */
static void
test_torn_log_holds_whole_rounds(void **state)
{
    (void)state;
    struct history h;
    char copy[PATH_SIZE];
    char name[NAME_SIZE];
    history_make(&h, __func__, false);
    const off_t first = h.sizes[0];
    const size_t torn = (size_t)(h.sizes[TORN_ROUNDS] - first);
    for (int i = 0; i < TORN_CUTS; i++) {
        off_t size = first + (off_t)random_below(&driver.random, torn + 1);
        if (i % 4 == 0) /* Exactly after a round. */
            size = h.sizes[random_below(&driver.random, TORN_ROUNDS + 1)];
        int whole = 0;
        while (whole < TORN_ROUNDS && h.sizes[whole + 1] <= size)
            whole++;
        driver_copy(&driver, copy);
        wal_find(copy, name);
        assert_int_equal(truncate(name, size), 0);
        const int held = rounds_held(copy, &h);
        assert_true(held == whole || (held == whole + 1 && i % 4 != 0));
        directory_remove(copy);
    }
    driver_finish(&driver);
}

/* RocksDB takes much of it for a torn end and drops what follows. The witness knows better. */
static void
test_damaged_log_is_refused(void **state)
{
    (void)state;
    struct history h;
    char copy[PATH_SIZE];
    char name[NAME_SIZE];
    history_make(&h, __func__, true);
    const off_t first = h.sizes[0];
    const off_t last = h.sizes[TORN_ROUNDS];
    assert_true(last - first > 2 * WAL_BLOCK);
    for (int i = 0; i < FLIPS; i++) {
        const off_t at = first + (off_t)random_below(&driver.random, (size_t)(last - first));
        uint8_t octet;
        driver_copy(&driver, copy);
        wal_find(copy, name);
        const int file = open(name, O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(file, &octet, 1, at), 1);
        octet ^= (uint8_t)(1u << random_below(&driver.random, 8));
        assert_int_equal(pwrite(file, &octet, 1, at), 1);
        close(file);
        const int held = rounds_held(copy, &h);
        assert_true(held < 0 || held == TORN_ROUNDS); /* An octet that nothing needs. */
        directory_remove(copy);
    }
    driver_finish(&driver);
}

/* What was never synced may have any form after a loss of power: all before it is there. */
static void
test_zeroed_end_is_cut(void **state)
{
    (void)state;
    struct history h;
    char copy[PATH_SIZE];
    char name[NAME_SIZE];
    static const uint8_t zeros[4096];
    history_make(&h, __func__, false);
    driver_copy(&driver, copy);
    const off_t size = wal_find(copy, name);
    const off_t at = size - (off_t)sizeof(zeros);
    int whole = 0;
    while (whole < TORN_ROUNDS && h.sizes[whole + 1] <= at)
        whole++;
    const int file = open(name, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(file, zeros, sizeof(zeros), at), sizeof(zeros));
    close(file);
    const int held = rounds_held(copy, &h);
    assert_true(held == whole || held == whole + 1);
    directory_remove(copy);
    driver_finish(&driver);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torn_log_holds_whole_rounds),
        cmocka_unit_test(test_damaged_log_is_refused),
        cmocka_unit_test(test_zeroed_end_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
