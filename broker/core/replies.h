#ifndef BROKER_CORE_REPLIES_H
#define BROKER_CORE_REPLIES_H

/*
 * Direct reply-to: who consumes from the pseudo-queue amq.rabbitmq.reply-to. A requester's channel
 * registers under an unguessable token, which becomes part of its reply address. A replier's worker
 * looks the token up and posts the message to the requester's worker; no queue is involved, and a
 * reply to somebody who has gone is dropped. Any thread; the registry has a lock of its own, under
 * which nothing else is locked but a mailbox.
 */

#include "broker/base/bytes.h"
#include "broker/base/lock.h"
#include "broker/base/map.h"
#include "broker/core/message.h"
#include "broker/net/loop.h"

#define REPLIES_QUEUE "amq.rabbitmq.reply-to"
#define REPLIES_PREFIX REPLIES_QUEUE "."
#define REPLY_TOKEN_SIZE 22u

/* A requester; embedded in its channel. */
struct reply_consumer {
    struct map_node by_token;
    char token[REPLY_TOKEN_SIZE + 1];
    struct loop *loop;
    struct mail mail;          /* Wakes the owner when messages have come. */
    struct message **messages; /* Guarded by the registry's lock. */
    size_t message_count;
    size_t message_capacity;
};

struct replies {
    struct lock lock;
    struct map consumers;
};

void replies_init(struct replies *r);
void replies_fini(struct replies *r);

/* Draws a token and registers. `deliver` runs on `loop` when messages have come. */
void replies_register(struct replies *r, struct reply_consumer *c, struct loop *loop,
                      void (*deliver)(struct mail *mail));

/* Owner's thread. Drops what has not been taken. */
void replies_unregister(struct replies *r, struct reply_consumer *c);

/* True if `address` has the form of a reply address; `token` gets its last part. */
bool replies_parse(struct bytes address, struct bytes *token);

/* True if somebody is registered under the token. */
bool replies_exist(struct replies *r, struct bytes token);

/* Hands the message over, with a reference of its own. False if nobody is there. */
bool replies_send(struct replies *r, struct bytes token, struct message *m);

/* Owner's thread: all messages that have come; free the array with mem_free. */
struct message **replies_take(struct replies *r, struct reply_consumer *c, size_t *count);

#endif
