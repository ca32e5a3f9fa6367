#ifndef BROKER_SESSION_ACCESS_H
#define BROKER_SESSION_ACCESS_H

/*
 * What the user of a connection may do: asked before an operation does anything else. Answers are
 * remembered until anything about users and permissions changes. The connection's own worker only.
 */

#include "broker/auth/auth.h"
#include "broker/session/connection.h"

/* connection.open: the user's permissions in c->vhost. False without any. */
bool access_open(struct connection *c);
void access_close(struct connection *c);

/* False, with 403, if the user may not. */
bool access_queue(struct connection *c, enum access access, struct bytes name,
                  struct amqp_exception *ex);
bool access_exchange(struct connection *c, enum access access, struct bytes name,
                     struct amqp_exception *ex);

/* Conditions on keys of a topic exchange, beside those on the exchange. Without a grant there are
 * none: the exchange has been asked for before, and refused. */
bool access_topic(struct connection *c, enum access access, struct bytes exchange, struct bytes key,
                  struct amqp_exception *ex);
bool access_knows_topics(struct connection *c);

/* For bindings from an exchange: its topics, if it is of that type. */
bool access_topic_source(struct connection *c, struct bytes exchange, struct bytes key,
                         struct amqp_exception *ex);

#endif
