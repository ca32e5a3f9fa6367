#ifndef BROKER_CLI_SETTINGS_H
#define BROKER_CLI_SETTINGS_H

/*
 * What `railmq serve` and `railmq check` make of their command lines. One thread; before any other
 * thread starts.
 */

#include "broker/base/buf.h"
#include "broker/core/config.h"

/* Defaults, then the file of --config, then the other options. True: `config` is complete. False:
 * everything has been said on stdout or stderr, and the process exits with `status`. */
bool settings_read(int argc, char **argv, struct config *config, int *status);

/* `railmq check FILE`. Returns the exit status. */
int settings_check(int argc, char **argv);

/* Appends the reference of the configuration file. */
void settings_help(struct buf *out);

#endif
