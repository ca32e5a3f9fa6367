#ifndef TESTS_UNIT_TEST_AUTH_H
#define TESTS_UNIT_TEST_AUTH_H

/*
 * Users and permissions upon notes whose door commits at once, and short ways to put them, all of
 * which must succeed. Include after cmocka.h.
 */

#include "broker/auth/auth.h"
#include "broker/auth/password.h"
#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"

struct house {
    struct door *door;
    struct notes notes;
    struct auth *auth;
};

static struct house house;

static inline void
house_open(void)
{
    char problem[300] = "";
    house.auth = auth_create(&house.notes, problem, sizeof(problem));
    if (house.auth == NULL)
        fail_msg("%s", problem);
}

static inline int
house_setup(void **state)
{
    (void)state;
    house.door = door_create(engine_sim_create(0), UINT64_MAX, recorder_no_notify, NULL);
    notes_init(&house.notes, house.door);
    house_open();
    return 0;
}

static inline int
house_teardown(void **state)
{
    (void)state;
    auth_destroy(house.auth);
    notes_fini(&house.notes);
    door_destroy(house.door);
    return 0;
}

/* As after a restart: what the notes say is all there is. */
static inline void
house_reopen(void)
{
    auth_destroy(house.auth);
    house_open();
}

static inline struct user_spec
user_named(const char *name)
{
    return (struct user_spec){ .name = bytes_of_string(name),
                               .max_connections = NO_LIMIT,
                               .max_channels = NO_LIMIT };
}

static inline void
put_user(const char *name, enum password_kind kind, const char *password)
{
    char hash[PASSWORD_TEXT_SIZE];
    struct user_spec spec = user_named(name);
    assert_true(password_hash(kind, bytes_of_string(password), hash));
    spec.hash = bytes_of_string(hash);
    assert_true(auth_put_user(house.auth, &spec) > 0);
}

static inline bool
try_permit(const char *user, const char *vhost, const char *configure, const char *write,
           const char *read, char *problem, size_t problem_size)
{
    uint64_t ticket;
    const struct permission_spec spec = {
        .user = bytes_of_string(user),
        .vhost = bytes_of_string(vhost),
        .configure = bytes_of_string(configure),
        .write = bytes_of_string(write),
        .read = bytes_of_string(read),
    };
    return auth_put_permission(house.auth, &spec, &ticket, problem, problem_size);
}

static inline void
permit(const char *user, const char *vhost, const char *configure, const char *write,
       const char *read)
{
    char problem[300];
    if (!try_permit(user, vhost, configure, write, read, problem, sizeof(problem)))
        fail_msg("%s", problem);
}

static inline bool
try_permit_topic(const char *user, const char *exchange, const char *write, const char *read,
                 char *problem, size_t problem_size)
{
    uint64_t ticket;
    const struct topic_permission_spec spec = {
        .user = bytes_of_string(user),
        .vhost = BYTES_LITERAL("v"),
        .exchange = bytes_of_string(exchange),
        .write = bytes_of_string(write),
        .read = bytes_of_string(read),
    };
    return auth_put_topic_permission(house.auth, &spec, &ticket, problem, problem_size);
}

static inline void
permit_topic(const char *user, const char *exchange, const char *write, const char *read)
{
    char problem[300];
    if (!try_permit_topic(user, exchange, write, read, problem, sizeof(problem)))
        fail_msg("%s", problem);
}

/* The user's grant in the virtual host "v"; NULL without one. */
static inline struct grant *
grant_now(const char *user)
{
    uint64_t epoch;
    struct grant *g =
        auth_find_grant(house.auth, bytes_of_string(user), BYTES_LITERAL("v"), &epoch);
    assert_int_equal(epoch, auth_epoch(house.auth));
    return g;
}

static inline bool
allows(const char *user, enum access access, const char *name)
{
    struct grant *g = grant_now(user);
    assert_non_null(g);
    const bool allowed = grant_allows(g, access, bytes_of_string(name));
    grant_unref(g);
    return allowed;
}

static inline bool
allows_topic(const char *user, enum access access, const char *exchange, const char *key)
{
    struct grant *g = grant_now(user);
    assert_non_null(g);
    const bool allowed =
        grant_allows_topic(g, access, bytes_of_string(exchange), bytes_of_string(key));
    grant_unref(g);
    return allowed;
}

#endif
