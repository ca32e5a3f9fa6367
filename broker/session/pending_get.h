#ifndef BROKER_SESSION_PENDING_GET_H
#define BROKER_SESSION_PENDING_GET_H

/*
 * A basic.get whose message is not in memory yet, or may not be sent before a commit: the
 * connection's input stands still until the queue says that it is worth while to try again. Owner:
 * the connection, on its worker.
 */

#include "broker/core/queue.h"

struct connection;

struct pending_get {
    struct getter getter;
    struct connection *connection;
    struct queue *queue; /* A reference. */
    uint16_t channel;
    bool no_ack;
};

/* The connection ends. */
void pending_get_drop(struct connection *c);

#endif
