#ifndef BROKER_SESSION_SERVE_H
#define BROKER_SESSION_SERVE_H

/* `railmq serve`: runs the broker in the foreground until SIGTERM or SIGINT. */

#include "broker/core/config.h"

/* Returns the exit code of the process: 0 after an orderly stop, 1 if it could not start, with one
 * line on stderr that says why. */
int serve_run(const struct config *config);

#endif
