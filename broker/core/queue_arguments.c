#include "broker/core/queue_arguments.h"

#include "amqp/table.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#define DURATION_MAX_MS INT64_C(315360000000) /* Ten years. */
#define SUBJECT_SIZE 600
#define SEGMENT_BYTES_MAX INT64_C(3000000000)

struct argument;

/* Judges one argument's value; false with `reason` as RabbitMQ words it. */
typedef bool argument_check(const struct argument *a, const struct table_field *f, char *reason,
                            size_t reason_size);

struct argument {
    const char *name;
    argument_check *check;
    int64_t least;
    int64_t most;
    const char *const *words; /* For strings: the values allowed, NULL-terminated. */
    const char *wrong_word;   /* Format of the reason for any other; may use one %.*s. */
    unsigned types;           /* Set of TYPE_* that know the argument. */
    bool is_compared;
};

#define TYPE_CLASSIC (1u << QUEUE_CLASSIC)
#define TYPE_QUORUM (1u << QUEUE_QUORUM)
#define TYPE_STREAM (1u << QUEUE_STREAM)
#define TYPE_QUEUE (TYPE_CLASSIC | TYPE_QUORUM)
#define TYPE_ANY (TYPE_QUEUE | TYPE_STREAM)

static const char *const internal_names[] = { "rabbit_classic_queue", "rabbit_quorum_queue",
                                              "rabbit_stream_queue" };

static bool
check_integer(const struct argument *a, const struct table_field *f, char *reason, size_t size)
{
    int64_t value;
    if (!table_field_integer(f, &value)) {
        snprintf(reason, size, "\"expected integer, got %s\"", table_tag_name(f->tag));
        return false;
    }
    const char *what = value < 0          ? "value_negative"
                       : value < a->least ? "value_zero"
                       : value > a->most  ? "value_too_large"
                                          : NULL;
    if (what == NULL)
        return true;
    if (value > a->most && a->most == 255)
        what = "max_value_exceeded";
    snprintf(reason, size, "{%s,%" PRId64 "}", what, value);
    return false;
}

static bool
check_bool(const struct argument *a, const struct table_field *f, char *reason, size_t size)
{
    (void)a;
    if (f->tag == 't')
        return true;
    snprintf(reason, size, "{unacceptable_type,%s}", table_tag_name(f->tag));
    return false;
}

static bool
check_string(const struct argument *a, const struct table_field *f, char *reason, size_t size)
{
    if (f->tag != 'S') {
        snprintf(reason, size, "{unacceptable_type,%s}", table_tag_name(f->tag));
        return false;
    }
    if (a->words == NULL)
        return true;
    for (const char *const *word = a->words; *word != NULL; word++)
        if (bytes_equal(f->value, bytes_of_string(*word)))
            return true;
    if (strcmp(a->wrong_word, "unsupported") == 0)
        snprintf(reason, size, "\"unsupported queue %s '%.*s'\"",
                 strcmp(a->name, "x-queue-mode") == 0 ? "mode" : "type", BYTES_ARGS(f->value));
    else
        snprintf(reason, size, "%s", a->wrong_word);
    return false;
}

static bool
check_version(const struct argument *a, const struct table_field *f, char *reason, size_t size)
{
    int64_t value;
    if (!table_field_integer(f, &value)) {
        snprintf(reason, size, "\"expected integer, got %s\"", table_tag_name(f->tag));
        return false;
    }
    if (value >= a->least && value <= a->most)
        return true;
    snprintf(reason, size, "\"unsupported queue version '%" PRId64 "'\"", value);
    return false;
}

bool
duration_parse(struct bytes text, uint64_t *ms)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {
        { 'Y', 365 * 86400 }, { 'M', 30 * 86400 }, { 'D', 86400 },
        { 'h', 3600 },        { 'm', 60 },         { 's', 1 },
    };
    uint64_t value = 0;
    size_t at = 0;
    for (; at < text.size && text.data[at] >= '0' && text.data[at] <= '9'; at++)
        if (value <= INT32_MAX)
            value = value * 10 + (text.data[at] - '0');
    if (value == 0 || at + 1 != text.size)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (text.data[at] != (uint8_t)units[i].unit)
            continue;
        *ms = value * units[i].seconds * 1000;
        return true;
    }
    return false;
}

