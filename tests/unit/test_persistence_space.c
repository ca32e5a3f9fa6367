/* Room on the disk: when it counts as low, when a round may go, and what the ballast is for. The
 * file system is made up, the ballast a file in a directory of its own. */

#include "persistence/space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/test_persistence.h"

#define MIB (UINT64_C(1) << 20)

/* 1 GiB in all: a quarter of it is the largest watermark, 32 MiB the ballast, 16 MiB the margin. */
enum { TOTAL_MIB = 1024, BALLAST_MIB = 32, MARGIN_MIB = 16, WATERMARK_MIB = 100 };

struct disk {
    char path[PATH_SIZE];
    struct space *space;
    uint64_t free_mib; /* The ballast's room included. */
    uint64_t unflushed_mib;
    uint64_t tables_mib;
    unsigned measured;
    unsigned cleaned;
    uint64_t cleaning_frees_mib;
    bool is_unknown;
};

static bool
has_ballast(const struct disk *d)
{
    char name[NAME_SIZE];
    struct stat status;
    snprintf(name, sizeof(name), "%s/ballast", d->path);
    if (stat(name, &status) != 0)
        return false;
    assert_int_equal(status.st_size, BALLAST_MIB * MIB);
    return true;
}

static bool
disk_measure(void *context, struct space_reading *reading)
{
    struct disk *d = context;
    const uint64_t held = has_ballast(d) ? BALLAST_MIB : 0;
    d->measured++;
    if (d->is_unknown)
        return false;
    reading->total = TOTAL_MIB * MIB;
    reading->free = (d->free_mib > held ? d->free_mib - held : 0) * MIB;
    reading->unflushed = d->unflushed_mib * MIB;
    reading->tables = d->tables_mib * MIB;
    return true;
}

static bool
disk_clean(void *context, uint64_t room)
{
    struct disk *d = context;
    assert_in_range(room, MARGIN_MIB * MIB, d->free_mib * MIB);
    d->cleaned++;
    d->free_mib += d->cleaning_frees_mib;
    d->unflushed_mib = 0;
    return true;
}

static void
disk_start(struct disk *d, uint64_t free_mib)
{
    *d = (struct disk){ .free_mib = free_mib };
    directory_make(d->path);
    d->space = space_create(&(const struct space_options){
        .directory = d->path,
        .watermark = WATERMARK_MIB * MIB,
        .look_ms = 1,
        .measure = disk_measure,
        .context = d,
    });
    space_set_cleaner(d->space, disk_clean, d);
}

static void
disk_end(struct disk *d)
{
    space_destroy(d->space);
    directory_remove(d->path);
}

/* Looks until it has measured what is there now. */
static void
look(struct disk *d)
{
    const unsigned before = d->measured;
    while (d->measured == before)
        space_look(d->space, 0);
}

static void
test_watermark_with_hysteresis(void **state)
{
    (void)state;
    struct disk d;
    disk_start(&d, 500);
    assert_true(has_ballast(&d));
    assert_false(space_is_low(d.space));
    d.free_mib = WATERMARK_MIB + BALLAST_MIB;
    look(&d);
    assert_false(space_is_low(d.space));
    d.free_mib--;
    look(&d);
    assert_true(space_is_low(d.space));
    d.free_mib += 2;
    look(&d);
    assert_true(space_is_low(d.space));
    d.free_mib = WATERMARK_MIB + WATERMARK_MIB / 8 + BALLAST_MIB + 1;
    look(&d);
    assert_false(space_is_low(d.space));
    assert_true(has_ballast(&d));
    disk_end(&d);
}

static void
test_watermark_is_a_share_of_a_small_disk(void **state)
{
    (void)state;
    struct disk d = { .free_mib = 400 };
    directory_make(d.path);
    d.space = space_create(&(const struct space_options){ .directory = d.path,
                                                          .watermark = 1000000 * MIB,
                                                          .look_ms = 1,
                                                          .measure = disk_measure,
                                                          .context = &d });
    assert_false(space_is_low(d.space));
    d.free_mib = TOTAL_MIB / 4 + BALLAST_MIB - 1;
    look(&d);
    assert_true(space_is_low(d.space));
    disk_end(&d);
}

