#ifndef BROKER_SESSION_BATCH_H
#define BROKER_SESSION_BATCH_H

/*
 * Work of one worker that is done together: publishes and settlements of one read are collected
 * here and applied with one lock per queue. Publishes go first, so that a settlement never becomes
 * durable before a publish that preceded it on its channel.
 *
 * Any method whose effect depends on what came before it flushes first, and so does the end of a
 * read: between two connections the batch is empty.
 */

#include "broker/core/queue.h"
#include "broker/core/route.h"

struct channel;
struct worker;

#define BATCH_APPENDS_MAX 1024
#define BATCH_PUBLISHES_MAX 1024
#define BATCH_SETTLES_MAX 1024

/* One basic.publish. */
struct batch_publish {
    struct channel *channel;
    uint64_t number; /* Confirm number; 0 if nobody waits for it. */
    uint64_t ticket;
    bool rejected;
};

/* What is known of one queue while items are grouped; of another grouping: nothing. */
struct batch_group {
    struct queue *queue;
    uint64_t grouping;
    uint32_t count;
    uint32_t next;
    bool is_placed;
};

struct batch {
    struct append *appends;
    uint32_t append_count;
    struct batch_publish *publishes;
    uint32_t publish_count;
    struct settle *settles;
    uint32_t settle_count;
    uint8_t *grouped;           /* Items on their way to their places. */
    struct batch_group *groups; /* Hashed by queue. */
    uint64_t grouping;          /* The number of the one under way. */
};

void batch_init(struct batch *b);
void batch_fini(struct batch *b);

/* Takes over one reference to the message. `number` is its confirm number, or 0. */
void batch_publish(struct worker *w, struct channel *ch, const struct route *route,
                   struct message *m, uint64_t number);

/* The same for a queue, to which the caller holds a reference until the batch has been flushed. */
void batch_publish_to(struct worker *w, struct channel *ch, struct queue *q, struct message *m,
                      uint64_t number);

/* Takes over the item's references (message, and queue if the consumer is NULL). */
void batch_settle(struct worker *w, const struct settle *item);

/* Applies everything; the batch is empty afterwards. Returns the highest ticket. */
uint64_t batch_flush(struct worker *w);

#endif
