#ifndef BROKER_CORE_QUEUE_ARGUMENTS_H
#define BROKER_CORE_QUEUE_ARGUMENTS_H

/*
 * The x-arguments of queue.declare: which exist, what values they take, which must be equal when a
 * queue is declared again, and what they mean as plain numbers. One table holds all of it. Pure.
 */

#include "amqp/exception.h"
#include "broker/base/bytes.h"

enum queue_type {
    QUEUE_CLASSIC,
    QUEUE_QUORUM, /* Here: a durable queue that counts deliveries and ignores the delivery mode. */
};

enum queue_overflow {
    OVERFLOW_DROP_HEAD,
    OVERFLOW_REJECT_PUBLISH,
    OVERFLOW_REJECT_PUBLISH_DLX, /* What is rejected is dead-lettered besides. */
};

/* UINT64_MAX stands for "no limit" throughout. Texts point into the tables they were read from. */
struct queue_arguments {
    enum queue_type type;
    uint8_t max_priority; /* 0: no priorities. */
    bool single_active_consumer;

    /* What policies may change while the queue lives. */
    uint64_t max_length;
    uint64_t max_length_bytes;
    uint64_t message_ttl_ms;
    uint64_t expires_ms;
    uint64_t delivery_limit;
    uint64_t consumer_timeout_ms;
    enum queue_overflow overflow;
    bool has_overflow;
    bool has_dead_letter_exchange;
    bool has_dead_letter_key;
    bool dead_letters_at_least_once; /* Counts only with overflow reject-publish. */
    struct bytes dead_letter_exchange;
    struct bytes dead_letter_key;
};

/* Of a queue that is declared without any. */
#define QUEUE_ARGUMENTS_NONE                                                                       \
    (struct queue_arguments)                                                                       \
    {                                                                                              \
        .max_length = UINT64_MAX, .max_length_bytes = UINT64_MAX, .message_ttl_ms = UINT64_MAX,    \
        .expires_ms = UINT64_MAX, .delivery_limit = UINT64_MAX, .consumer_timeout_ms = UINT64_MAX  \
    }

/* Checks the table of a new queue. False with 406 in `ex`. */
bool queue_arguments_parse(struct bytes table, struct bytes queue, struct bytes vhost,
                           struct queue_arguments *out, struct amqp_exception *ex);

/* What policies add to parsed arguments: tables with the same names without "x-". Of numbers the
 * smaller counts, of all else the argument, then the policy. An operator policy is about numbers
 * only. Texts of the result may point into the tables. */
void queue_arguments_add_policy(struct queue_arguments *a, struct bytes policy,
                                struct bytes operator_policy);

/* Checks what goes beside the arguments: some types of queue are always durable and shared. False
 * with 406 in `ex`. */
bool queue_type_allows(const struct queue_arguments *a, bool durable, bool exclusive,
                       bool auto_delete, struct bytes queue, struct bytes vhost,
                       struct amqp_exception *ex);

/* Compares the arguments of a repeated declaration. False with 406 in `ex`. */
bool queue_arguments_equivalent(struct bytes received, struct bytes current, struct bytes queue,
                                struct bytes vhost, struct amqp_exception *ex);

/* Raises 406 if argument `name` differs between two tables. `subject` is "queue 'q' in vhost
 * '/'".*/
bool argument_equivalent(struct bytes received, struct bytes current, const char *name,
                         const char *subject, struct amqp_exception *ex);

#endif
