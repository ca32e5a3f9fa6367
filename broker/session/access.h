#ifndef BROKER_SESSION_ACCESS_H
#define BROKER_SESSION_ACCESS_H

/*
 * What the user of a connection may do: asked before an operation does anything else. Answers are
 * remembered until anything about users and permissions changes. The connection's own worker only.
 */

#include "broker/auth/auth.h"
#include "broker/session/connection.h"

/* Answers remembered: a direct-mapped table by a keyed hash. */
#define ACCESS_SLOTS 128

struct access_cache {
    uint64_t hash[ACCESS_SLOTS]; /* 0: nothing. */
    bool allowed[ACCESS_SLOTS];
};

/* connection.open: the user's permissions in c->vhost. False without any. */
bool access_open(struct connection *c);
void access_close(struct connection *c);

/* False, with 403, if the user may not. */
bool access_queue(struct connection *c, enum access access, struct bytes name,
                  struct amqp_exception *ex);
bool access_exchange(struct connection *c, enum access access, struct bytes name,
                     struct amqp_exception *ex);

/* Conditions on keys of a topic exchange, beside those on the exchange. */
bool access_topic(struct connection *c, enum access access, struct bytes exchange, struct bytes key,
                  struct amqp_exception *ex);
bool access_knows_topics(struct connection *c);

/* For bindings from an exchange: its topics, if it is of that type. */
bool access_topic_source(struct connection *c, struct bytes exchange, struct bytes key,
                         struct amqp_exception *ex);

/* The exchange or queue that the arguments name, like a dead-letter exchange, must be writable, and
 * what is declared with it readable. */
bool access_named_exchange(struct connection *c, struct bytes arguments, const char *argument,
                           struct amqp_exception *ex);

#endif
