/* When files are merged to give space back. */

#include "persistence/tidy_rule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MIB (UINT64_C(1024) * 1024)

static void
test_most_must_be_dead(void **state)
{
    (void)state;
    const struct tidy_rule r = { 0 };
    struct tidy_view v = { .now_ms = 1, .bytes = 1000 * MIB, .alive = 600 * MIB, .is_idle = true };
    assert_false(tidy_rule_is_due(&r, &v));
    v.alive = 400 * MIB;
    assert_true(tidy_rule_is_due(&r, &v));
    v.is_idle = false; /* More is left alone while the log comes and goes. */
    assert_false(tidy_rule_is_due(&r, &v));
    v.alive = 100 * MIB;
    assert_true(tidy_rule_is_due(&r, &v));
}

static void
test_it_rests_after_a_merge(void **state)
{
    (void)state;
    struct tidy_rule r = { 0 };
    struct tidy_view v = { .now_ms = 1000, .bytes = 1000 * MIB, .alive = 10 * MIB };
    tidy_rule_note_merged(&r, &v, 900 * MIB, 3000);
    v.now_ms = 3000 + 4 * 2000;
    assert_false(tidy_rule_is_due(&r, &v));
    v.now_ms += 1000;
    assert_true(tidy_rule_is_due(&r, &v));
}

/* An idle store is not merged again and again where something else keeps its files. */
static void
test_what_did_not_help_is_not_repeated(void **state)
{
    (void)state;
    struct tidy_rule r = { 0 };
    struct tidy_view v = { .bytes = 1000 * MIB, .alive = 10 * MIB, .is_idle = true };
    tidy_rule_note_merged(&r, &v, 900 * MIB, 0);
    v.now_ms = 100000;
    v.bytes = 900 * MIB;
    assert_false(tidy_rule_is_due(&r, &v));
    v.bytes = 901 * MIB;
    assert_true(tidy_rule_is_due(&r, &v));
}

/* A merge in the middle of a drain leaves what is alive then. That says nothing of the end. */
static void
test_a_drain_is_followed_to_its_end(void **state)
{
    (void)state;
    struct tidy_rule r = { 0 };
    struct tidy_view v = { .bytes = 1800 * MIB, .alive = 700 * MIB };
    tidy_rule_note_merged(&r, &v, 900 * MIB, 2000);
    v = (struct tidy_view){ .now_ms = 100000, .bytes = 400 * MIB, .is_idle = true };
    assert_true(tidy_rule_is_due(&r, &v));
    tidy_rule_note_merged(&r, &v, 300 * MIB, 101000);
    v.now_ms = 200000;
    v.bytes = 300 * MIB;
    assert_false(tidy_rule_is_due(&r, &v));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_most_must_be_dead),
        cmocka_unit_test(test_it_rests_after_a_merge),
        cmocka_unit_test(test_what_did_not_help_is_not_repeated),
        cmocka_unit_test(test_a_drain_is_followed_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
