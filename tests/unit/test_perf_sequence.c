#include "broker/perf/perf_sequence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

struct sequence_row {
    const char *name;
    uint64_t seen[12]; /* Up to the first END. */
    uint64_t out_of_order;
    uint64_t duplicates;
    uint64_t lost;
};

#define END UINT64_MAX

static const struct sequence_row rows[] = {
    { "in order", { 0, 1, 2, 3, END }, 0, 0, 0 },
    { "nothing", { END }, 0, 0, 0 },
    { "gap", { 0, 1, 4, 5, END }, 0, 0, 2 },
    { "gap at the start", { 3, END }, 0, 0, 3 },
    { "swapped", { 0, 2, 1, 3, END }, 1, 0, 0 },
    { "twice", { 0, 1, 1, 2, 0, END }, 0, 2, 0 },
    { "late and twice", { 0, 5, 2, 2, END }, 1, 1, 3 },
    { "hole splits", { 9, 4, 2, 7, 4, END }, 3, 1, 6 },
    { "hole fills from below", { 3, 0, 1, 2, 4, END }, 3, 0, 0 },
    { "hole fills from above", { 3, 2, 1, 0, 4, END }, 3, 0, 0 },
};

static void
test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct perf_sequence s = { 0 };
        struct perf_sequence_stats stats = { 0 };
        for (size_t k = 0; rows[i].seen[k] != END; k++)
            perf_sequence_see(&s, rows[i].seen[k], &stats);
        if (stats.out_of_order != rows[i].out_of_order || stats.duplicates != rows[i].duplicates ||
            perf_sequence_lost(&s) != rows[i].lost)
            fail_msg("%s", rows[i].name);
        perf_sequence_fini(&s);
    }
}

/* A random order with some numbers left out and some twice, against a plain count. */
static void
test_random_orders_are_counted_exactly(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    const unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 200; round++) {
        struct perf_sequence s = { 0 };
        struct perf_sequence_stats stats = { 0 };
        unsigned times[COUNT] = { 0 };
        uint64_t highest = 0;
        uint64_t duplicates = 0;
        for (int i = 0; i < COUNT; i++) {
            const uint64_t number = (uint64_t)(rand() % COUNT);
            duplicates += times[number] > 0;
            times[number]++;
            highest = number > highest ? number : highest;
            perf_sequence_see(&s, number, &stats);
        }
        uint64_t lost = 0;
        for (uint64_t i = 0; i < highest; i++)
            lost += times[i] == 0;
        assert_int_equal(stats.duplicates, duplicates);
        assert_int_equal(perf_sequence_lost(&s), lost);
        assert_false(stats.inexact);
        perf_sequence_fini(&s);
    }
}

static void
test_too_many_holes_are_admitted(void **state)
{
    (void)state;
    struct perf_sequence s = { 0 };
    struct perf_sequence_stats stats = { 0 };
    const uint64_t count = PERF_SEQUENCE_HOLES_MAX + 10;
    for (uint64_t i = 0; i < count; i++)
        perf_sequence_see(&s, i * 2 + 1, &stats);
    assert_true(stats.inexact);
    assert_int_equal(perf_sequence_lost(&s), count);
    perf_sequence_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_random_orders_are_counted_exactly),
        cmocka_unit_test(test_too_many_holes_are_admitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
