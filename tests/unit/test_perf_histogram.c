#include "broker/perf/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int
histogram_setup(void **state)
{
    *state = calloc(1, sizeof(struct histogram));
    return *state == NULL;
}

static int
histogram_teardown(void **state)
{
    free(*state);
    return 0;
}

static void
assert_close(uint64_t measured, uint64_t expected)
{
    const double error = (double)measured - (double)expected;
    assert_true(error <= (double)expected * 0.01);
    assert_true(error >= -(double)expected * 0.01);
}

static void
test_buckets_are_within_one_percent(void **state)
{
    (void)state;
    for (uint64_t v = 1000; v < 100000000000ull; v += v / 97 + 1)
        assert_close(histogram_bucket_value(histogram_bucket(v)), v);
}

static void
test_buckets_ascend_and_end(void **state)
{
    (void)state;
    for (uint64_t v = 0; v < 300; v++)
        assert_true(histogram_bucket(v + 1) >= histogram_bucket(v));
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        assert_int_equal(histogram_bucket(histogram_bucket_value(i)), i);
    assert_int_equal(histogram_bucket(HISTOGRAM_VALUE_MAX), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void
test_empty_is_zero(void **state)
{
    const struct histogram *h = *state;
    assert_int_equal(histogram_count(h), 0);
    assert_int_equal(histogram_quantile(h, 0), 0);
    assert_int_equal(histogram_quantile(h, 0.99), 0);
    assert_int_equal(histogram_quantile(h, 1), 0);
}

static void
test_quantiles_of_a_ramp(void **state)
{
    struct histogram *h = *state;
    for (uint64_t us = 1; us <= 10000; us++)
        histogram_record(h, us * 1000);
    assert_int_equal(histogram_count(h), 10000);
    assert_close(histogram_quantile(h, 0), 1000);
    assert_close(histogram_quantile(h, 0.5), 5000000);
    assert_close(histogram_quantile(h, 0.75), 7500000);
    assert_close(histogram_quantile(h, 0.99), 9900000);
    assert_close(histogram_quantile(h, 0.999), 9990000);
    assert_int_equal(histogram_quantile(h, 1), 10000000);
}

static void
test_quantile_of_one_value(void **state)
{
    struct histogram *h = *state;
    histogram_record(h, 123457);
    assert_close(histogram_quantile(h, 0), 123457);
    assert_close(histogram_quantile(h, 0.5), 123457);
    assert_int_equal(histogram_quantile(h, 1), 123457);
}

static void
test_rank_is_nearest_from_above(void **state)
{
    struct histogram *h = *state;
    for (uint64_t v = 1; v <= 4; v++)
        histogram_record(h, v);
    assert_int_equal(histogram_quantile(h, 0.25), 1);
    assert_int_equal(histogram_quantile(h, 0.26), 2);
    assert_int_equal(histogram_quantile(h, 0.75), 3);
    assert_int_equal(histogram_quantile(h, 0.76), 4);
}

static void
test_subtract_leaves_the_interval(void **state)
{
    struct histogram *h = *state;
    static struct histogram earlier;
    earlier = (struct histogram){ 0 };
    for (int i = 0; i < 1000; i++)
        histogram_record(h, 50000000);
    histogram_add(&earlier, h);
    for (int i = 0; i < 10; i++)
        histogram_record(h, 2000);
    histogram_subtract(h, &earlier);
    assert_int_equal(histogram_count(h), 10);
    assert_close(histogram_quantile(h, 0), 2000);
    assert_close(histogram_quantile(h, 1), 2000);
}

static void
test_add_sums_and_keeps_the_maximum(void **state)
{
    struct histogram *h = *state;
    static struct histogram other;
    other = (struct histogram){ 0 };
    histogram_record(h, 10);
    histogram_record(&other, 20);
    histogram_add(h, &other);
    assert_int_equal(histogram_count(h), 2);
    assert_int_equal(histogram_quantile(h, 1), 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, histogram_setup, histogram_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets_are_within_one_percent),
        cmocka_unit_test(test_buckets_ascend_and_end),
        TEST(test_empty_is_zero),
        TEST(test_quantiles_of_a_ramp),
        TEST(test_quantile_of_one_value),
        TEST(test_rank_is_nearest_from_above),
        TEST(test_subtract_leaves_the_interval),
        TEST(test_add_sums_and_keeps_the_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
