/* The set of alarms: who changes it, and what clients are told. */

#include "broker/core/alarms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_only_a_change_is_reported(void **state)
{
    (void)state;
    struct alarms a = { 0 };
    assert_false(alarms_set(&a, ALARM_DISK, false));
    assert_true(alarms_set(&a, ALARM_DISK, true));
    assert_false(alarms_set(&a, ALARM_DISK, true));
    assert_true(alarms_set(&a, ALARM_MEMORY, true));
    assert_int_equal(alarms_on(&a), ALARM_DISK | ALARM_MEMORY);
    assert_true(alarms_set(&a, ALARM_DISK, false));
    assert_int_equal(alarms_on(&a), ALARM_MEMORY);
    assert_true(alarms_set(&a, ALARM_MEMORY, false));
    assert_int_equal(alarms_on(&a), 0);
}

static void
test_reasons(void **state)
{
    (void)state;
    assert_string_equal(alarms_reason(ALARM_MEMORY), "low on memory");
    assert_string_equal(alarms_reason(ALARM_DISK), "low on disk");
    assert_string_equal(alarms_reason(ALARM_MEMORY | ALARM_DISK), "low on memory & disk");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_a_change_is_reported),
        cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
