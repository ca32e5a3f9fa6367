#include "broker/base/pattern.h"

#include "broker/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static bool
matches(const char *pattern, const char *text)
{
    char problem[100];
    struct pattern *p = pattern_create(bytes_of_string(pattern), problem, sizeof(problem));
    if (p == NULL)
        fail_msg("%s", problem);
    const bool result = pattern_matches(p, bytes_of_string(text));
    pattern_destroy(p);
    return result;
}

static void
test_matching(void **state)
{
    (void)state;
    assert_true(matches("", "anything"));
    assert_true(matches("", ""));
    assert_true(matches("b", "abc"));
    assert_false(matches("^b", "abc"));
    assert_true(matches("^orders\\.", "orders.eu"));
    assert_false(matches("^orders\\.", "orders"));
    assert_true(matches("^caf.$", "caf\xc3\xa9"));
    assert_false(matches("a", "a\xff"));
}

/* A pattern that would take for ever finds nothing, soon. */
static void
test_costs_are_bounded(void **state)
{
    (void)state;
    assert_false(
        matches("^(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"));
}

static void
test_refusals(void **state)
{
    (void)state;
    static uint8_t longest[5000];
    char problem[100];
    memset(longest, 'a', sizeof(longest));
    assert_null(pattern_create(BYTES_LITERAL("["), problem, sizeof(problem)));
    assert_null(pattern_create(BYTES_LITERAL("\xff"), problem, sizeof(problem)));
    assert_null(pattern_create(bytes_of(longest, sizeof(longest)), problem, sizeof(problem)));
    assert_string_equal(problem, "longer than 4096 octets");
    pattern_destroy(NULL);
}

static void
test_arena(void **state)
{
    (void)state;
    struct arena a = { 0 };
    struct bytes copies[200];
    for (size_t i = 0; i < 200; i++) {
        uint8_t text[200];
        memset(text, (int)i, sizeof(text));
        copies[i] = arena_copy(&a, bytes_of(text, i));
        assert_int_equal(copies[i].data[i], 0);
        assert_int_equal((uintptr_t)copies[i].data % _Alignof(max_align_t), 0);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal(copies[i].data[k], i);
    const uint8_t *large = arena_alloc(&a, 100000);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(large[i], 0);
    arena_fini(&a);
    assert_null(a.blocks);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_costs_are_bounded),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
