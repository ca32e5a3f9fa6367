#ifndef BROKER_TOPOLOGY_WRITE_H
#define BROKER_TOPOLOGY_WRITE_H

/*
 * A topology as YAML that load.h reads back as the same topology. What has its default value is
 * left out, and so are things whose names are not text. Pure; any thread.
 */

#include "broker/topology/topology.h"

enum write_purpose {
    WRITE_FOR_PEOPLE, /* Without passwords and the section apply; comments say what is left out. */
    WRITE_FOR_BROKER, /* With all of it. */
};

/* `t` is sorted. */
void topology_write(const struct topology *t, enum write_purpose purpose, struct buf *out);

#endif
