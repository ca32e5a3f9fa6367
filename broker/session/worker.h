#ifndef BROKER_SESSION_WORKER_H
#define BROKER_SESSION_WORKER_H

/*
 * A worker: one thread, one event loop, and the connections pinned to it for life. Whatever only
 * one thread needs at a time is here and shared by its connections: the read buffer, the route
 * cache, the batch. Everything belongs to the worker's thread unless it says otherwise.
 */

#include "broker/core/broker.h"
#include "broker/core/route.h"
#include "broker/net/loop.h"
#include "broker/session/batch.h"
#include "broker/session/counters.h"
#include "certs/transport.h"

struct worker {
    struct loop loop;
    struct broker *broker;
    struct server *server;
    pthread_t thread;
    unsigned index;
    _Atomic uint32_t connection_count; /* Read by the acceptor. */
    struct counters counters;
    struct mail tick_mail;
    struct mail shed_mail;      /* There was too much to let go of for one turn. */
    _Atomic uint64_t ticked_ms; /* When it last took its tick. */

    uint8_t *read_buffer; /* Octets of one read; empty between two connections. */
    size_t read_buffer_size;
    struct transport_scratch tls_scratch;
    unsigned tls_handshakes; /* Worked on in this turn. */
    struct route_cache routes;
    struct batch batch;

    uint32_t logins_under_way; /* Whose answers will come as mail. */
    struct list connections;
    struct list dirty;          /* With output to write at the end of the turn. */
    struct list dead;           /* To be freed at the end of the turn. */
    struct list stalled;        /* Waiting for a commit before their input goes on. */
    struct list blocked;        /* Publishers stopped by an alarm. */
    struct list confirming;     /* Channels with publishes that wait for a commit. */
    atomic_bool awaits_commit;  /* `stalled` or `confirming` is not empty; the committer asks. */
    struct mail committed_mail; /* Posted by the committer. */
    struct mail stop_mail;
    struct mail survey_mail;   /* Somebody asks about what it owns. */
    uint64_t survey_number;    /* The last one that it answered. */
    struct mail deleted_mail;  /* A virtual host or a user was deleted. */
    struct timer alarm_timer;  /* Looks whether the alarm is over, while it is on. */
    struct timer housekeeping; /* Consumer timeouts. */
    struct timer stop_timer;
    bool stopping;
};

/* False with errno set. */
bool worker_init(struct worker *w, struct server *server, struct broker *broker, unsigned index);

/* After the thread has ended. */
void worker_fini(struct worker *w);

/* Starts the thread. */
void worker_start(struct worker *w);

/* Gives the worker a socket that was accepted from `peer`; it speaks TLS unless `tls` is NULL. Any
 * thread; counts it at once. */
void worker_adopt(struct worker *w, int fd, struct tls_profile *tls, const char *peer);

/* Closes all connections with 320, and ends the thread when they are gone. Any thread. */
void worker_stop(struct worker *w);

/* Now and then: while memory is short, unacked deliveries let go of what can be read again, also on
 * channels where nothing happens. */
void worker_shed(struct worker *w);

/* Rounds have been committed: whoever waits may go on. Does not wake a worker where nobody does.
 * Any thread. */
void worker_post_committed(struct worker *w);

/* A virtual host was deleted: its connections are closed. Any thread. */
void worker_post_deleted(struct worker *w);

/* A publisher has met an alarm: look again until it is over. */
void worker_watch_alarm(struct worker *w);

#endif
