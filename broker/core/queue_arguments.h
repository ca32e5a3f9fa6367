#ifndef BROKER_CORE_QUEUE_ARGUMENTS_H
#define BROKER_CORE_QUEUE_ARGUMENTS_H

/*
 * The x-arguments of queue.declare: which exist, what values they take, which must be equal when a
 * queue is declared again, and what they mean as plain numbers. One table holds all of it. Pure.
 */

#include "amqp/exception.h"
#include "broker/base/bytes.h"

enum queue_overflow {
    OVERFLOW_DROP_HEAD,
    OVERFLOW_REJECT_PUBLISH,
};

struct queue_arguments {
    uint64_t max_length;       /* UINT64_MAX: none. */
    uint64_t max_length_bytes; /* UINT64_MAX: none. */
    enum queue_overflow overflow;
    uint8_t max_priority; /* 0: no priorities. */
    bool single_active_consumer;
};

/* Checks the table of a new queue. False with 406 in `ex`. */
bool queue_arguments_parse(struct bytes table, struct bytes queue, struct bytes vhost,
                           struct queue_arguments *out, struct amqp_exception *ex);

/* Compares the arguments of a repeated declaration. False with 406 in `ex`. */
bool queue_arguments_equivalent(struct bytes received, struct bytes current, struct bytes queue,
                                struct bytes vhost, struct amqp_exception *ex);

/* Raises 406 if argument `name` differs between two tables. `subject` is "queue 'q' in vhost
 * '/'".*/
bool argument_equivalent(struct bytes received, struct bytes current, const char *name,
                         const char *subject, struct amqp_exception *ex);

#endif
