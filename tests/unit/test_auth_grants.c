#include "broker/auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/test_auth.h"

static void
patterns_are_searched_for(void **state)
{
    (void)state;
    permit("u", "v", "orders", "^w-", "^r$");
    assert_true(allows("u", ACCESS_CONFIGURE, "orders"));
    assert_true(allows("u", ACCESS_CONFIGURE, "my-orders-2"));
    assert_false(allows("u", ACCESS_CONFIGURE, "order"));
    assert_false(allows("u", ACCESS_CONFIGURE, "ORDERS"));
    assert_true(allows("u", ACCESS_WRITE, "w-1"));
    assert_false(allows("u", ACCESS_WRITE, "aw-1"));
    assert_true(allows("u", ACCESS_READ, "r"));
    assert_false(allows("u", ACCESS_READ, "rr"));
    assert_false(allows("u", ACCESS_READ, "w-1"));
}

/* The empty pattern fits nothing, since what has no name is judged as amq.default. */
static void
the_default_exchange(void **state)
{
    (void)state;
    permit("u", "v", "", "amq\\.default", ".*");
    assert_false(allows("u", ACCESS_CONFIGURE, "q"));
    assert_false(allows("u", ACCESS_CONFIGURE, ""));
    assert_true(allows("u", ACCESS_WRITE, ""));
    assert_false(allows("u", ACCESS_WRITE, "q"));
    assert_true(allows("u", ACCESS_READ, ""));
    struct grant *g = grant_now("u");
    assert_false(grant_is_full(g, ACCESS_CONFIGURE));
    assert_false(grant_is_full(g, ACCESS_WRITE));
    assert_true(grant_is_full(g, ACCESS_READ));
    grant_unref(g);
}

static void
wrong_patterns_change_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = { "(", "[a", "a{2,1}", "*", "(?<n>a)(?<n>b)", "\\" };
    char problem[300];
    permit("u", "v", "^a", "^a", "^a");
    permit_topic("u", "x", "^a", "^a");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(try_permit("u", "v", wrong[i], "^b", "^b", problem, sizeof(problem)));
        assert_non_null(strstr(problem, "for configure"));
        assert_non_null(strstr(problem, "at character"));
        assert_false(try_permit("u", "v", "^b", wrong[i], "^b", problem, sizeof(problem)));
        assert_non_null(strstr(problem, "for write"));
        assert_false(try_permit("u", "v", "^b", "^b", wrong[i], problem, sizeof(problem)));
        assert_non_null(strstr(problem, "for read"));
        assert_false(try_permit_topic("u", "x", wrong[i], "^b", problem, sizeof(problem)));
        assert_false(try_permit_topic("u", "x", "^b", wrong[i], problem, sizeof(problem)));
    }
    assert_true(allows("u", ACCESS_READ, "a"));
    assert_false(allows("u", ACCESS_READ, "b"));
    assert_false(allows_topic("u", ACCESS_WRITE, "x", "b"));
    house_reopen();
    assert_true(allows("u", ACCESS_READ, "a"));
    assert_true(allows_topic("u", ACCESS_WRITE, "x", "a"));
}

static void
long_patterns(void **state)
{
    (void)state;
    char problem[300];
    static char text[6000];
    memset(text, 'a', sizeof(text) - 1);
    assert_false(try_permit("u", "v", text, "", "", problem, sizeof(problem)));
    assert_non_null(strstr(problem, "longer than"));
    assert_null(grant_now("u"));
}

/* What would be looked for until the end of days is not allowed. */
static void
the_search_is_bounded(void **state)
{
    (void)state;
    char name[200];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    permit("u", "v", "^(a+)+$", "^(a|aa|aaa)*b", "(x+x+)+y");
    assert_true(allows("u", ACCESS_CONFIGURE, name));
    name[sizeof(name) - 2] = '!';
    assert_false(allows("u", ACCESS_CONFIGURE, name));
    assert_false(allows("u", ACCESS_WRITE, name));
    memset(name, 'x', sizeof(name) - 1);
    assert_false(allows("u", ACCESS_READ, name));
}

