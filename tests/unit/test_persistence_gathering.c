/* Which rounds wait for more, and for how long. */

#include "persistence/gathering.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SYNC_NS = 200000 };

static void
test_a_round_waits_for_what_the_last_one_had(void **state)
{
    (void)state;
    struct gathering g = { 0 };
    assert_int_equal(gathering_begin(&g, 40), 0); /* Nothing is known yet. */
    gathering_note_synced(&g, 100, SYNC_NS);
    const uint64_t patience_ns = gathering_begin(&g, 60);
    assert_true(patience_ns > 0);
    assert_true(patience_ns < SYNC_NS / 2);
    gathering_end(&g, 100);
    gathering_note_synced(&g, 100, SYNC_NS);
    assert_int_equal(gathering_begin(&g, 100), 0);
    assert_int_equal(gathering_begin(&g, 101), 0);
}

static void
test_nobody_waits_without_need(void **state)
{
    (void)state;
    struct gathering g = { 0 };
    gathering_note_synced(&g, 1, SYNC_NS);
    assert_int_equal(gathering_begin(&g, 1), 0); /* One publisher that waits for each confirm. */
    gathering_note_synced(&g, 100, SYNC_NS);
    assert_int_equal(gathering_begin(&g, 0), 0); /* A round of definitions or settlements. */
    gathering_note_synced(&g, 0, SYNC_NS);
    assert_int_equal(gathering_begin(&g, 5), 0); /* It followed such a one. */
    gathering_note_synced(&g, 100, UINT64_C(50000000));
    assert_int_equal(gathering_begin(&g, 60), 0); /* A slow disk. */
}

/* Messages that come when they like: of a thousand rounds, few may wait in vain. */
static void
test_waiting_in_vain_becomes_rare(void **state)
{
    (void)state;
    struct gathering g = { 0 };
    unsigned waits = 0;
    for (unsigned i = 0; i < 1000; i++) {
        gathering_note_synced(&g, 10, SYNC_NS);
        if (gathering_begin(&g, 5) == 0)
            continue;
        waits++;
        gathering_end(&g, 6);
    }
    assert_in_range(waits, 2, 20);
    /* It is taken up again when rounds are whole. */
    for (unsigned i = 0; i < 1000; i++) {
        gathering_note_synced(&g, 10, SYNC_NS);
        if (gathering_begin(&g, 5) > 0)
            gathering_end(&g, 10);
    }
    gathering_note_synced(&g, 10, SYNC_NS);
    assert_true(gathering_begin(&g, 5) > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_round_waits_for_what_the_last_one_had),
        cmocka_unit_test(test_nobody_waits_without_need),
        cmocka_unit_test(test_waiting_in_vain_becomes_rare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