static bool
check_age(const struct argument *a, const struct table_field *f, char *reason, size_t size)
{
    uint64_t ms;
    if (!check_string(a, f, reason, size))
        return false;
    if (duration_parse(f->value, &ms))
        return true;
    snprintf(reason, size, "invalid_max_age");
    return false;
}

static const char *const overflow_words[] = { "drop-head", "reject-publish", "reject-publish-dlx",
                                              NULL };
static const char *const mode_words[] = { "default", "lazy", NULL };
static const char *const type_words[] = { "classic", "quorum", "stream", NULL };
static const char *const strategy_words[] = { "at-most-once", "at-least-once", NULL };
static const char *const locator_words[] = { "client-local", "balanced", "random", "least-leaders",
                                             NULL };

/* In RabbitMQ's order of comparison. The dead-letter exchange has its own form of error. */
static const struct argument arguments[] = {
    { "x-expires", check_integer, 1, DURATION_MAX_MS, NULL, NULL, TYPE_QUEUE, true },
    { "x-message-ttl", check_integer, 0, DURATION_MAX_MS, NULL, NULL, TYPE_QUEUE, true },
    { "x-dead-letter-exchange", NULL, 0, 0, NULL, NULL, TYPE_QUEUE, true },
    { "x-dead-letter-routing-key", check_string, 0, 0, NULL, NULL, TYPE_QUEUE, true },
    { "x-dead-letter-strategy", check_string, 0, 0, strategy_words, "invalid_dlx_strategy",
      TYPE_QUORUM, true },
    { "x-max-length", check_integer, 0, INT64_MAX, NULL, NULL, TYPE_QUEUE, true },
    { "x-max-length-bytes", check_integer, 0, INT64_MAX, NULL, NULL, TYPE_ANY, true },
    { "x-max-in-memory-length", check_integer, 0, INT64_MAX, NULL, NULL, TYPE_QUORUM, true },
    { "x-max-in-memory-bytes", check_integer, 0, INT64_MAX, NULL, NULL, TYPE_QUORUM, true },
    { "x-max-priority", check_integer, 0, 255, NULL, NULL, TYPE_CLASSIC, true },
    { "x-overflow", check_string, 0, 0, overflow_words, "invalid_overflow", TYPE_QUEUE, true },
    { "x-queue-mode", check_string, 0, 0, mode_words, "unsupported", TYPE_CLASSIC, true },
    { "x-queue-version", check_version, 1, 2, NULL, NULL, TYPE_CLASSIC, true },
    { "x-single-active-consumer", check_bool, 0, 0, NULL, NULL, TYPE_QUEUE, true },
    { "x-delivery-limit", check_integer, -1, INT64_MAX, NULL, NULL, TYPE_QUEUE, true },
    { "x-consumer-timeout", NULL, 0, 0, NULL, NULL, TYPE_ANY, false },
    { "x-quorum-initial-group-size", check_integer, 1, INT64_MAX, NULL, NULL, TYPE_QUORUM, true },
    { "x-queue-leader-locator", check_string, 0, 0, locator_words, "invalid_queue_locator_arg",
      TYPE_QUORUM | TYPE_STREAM, true },
    { "x-max-age", check_age, 0, 0, NULL, NULL, TYPE_STREAM, true },
    { "x-stream-max-segment-size-bytes", check_integer, 0, INT64_MAX, NULL, NULL, TYPE_STREAM,
      true },
    { "x-stream-filter-size-bytes", check_integer, 16, 255, NULL, NULL, TYPE_STREAM, false },
    { "x-initial-cluster-size", check_integer, 1, INT64_MAX, NULL, NULL, TYPE_STREAM, true },
    { "x-queue-master-locator", check_string, 0, 0, NULL, NULL, TYPE_CLASSIC, true },
};

/* Judged before all others: it decides which of them there are. */
static const struct argument type_argument = {
    "x-queue-type", check_string, 0, 0, type_words, "unsupported", TYPE_ANY, true,
};

#define ARGUMENT_COUNT (sizeof(arguments) / sizeof(arguments[0]))

