/* Prometheus' text format. */

#include "broker/admin/prometheus.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
expect(struct buf *out, const char *wanted)
{
    assert_int_equal(out->size, strlen(wanted));
    assert_memory_equal(out->data, wanted, out->size);
    buf_fini(out);
}

static void
test_families(void **state)
{
    struct buf out = { 0 };
    (void)state;
    prometheus_gauge(&out, "a", "What it is.", 0.5);
    prometheus_counter(&out, "b_total", "Large.", UINT64_MAX);
    expect(&out, "# HELP a What it is.\n# TYPE a gauge\na 0.5\n"
                 "# HELP b_total Large.\n# TYPE b_total counter\nb_total 18446744073709551615\n");
}

static void
test_label_values(void **state)
{
    struct buf out = { 0 };
    const struct prometheus_label labels[] = {
        { "x", BYTES_LITERAL("quote \" backslash \\ line\nend") },
        { "y", BYTES_LITERAL("caf\xC3\xA9") },
        { "z", BYTES_LITERAL("no \xC3 text") },
        { "empty", BYTES_NONE },
    };
    (void)state;
    prometheus_count(&out, "n", labels, 4, 7);
    expect(&out, "n{x=\"quote \\\" backslash \\\\ line\\nend\",y=\"caf\xC3\xA9\","
                 "z=\"no \xEF\xBF\xBD text\",empty=\"\"} 7\n");
}

static void
test_numbers_that_are_none(void **state)
{
    struct buf out = { 0 };
    (void)state;
    prometheus_sample(&out, "n", NULL, 0, 1.0 / 0.0);
    prometheus_sample(&out, "n", NULL, 0, -1.0 / 0.0);
    prometheus_sample(&out, "n", NULL, 0, __builtin_nan(""));
    expect(&out, "n +Inf\nn -Inf\nn NaN\n");
}

static void
test_histogram_is_cumulative(void **state)
{
    struct buf out = { 0 };
    const double bounds[] = { 0.001, 1 };
    const uint64_t counts[] = { 2, 3, 4 };
    (void)state;
    prometheus_histogram(&out, "h", "Time.", bounds, counts, 2, 1.5);
    expect(&out, "# HELP h Time.\n# TYPE h histogram\nh_bucket{le=\"0.001\"} 2\n"
                 "h_bucket{le=\"1\"} 5\nh_bucket{le=\"+Inf\"} 9\nh_sum 1.5\nh_count 9\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_label_values),
        cmocka_unit_test(test_numbers_that_are_none),
        cmocka_unit_test(test_histogram_is_cumulative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