/* What waits, and the log that is still to be flushed, must fit besides. */
static void
test_low_before_the_floor_is_near(void **state)
{
    (void)state;
    struct disk d;
    disk_start(&d, 500);
    d.unflushed_mib = 300;
    d.free_mib = 300 + 3 * MARGIN_MIB + BALLAST_MIB;
    look(&d);
    assert_false(space_is_low(d.space));
    d.free_mib--;
    look(&d);
    assert_true(space_is_low(d.space));
    const struct space_claim claim = { .bytes = MIB, .waiting = MIB, .has_records = true };
    assert_true(space_admits(d.space, &claim));
    disk_end(&d);
}

/* RocksDB starts compactions when it likes; what they take must not be what flushing needs. */
static void
test_a_compaction_has_room(void **state)
{
    (void)state;
    struct disk d;
    disk_start(&d, 900);
    d.tables_mib = 200;
    d.free_mib = 200 + 3 * MARGIN_MIB + BALLAST_MIB;
    look(&d);
    assert_false(space_is_low(d.space));
    d.free_mib--;
    look(&d);
    assert_true(space_is_low(d.space));
    const struct space_claim claim = { .bytes = MIB, .waiting = MIB, .has_records = true };
    assert_true(space_admits(d.space, &claim));
    d.tables_mib = 800; /* One compaction does not write all of a large store. */
    d.free_mib = 600;
    look(&d);
    assert_false(space_is_low(d.space));
    disk_end(&d);
}

static void
test_what_is_written_counts_until_the_next_look(void **state)
{
    (void)state;
    struct disk d;
    disk_start(&d, 500);
    const struct space_claim claim = { .bytes = 10 * MIB,
                                       .waiting = 10 * MIB,
                                       .has_records = true };
    const unsigned before = d.measured;
    unsigned rounds = 0;
    for (; d.measured == before; rounds++) {
        assert_true(space_admits(d.space, &claim));
        space_wrote(d.space, &claim);
        d.free_mib -= 10;
        d.unflushed_mib += 10;
    }
    /* Long before 36 of them have used up all there is; a look that was due anyway comes sooner. */
    assert_in_range(rounds, 1, 12);
    while (space_admits(d.space, &claim)) {
        space_wrote(d.space, &claim);
        d.free_mib -= 10;
        d.unflushed_mib += 10;
        assert_true(d.free_mib >= d.unflushed_mib + BALLAST_MIB);
    }
    assert_true(space_is_low(d.space));
    disk_end(&d);
}

static void
test_ballast_is_for_what_frees_room(void **state)
{
    (void)state;
    struct disk d;
    disk_start(&d, 500);
    d.free_mib = BALLAST_MIB + 2;
    look(&d);
    const struct space_claim records = { .bytes = 100, .waiting = 200, .has_records = true };
    assert_false(space_admits(d.space, &records));
    assert_true(has_ballast(&d));
    const struct space_claim nothing = { .bytes = 0 };
    assert_true(space_admits(d.space, &nothing)); /* It only syncs. */
    const struct space_claim settlements = { .bytes = 100, .waiting = 200, .frees = true };
    assert_true(space_admits(d.space, &settlements));
    assert_false(has_ballast(&d));
    d.free_mib = 0;
    look(&d);
    assert_false(space_admits(d.space, &settlements));
    disk_end(&d);
}

/* Behind the records waits what frees room: order must hold, so all of it takes the last room. */
static void
test_records_may_use_the_ballast_for_what_frees_room_behind_them(void **state)
{
    (void)state;
    struct disk d;
    disk_start(&d, 500);
    d.free_mib = BALLAST_MIB + 2;
    look(&d);
    const struct space_claim too_much = {
        .bytes = MIB, .waiting = 20 * MIB, .has_records = true, .frees = true
    };
    assert_false(space_admits(d.space, &too_much));
    const struct space_claim claim = {
        .bytes = MIB, .waiting = 2 * MIB, .has_records = true, .frees = true
    };
    assert_true(space_admits(d.space, &claim));
    assert_false(has_ballast(&d));
    disk_end(&d);
}

