#include "broker/auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/test_auth.h"

static unsigned users;
static unsigned permissions;
static unsigned topic_permissions;

static void
see_user(void *context, const struct user_spec *spec)
{
    (void)context;
    (void)spec;
    users++;
}

static void
see_permission(void *context, const struct permission_spec *spec)
{
    (void)context;
    (void)spec;
    permissions++;
}

static void
see_topic_permission(void *context, const struct topic_permission_spec *spec)
{
    (void)context;
    (void)spec;
    topic_permissions++;
}

static void
expect_counts(unsigned of_users, unsigned of_permissions, unsigned of_topics)
{
    users = permissions = topic_permissions = 0;
    auth_visit(house.auth,
               &(struct auth_visitor){ see_user, see_permission, see_topic_permission, NULL });
    assert_int_equal(users, of_users);
    assert_int_equal(permissions, of_permissions);
    assert_int_equal(topic_permissions, of_topics);
}

/* One with everything. */
static struct user_spec whole;

static void
make_whole(void)
{
    whole = (struct user_spec){
        .name = BYTES_LITERAL("who: ever\0\n"),
        .hash = BYTES_LITERAL("sha256:kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"),
        .tags = BYTES_LITERAL("management\nimpersonator\n"),
        .loopback_only = true,
        .max_connections = 0,
        .max_channels = 12345678901,
    };
}

static void
check_whole(void *context, const struct user_spec *spec)
{
    (void)context;
    assert_true(bytes_equal(spec->name, whole.name));
    assert_true(bytes_equal(spec->hash, whole.hash));
    assert_true(bytes_equal(spec->tags, whole.tags));
    assert_true(spec->loopback_only);
    assert_int_equal(spec->max_connections, whole.max_connections);
    assert_int_equal(spec->max_channels, whole.max_channels);
}

static void
users_are_kept(void **state)
{
    (void)state;
    assert_true(auth_put_user(house.auth, &whole) > 0);
    for (int i = 0; i < 2; i++) {
        auth_visit(house.auth, &(struct auth_visitor){ .user = check_whole });
        expect_counts(1, 0, 0);
        struct account *a = auth_find_account(house.auth, whole.name);
        assert_non_null(a);
        assert_true(atomic_load(&a->impersonates));
        assert_true(atomic_load(&a->loopback_only));
        account_unref(a);
        assert_null(auth_find_account(house.auth, BYTES_LITERAL("who: ever")));
        house_reopen();
    }
    assert_int_equal(auth_put_user(house.auth, &whole), 0); /* No news. */
}

/* Only whole tags count. */
static void
tags(void **state)
{
    (void)state;
    const struct {
        struct bytes tags;
        bool impersonates;
    } rows[] = {
        { BYTES_LITERAL(""), false },
        { BYTES_LITERAL("impersonator"), true },
        { BYTES_LITERAL("impersonator\n"), true },
        { BYTES_LITERAL("a\nimpersonator\nb\n"), true },
        { BYTES_LITERAL("impersonators\n"), false },
        { BYTES_LITERAL("an impersonator\n"), false },
        { BYTES_LITERAL("Impersonator\n"), false },
    };
    struct user_spec spec = user_named("u");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        spec.tags = rows[i].tags;
        auth_put_user(house.auth, &spec);
        struct account *a = auth_find_account(house.auth, spec.name);
        assert_int_equal(atomic_load(&a->impersonates), rows[i].impersonates);
        account_unref(a);
    }
}

static unsigned told_count;

static void
told(void *context)
{
    assert_ptr_equal(context, &told_count);
    told_count++;
}

/* Whoever is still connected sees it, and none of it comes back with another of that name. */
static void
deleted_users(void **state)
{
    (void)state;
    auth_tell_deletions(house.auth, told, &told_count);
    put_user("u", PASSWORD_SHA256, "p");
    put_user("other", PASSWORD_SHA256, "p");
    permit("u", "v", ".*", ".*", ".*");
    permit("u", "w", ".*", ".*", ".*");
    permit("other", "v", ".*", ".*", ".*");
    permit_topic("u", "x", "a", "b");
    permit_topic("other", "x", "a", "b");
    expect_counts(2, 3, 2);
    struct account *held = auth_find_account(house.auth, BYTES_LITERAL("u"));
    assert_false(atomic_load(&held->is_deleted));
    assert_true(auth_delete_user(house.auth, BYTES_LITERAL("u")) > 0);
    assert_int_equal(told_count, 1);
    assert_true(atomic_load(&held->is_deleted));
    account_unref(held);
    expect_counts(1, 1, 1);
    assert_null(grant_now("u"));
    assert_null(auth_find_account(house.auth, BYTES_LITERAL("u")));
    put_user("u", PASSWORD_SHA256, "p");
    assert_null(grant_now("u"));
    house_reopen();
    expect_counts(2, 1, 1);
    assert_true(allows("other", ACCESS_READ, "q"));
    assert_false(allows_topic("other", ACCESS_READ, "x", "a"));
}

