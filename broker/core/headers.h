#ifndef BROKER_CORE_HEADERS_H
#define BROKER_CORE_HEADERS_H

/* A field table as routing sees it: AMQP's types folded into the families of routing/header.h. */

#include "broker/base/buf.h"
#include "routing/header.h"

struct headers {
    struct header *items;
    size_t count;
    struct buf canonical; /* The table sorted; the items point in here. */
};

/* `table` must be valid; nothing points into it afterwards. */
void headers_init(struct headers *h, struct bytes table);
void headers_fini(struct headers *h);

#endif
