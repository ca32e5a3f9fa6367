#include "broker/auth/logins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "tests/unit/test_auth.h"

#include <pthread.h>

/* One worker, which is this thread. */
static struct loop loop;
static struct logins *logins;
static unsigned waiting;
static unsigned answers[LOGIN_BUSY + 1];

static int
setup(void **state)
{
    house_setup(state);
    memset(answers, 0, sizeof(answers));
    waiting = 0;
    assert_true(loop_init(&loop));
    logins = logins_create(house.auth);
    return 0;
}

static int
teardown(void **state)
{
    if (logins != NULL) {
        logins_stop(logins);
        logins_destroy(logins);
    }
    loop_fini(&loop);
    return house_teardown(state);
}

static void
deliver(struct mail *mail)
{
    struct login *login = LIST_CONTAINER(mail, struct login, mail);
    if (login->owner != NULL)
        answers[login->answer]++;
    login_destroy(login);
    waiting--;
}

static enum login_answer
ask(const char *user, struct bytes password, const char *address, struct login **login)
{
    const struct login_request request = { .user = bytes_of_string(user),
                                           .password = password,
                                           .address = address,
                                           .loop = &loop,
                                           .deliver = deliver,
                                           .owner = &loop };
    const enum login_answer answer = logins_check(logins, &request, login);
    if (answer == LOGIN_LATER)
        waiting++;
    return answer;
}

static void
wait_for_answers(void)
{
    while (waiting > 0)
        loop_turn(&loop, -1);
}

/* Whatever way it comes. */
static enum login_answer
log_in_from(const char *user, struct bytes password, const char *address)
{
    struct login *login;
    const enum login_answer answer = ask(user, password, address, &login);
    if (answer != LOGIN_LATER)
        return answer;
    memset(answers, 0, sizeof(answers));
    wait_for_answers();
    for (unsigned i = 0; i <= LOGIN_BUSY; i++)
        if (answers[i] == 1)
            return (enum login_answer)i;
    fail_msg("no answer");
    return LOGIN_BUSY;
}

static enum login_answer
log_in(const char *user, const char *password)
{
    return log_in_from(user, bytes_of_string(password), "10.0.0.1");
}

static void
right_and_wrong(void **state)
{
    (void)state;
    static const enum password_kind kinds[] = { PASSWORD_SHA256, PASSWORD_SHA512, PASSWORD_SCRYPT };
    for (size_t i = 0; i < 3; i++) {
        put_user("u", kinds[i], "right");
        assert_int_equal(log_in("u", "wrong"), LOGIN_WRONG);
        assert_int_equal(log_in("u", ""), LOGIN_WRONG);
        assert_int_equal(log_in("u", "right"), LOGIN_RIGHT);
        assert_int_equal(log_in("u", "right"), LOGIN_RIGHT);
        assert_int_equal(log_in("u", "rightly"), LOGIN_WRONG);
        assert_int_equal(log_in("U", "right"), LOGIN_WRONG);
        assert_int_equal(log_in("u", "right "), LOGIN_WRONG);
    }
}

/* The long way is gone once; other users, passwords and hashes go it anew. */
static void
what_was_right_is_remembered(void **state)
{
    (void)state;
    struct login *login;
    put_user("u", PASSWORD_SCRYPT, "right");
    put_user("v", PASSWORD_SCRYPT, "right");
    assert_int_equal(log_in("u", "right"), LOGIN_RIGHT);
    assert_int_equal(logins_verified(logins), 1);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask("u", BYTES_LITERAL("right"), "10.0.0.2", &login), LOGIN_RIGHT);
    assert_int_equal(logins_verified(logins), 1);
    assert_int_equal(log_in("v", "right"), LOGIN_RIGHT);
    assert_int_equal(log_in("u", "wrong"), LOGIN_WRONG);
    assert_int_equal(logins_verified(logins), 3);
    put_user("u", PASSWORD_SCRYPT, "other");
    assert_int_equal(log_in("u", "right"), LOGIN_WRONG);
    assert_int_equal(log_in("u", "other"), LOGIN_RIGHT);
    assert_int_equal(logins_verified(logins), 5);
    auth_delete_user(house.auth, BYTES_LITERAL("u"));
    assert_int_equal(log_in("u", "other"), LOGIN_WRONG);
}

/* Failures cost the same whatever is wrong, and however the password is kept. */
static void
failures_do_not_tell_users(void **state)
{
    (void)state;
    uint64_t before = 0;
    struct user_spec bare = user_named("bare");
    put_user("fast", PASSWORD_SHA256, "right");
    put_user("slow", PASSWORD_SCRYPT, "right");
    auth_put_user(house.auth, &bare); /* For certificates: no password is right. */
    static const char *const names[] = { "fast", "slow", "bare", "nobody", "" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct login *login;
        assert_int_equal(ask(names[i], BYTES_LITERAL("wrong"), "10.0.0.1", &login), LOGIN_LATER);
        wait_for_answers();
        assert_int_equal(answers[LOGIN_WRONG], i + 1);
        assert_int_equal(logins_verified(logins), before + 1);
        before = logins_verified(logins);
    }
}

