#ifndef BROKER_ADMIN_HTTP_SERVER_H
#define BROKER_ADMIN_HTTP_SERVER_H

/*
 * An HTTP server on one listening socket, and a thread of its own, `http`, that does everything.
 * It reads; there is nothing yet that could be changed through it. libmicrohttpd speaks HTTP, and
 * no other file knows of it. What peers can make it hold is bounded: connections, of all and of one
 * address, the time they may be idle, and the octets of a request.
 */

#include "broker/base/buf.h"

struct http_server;

struct http_answer {
    unsigned status;          /* 200 unless it is set. */
    const char *content_type; /* Static. */
    struct buf body;
};

/* Answers GET and HEAD of `path`, which is as the client sent it, decoded, without the query. On
 * the thread `http`; it must not take long, for it holds up other requests. */
typedef void http_handler(void *context, const char *path, struct http_answer *answer);

struct http_spec {
    int fd; /* Listens, does not block; the server's if it starts. */
    http_handler *handler;
    void *context;
};

/* NULL if the library cannot start. */
struct http_server *http_server_start(const struct http_spec *spec);

/* Ends the thread after the request that it answers, and closes the socket. NULL is fine. */
void http_server_stop(struct http_server *server);

#endif
