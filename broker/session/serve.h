#ifndef BROKER_SESSION_SERVE_H
#define BROKER_SESSION_SERVE_H

/* `railmq serve`: runs the broker in the foreground until SIGTERM or SIGINT. */

#include "broker/topology/configuration.h"

#include <limits.h>

/* What the broker starts with. Owner: the caller; must outlive serve_run. */
struct serve_setup {
    struct config config;     /* The file's settings, and over them the command line's. */
    struct config from_file;  /* The file's alone, or the defaults. */
    struct topology topology; /* What is to exist. */
    char file[PATH_MAX];      /* The configuration, which SIGHUP reads again; "": none. */
};

/* Returns the exit code of the process: 0 after an orderly stop, 1 if it could not start, with one
 * line on stderr that says why. */
int serve_run(const struct serve_setup *setup);

#endif