static void
a_thousand_at_once(void **state)
{
    (void)state;
    put_user("u", PASSWORD_SCRYPT, "right");
    for (unsigned i = 0; i < 1000; i++) {
        char address[LOGIN_ADDRESS_SIZE];
        struct login *login;
        snprintf(address, sizeof(address), "10.0.%u.%u", i / 250, i % 250);
        if (ask("u", BYTES_LITERAL("right"), address, &login) == LOGIN_RIGHT)
            answers[LOGIN_RIGHT]++;
    }
    wait_for_answers();
    assert_int_equal(answers[LOGIN_RIGHT], 1000);
    assert_int_equal(logins_verified(logins), 1);
}

static void
whoever_fails_too_often(void **state)
{
    (void)state;
    struct login *login;
    put_user("u", PASSWORD_SHA256, "right");
    for (unsigned i = 0; i < LOGIN_FAILURES_MAX; i++) {
        assert_int_equal(log_in_from("u", BYTES_LITERAL("right"), "10.0.0.1"), LOGIN_RIGHT);
        logins_note_failure(logins, "10.0.0.1");
    }
    /* It is not even looked whether it is right this time. */
    assert_int_equal(ask("u", BYTES_LITERAL("right"), "10.0.0.1", &login), LOGIN_WRONG);
    assert_int_equal(ask("u", BYTES_LITERAL("right"), "10.0.0.2", &login), LOGIN_RIGHT);
    clock_hold(clock_monotonic_ns() + (LOGIN_FAILURES_MS + 1000) * UINT64_C(1000000));
    assert_int_equal(ask("u", BYTES_LITERAL("right"), "10.0.0.1", &login), LOGIN_RIGHT);
    clock_hold(0);
}

/* Those that were sent together count as well: no more than so many are looked at. */
static void
many_guesses_at_once(void **state)
{
    (void)state;
    clock_hold(clock_monotonic_ns());
    for (unsigned i = 0; i < 3 * LOGIN_FAILURES_MAX; i++) {
        struct login *login;
        /* Too long for any hash, which saves the time. */
        static const char guess[2000] = "x";
        if (ask("u", bytes_of(guess, sizeof(guess)), "10.0.0.1", &login) == LOGIN_WRONG)
            answers[LOGIN_WRONG]++;
    }
    wait_for_answers();
    assert_int_equal(answers[LOGIN_WRONG], 3 * LOGIN_FAILURES_MAX);
    assert_int_equal(logins_verified(logins), LOGIN_FAILURES_MAX);
    clock_hold(0);
}

static void
nobody_looks_for_those_who_left(void **state)
{
    (void)state;
    struct login *login;
    put_user("u", PASSWORD_SCRYPT, "right");
    ask("u", BYTES_LITERAL("right"), "10.0.0.1", &login); /* Keeps the thread busy. */
    for (int i = 0; i < 50; i++) {
        ask("nobody", BYTES_LITERAL("x"), "10.0.0.1", &login);
        login_abandon(login);
    }
    wait_for_answers();
    assert_int_equal(answers[LOGIN_RIGHT], 1);
    assert_int_equal(answers[LOGIN_WRONG], 0);
    assert_true(logins_verified(logins) < 50);
}

/* Everybody gets an answer, before and after. */
static void
stopping(void **state)
{
    (void)state;
    struct login *login;
    for (int i = 0; i < 20; i++)
        ask("nobody", BYTES_LITERAL("x"), "10.0.0.1", &login);
    logins_stop(logins);
    ask("nobody", BYTES_LITERAL("x"), "10.0.0.1", &login);
    wait_for_answers();
    assert_int_equal(answers[LOGIN_WRONG] + answers[LOGIN_BUSY], 21);
    assert_true(answers[LOGIN_BUSY] >= 1);
    logins_destroy(logins);
    logins = NULL;
}

static void *
change_passwords(void *argument)
{
    atomic_bool *done = argument;
    for (int i = 0; i < 300; i++)
        put_user("u", i % 2 == 0 ? PASSWORD_SHA256 : PASSWORD_SHA512, i % 3 == 0 ? "one" : "two");
    atomic_store(done, true);
    return NULL;
}

/* For ThreadSanitizer, mostly: whatever they see is one or the other. */
static void
users_change_while_they_log_in(void **state)
{
    (void)state;
    pthread_t thread;
    atomic_bool done = false;
    put_user("u", PASSWORD_SHA256, "one");
    assert_int_equal(pthread_create(&thread, NULL, change_passwords, &done), 0);
    while (!atomic_load(&done)) {
        struct login *login;
        assert_int_not_equal(ask("u", BYTES_LITERAL("two"), "10.0.0.1", &login), LOGIN_BUSY);
        wait_for_answers();
    }
    pthread_join(thread, NULL);
    put_user("u", PASSWORD_SHA256, "three");
    assert_int_equal(log_in_from("u", BYTES_LITERAL("three"), "10.0.0.2"), LOGIN_RIGHT);
}

int
main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(right_and_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_right_is_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_do_not_tell_users, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thousand_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(whoever_fails_too_often, setup, teardown),
        cmocka_unit_test_setup_teardown(many_guesses_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_looks_for_those_who_left, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping, setup, teardown),
        cmocka_unit_test_setup_teardown(users_change_while_they_log_in, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
