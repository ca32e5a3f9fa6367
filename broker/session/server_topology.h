#ifndef BROKER_SESSION_SERVER_TOPOLOGY_H
#define BROKER_SESSION_SERVER_TOPOLOGY_H

/*
 * What the running broker makes of its configuration's part that says what exists: at the start, on
 * SIGHUP, and for `railmq plan`, `apply` and `export`, which ask through the control socket. One of
 * them at a time.
 */

#include "broker/base/buf.h"

struct control_client;
struct server;

/* Once the store has been recovered. False if the configuration cannot be applied; nothing has been
 * changed then, or what could not be done has been logged. */
bool server_apply_at_start(struct server *s, char *problem, size_t problem_size);

/* Reads the configuration again and applies it, all or nothing: with any error the broker stays as
 * it is, and the log tells every one of them. On the main thread. */
void server_reload(struct server *s);

/* Commands of the control socket; on its thread. */
void server_on_plan(struct server *s, struct control_client *client, struct bytes arguments);
void server_on_apply(struct server *s, struct control_client *client, struct bytes arguments);
void server_on_export(struct server *s, struct control_client *client);

#endif
