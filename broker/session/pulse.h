#ifndef BROKER_SESSION_PULSE_H
#define BROKER_SESSION_PULSE_H

/*
 * Whether the workers go round: once a second each is sent mail, and notes when it takes it. The
 * thread `pulse` sends it, and tells the service manager's watchdog while all of them do. A disk
 * that is slow or full, a peer, or a large configuration do not stop a worker, so none of them
 * makes a broker look dead.
 */

#include "broker/base/lock.h"

struct mail;
struct server;

#define PULSE_STALE_MS 10000u

struct pulse {
    pthread_t thread;
    struct lock lock;
    pthread_cond_t wake;
    bool is_stopping; /* Guarded by lock. */
};

/* Once the workers run. */
void pulse_start(struct server *s);
void pulse_stop(struct server *s);

/* Every worker has taken a tick within PULSE_STALE_MS. Any thread, while the pulse goes. */
bool pulse_is_fine(const struct server *s);

/* The mail of a worker, which also does what is to be done once a second. */
void pulse_deliver(struct mail *mail);

#endif