static bool
find(struct bytes table, const char *name, struct table_field *out)
{
    return table_find(table, bytes_of_string(name), out);
}

static void
subject_of(char *out, struct bytes queue, struct bytes vhost)
{
    snprintf(out, SUBJECT_SIZE, "queue '%.*s' in vhost '%.*s'", BYTES_ARGS(queue),
             BYTES_ARGS(vhost));
}

static bool
dead_letter_check(struct bytes table, const char *subject, struct amqp_exception *ex)
{
    struct table_field f;
    if (find(table, "x-dead-letter-exchange", &f))
        return f.tag == 'S' ||
               amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "invalid type '%s' for arg 'x-dead-letter-exchange' in %s",
                          table_tag_name(f.tag), subject);
    if (find(table, "x-dead-letter-routing-key", &f) && f.tag == 'S')
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "invalid arg 'x-dead-letter-routing-key' for %s: "
                          "routing_key_but_no_dlx_defined",
                          subject);
    return true;
}

static bool
argument_is_sound(const struct argument *a, struct bytes table, const char *subject,
                  struct amqp_exception *ex)
{
    struct table_field f;
    char reason[320];
    if (a->check == NULL || !find(table, a->name, &f) || a->check(a, &f, reason, sizeof(reason)))
        return true;
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "invalid arg '%s' for %s: %s", a->name, subject,
                      reason);
}

bool
queue_type_find(struct bytes name, enum queue_type *out)
{
    for (size_t i = 0; type_words[i] != NULL; i++) {
        if (bytes_equal(name, bytes_of_string(type_words[i]))) {
            *out = (enum queue_type)i;
            return true;
        }
    }
    return false;
}

const char *
queue_type_name(enum queue_type type)
{
    return type_words[type];
}

const char *
queue_type_internal_name(enum queue_type type)
{
    return internal_names[type];
}

static enum queue_type
type_of(struct bytes table)
{
    struct table_field f;
    enum queue_type type = QUEUE_CLASSIC;
    if (find(table, "x-queue-type", &f))
        queue_type_find(f.value, &type);
    return type;
}

static bool
segment_bytes_check(struct bytes table, struct amqp_exception *ex)
{
    struct table_field f;
    int64_t value;
    return !find(table, "x-stream-max-segment-size-bytes", &f) ||
           !table_field_integer(&f, &value) || value <= SEGMENT_BYTES_MAX ||
           amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                      "Exceeded max value for x-stream-max-segment-size-bytes");
}

static bool
arguments_check(struct bytes table, const char *subject, struct amqp_exception *ex)
{
    struct table_field f;
    if (!dead_letter_check(table, subject, ex) ||
        !argument_is_sound(&type_argument, table, subject, ex))
        return false;
    for (size_t i = 0; i < ARGUMENT_COUNT; i++)
        if (!argument_is_sound(&arguments[i], table, subject, ex))
            return false;
    const enum queue_type type = type_of(table);
    for (size_t i = 0; i < ARGUMENT_COUNT; i++)
        if ((arguments[i].types & 1u << type) == 0 && find(table, arguments[i].name, &f))
            return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                              "invalid arg '%s' for %s of queue type %s", arguments[i].name,
                              subject, internal_names[type]);
    return segment_bytes_check(table, ex);
}

/* In the order of enum queue_rule. */
static const struct rule {
    const char *name;
    unsigned types; /* Set of TYPE_* that know it. */
    size_t offset;  /* Of a number in struct queue_arguments. */
} rules[QUEUE_RULES] = {
#define NUMBER(field) offsetof(struct queue_arguments, field)
    [RULE_MESSAGE_TTL] = { "x-message-ttl", TYPE_QUEUE, NUMBER(message_ttl_ms) },
    [RULE_EXPIRES] = { "x-expires", TYPE_QUEUE, NUMBER(expires_ms) },
    [RULE_MAX_LENGTH] = { "x-max-length", TYPE_QUEUE, NUMBER(max_length) },
    [RULE_MAX_LENGTH_BYTES] = { "x-max-length-bytes", TYPE_ANY, NUMBER(max_length_bytes) },
    [RULE_DELIVERY_LIMIT] = { "x-delivery-limit", TYPE_QUEUE, NUMBER(delivery_limit) },
    [RULE_SEGMENT_BYTES] = { "x-stream-max-segment-size-bytes", TYPE_STREAM,
                             NUMBER(segment_bytes) },
#undef NUMBER
    [RULE_OVERFLOW] = { "x-overflow", TYPE_QUEUE, 0 },
    [RULE_DEAD_LETTER_EXCHANGE] = { "x-dead-letter-exchange", TYPE_QUEUE, 0 },
    [RULE_DEAD_LETTER_KEY] = { "x-dead-letter-routing-key", TYPE_QUEUE, 0 },
    [RULE_DEAD_LETTER_STRATEGY] = { "x-dead-letter-strategy", TYPE_QUEUE, 0 },
    [RULE_MAX_AGE] = { "x-max-age", TYPE_STREAM, 0 },
};

