#ifndef BROKER_AUTH_LOGIN_LINES_H
#define BROKER_AUTH_LOGIN_LINES_H

/*
 * Logins that wait to be looked at: a line for each address, and the lines take turns, so that
 * whoever sends many makes nobody wait but itself. Bounded: when there are too many, the last of
 * the longest line goes. For logins.c, which holds its lock around all of it.
 */

#include "broker/auth/logins.h"

#define LOGIN_LINES 1024u
#define LOGINS_WAITING_MAX 4096u

struct login_line {
    struct list waiting; /* Of struct login. */
    struct list in_turns;
    size_t count;
};

/* Addresses that have the same hash share a line. */
struct login_lines {
    struct login_line lines[LOGIN_LINES];
    struct list turns; /* Lines in which somebody waits. */
    size_t count;
};

void login_lines_init(struct login_lines *l);

/* At the end of its line. Returns the login that must go for it, which may be this one; or NULL. */
struct login *login_lines_add(struct login_lines *l, struct login *login);

/* The next one; NULL if nobody waits. */
struct login *login_lines_take(struct login_lines *l);

#endif
