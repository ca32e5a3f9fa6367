/* Publisher confirms against a model: never early, never twice, never skipped, and no answer covers
 * a publish of another fate. */

#include "broker/session/confirms.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct random dice;

#define PUBLISHES 50000

struct fate {
    uint64_t ticket; /* Of this publish, or of one before it that it waits behind. */
    bool rejected;
    bool answered;
};

static struct fate fates[PUBLISHES + 1];

static void
check_answer(const struct confirm_run *run, uint64_t committed, uint64_t *answered)
{
    assert_int_equal(run->first, *answered + 1);
    for (uint64_t number = run->first; number <= run->last; number++) {
        assert_false(fates[number].answered);
        assert_true(fates[number].ticket <= committed);
        assert_int_equal(fates[number].rejected, run->rejected);
        fates[number].answered = true;
    }
    *answered = run->last;
}

static void
test_against_a_model(void **state)
{
    (void)state;
    struct confirms c = { 0 };
    struct confirm_run run;
    uint64_t committed = 0;
    uint64_t open = 1;
    uint64_t answered = 0;
    uint64_t waits_for = 0;
    dice = random_start(__func__);
    for (uint64_t number = 1; number <= PUBLISHES; number++) {
        const uint64_t ticket = random_below(&dice, 3) == 0 ? 0 : open;
        const bool rejected = random_below(&dice, 20) == 0;
        waits_for = ticket > waits_for ? ticket : waits_for;
        fates[number] = (struct fate){ waits_for, rejected, false };
        confirms_add(&c, number, ticket, rejected);
        if (random_below(&dice, 4) == 0)
            open++;
        if (random_below(&dice, 6) == 0 && committed < open - 1)
            committed += 1 + random_below(&dice, open - 1 - committed);
        while (random_below(&dice, 3) != 0 && confirms_take(&c, committed, &run))
            check_answer(&run, committed, &answered);
        /* What may be answered is answered, and the oldest is what stands in the way. */
        if (!confirms_are_empty(&c))
            assert_true(confirms_ticket(&c) <= open);
    }
    while (confirms_take(&c, open, &run))
        check_answer(&run, open, &answered);
    assert_int_equal(answered, PUBLISHES);
    assert_true(confirms_are_empty(&c));
    confirms_fini(&c);
}

/* A thousand publishes of one round are one run: one answer, and no memory a publish. */
static void
test_runs_are_merged(void **state)
{
    (void)state;
    struct confirms c = { 0 };
    struct confirm_run run;
    for (uint64_t number = 1; number <= 1000; number++)
        confirms_add(&c, number, 7, false);
    assert_false(confirms_take(&c, 6, &run));
    assert_true(confirms_take(&c, 7, &run));
    assert_int_equal(run.first, 1);
    assert_int_equal(run.last, 1000);
    assert_in_range(c.capacity, 1, 4);
    confirms_fini(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_runs_are_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
