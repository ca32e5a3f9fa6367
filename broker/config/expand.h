#ifndef BROKER_CONFIG_EXPAND_H
#define BROKER_CONFIG_EXPAND_H

/*
 * What a value of the configuration takes from outside: ${env:NAME}, ${env:NAME:-default},
 * ${file:/path} and ${cred:name} (a file in $CREDENTIALS_DIRECTORY). $$ stands for one $. The
 * result is not expanded again. Reads the environment and files; call before threads start.
 */

#include "broker/base/buf.h"
#include "broker/config/diagnostics.h"

struct expand_problem {
    enum diagnostic_code code;
    char text[512];
    const char *hint; /* May be NULL. Static. */
};

/* Whether expanding could change the text, so that its result is not to be shown to anybody. */
bool expand_needed(struct bytes text);

/* Appends the expanded text. On false `out` holds nothing of use and `problem` says why. */
bool expand(struct bytes text, struct buf *out, struct expand_problem *problem);

#endif
