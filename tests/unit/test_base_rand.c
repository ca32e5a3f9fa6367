#include "broker/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { NAMES = 1000, NAME_SIZE = 22 };

static void
test_names_are_distinct_and_of_base64url(void **state)
{
    (void)state;
    static char names[NAMES][NAME_SIZE + 1];
    for (size_t i = 0; i < NAMES; i++) {
        rand_name(names[i]);
        assert_int_equal(strlen(names[i]), NAME_SIZE);
        assert_int_equal(strspn(names[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                          "0123456789-_"),
                         NAME_SIZE);
        for (size_t earlier = 0; earlier < i; earlier++)
            assert_string_not_equal(names[i], names[earlier]);
    }
}

/* In 22000 digits one of 64 is missing with a chance below 10 to the power of -148. */
static void
test_names_use_all_digits(void **state)
{
    (void)state;
    char seen[256] = { 0 };
    for (size_t i = 0; i < NAMES; i++) {
        char name[NAME_SIZE + 1];
        rand_name(name);
        for (const char *p = name; *p != 0; p++)
            seen[(uint8_t)*p] = 1;
    }
    unsigned digits = 0;
    for (size_t i = 0; i < sizeof(seen); i++)
        digits += seen[i] != 0;
    assert_int_equal(digits, 64);
}

static void
test_bytes_fill_all_and_no_more(void **state)
{
    (void)state;
    static uint8_t octets[100002];
    rand_bytes(octets + 1, sizeof(octets) - 2);
    assert_int_equal(octets[0], 0);
    assert_int_equal(octets[sizeof(octets) - 1], 0);
    static const uint8_t zeroes[16];
    for (size_t i = 1; i + 16 < sizeof(octets); i += 16)
        assert_memory_not_equal(octets + i, zeroes, sizeof(zeroes));
    rand_bytes(octets, 0);
    assert_int_equal(octets[0], 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_distinct_and_of_base64url),
        cmocka_unit_test(test_names_use_all_digits),
        cmocka_unit_test(test_bytes_fill_all_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
