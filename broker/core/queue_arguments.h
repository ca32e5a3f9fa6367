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
    QUEUE_STREAM, /* Keeps what has been read; see stream.h. */
};

enum queue_overflow {
    OVERFLOW_DROP_HEAD,
    OVERFLOW_REJECT_PUBLISH,
    OVERFLOW_REJECT_PUBLISH_DLX, /* What is rejected is dead-lettered besides. */
};

/* What both arguments and policies may say. Numbers come first. */
enum queue_rule {
    RULE_MESSAGE_TTL,
    RULE_EXPIRES,
    RULE_MAX_LENGTH,
    RULE_MAX_LENGTH_BYTES,
    RULE_DELIVERY_LIMIT,
    RULE_SEGMENT_BYTES,
    RULE_OVERFLOW,
    RULE_DEAD_LETTER_EXCHANGE,
    RULE_DEAD_LETTER_KEY,
    RULE_DEAD_LETTER_STRATEGY,
    RULE_MAX_AGE,
    QUEUE_RULES,
    QUEUE_RULE_NUMBERS = RULE_OVERFLOW,
};

/* Who has said it. */
enum rule_source {
    RULE_OF_NOBODY,
    RULE_OF_ARGUMENT,
    RULE_OF_POLICY,
    RULE_OF_OPERATOR_POLICY,
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
    uint64_t max_age_ms;    /* Of streams. */
    uint64_t segment_bytes; /* Likewise: what retention lets go of at a time, at most. */
    enum queue_overflow overflow;
    bool dead_letters_at_least_once; /* Counts only with overflow reject-publish. */
    struct bytes dead_letter_exchange;
    struct bytes dead_letter_key;
    struct bytes max_age;         /* As it was said. */
    uint8_t sources[QUEUE_RULES]; /* Of enum rule_source. */
};

/* Of a queue that is declared without any. */
#define QUEUE_ARGUMENTS_NONE                                                                       \
    (struct queue_arguments)                                                                       \
    {                                                                                              \
        .max_length = UINT64_MAX, .max_length_bytes = UINT64_MAX, .message_ttl_ms = UINT64_MAX,    \
        .expires_ms = UINT64_MAX, .delivery_limit = UINT64_MAX, .consumer_timeout_ms = UINT64_MAX, \
        .max_age_ms = UINT64_MAX, .segment_bytes = UINT64_MAX                                      \
    }

/* Checks the table of a new queue. False with 406 in `ex`. */
bool queue_arguments_parse(struct bytes table, struct bytes queue, struct bytes vhost,
                           struct queue_arguments *out, struct amqp_exception *ex);

/* What policies add to parsed arguments: tables with the same names without "x-". Of numbers the
 * smaller counts, of all else the argument, then the policy; what only streams know, the policy. An
 * operator policy is about numbers only. What the queue's type does not know is passed over. Texts
 * of the result may point into the tables. */
void queue_arguments_add_policy(struct queue_arguments *a, struct bytes policy,
                                struct bytes operator_policy);

/* "7D": a number of years, months, days, hours, minutes or seconds (Y M D h m s), above 0. False if
 * it is none. */
bool duration_parse(struct bytes text, uint64_t *ms);

/* "rabbit_stream_queue". */
const char *queue_type_internal_name(enum queue_type type);

/* "stream". */
const char *queue_type_name(enum queue_type type);

/* The type of that name; false if there is none. */
bool queue_type_find(struct bytes name, enum queue_type *out);

/* Whether anybody has said it. */
static inline bool
queue_rule_is_set(const struct queue_arguments *a, enum queue_rule rule)
{
    return a->sources[rule] != RULE_OF_NOBODY;
}

/* "x-max-length"; policies leave the "x-" out. */
const char *queue_rule_name(enum queue_rule rule);

/* The rule that an argument of that name sets; QUEUE_RULES if it is another argument. */
enum queue_rule queue_rule_find(struct bytes name);

/* What a rule is in the end; meaningful if its source is somebody. `number` only if the rule is one
 * below QUEUE_RULE_NUMBERS, negative for "no limit"; else `text`. */
void queue_rule_value(const struct queue_arguments *a, enum queue_rule rule, int64_t *number,
                      struct bytes *text);

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
