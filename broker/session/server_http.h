#ifndef BROKER_SESSION_SERVER_HTTP_H
#define BROKER_SESSION_SERVER_HTTP_H

/*
 * What the broker says over HTTP: metrics for Prometheus, and whether it is alive and ready. The
 * listeners are up before the store is read, so that "not ready yet" can be heard, and until the
 * workers have ended.
 */

#include "broker/admin/http_server.h"
#include "broker/core/config.h"

struct server;

struct http_listener {
    struct server *server;
    const struct config_listener *config;
    struct http_server *http;
    uint16_t port;
};

/* Opens those of the configuration whose protocol is http. False with a line for people. */
bool server_http_start(struct server *s, char *problem, size_t problem_size);
void server_http_stop(struct server *s);

/* The metrics, in Prometheus' text format; `is_detailed` has a row a queue instead of sums. On any
 * thread but a worker's, while the server runs. */
void server_metrics(struct server *s, bool is_detailed, struct buf *out);

/* Those of the process alone, while the server starts. */
void server_metrics_starting(struct server *s, struct buf *out);

#endif
