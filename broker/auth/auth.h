#ifndef BROKER_AUTH_AUTH_H
#define BROKER_AUTH_AUTH_H

/*
 * Users and what they may do. Users, permissions and topic permissions are notes in the store
 * (notes.h); here they are kept ready for use. Any thread; the lock is a leaf but for the notes'.
 *
 * Connections work with two things that they hold references to: the account of their user, which
 * counts what is open, and the grant of their user in their virtual host, which says what is
 * allowed. A grant does not change: whoever holds one compares epochs and gets the new one.
 */

#include "broker/base/lock.h"
#include "broker/base/pattern.h"
#include "broker/core/notes.h"

#include <stdatomic.h>

#define NO_LIMIT INT64_C(-1)

struct auth;

struct user_spec {
    struct bytes name;
    struct bytes hash; /* As password.h says; empty: no password is right. */
    struct bytes tags; /* A line end behind each. */
    bool loopback_only;
    int64_t max_connections; /* NO_LIMIT: any number; 0: none. */
    int64_t max_channels;
};

struct permission_spec {
    struct bytes user;
    struct bytes vhost;
    struct bytes configure; /* Regular expressions; an empty one fits only the empty name. */
    struct bytes write;
    struct bytes read;
};

struct topic_permission_spec {
    struct bytes user;
    struct bytes vhost;
    struct bytes exchange;
    struct bytes write; /* "{username}" and "{vhost}" stand for these. */
    struct bytes read;
};

/* The notes are borrowed, and have been restored. NULL, with a line for people, if one cannot be
 * understood. */
struct auth *auth_create(struct notes *notes, char *problem, size_t problem_size);
void auth_destroy(struct auth *a);

/* `told` is called, without a lock, after a user has been deleted. Before threads start. */
void auth_tell_deletions(struct auth *a, void (*told)(void *context), void *context);

/* Puts make or change; tickets are of the store. False, with a line for people, if a pattern does
 * not compile. Deleting what is not there is fine, and returns 0. */
uint64_t auth_put_user(struct auth *a, const struct user_spec *spec);
bool auth_put_permission(struct auth *a, const struct permission_spec *spec, uint64_t *ticket,
                         char *problem, size_t problem_size);
bool auth_put_topic_permission(struct auth *a, const struct topic_permission_spec *spec,
                               uint64_t *ticket, char *problem, size_t problem_size);
uint64_t auth_delete_user(struct auth *a, struct bytes name); /* And all permissions of it. */
uint64_t auth_delete_permission(struct auth *a, struct bytes user, struct bytes vhost);
uint64_t auth_delete_topic_permission(struct auth *a, struct bytes user, struct bytes vhost,
                                      struct bytes exchange);
uint64_t auth_delete_vhost(struct auth *a, struct bytes vhost); /* All permissions in it. */

/* Calls back for all, in no particular order, with the lock held. Any of them may be NULL. */
struct auth_visitor {
    void (*user)(void *context, const struct user_spec *spec);
    void (*permission)(void *context, const struct permission_spec *spec);
    void (*topic_permission)(void *context, const struct topic_permission_spec *spec);
    void *context;
};
void auth_visit(struct auth *a, const struct auth_visitor *visitor);

/* A user as connections know it. */
struct account {
    struct map_node by_name;
    _Atomic uint32_t refs;
    struct bytes name;
    struct bytes hash; /* Guarded by the lock of auth. */
    struct bytes tags; /* Likewise. */
    atomic_bool loopback_only;
    atomic_bool impersonates; /* Has the tag impersonator. */
    atomic_bool is_deleted;
    _Atomic int64_t max_connections;
    _Atomic int64_t max_channels;
    _Atomic int64_t connections;
    _Atomic int64_t channels;
};

/* A reference; NULL if there is no such user. */
struct account *auth_find_account(struct auth *a, struct bytes name);
void account_unref(struct account *account);

/* The user's hash; false if there is no such user. At most `size` octets with the zero behind. */
bool auth_copy_hash(struct auth *a, struct bytes name, char *out, size_t size);

/* Counts one more of `used`, unless that would be more than `limit`. */
bool limit_take(_Atomic int64_t *used, const _Atomic int64_t *limit);

enum access {
    ACCESS_CONFIGURE,
    ACCESS_WRITE,
    ACCESS_READ,
};

/* What a user may do in a virtual host. */
struct grant;

/* Moves with every change. */
uint64_t auth_epoch(const struct auth *a);

/* A reference to the grant as of that epoch; NULL if the user has no permissions there. */
struct grant *auth_find_grant(struct auth *a, struct bytes user, struct bytes vhost,
                              uint64_t *epoch);
void grant_unref(struct grant *g);

/* Whether everything is allowed, without looking at names. */
bool grant_is_full(const struct grant *g, enum access access);

bool grant_allows(const struct grant *g, enum access access, struct bytes name);

/* Whether there are conditions on routing keys of that exchange. */
bool grant_has_topics(const struct grant *g);
bool grant_allows_topic(const struct grant *g, enum access access, struct bytes exchange,
                        struct bytes key);

#endif
