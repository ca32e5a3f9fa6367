#ifndef BROKER_CLI_CHECK_TLS_H
#define BROKER_CLI_CHECK_TLS_H

/*
 * The files that the section tls of a configuration names, for `railmq check`: what is wrong with
 * them becomes diagnostics at the setting that is to blame. One thread.
 */

#include "broker/config/document.h"
#include "broker/core/config.h"

/* `config` is what has been read from the document, without errors. */
void check_tls(struct document *doc, const struct config *config);

#endif
