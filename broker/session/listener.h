#ifndef BROKER_SESSION_LISTENER_H
#define BROKER_SESSION_LISTENER_H

/*
 * A listening socket, of the network or of the file system, watched by one worker, and the choice
 * of the worker that gets each connection. Runs out of descriptors without spinning: a reserve is
 * given up to accept and refuse.
 */

#include "broker/core/config.h"
#include "broker/net/loop.h"

struct server;
struct tls_profile;

struct listener {
    struct loop_source source;
    struct server *server;
    struct tls_profile *tls; /* NULL: plain. */
    const struct config_listener *config;
    int reserve_fd;
    uint64_t complained_ms; /* When we last logged a refusal; it may happen very often. */
};

/* A socket that listens where the configuration says and does not block. -1 with a line for people
 * in `problem`. */
int listener_bind(const struct config_listener *config, char *problem, size_t problem_size);

/* `config` must outlive the listener; `tls` is NULL for plain ones. False with a line for people in
 * `problem`. */
bool listener_open(struct listener *l, struct server *server, const struct config_listener *config,
                   struct tls_profile *tls, char *problem, size_t problem_size);

void listener_close(struct listener *l);

/* The port it listens on, which the system may have chosen; 0 for a path. */
uint16_t listener_port(const struct listener *l);
uint16_t socket_port(int fd);

#endif