/* Also where the pattern says what is forbidden. */
static void
names_that_are_no_text(void **state)
{
    (void)state;
    permit("u", "v", "^(?!secret)", ".", ".*");
    assert_true(allows("u", ACCESS_CONFIGURE, "open"));
    assert_false(allows("u", ACCESS_CONFIGURE, "\xff secret"));
    assert_false(allows("u", ACCESS_WRITE, "\xc3"));
    assert_true(allows("u", ACCESS_WRITE, "\xc3\xa9"));
    assert_true(allows("u", ACCESS_READ, "\xff"));
}

static void
topics(void **state)
{
    (void)state;
    permit("u", "v", "", ".*", ".*");
    assert_true(allows_topic("u", ACCESS_WRITE, "x", "anything"));
    permit_topic("u", "x", "^a\\.", "^b\\.");
    assert_true(allows_topic("u", ACCESS_WRITE, "x", "a.1"));
    assert_false(allows_topic("u", ACCESS_WRITE, "x", "b.1"));
    assert_true(allows_topic("u", ACCESS_READ, "x", "b.1"));
    assert_false(allows_topic("u", ACCESS_READ, "x", "a.1"));
    assert_true(allows_topic("u", ACCESS_WRITE, "other", "b.1"));
    permit_topic("u", "x", "", "");
    assert_false(allows_topic("u", ACCESS_WRITE, "x", "a.1"));
    assert_true(allows_topic("u", ACCESS_WRITE, "x", ""));
    auth_delete_topic_permission(house.auth, BYTES_LITERAL("u"), BYTES_LITERAL("v"),
                                 BYTES_LITERAL("x"));
    assert_true(allows_topic("u", ACCESS_WRITE, "x", "anything"));
}

/* A name that has a meaning in patterns means itself. */
static void
variables(void **state)
{
    (void)state;
    permit("a.b", "v", "", ".*", ".*");
    permit_topic("a.b", "x", "^{username}\\.{vhost}$", "^{user}");
    assert_true(allows_topic("a.b", ACCESS_WRITE, "x", "a.b.v"));
    assert_false(allows_topic("a.b", ACCESS_WRITE, "x", "axb.v"));
    assert_true(allows_topic("a.b", ACCESS_READ, "x", "{user}"));
    permit(".*", "v", "", ".*", ".*");
    permit_topic(".*", "x", "^{username}$", "");
    assert_true(allows_topic(".*", ACCESS_WRITE, "x", ".*"));
    assert_false(allows_topic(".*", ACCESS_WRITE, "x", "else"));
    permit("\\E(|)[\n", "v", "", ".*", ".*");
    permit_topic("\\E(|)[\n", "x", "^{username}$", "");
    assert_true(allows_topic("\\E(|)[\n", ACCESS_WRITE, "x", "\\E(|)[\n"));
    assert_false(allows_topic("\\E(|)[\n", ACCESS_WRITE, "x", ""));
}

/* Who holds a grant goes on with it, and sees by the epoch that there is another. */
static void
grants_do_not_change(void **state)
{
    (void)state;
    permit("u", "v", ".*", ".*", ".*");
    struct grant *before = grant_now("u");
    const uint64_t epoch = auth_epoch(house.auth);
    permit("u", "v", "", "", "");
    assert_true(auth_epoch(house.auth) != epoch);
    assert_true(grant_allows(before, ACCESS_READ, BYTES_LITERAL("q")));
    assert_false(allows("u", ACCESS_READ, "q"));
    auth_delete_permission(house.auth, BYTES_LITERAL("u"), BYTES_LITERAL("v"));
    assert_null(grant_now("u"));
    assert_true(grant_allows(before, ACCESS_READ, BYTES_LITERAL("q")));
    grant_unref(before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(patterns_are_searched_for, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(the_default_exchange, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(wrong_patterns_change_nothing, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(long_patterns, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(the_search_is_bounded, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(names_that_are_no_text, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(topics, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(variables, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(grants_do_not_change, house_setup, house_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
