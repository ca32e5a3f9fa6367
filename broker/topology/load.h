#ifndef BROKER_TOPOLOGY_LOAD_H
#define BROKER_TOPOLOGY_LOAD_H

/*
 * Reads what is to exist: the sections users, vhosts and apply of the configuration, or a file of
 * definitions that RabbitMQ has exported (JSON is YAML). Everything that is wrong is reported, and
 * nothing is guessed. One thread; reads the environment and files where the document says so.
 */

#include "broker/config/document.h"
#include "broker/topology/topology.h"

/* Fills and sorts `t`, which the caller has initialised. False if the document has any error, also
 * from before; `t` is of no use then. */
bool topology_read(struct document *doc, struct topology *t);

/* Whether the document is RabbitMQ's definitions. */
bool topology_is_definitions(const struct document *doc);

/* The same as topology_read for these. */
bool definitions_read(struct document *doc, struct topology *t);

/* What is written correctly and makes no sense: ends of bindings that are not there (errors), dead
 * letters that go nowhere (warnings), and so on. For a sorted topology. False if there are errors.
 */
bool topology_lint(const struct topology *t, struct diagnostics *d);

#endif