static void
deleted_vhosts(void **state)
{
    (void)state;
    permit("u", "v", ".*", ".*", ".*");
    permit("u", "w", ".*", ".*", ".*");
    permit_topic("u", "x", "a", "b");
    assert_true(auth_delete_vhost(house.auth, BYTES_LITERAL("v")) > 0);
    expect_counts(0, 1, 0);
    assert_null(grant_now("u"));
    assert_int_equal(auth_delete_vhost(house.auth, BYTES_LITERAL("v")), 0);
    house_reopen();
    expect_counts(0, 1, 0);
}

/* Names are told apart by their ends, not by what stands between them. */
static void
names_that_run_together(void **state)
{
    (void)state;
    permit("a", "bc", ".*", ".*", ".*");
    permit("ab", "c", "", "", "");
    expect_counts(0, 2, 0);
    auth_delete_permission(house.auth, BYTES_LITERAL("ab"), BYTES_LITERAL("c"));
    expect_counts(0, 1, 0);
    auth_delete_user(house.auth, BYTES_LITERAL("ab"));
    expect_counts(0, 1, 0);
    auth_delete_vhost(house.auth, BYTES_LITERAL("c"));
    expect_counts(0, 1, 0);
}

static void
expect_refusal(struct bytes key, struct bytes value, const char *words)
{
    char problem[300] = "";
    notes_put(&house.notes, key, value);
    struct auth *a = auth_create(&house.notes, problem, sizeof(problem));
    assert_null(a);
    if (strstr(problem, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", problem, words);
    notes_delete(&house.notes, key);
}

/* Nobody is let in, or kept out, by what is not understood. */
static void
rows_that_are_not_understood(void **state)
{
    (void)state;
    struct buf key = { 0 };
    struct buf value = { 0 };
    expect_refusal(BYTES_LITERAL("user:"), BYTES_LITERAL("x"), "user");
    expect_refusal(BYTES_LITERAL("user:\0\0\0\2u"), BYTES_LITERAL(""), "user");
    expect_refusal(BYTES_LITERAL("permission:\0\0\0\1u"), BYTES_LITERAL(""), "permission");
    auth_put_user(house.auth, &whole);
    buf_append_bytes(&key, BYTES_LITERAL("user:\0\0\0\x0bwho: ever\0\n"));
    assert_true(notes_get(&house.notes, buf_bytes(&key), &value));
    for (size_t size = 0; size < value.size; size++)
        expect_refusal(buf_bytes(&key), bytes_of(value.data, size), "user");
    buf_append(&value, "x", 1);
    expect_refusal(buf_bytes(&key), buf_bytes(&value), "user");
    permit("u", "v", "", "", "");
    expect_refusal(BYTES_LITERAL("topic-permission:\0\0\0\1u\0\0\0\1v\0\0\0\1x"),
                   BYTES_LITERAL("\0\0\0\1(\0\0\0\0"), "writing");
    expect_refusal(BYTES_LITERAL("topic-permission:\0\0\0\1u\0\0\0\1v"), BYTES_LITERAL(""),
                   "topic permission");
    buf_fini(&key);
    buf_fini(&value);
    house_reopen();
}

static void
limits(void **state)
{
    (void)state;
    _Atomic int64_t used = 0;
    _Atomic int64_t limit = 2;
    assert_true(limit_take(&used, &limit));
    assert_true(limit_take(&used, &limit));
    assert_false(limit_take(&used, &limit));
    assert_int_equal(atomic_load(&used), 2);
    atomic_store(&limit, 1); /* Less than there are. */
    assert_false(limit_take(&used, &limit));
    atomic_store(&limit, NO_LIMIT);
    assert_true(limit_take(&used, &limit));
    atomic_store(&limit, 0);
    atomic_store(&used, 0);
    assert_false(limit_take(&used, &limit));
}

/* Those who hold an account see what changes. */
static void
accounts_change_in_place(void **state)
{
    (void)state;
    struct user_spec spec = user_named("u");
    auth_put_user(house.auth, &spec);
    struct account *a = auth_find_account(house.auth, spec.name);
    assert_true(atomic_load(&a->max_channels) == NO_LIMIT);
    spec.max_channels = 3;
    spec.loopback_only = true;
    auth_put_user(house.auth, &spec);
    assert_int_equal(atomic_load(&a->max_channels), 3);
    assert_true(atomic_load(&a->loopback_only));
    account_unref(a);
}

int
main(void)
{
    make_whole();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(users_are_kept, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(tags, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(deleted_users, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(deleted_vhosts, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(names_that_run_together, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(rows_that_are_not_understood, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(limits, house_setup, house_teardown),
        cmocka_unit_test_setup_teardown(accounts_change_in_place, house_setup, house_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
