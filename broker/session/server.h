#ifndef BROKER_SESSION_SERVER_H
#define BROKER_SESSION_SERVER_H

/*
 * The running broker: what is shared, the workers, the listeners. Members start in the order in
 * which they stand here and stop in reverse. Owner: the main thread.
 */

#include "broker/session/connection.h"
#include "broker/session/listener.h"
#include "broker/session/pulse.h"
#include "broker/session/serve.h"
#include "broker/session/server_drift.h"
#include "broker/session/server_http.h"
#include "broker/session/survey.h"
#include "broker/session/worker.h"

enum server_phase {
    SERVER_STARTING, /* Only the HTTP listeners are up. */
    SERVER_RUNNING,
    SERVER_STOPPING,
};

struct server {
    struct broker broker;
    struct space *space;
    struct door *door;
    struct pager *pager;
    struct engine *store; /* The door's; NULL if it keeps nothing. */
    struct worker *workers;
    unsigned worker_count;
    _Atomic unsigned workers_ready; /* So many can get mail: none while the server starts. */
    struct tls_profile *tls[CONFIG_TLS_MAX]; /* In the order of the configuration. */
    struct listener listeners[CONFIG_LISTENERS_MAX];
    size_t listener_count;
    _Atomic uint32_t next_worker; /* Breaks ties between equally loaded ones. */
    atomic_bool store_failed;     /* Why it stops; the exit code tells. */
    bool store_is_incomplete;     /* It stopped with the disk full. */
    struct mail stop_listening;   /* To worker 0, which watches the listeners. */
    struct server_control *control;
    const struct serve_setup *setup;
    struct survey survey;
    uint64_t started_ms;
    uint16_t ports[CONFIG_LISTENERS_MAX]; /* Of the AMQP listeners, as they are. */
    _Atomic enum server_phase phase;
    struct pulse pulse;
    struct http_listener http[CONFIG_LISTENERS_MAX];
    size_t http_count;
    struct drift drift;
    struct lock applying; /* Plans are made and carried out one at a time. First in lock order. */
};

/* Starts everything; connections are served when it returns. `setup` must outlive the server. False
 * with a line for people in `problem`; nothing is left running then. */
bool server_start(struct server *s, const struct serve_setup *setup, char *problem,
                  size_t problem_size);

/* Asks for an orderly stop: connections are closed with 320. Returns at once. */
void server_stop(struct server *s);

/* Waits for the workers to end, and frees everything but what tells how it ended. */
void server_join(struct server *s);

/* The worker with the fewest connections. */
struct worker *server_least_loaded(struct server *s);

#endif
