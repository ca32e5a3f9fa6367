#ifndef BROKER_CLI_SETTINGS_H
#define BROKER_CLI_SETTINGS_H

/*
 * What commands make of the settings on their command lines. One thread; before any other
 * thread starts.
 */

#include "broker/base/buf.h"
#include "broker/cli/options.h"
#include "broker/core/config.h"
#include "broker/session/serve.h"

/* Defaults, then the file of --config, then the other options. True: `setup` is complete, and its
 * topology the caller's. False: everything has been said on stdout or stderr, and the process exits
 * with `status`. */
bool settings_read(int argc, char **argv, struct serve_setup *setup, int *status);

/* The same for another command, whose options --config and those with a path have been parsed. Exit
 * status; EXIT_FINE if `config` is complete, else `report` says why not. */
int settings_apply(const struct command *command, const struct options *options,
                   struct config *config, struct buf *report);

/* `railmq check FILE`. Returns the exit status. */
int settings_check(int argc, char **argv);

/* Appends the reference of the configuration file. */
void settings_help(struct buf *out);

#endif
