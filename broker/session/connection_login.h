#ifndef BROKER_SESSION_CONNECTION_LOGIN_H
#define BROKER_SESSION_CONNECTION_LOGIN_H

/* What the handshake (connection_handshake.c) and logging in (connection_login.c) have of each
 * other. The connection's worker only. */

#include "broker/session/connection.h"

/* Appends the names of the mechanisms that this client may use, with blanks between them. */
void connection_mechanisms(const struct connection *c, struct buf *out);

/* It is who it says: connection.tune follows. */
void connection_tune(struct connection *c);

/* Takes its place among the open connections of virtual host and user. False, with an exception, if
 * one of them has as many as it may. connection_log_out gives it back. */
bool connection_take_place(struct connection *c, struct amqp_exception *ex);

#endif
