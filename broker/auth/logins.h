#ifndef BROKER_AUTH_LOGINS_H
#define BROKER_AUTH_LOGINS_H

/*
 * Whether user and password are right. Verifying a scrypt hash takes tens of milliseconds, so a
 * thread of its own does that, one login after the other, and addresses take turns; workers get the
 * answer as mail. Logins that were right are remembered by a keyed hash of user, hash and password,
 * so that a thousand clients that come back together wait for one verification. Whoever fails too
 * often from one address is refused without being looked at for a while. A wrong password takes as
 * long as an unknown user, however its user's is kept.
 */

#include "broker/auth/auth.h"
#include "broker/net/loop.h"

#define LOGIN_ADDRESS_SIZE 64
/* So many failures from one address within this time, and the rest of it nobody looks. */
#define LOGIN_FAILURES_MAX 100u
#define LOGIN_FAILURES_MS 10000u

struct logins;

enum login_answer {
    LOGIN_RIGHT,
    LOGIN_WRONG,
    LOGIN_LATER, /* The answer comes as mail. */
    LOGIN_BUSY,  /* Too many wait already: try again later. Comes as mail only. */
};

/* One login that is looked at. Made by logins_check; its worker frees it with login_destroy. */
struct login {
    struct mail mail; /* To the worker, when it is done. */
    struct list link;
    struct loop *loop;
    struct bytes user;
    struct bytes password;
    char address[LOGIN_ADDRESS_SIZE];
    enum login_answer answer;
    atomic_bool is_abandoned;
    void *owner; /* The worker's. */
};

/* Starts the thread. */
struct logins *logins_create(struct auth *auth);

/* Ends the thread; what waits, and what comes later, is answered as too much. The loops it posts to
 * still run. */
void logins_stop(struct logins *l);
void logins_destroy(struct logins *l);

struct login_request {
    struct bytes user;
    struct bytes password;
    const char *address; /* Of the peer, or of the network that it is in. */
    struct loop *loop;   /* That gets the answer, */
    void (*deliver)(struct mail *mail);
    void *owner; /* for that one. */
};

/* Answers at once, or with LOGIN_LATER gives a login that is on its way. Any thread. */
enum login_answer logins_check(struct logins *l, const struct login_request *request,
                               struct login **out);

/* From its loop's thread: nobody waits for the answer any more. The mail comes nevertheless. */
void login_abandon(struct login *login);

/* From its loop's thread, once the answer has come. */
void login_destroy(struct login *login);

/* How many times the long way was gone. Any thread. */
uint64_t logins_verified(const struct logins *l);

/* A login failed for another reason than its password: that counts, too. */
void logins_note_failure(struct logins *l, const char *address);

#endif