static uint64_t *
rule_number(struct queue_arguments *a, enum queue_rule rule)
{
    return (uint64_t *)(void *)((uint8_t *)a + rules[rule].offset);
}

static const char *
policy_key(enum queue_rule rule)
{
    return rules[rule].name + 2;
}

static uint64_t
integer_or(struct bytes table, const char *name, uint64_t fallback)
{
    struct table_field f;
    int64_t value;
    if (!find(table, name, &f) || !table_field_integer(&f, &value) || value < 0)
        return fallback;
    return (uint64_t)value;
}

static bool
text_of(struct bytes table, const char *name, struct bytes *out)
{
    struct table_field f;
    if (!find(table, name, &f) || f.tag != 'S')
        return false;
    *out = f.value;
    return true;
}

/* What is none, as in a policy that nobody has checked, is no limit. */
static uint64_t
age_of(struct bytes text)
{
    uint64_t ms = UINT64_MAX;
    duration_parse(text, &ms);
    return ms;
}

static enum queue_overflow
overflow_of(struct bytes table, enum queue_type type)
{
    struct bytes word;
    if (!text_of(table, "x-overflow", &word) || bytes_equal(word, BYTES_LITERAL("drop-head")))
        return OVERFLOW_DROP_HEAD;
    if (bytes_equal(word, BYTES_LITERAL("reject-publish")))
        return OVERFLOW_REJECT_PUBLISH;
    /* Quorum queues take the word and do not know it. */
    return type == QUEUE_QUORUM ? OVERFLOW_DROP_HEAD : OVERFLOW_REJECT_PUBLISH_DLX;
}

bool
queue_arguments_parse(struct bytes table, struct bytes queue, struct bytes vhost,
                      struct queue_arguments *out, struct amqp_exception *ex)
{
    char subject[SUBJECT_SIZE];
    subject_of(subject, queue, vhost);
    if (!arguments_check(table, subject, ex))
        return false;

    struct table_field f;
    struct bytes strategy;
    *out = (struct queue_arguments){
        .type = type_of(table),
        .max_priority = (uint8_t)integer_or(table, "x-max-priority", 0),
        .consumer_timeout_ms = integer_or(table, "x-consumer-timeout", UINT64_MAX),
    };
    for (size_t i = 0; i < QUEUE_RULES; i++)
        out->sources[i] = find(table, rules[i].name, &f) ? RULE_OF_ARGUMENT : RULE_OF_NOBODY;
    for (size_t i = 0; i < QUEUE_RULE_NUMBERS; i++)
        *rule_number(out, (enum queue_rule)i) = integer_or(table, rules[i].name, UINT64_MAX);
    out->overflow = overflow_of(table, out->type);
    text_of(table, "x-dead-letter-exchange", &out->dead_letter_exchange);
    text_of(table, "x-dead-letter-routing-key", &out->dead_letter_key);
    text_of(table, "x-max-age", &out->max_age);
    out->max_age_ms = age_of(out->max_age);
    out->dead_letters_at_least_once = text_of(table, "x-dead-letter-strategy", &strategy) &&
                                      bytes_equal(strategy, BYTES_LITERAL("at-least-once"));
    if (find(table, "x-single-active-consumer", &f))
        table_field_bool(&f, &out->single_active_consumer);
    return true;
}