static void
test_cleaning_lifts_it_and_makes_the_ballast_again(void **state)
{
    (void)state;
    struct disk d;
    disk_start(&d, 500);
    d.cleaning_frees_mib = 400;
    d.unflushed_mib = 40;
    d.free_mib = BALLAST_MIB + 30;
    look(&d);
    assert_true(space_is_low(d.space));
    assert_int_equal(d.cleaned, 0); /* Nothing has been freed. */
    const struct space_claim settlements = { .bytes = 100, .waiting = 100, .frees = true };
    assert_true(space_admits(d.space, &settlements));
    assert_false(has_ballast(&d));
    space_wrote(d.space, &settlements);
    while (d.cleaned == 0)
        space_look(d.space, 0);
    assert_int_equal(d.cleaned, 1);
    while (space_is_low(d.space))
        space_look(d.space, 0);
    assert_true(has_ballast(&d));
    disk_end(&d);
}

static void
test_opening_gets_the_old_ballast(void **state)
{
    (void)state;
    struct disk d;
    disk_start(&d, 500);
    assert_true(has_ballast(&d));
    space_destroy(d.space);
    d.free_mib = BALLAST_MIB + 50;
    d.unflushed_mib = 60;
    d.space = space_create(&(const struct space_options){
        .directory = d.path, .look_ms = 1, .measure = disk_measure, .context = &d });
    assert_false(has_ballast(&d));
    assert_true(space_is_low(d.space));
    disk_end(&d);
}

static void
test_unknown_stays_as_it_was(void **state)
{
    (void)state;
    struct disk d = { .is_unknown = true };
    directory_make(d.path);
    d.space = space_create(&(const struct space_options){
        .directory = d.path, .look_ms = 1, .measure = disk_measure, .context = &d });
    const struct space_claim claim = { .bytes = MIB, .waiting = MIB, .has_records = true };
    assert_false(space_is_low(d.space));
    assert_true(space_admits(d.space, &claim));
    look(&d);
    assert_false(space_is_low(d.space));
    disk_end(&d);
}

static void
test_real_file_system(void **state)
{
    (void)state;
    char path[PATH_SIZE];
    char store[PATH_SIZE + 8];
    char name[PATH_SIZE + 32];
    struct space_reading reading;
    directory_make(path);
    assert_true(space_measure_directory(path, &reading));
    assert_true(reading.total > 0 && reading.free <= reading.total);
    assert_int_equal(reading.unflushed, 0);
    snprintf(store, sizeof(store), "%s", path); /* Its folder is a data directory. */
    *strrchr(path, '/') = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "%s/00000%d.%s", store, i, i == 0 ? "log" : "sst");
        const int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, name, 100), 100);
        close(fd);
    }
    assert_true(space_measure_directory(path, &reading));
    assert_int_equal(reading.unflushed, 100);
    assert_int_equal(reading.tables, 100);
    directory_remove(store);
    assert_false(space_measure_directory(path, &reading));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watermark_with_hysteresis),
        cmocka_unit_test(test_watermark_is_a_share_of_a_small_disk),
        cmocka_unit_test(test_low_before_the_floor_is_near),
        cmocka_unit_test(test_a_compaction_has_room),
        cmocka_unit_test(test_what_is_written_counts_until_the_next_look),
        cmocka_unit_test(test_ballast_is_for_what_frees_room),
        cmocka_unit_test(test_records_may_use_the_ballast_for_what_frees_room_behind_them),
        cmocka_unit_test(test_cleaning_lifts_it_and_makes_the_ballast_again),
        cmocka_unit_test(test_opening_gets_the_old_ballast),
        cmocka_unit_test(test_unknown_stays_as_it_was),
        cmocka_unit_test(test_real_file_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
