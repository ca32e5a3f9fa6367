#ifndef BROKER_SESSION_SERVER_CONTROL_H
#define BROKER_SESSION_SERVER_CONTROL_H

/*
 * What a running broker does for those who may control it, through the control socket
 * (broker/control/control.h). Every command is a row of the table in server_control.c; they run on
 * the thread `control`, and must touch the broker's state as another thread would.
 */

struct server;
struct server_control;

/* Removes what commands of a broker that was killed, or a restore, left in the data directory. Once
 * the store is ours, before control starts. */
void server_control_clean(const char *data_dir);

/* Starts serving; a broker that cannot goes on without, after a line in the log, and this is NULL.
 * Once the server runs. `data_dir` is borrowed. */
struct server_control *server_control_start(struct server *s, const char *data_dir);

/* Before the store is closed. NULL is fine. */
void server_control_stop(struct server_control *control);

#endif
