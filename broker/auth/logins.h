#ifndef BROKER_AUTH_LOGINS_H
#define BROKER_AUTH_LOGINS_H

/*
 * Whether user and password are right. Verifying a scrypt hash takes tens of milliseconds, so a
 * thread of its own does that, one login after the other; workers get the answer as mail. Logins
 * that were right are remembered by a keyed hash of user, hash and password, so that a thousand
 * clients that come back together wait for one verification. Whoever fails too often from one
 * address is refused without being looked at for a while.
 */

#include "broker/auth/auth.h"
#include "broker/net/loop.h"

#define LOGIN_ADDRESS_SIZE 64

struct logins;

enum login_answer {
    LOGIN_RIGHT,
    LOGIN_WRONG,
    LOGIN_LATER, /* The answer comes as mail. */
    LOGIN_BUSY,  /* Too many wait already: try again later. */
};

/* One login that is looked at. Made by logins_check; its worker frees it with login_destroy. */
struct login {
    struct mail mail; /* To the worker, when it is done. */
    struct list link;
    struct loop *loop;
    struct bytes user;
    struct bytes password;
    char address[LOGIN_ADDRESS_SIZE];
    bool is_right;
    atomic_bool is_abandoned; /* Nobody waits for the answer: it need not be found out. */
    void *owner;              /* The worker's. */
};

/* Starts the thread. */
struct logins *logins_create(struct auth *auth);

/* Ends the thread; what waits is answered as wrong. The loops it posts to still run. */
void logins_stop(struct logins *l);
void logins_destroy(struct logins *l);

struct login_request {
    struct bytes user;
    struct bytes password;
    const char *address; /* Of the peer, without its port. */
    struct loop *loop;   /* That gets the answer, */
    void (*deliver)(struct mail *mail);
    void *owner; /* for that one. */
};

/* Answers at once, or with LOGIN_LATER gives a login that is on its way. Any thread. */
enum login_answer logins_check(struct logins *l, const struct login_request *request,
                               struct login **out);

/* From its loop's thread, once the answer has come. */
void login_destroy(struct login *login);

/* A login failed for another reason than its password: that counts, too. */
void logins_note_failure(struct logins *l, const char *address);

#endif
