#include "broker/perf/perf_confirms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct histogram latency;

static void
publish(struct perf_confirms *c, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        assert_true(perf_confirms_room(c) > 0);
        perf_confirms_add(c, 1000 + c->next);
    }
}

static uint64_t
settle(struct perf_confirms *c, uint64_t number, bool multiple)
{
    return perf_confirms_settle(c, number, multiple, 100000, &latency);
}

static void
test_window_closes_at_the_limit(void **state)
{
    (void)state;
    struct perf_confirms c;
    perf_confirms_init(&c, 3);
    publish(&c, 3);
    assert_int_equal(perf_confirms_room(&c), 0);
    assert_int_equal(settle(&c, 1, false), 1);
    assert_int_equal(perf_confirms_room(&c), 1);
    perf_confirms_fini(&c);
}

static void
test_multiple_settles_all_up_to_it(void **state)
{
    (void)state;
    struct perf_confirms c;
    perf_confirms_init(&c, 100);
    publish(&c, 10);
    assert_int_equal(settle(&c, 3, false), 1);
    assert_int_equal(settle(&c, 5, true), 4); /* 1, 2, 4, 5 */
    assert_int_equal(c.open, 5);
    assert_int_equal(settle(&c, 0, true), 5);
    assert_int_equal(c.open, 0);
    assert_int_equal(c.lowest, 11);
    perf_confirms_fini(&c);
}

static void
test_what_was_not_open_is_refused(void **state)
{
    (void)state;
    struct perf_confirms c;
    perf_confirms_init(&c, 100);
    assert_int_equal(settle(&c, 0, true), 0);
    assert_int_equal(settle(&c, 1, false), 0);
    publish(&c, 5);
    assert_int_equal(settle(&c, 0, false), 0);
    assert_int_equal(settle(&c, 6, false), 0);
    assert_int_equal(settle(&c, 6, true), 0);
    assert_int_equal(settle(&c, UINT64_MAX, true), 0);
    assert_int_equal(settle(&c, 2, false), 1);
    assert_int_equal(settle(&c, 2, false), 0);
    assert_int_equal(settle(&c, 2, true), 1); /* 1 was still open. */
    assert_int_equal(settle(&c, 2, true), 0);
    assert_int_equal(c.open, 3);
    perf_confirms_fini(&c);
}

static void
test_one_that_stays_open_does_not_overrun_the_ring(void **state)
{
    (void)state;
    struct perf_confirms c;
    perf_confirms_init(&c, 8);
    publish(&c, 1);
    uint64_t published = 1;
    while (perf_confirms_room(&c) > 0) {
        publish(&c, 1);
        published++;
        assert_int_equal(settle(&c, published, false), 1);
        assert_true(published < 1000);
    }
    assert_int_equal(c.open, 1);
    assert_int_equal(settle(&c, 1, false), 1);
    assert_int_equal(perf_confirms_room(&c), 8);
    perf_confirms_fini(&c);
}

static void
test_latency_counts_each_message_once(void **state)
{
    (void)state;
    struct perf_confirms c;
    latency = (struct histogram){ 0 };
    perf_confirms_init(&c, 1000);
    for (int round = 0; round < 100; round++) {
        publish(&c, 700);
        assert_int_equal(settle(&c, c.lowest + 349, true), 350);
        assert_int_equal(settle(&c, c.next - 1, true), 350);
    }
    assert_int_equal(histogram_count(&latency), 70000);
    perf_confirms_fini(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_closes_at_the_limit),
        cmocka_unit_test(test_multiple_settles_all_up_to_it),
        cmocka_unit_test(test_what_was_not_open_is_refused),
        cmocka_unit_test(test_one_that_stays_open_does_not_overrun_the_ring),
        cmocka_unit_test(test_latency_counts_each_message_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