const char *
queue_rule_name(enum queue_rule rule)
{
    return rules[rule].name;
}

enum queue_rule
queue_rule_find(struct bytes name)
{
    size_t i = 0;
    while (i < QUEUE_RULES && !bytes_equal(name, bytes_of_string(rules[i].name)))
        i++;
    return (enum queue_rule)i;
}

void
queue_rule_value(const struct queue_arguments *a, enum queue_rule rule, int64_t *number,
                 struct bytes *text)
{
    struct queue_arguments copy = *a;
    if (rule < QUEUE_RULE_NUMBERS) {
        const uint64_t value = *rule_number(&copy, rule);
        *number = value > INT64_MAX ? -1 : (int64_t)value;
    } else if (rule == RULE_OVERFLOW) {
        *text = bytes_of_string(overflow_words[a->overflow]);
    } else if (rule == RULE_DEAD_LETTER_EXCHANGE) {
        *text = a->dead_letter_exchange;
    } else if (rule == RULE_DEAD_LETTER_KEY) {
        *text = a->dead_letter_key;
    } else if (rule == RULE_MAX_AGE) {
        *text = a->max_age;
    } else {
        *text = bytes_of_string(strategy_words[a->dead_letters_at_least_once]);
    }
}

static bool
knows_rule(const struct queue_arguments *a, enum queue_rule rule)
{
    return (rules[rule].types & 1u << a->type) != 0;
}

/* The smaller number counts; of equals, the one that was there first. */
static void
number_limit(struct queue_arguments *a, enum queue_rule rule, struct bytes policy,
             enum rule_source source)
{
    uint64_t *number = rule_number(a, rule);
    const uint64_t limit = integer_or(policy, policy_key(rule), UINT64_MAX);
    if (limit >= *number)
        return;
    *number = limit;
    a->sources[rule] = (uint8_t)source;
}

/* True if the policy has the text, which is from now on what counts. */
static bool
text_set(struct queue_arguments *a, enum queue_rule rule, struct bytes policy, struct bytes *out)
{
    if (!text_of(policy, policy_key(rule), out))
        return false;
    a->sources[rule] = RULE_OF_POLICY;
    return true;
}

static enum queue_overflow
policy_overflow(struct bytes policy, struct queue_arguments *a)
{
    struct bytes word;
    if (!text_set(a, RULE_OVERFLOW, policy, &word))
        return a->overflow;
    if (bytes_equal(word, BYTES_LITERAL("reject-publish")))
        return OVERFLOW_REJECT_PUBLISH;
    if (bytes_equal(word, BYTES_LITERAL("reject-publish-dlx")) && a->type != QUEUE_QUORUM)
        return OVERFLOW_REJECT_PUBLISH_DLX;
    return OVERFLOW_DROP_HEAD;
}

static void
stream_policy(struct queue_arguments *a, struct bytes policy)
{
    const uint64_t segment_bytes =
        integer_or(policy, policy_key(RULE_SEGMENT_BYTES), a->segment_bytes);
    if (segment_bytes != a->segment_bytes)
        a->sources[RULE_SEGMENT_BYTES] = RULE_OF_POLICY;
    a->segment_bytes = segment_bytes;
    if (text_set(a, RULE_MAX_AGE, policy, &a->max_age))
        a->max_age_ms = age_of(a->max_age);
}

void
queue_arguments_add_policy(struct queue_arguments *a, struct bytes policy,
                           struct bytes operator_policy)
{
    struct bytes strategy;
    for (size_t i = 0; i < QUEUE_RULE_NUMBERS; i++) {
        if (!knows_rule(a, (enum queue_rule)i) || i == RULE_SEGMENT_BYTES)
            continue;
        number_limit(a, (enum queue_rule)i, policy, RULE_OF_POLICY);
        number_limit(a, (enum queue_rule)i, operator_policy, RULE_OF_OPERATOR_POLICY);
    }
    if (a->type == QUEUE_STREAM) {
        stream_policy(a, policy);
        return;
    }
    if (!queue_rule_is_set(a, RULE_OVERFLOW) || a->type == QUEUE_QUORUM)
        a->overflow = policy_overflow(policy, a);
    if (!queue_rule_is_set(a, RULE_DEAD_LETTER_EXCHANGE))
        text_set(a, RULE_DEAD_LETTER_EXCHANGE, policy, &a->dead_letter_exchange);
    if (!queue_rule_is_set(a, RULE_DEAD_LETTER_KEY))
        text_set(a, RULE_DEAD_LETTER_KEY, policy, &a->dead_letter_key);
    if (text_set(a, RULE_DEAD_LETTER_STRATEGY, policy, &strategy))
        a->dead_letters_at_least_once = bytes_equal(strategy, BYTES_LITERAL("at-least-once"));
}

