#ifndef BROKER_TOPOLOGY_CONFIGURATION_H
#define BROKER_TOPOLOGY_CONFIGURATION_H

/*
 * The configuration as a whole: the settings of the node and what is to exist, read from one file
 * and what it includes, with everything that is wrong reported in one go. Or RabbitMQ's
 * definitions, which hold no settings. One thread.
 */

#include "broker/config/config_file.h"
#include "broker/topology/load.h"

struct configuration {
    struct document document; /* Its diagnostics may hold warnings also if all is well. */
    struct topology topology;
    bool is_definitions;
};

/* Writes over what `config` holds; NULL: the settings are read, and checked, for nobody. Call
 * configuration_fini in any case. On false `config` is unchanged, and the diagnostics of the
 * document say why. */
bool configuration_read(struct configuration *c, const char *path, struct config *config);

/* The same for text in memory, in which nothing is included. */
bool configuration_read_text(struct configuration *c, const char *name, struct bytes text,
                             struct config *config);

void configuration_fini(struct configuration *c);

#endif
