#ifndef BROKER_TOPOLOGY_SCHEMA_H
#define BROKER_TOPOLOGY_SCHEMA_H

/*
 * The configuration file described as JSON Schema (draft 7), for editors: which keys there are,
 * what they take, and what they mean. Made from the tables that the readers go by; what these judge
 * beyond (names, ranges, what fits to what) is left to `railmq check`. One thread.
 */

#include "broker/base/buf.h"

void configuration_schema(struct buf *out);

#endif