bool
queue_type_allows(const struct queue_arguments *a, bool durable, bool exclusive, bool auto_delete,
                  struct bytes queue, struct bytes vhost, struct amqp_exception *ex)
{
    const char *wrong = a->type == QUEUE_CLASSIC ? NULL
                        : !durable               ? "non-durable"
                        : exclusive              ? "exclusive-owner"
                        : auto_delete            ? "auto-delete"
                                                 : NULL;
    char subject[SUBJECT_SIZE];
    if (wrong == NULL)
        return true;
    subject_of(subject, queue, vhost);
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "invalid property '%s' for %s", wrong, subject);
}

/* Renders a value as it stands in RabbitMQ's texts. */
static void
value_text(const struct table_field *f, char *out, size_t size)
{
    int64_t integer;
    bool boolean;
    if (table_field_integer(f, &integer))
        snprintf(out, size, "%" PRId64, integer);
    else if (table_field_bool(f, &boolean))
        snprintf(out, size, "%s", boolean ? "true" : "false");
    else if (f->tag == 'S')
        snprintf(out, size, "%.*s", BYTES_ARGS(f->value));
    else
        snprintf(out, size, "...");
}

static bool
values_equal(const struct table_field *a, const struct table_field *b)
{
    int64_t x;
    int64_t y;
    if (table_field_integer(a, &x) && table_field_integer(b, &y))
        return x == y;
    return a->tag == b->tag && bytes_equal(a->value, b->value);
}

bool
argument_equivalent(struct bytes received, struct bytes current, const char *name,
                    const char *subject, struct amqp_exception *ex)
{
    struct table_field got;
    struct table_field has;
    const bool is_given = find(received, name, &got);
    const bool is_there = find(current, name, &has);
    if (is_given == is_there && (!is_given || values_equal(&got, &has)))
        return true;

    char got_text[300] = "";
    char has_text[300] = "";
    if (is_given)
        value_text(&got, got_text, sizeof(got_text));
    if (is_there)
        value_text(&has, has_text, sizeof(has_text));
    if (is_given && is_there)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "inequivalent arg '%s' for %s: received '%s' but current is '%s'", name,
                          subject, got_text, has_text);
    if (is_given)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "inequivalent arg '%s' for %s: received the value '%s' of type '%s' but "
                          "current is none",
                          name, subject, got_text, table_tag_name(got.tag));
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                      "inequivalent arg '%s' for %s: received none but current is the value '%s' "
                      "of type '%s'",
                      name, subject, has_text, table_tag_name(has.tag));
}

/* Without the argument a queue is of the classic type. */
static bool
type_equivalent(struct bytes received, struct bytes current, const char *subject,
                struct amqp_exception *ex)
{
    struct table_field f;
    if (type_of(received) == QUEUE_CLASSIC && type_of(current) == QUEUE_CLASSIC &&
        (!find(received, "x-queue-type", &f) || f.tag == 'S'))
        return true;
    return argument_equivalent(received, current, "x-queue-type", subject, ex);
}

bool
queue_arguments_equivalent(struct bytes received, struct bytes current, struct bytes queue,
                           struct bytes vhost, struct amqp_exception *ex)
{
    char subject[SUBJECT_SIZE];
    subject_of(subject, queue, vhost);
    const unsigned type = 1u << type_of(current);
    for (size_t i = 0; i < ARGUMENT_COUNT; i++)
        if (arguments[i].is_compared && (arguments[i].types & type) != 0 &&
            !argument_equivalent(received, current, arguments[i].name, subject, ex))
            return false;
    return type_equivalent(received, current, subject, ex);
}
