#ifndef BROKER_SESSION_TX_H
#define BROKER_SESSION_TX_H

/*
 * What a channel in transaction mode keeps until tx.commit: publishes, already checked and with
 * their exchange known to exist, and settlements. Owner: the channel.
 */

#include "broker/session/unacked.h"

struct tx_publish {
    struct message *message;
    bool mandatory;
};

enum tx_fate {
    TX_ACK,
    TX_REQUEUE,
    TX_DISCARD,
};

/* The delivery stays in the unacked list, marked, so that a rollback has nothing to put back. */
struct tx_settle {
    uint64_t tag;
    enum tx_fate fate;
};

struct tx {
    struct tx_publish *publishes;
    size_t publish_count;
    size_t publish_capacity;
    struct tx_settle *settles;
    size_t settle_count;
    size_t settle_capacity;
    uint64_t settled_up_to; /* All unacked up to this tag are among them. */
};

struct tx *tx_create(void);

/* Takes over the message's reference. */
void tx_add_publish(struct tx *t, struct message *m, bool mandatory);

/* Marks the item, which must be one of the channel's unacked. */
void tx_add_settle(struct tx *t, struct unacked_item *item, enum tx_fate fate);

/* Forgets everything; messages are released. */
void tx_clear(struct tx *t);

void tx_destroy(struct tx *t);

#endif
