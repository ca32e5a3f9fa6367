/* Which arguments there are, and what they take. What the broker makes of those of a queue is
 * decided by queue_arguments.c, which has the last word. */

#include "broker/topology/arguments.h"

#define TEN_YEARS_MS INT64_C(315360000000)
#define SEGMENT_BYTES_MAX INT64_C(3000000000)

static const char *const overflow_words[] = { "drop-head", "reject-publish", "reject-publish-dlx",
                                              NULL };
static const char *const strategy_words[] = { "at-most-once", "at-least-once", NULL };
static const char *const mode_words[] = { "default", "lazy", NULL };
static const char *const type_words[] = { "classic", "quorum", "stream", NULL };
static const char *const locator_words[] = { "client-local", "balanced", "random", "least-leaders",
                                             NULL };
static const char *const match_words[] = { "all", "any", "all-with-x", "any-with-x", NULL };

/* What may be said of a queue by argument, with "x-" in front, or by policy, without. */
#define QUEUE_LIMITS(x)                                                                            \
    { x "message-ttl", ARGUMENT_MILLISECONDS, 0, TEN_YEARS_MS, NULL },                             \
        { x "expires", ARGUMENT_MILLISECONDS, 1, TEN_YEARS_MS, NULL },                             \
        { x "max-length", ARGUMENT_COUNT, 0, INT64_MAX, NULL },                                    \
        { x "max-length-bytes", ARGUMENT_BYTES, 0, INT64_MAX, NULL },                              \
        { x "delivery-limit", ARGUMENT_COUNT, -1, INT32_MAX, NULL },                               \
        { x "max-in-memory-length", ARGUMENT_COUNT, 0, INT64_MAX, NULL },                          \
    {                                                                                              \
        x "max-in-memory-bytes", ARGUMENT_BYTES, 0, INT64_MAX, NULL                                \
    }

#define QUEUE_BEHAVIOUR(x)                                                                         \
    { x "overflow", ARGUMENT_WORD, 0, 0, overflow_words },                                         \
        { x "dead-letter-exchange", ARGUMENT_TEXT, 0, 0, NULL },                                   \
        { x "dead-letter-routing-key", ARGUMENT_TEXT, 0, 0, NULL },                                \
        { x "dead-letter-strategy", ARGUMENT_WORD, 0, 0, strategy_words },                         \
        { x "queue-mode", ARGUMENT_WORD, 0, 0, mode_words },                                       \
        { x "queue-version", ARGUMENT_COUNT, 1, 2, NULL },                                         \
        { x "queue-leader-locator", ARGUMENT_WORD, 0, 0, locator_words },                          \
        { x "max-age", ARGUMENT_TEXT, 0, 0, NULL },                                                \
        { x "stream-max-segment-size-bytes", ARGUMENT_BYTES, 0, SEGMENT_BYTES_MAX, NULL },         \
        { x "initial-cluster-size", ARGUMENT_COUNT, 1, INT32_MAX, NULL },                          \
    {                                                                                              \
        x "consumer-timeout", ARGUMENT_MILLISECONDS, 0, INT64_MAX, NULL                            \
    }

static const struct argument_rule queue_rules[] = {
    QUEUE_LIMITS("x-"),
    QUEUE_BEHAVIOUR("x-"),
    { "x-queue-type", ARGUMENT_WORD, 0, 0, type_words },
    { "x-max-priority", ARGUMENT_COUNT, 0, 255, NULL },
    { "x-single-active-consumer", ARGUMENT_BOOL, 0, 0, NULL },
    { "x-queue-master-locator", ARGUMENT_TEXT, 0, 0, NULL },
    { "x-quorum-initial-group-size", ARGUMENT_COUNT, 1, INT32_MAX, NULL },
    { "x-stream-filter-size-bytes", ARGUMENT_COUNT, 16, 255, NULL },
};

static const struct argument_rule exchange_rules[] = {
    { "alternate-exchange", ARGUMENT_TEXT, 0, 0, NULL },
    { "x-delayed-type", ARGUMENT_TEXT, 0, 0, NULL },
    { "hash-header", ARGUMENT_TEXT, 0, 0, NULL },
    { "hash-property", ARGUMENT_TEXT, 0, 0, NULL },
};

static const struct argument_rule binding_rules[] = {
    { "x-match", ARGUMENT_WORD, 0, 0, match_words },
};

static const struct argument_rule policy_rules[] = {
    QUEUE_LIMITS(""),
    QUEUE_BEHAVIOUR(""),
    { "alternate-exchange", ARGUMENT_TEXT, 0, 0, NULL },
    /* Mirrored queues, federation, and growing groups are for clusters. */
    { "ha-mode", ARGUMENT_IGNORED, 0, 0, NULL },
    { "ha-params", ARGUMENT_IGNORED, 0, 0, NULL },
    { "ha-sync-mode", ARGUMENT_IGNORED, 0, 0, NULL },
    { "ha-sync-batch-size", ARGUMENT_IGNORED, 0, 0, NULL },
    { "ha-promote-on-shutdown", ARGUMENT_IGNORED, 0, 0, NULL },
    { "ha-promote-on-failure", ARGUMENT_IGNORED, 0, 0, NULL },
    { "federation-upstream", ARGUMENT_IGNORED, 0, 0, NULL },
    { "federation-upstream-set", ARGUMENT_IGNORED, 0, 0, NULL },
    { "federation-upstream-pattern", ARGUMENT_IGNORED, 0, 0, NULL },
    { "queue-master-locator", ARGUMENT_IGNORED, 0, 0, NULL },
    { "target-group-size", ARGUMENT_IGNORED, 0, 0, NULL },
};

static const struct argument_rule operator_rules[] = {
    QUEUE_LIMITS(""),
    { "target-group-size", ARGUMENT_IGNORED, 0, 0, NULL },
};

#define RULES(rules) (rules), sizeof(rules) / sizeof((rules)[0])

const struct argument_schema queue_argument_schema = { RULES(queue_rules), .is_open = true };
const struct argument_schema exchange_argument_schema = { RULES(exchange_rules), .is_open = true };
const struct argument_schema binding_argument_schema = { RULES(binding_rules), .is_open = true };
const struct argument_schema policy_schema = { RULES(policy_rules), .is_open = false };
const struct argument_schema operator_policy_schema = { RULES(operator_rules), .is_open = false };
