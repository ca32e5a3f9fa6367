#ifndef BROKER_CORE_DEATH_H
#define BROKER_CORE_DEATH_H

/*
 * What dead-lettering writes into a message: the x-death header, its relatives, and what it takes
 * away. As RabbitMQ's guide to dead letter exchanges tells, and as it was seen to do. Pure.
 */

#include "broker/base/buf.h"
#include "broker/core/leaving.h"

struct death {
    enum death_reason reason;
    struct bytes queue;
    uint64_t wall_s;
    struct bytes exchange; /* That the dead letter goes to, */
    struct bytes key;      /* and under which key. */
    bool has_new_key;      /* The queue sets it; else it is the key of the message that died. */
};

/* Appends the encoded properties of the message as it goes on. They depend on its exchange, routing
 * key and properties and on the death, not on its body: letters of messages that are alike in these
 * have the same. */
void death_properties(const struct message *m, const struct death *death, struct buf *out);

/* The message as it goes on, with those properties and one reference; NULL if there is no memory.
 */
struct message *death_letter(const struct message *m, const struct death *death,
                             struct bytes properties);

/* Whether a dead letter that comes to `queue` has been there before, and nobody has rejected it
 * since: it would go round for ever without anybody's doing. `m` is what death_letter made. */
bool death_is_cycle(const struct message *m, enum death_reason reason, struct bytes queue);

#endif
