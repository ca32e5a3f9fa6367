#include "broker/auth/login_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static struct login_lines lines;
static struct login logins[LOGINS_WAITING_MAX + 10];

/* Two addresses that do not share a line. */
static char one[LOGIN_ADDRESS_SIZE];
static char two[LOGIN_ADDRESS_SIZE];

static size_t
line_of(const char *address)
{
    return bytes_hash(bytes_of_string(address)) % LOGIN_LINES;
}

static int
setup(void **state)
{
    (void)state;
    login_lines_init(&lines);
    snprintf(one, sizeof(one), "10.0.0.1");
    for (int i = 2; i < 10 && (two[0] == 0 || line_of(one) == line_of(two)); i++)
        snprintf(two, sizeof(two), "10.0.0.%d", i);
    assert_int_not_equal(line_of(one), line_of(two));
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++)
        list_init(&logins[i].link);
    return 0;
}

static struct login *
add(size_t i, const char *address)
{
    snprintf(logins[i].address, LOGIN_ADDRESS_SIZE, "%s", address);
    return login_lines_add(&lines, &logins[i]);
}

static void
nobody(void **state)
{
    (void)state;
    assert_null(login_lines_take(&lines));
    assert_null(add(0, one));
    assert_ptr_equal(login_lines_take(&lines), &logins[0]);
    assert_null(login_lines_take(&lines));
    assert_int_equal(lines.count, 0);
}

static void
one_line_is_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < 10; i++)
        assert_null(add(i, one));
    for (size_t i = 0; i < 10; i++)
        assert_ptr_equal(login_lines_take(&lines), &logins[i]);
    assert_null(login_lines_take(&lines));
}

/* Somebody who comes behind a hundred of another address waits for one of them. */
static void
lines_take_turns(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++)
        add(i, one);
    add(100, two);
    add(101, two);
    assert_ptr_equal(login_lines_take(&lines), &logins[0]);
    assert_ptr_equal(login_lines_take(&lines), &logins[100]);
    assert_ptr_equal(login_lines_take(&lines), &logins[1]);
    assert_ptr_equal(login_lines_take(&lines), &logins[101]);
    assert_ptr_equal(login_lines_take(&lines), &logins[2]);
    assert_ptr_equal(login_lines_take(&lines), &logins[3]);
    add(102, two);
    assert_ptr_equal(login_lines_take(&lines), &logins[4]);
    assert_ptr_equal(login_lines_take(&lines), &logins[102]);
}

/* Whoever fills the lines loses its own last ones, not those of others. */
static void
the_longest_line_gives_way(void **state)
{
    (void)state;
    size_t i;
    for (i = 0; i < LOGINS_WAITING_MAX; i++)
        assert_null(add(i, one));
    assert_ptr_equal(add(i, one), &logins[i]);
    assert_int_equal(lines.count, LOGINS_WAITING_MAX);
    i++;
    assert_ptr_equal(add(i, two), &logins[LOGINS_WAITING_MAX - 1]);
    assert_ptr_equal(add(i + 1, two), &logins[LOGINS_WAITING_MAX - 2]);
    assert_int_equal(lines.count, LOGINS_WAITING_MAX);
    assert_ptr_equal(login_lines_take(&lines), &logins[0]);
    assert_ptr_equal(login_lines_take(&lines), &logins[i]);
    size_t left = 0;
    while (login_lines_take(&lines) != NULL)
        left++;
    assert_int_equal(left, LOGINS_WAITING_MAX - 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nobody, setup),
        cmocka_unit_test_setup(one_line_is_in_order, setup),
        cmocka_unit_test_setup(lines_take_turns, setup),
        cmocka_unit_test_setup(the_longest_line_gives_way, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
