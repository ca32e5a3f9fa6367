#include "broker/core/queue_arguments.h"

#include "amqp/table.h"

#include <inttypes.h>
#include <stdio.h>

#define DURATION_MAX_MS INT64_C(315360000000) /* Ten years. */
#define SUBJECT_SIZE 600

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
    bool is_compared;
};

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

static const char *const overflow_words[] = { "drop-head", "reject-publish", "reject-publish-dlx",
                                              NULL };
static const char *const mode_words[] = { "default", "lazy", NULL };
static const char *const type_words[] = { "classic", NULL };

/* In RabbitMQ's order of comparison. The dead-letter exchange has its own form of error. */
static const struct argument arguments[] = {
    { "x-expires", check_integer, 1, DURATION_MAX_MS, NULL, NULL, true },
    { "x-message-ttl", check_integer, 0, DURATION_MAX_MS, NULL, NULL, true },
    { "x-dead-letter-exchange", NULL, 0, 0, NULL, NULL, true },
    { "x-dead-letter-routing-key", check_string, 0, 0, NULL, NULL, true },
    { "x-max-length", check_integer, 0, INT64_MAX, NULL, NULL, true },
    { "x-max-length-bytes", check_integer, 0, INT64_MAX, NULL, NULL, true },
    { "x-max-priority", check_integer, 0, 255, NULL, NULL, true },
    { "x-overflow", check_string, 0, 0, overflow_words, "invalid_overflow", true },
    { "x-queue-mode", check_string, 0, 0, mode_words, "unsupported", true },
    { "x-queue-version", check_version, 1, 2, NULL, NULL, true },
    { "x-single-active-consumer", check_bool, 0, 0, NULL, NULL, true },
    { "x-queue-type", check_string, 0, 0, type_words, "unsupported", false },
    { "x-queue-master-locator", check_string, 0, 0, NULL, NULL, true },
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
arguments_check(struct bytes table, const char *subject, struct amqp_exception *ex)
{
    if (!dead_letter_check(table, subject, ex))
        return false;
    for (size_t i = 0; i < ARGUMENT_COUNT; i++) {
        const struct argument *a = &arguments[i];
        struct table_field f;
        char reason[320];
        if (a->check == NULL || !find(table, a->name, &f))
            continue;
        if (!a->check(a, &f, reason, sizeof(reason)))
            return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "invalid arg '%s' for %s: %s", a->name,
                              subject, reason);
    }
    return true;
}

static uint64_t
integer_or(struct bytes table, const char *name, uint64_t fallback)
{
    struct table_field f;
    int64_t value;
    if (!find(table, name, &f) || !table_field_integer(&f, &value))
        return fallback;
    return (uint64_t)value;
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
    *out = (struct queue_arguments){
        .max_length = integer_or(table, "x-max-length", UINT64_MAX),
        .max_length_bytes = integer_or(table, "x-max-length-bytes", UINT64_MAX),
        .max_priority = (uint8_t)integer_or(table, "x-max-priority", 0),
    };
    if (find(table, "x-overflow", &f) && !bytes_equal(f.value, BYTES_LITERAL("drop-head")))
        out->overflow = OVERFLOW_REJECT_PUBLISH;
    if (find(table, "x-single-active-consumer", &f))
        table_field_bool(&f, &out->single_active_consumer);
    return true;
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

bool
queue_arguments_equivalent(struct bytes received, struct bytes current, struct bytes queue,
                           struct bytes vhost, struct amqp_exception *ex)
{
    char subject[SUBJECT_SIZE];
    subject_of(subject, queue, vhost);
    for (size_t i = 0; i < ARGUMENT_COUNT; i++)
        if (arguments[i].is_compared &&
            !argument_equivalent(received, current, arguments[i].name, subject, ex))
            return false;
    return true;
}
