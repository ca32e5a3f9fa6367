#include "test_routing.h"

#include <math.h>

/* Values of one family and size are equal, all others are not: each value names its class. */
struct sample {
    int class;
    struct header header;
};

static void
test_families(void **state)
{
    (void)state;
    const struct sample samples[] = {
        { 1, header_void("a") },
        { 1, header_void("b") },
        { 2, header_bool("a", true) },
        { 2, header_bool("b", true) },
        { 3, header_bool("a", false) },
        { 4, header_integer("a", 0) },
        { 4, header_unsigned("a", 0) },
        { 4, header_float("a", 0.0) },
        { 4, header_float("a", -0.0) },
        { 5, header_integer("a", 1) },
        { 5, header_unsigned("a", 1) },
        { 5, header_float("a", 1.0) },
        { 6, header_integer("a", -1) },
        { 6, header_float("a", -1.0) },
        { 7, header_float("a", 1.5) },
        { 7, header_float("b", 1.5) },
        { 8, header_float("a", -1.5) },
        { 9, header_float("a", (double)INFINITY) },
        { 10, header_float("a", -(double)INFINITY) },
        { 11, header_string("a", "1") },
        { 11, header_string("b", "1") },
        { 12, header_string("a", "") },
        { 13, header_string("a", "x") },
        { 14, header_string("a", "X") },
        { 15, header_string("a", "xx") },
        { 16, header_opaque("a", "Fx") },
        { 16, header_opaque("b", "Fx") },
        { 17, header_opaque("a", "Fy") },
        { 18, header_opaque("a", "x") },
        { 19, header_opaque("a", "1") },
        { 20, header_opaque("a", "") },
        { 21, header_string("a", "true") },
    };
    for (size_t i = 0; i < COUNT(samples); i++)
        for (size_t k = 0; k < COUNT(samples); k++)
            assert_int_equal(header_values_equal(&samples[i].header, &samples[k].header),
                             samples[i].class == samples[k].class);
}

static void
test_large_numbers_are_not_rounded(void **state)
{
    (void)state;
    const struct sample samples[] = {
        { 1, header_integer("", INT64_C(9007199254740992)) },
        { 1, header_float("", 9007199254740992.0) },
        { 2, header_integer("", INT64_C(9007199254740993)) },
        { 3, header_integer("", INT64_C(9007199254740994)) },
        { 3, header_float("", 9007199254740994.0) },
        { 4, header_integer("", INT64_MAX) },
        { 4, header_unsigned("", INT64_MAX) },
        { 5, header_unsigned("", UINT64_C(1) << 63) },
        { 5, header_float("", 9223372036854775808.0) },
        { 6, header_unsigned("", UINT64_MAX) },
        { 7, header_float("", 18446744073709551616.0) },
        { 8, header_integer("", INT64_MIN) },
        { 8, header_float("", -9223372036854775808.0) },
        { 9, header_float("", -9223372036854777856.0) },
        { 10, header_integer("", INT64_MIN + 1) },
        { 11, header_float("", 1e300) },
        { 11, header_float("", 1e300) },
        { 12, header_integer("", -1) },
        { 13, header_float("", 9223372036854774784.0) },
        { 13, header_integer("", INT64_C(9223372036854774784)) },
        { 14, header_float("", 18446744073709549568.0) },
        { 14, header_unsigned("", UINT64_C(18446744073709549568)) },
        { 15, header_float("", 5e-324) },
        { 16, header_integer("", 0) },
    };
    for (size_t i = 0; i < COUNT(samples); i++)
        for (size_t k = 0; k < COUNT(samples); k++)
            assert_int_equal(header_values_equal(&samples[i].header, &samples[k].header),
                             samples[i].class == samples[k].class);
}

static void
test_not_a_number_equals_nothing(void **state)
{
    (void)state;
    const struct header nan = header_float("", (double)NAN);
    const struct header zero = header_integer("", 0);
    assert_false(header_values_equal(&nan, &nan));
    assert_false(header_values_equal(&nan, &zero));
    assert_false(header_values_equal(&zero, &nan));
}

static void
test_octets_may_be_zero(void **state)
{
    (void)state;
    struct header a = { .kind = HEADER_STRING, .value.octets = BYTES_LITERAL("a\0b") };
    struct header b = { .kind = HEADER_STRING, .value.octets = BYTES_LITERAL("a\0c") };
    struct header none = { .kind = HEADER_STRING, .value.octets = BYTES_NONE };
    assert_true(header_values_equal(&a, &a));
    assert_false(header_values_equal(&a, &b));
    assert_false(header_values_equal(&a, &none));
    assert_true(header_values_equal(&none, &none));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_large_numbers_are_not_rounded),
        cmocka_unit_test(test_not_a_number_equals_nothing),
        cmocka_unit_test(test_octets_may_be_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
