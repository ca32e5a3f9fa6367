#include "broker/core/queue_arguments.h"

#include "amqp/table.h"
#include "broker/base/buf.h"
#include "tests/exact.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>

/* Values of fields, as they stand behind the name. */
#define MINUS_ONE "I\xff\xff\xff\xff"
#define ZERO "I\0\0\0\0"
#define ONE "I\0\0\0\1"
#define TWO_OCTETS "B\2"
#define ABC "S\0\0\0\3abc"
#define TRUE "t\1"
#define TEN_YEARS_MS "l\0\0\0\x49\x6c\xeb\xb8\0"
#define TEN_YEARS_AND_1_MS "l\0\0\0\x49\x6c\xeb\xb8\x01"

struct row {
    const char *name;
    struct bytes value; /* Tag and value. */
    const char *reason; /* NULL: accepted. Else what follows the subject. */
};

/* The table of RabbitMQ's checks for classic queues, with its texts. */
static const struct row rows[] = {
    { "x-message-ttl", OCTETS(ZERO), NULL },
    { "x-message-ttl", OCTETS(TEN_YEARS_MS), NULL },
    { "x-message-ttl", OCTETS(TEN_YEARS_AND_1_MS), "{value_too_large,315360000001}" },
    { "x-message-ttl", OCTETS(MINUS_ONE), "{value_negative,-1}" },
    { "x-message-ttl", OCTETS(ABC), "\"expected integer, got longstr\"" },
    { "x-expires", OCTETS(ONE), NULL },
    { "x-expires", OCTETS(ZERO), "{value_zero,0}" },
    { "x-expires", OCTETS("I\xff\xff\xff\xfb"), "{value_negative,-5}" },
    { "x-expires", OCTETS(TEN_YEARS_AND_1_MS), "{value_too_large,315360000001}" },
    { "x-expires", OCTETS(TRUE), "\"expected integer, got bool\"" },
    { "x-max-length", OCTETS(ZERO), NULL },
    { "x-max-length", OCTETS(TWO_OCTETS), NULL },
    { "x-max-length", OCTETS("b\xff"), "{value_negative,-1}" },
    { "x-max-length", OCTETS("s\0\1"), NULL },
    { "x-max-length", OCTETS("u\0\1"), NULL },
    { "x-max-length", OCTETS("i\xff\xff\xff\xff"), NULL },
    { "x-max-length", OCTETS("l\x7f\xff\xff\xff\xff\xff\xff\xff"), NULL },
    { "x-max-length", OCTETS("T\0\0\0\0\0\0\0\1"), "\"expected integer, got timestamp\"" },
    { "x-max-length", OCTETS("d\0\0\0\0\0\0\0\0"), "\"expected integer, got double\"" },
    { "x-max-length", OCTETS("f\0\0\0\0"), "\"expected integer, got float\"" },
    { "x-max-length", OCTETS("V"), "\"expected integer, got void\"" },
    { "x-max-length", OCTETS("A\0\0\0\0"), "\"expected integer, got array\"" },
    { "x-max-length", OCTETS("F\0\0\0\0"), "\"expected integer, got table\"" },
    { "x-max-length", OCTETS("D\0\0\0\0\0"), "\"expected integer, got decimal\"" },
    { "x-max-length", OCTETS("x\0\0\0\0"), "\"expected integer, got binary\"" },
    { "x-max-length-bytes", OCTETS(ZERO), NULL },
    { "x-max-length-bytes", OCTETS(MINUS_ONE), "{value_negative,-1}" },
    { "x-max-priority", OCTETS(ZERO), NULL },
    { "x-max-priority", OCTETS("B\xff"), NULL },
    { "x-max-priority", OCTETS("I\0\0\1\0"), "{max_value_exceeded,256}" },
    { "x-max-priority", OCTETS(MINUS_ONE), "{value_negative,-1}" },
    { "x-max-priority", OCTETS(ABC), "\"expected integer, got longstr\"" },
    { "x-overflow",
      OCTETS("S\0\0\0\x09"
             "drop-head"),
      NULL },
    { "x-overflow",
      OCTETS("S\0\0\0\x0e"
             "reject-publish"),
      NULL },
    { "x-overflow",
      OCTETS("S\0\0\0\x12"
             "reject-publish-dlx"),
      NULL },
    { "x-overflow", OCTETS(ABC), "invalid_overflow" },
    { "x-overflow", OCTETS(ONE), "{unacceptable_type,signedint}" },
    { "x-single-active-consumer", OCTETS(TRUE), NULL },
    { "x-single-active-consumer", OCTETS(ABC), "{unacceptable_type,longstr}" },
    { "x-dead-letter-exchange", OCTETS(ABC), NULL },
    { "x-dead-letter-exchange", OCTETS("S\0\0\0\0"), NULL },
    { "x-dead-letter-routing-key", OCTETS(ABC), "routing_key_but_no_dlx_defined" },
    { "x-dead-letter-routing-key", OCTETS(ONE), "{unacceptable_type,signedint}" },
    { "x-queue-mode",
      OCTETS("S\0\0\0\7"
             "default"),
      NULL },
    { "x-queue-mode",
      OCTETS("S\0\0\0\4"
             "lazy"),
      NULL },
    { "x-queue-mode", OCTETS("S\0\0\0\3foo"), "\"unsupported queue mode 'foo'\"" },
    { "x-queue-version", OCTETS(ONE), NULL },
    { "x-queue-version", OCTETS(TWO_OCTETS), NULL },
    { "x-queue-version", OCTETS("I\0\0\0\3"), "\"unsupported queue version '3'\"" },
    { "x-queue-version", OCTETS(MINUS_ONE), "\"unsupported queue version '-1'\"" },
    { "x-queue-type",
      OCTETS("S\0\0\0\7"
             "classic"),
      NULL },
    { "x-queue-type", OCTETS("S\0\0\0\3foo"), "\"unsupported queue type 'foo'\"" },
    { "x-queue-type", OCTETS(ONE), "{unacceptable_type,signedint}" },
    { "x-unknown", OCTETS(MINUS_ONE), NULL },
    { "x-consumer-timeout", OCTETS(ABC), NULL },
};

static void
put(struct buf *table, const char *name, struct bytes value)
{
    const uint8_t size = (uint8_t)strlen(name);
    buf_append(table, &size, 1);
    buf_append(table, name, size);
    buf_append_bytes(table, value);
}

static bool
parse(const struct buf *table, struct queue_arguments *out, struct amqp_exception *ex)
{
    struct exact octets = exact_copy(buf_bytes(table));
    *ex = (struct amqp_exception){ 0 };
    const bool ok =
        queue_arguments_parse(octets.bytes, BYTES_LITERAL("q"), BYTES_LITERAL("/"), out, ex);
    exact_free(&octets);
    return ok;
}

static void
test_each_argument_is_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf table = { 0 };
        struct queue_arguments out;
        struct amqp_exception ex;
        char expected[300];
        put(&table, rows[i].name, rows[i].value);
        const bool ok = parse(&table, &out, &ex);
        if (ok != (rows[i].reason == NULL))
            fail_msg("row %zu, %s: %s", i, rows[i].name, ok ? "accepted" : ex.text);
        if (rows[i].reason != NULL) {
            snprintf(expected, sizeof(expected),
                     "PRECONDITION_FAILED - invalid arg '%s' for queue 'q' in vhost '/': %s",
                     rows[i].name, rows[i].reason);
            assert_string_equal(ex.text, expected);
            assert_int_equal(ex.code, AMQP_PRECONDITION_FAILED);
        }
        buf_fini(&table);
    }
}

static void
test_dead_letter_exchange_has_a_form_of_its_own(void **state)
{
    (void)state;
    struct buf table = { 0 };
    struct queue_arguments out;
    struct amqp_exception ex;
    put(&table, "x-max-length", (struct bytes)OCTETS(MINUS_ONE)); /* Looked at later. */
    put(&table, "x-dead-letter-exchange", (struct bytes)OCTETS(ONE));
    assert_false(parse(&table, &out, &ex));
    assert_string_equal(ex.text, "PRECONDITION_FAILED - invalid type 'signedint' for arg "
                                 "'x-dead-letter-exchange' in queue 'q' in vhost '/'");
    buf_fini(&table);
    put(&table, "x-dead-letter-exchange", (struct bytes)OCTETS(ABC));
    put(&table, "x-dead-letter-routing-key", (struct bytes)OCTETS(ABC));
    assert_true(parse(&table, &out, &ex));
    buf_fini(&table);
}

static void
test_meaning(void **state)
{
    (void)state;
    struct buf table = { 0 };
    struct queue_arguments out;
    struct amqp_exception ex;
    assert_true(parse(&table, &out, &ex));
    assert_true(out.max_length == UINT64_MAX && out.max_length_bytes == UINT64_MAX);
    assert_int_equal(out.overflow, OVERFLOW_DROP_HEAD);
    assert_int_equal(out.max_priority, 0);
    assert_false(out.single_active_consumer);

    put(&table, "x-max-length", (struct bytes)OCTETS("s\1\0"));
    put(&table, "x-max-length-bytes", (struct bytes)OCTETS(ZERO));
    put(&table, "x-max-priority", (struct bytes)OCTETS("B\xff"));
    put(&table, "x-overflow",
        (struct bytes)OCTETS("S\0\0\0\x0e"
                             "reject-publish"));
    put(&table, "x-single-active-consumer", (struct bytes)OCTETS(TRUE));
    assert_true(parse(&table, &out, &ex));
    assert_int_equal(out.max_length, 256);
    assert_int_equal(out.max_length_bytes, 0);
    assert_int_equal(out.max_priority, 255);
    assert_int_equal(out.overflow, OVERFLOW_REJECT_PUBLISH);
    assert_true(out.single_active_consumer);
    buf_fini(&table);
}

/* A queue declared again: what must be equal, and how it is said if it is not. */
static const struct {
    const char *name;
    struct bytes received; /* Empty: not given. */
    struct bytes current;
    const char *difference; /* NULL: equivalent. */
} repeats[] = {
    { "x-max-length", OCTETS(ONE), OCTETS(ONE), NULL },
    { "x-max-length", OCTETS("l\0\0\0\0\0\0\0\1"), OCTETS("B\1"), NULL },
    { "x-max-length", OCTETS("B\x0b"), OCTETS("I\0\0\0\x0a"), "received '11' but current is '10'" },
    { "x-max-length", OCTETS("I\0\0\0\5"), OCTETS(""),
      "received the value '5' of type 'signedint' but current is none" },
    { "x-dead-letter-exchange", OCTETS(""), OCTETS("S\0\0\0\2dx"),
      "received none but current is the value 'dx' of type 'longstr'" },
    { "x-dead-letter-exchange", OCTETS("S\0\0\0\1a"), OCTETS("S\0\0\0\1b"),
      "received 'a' but current is 'b'" },
    { "x-single-active-consumer", OCTETS("t\1"), OCTETS("t\0"),
      "received 'true' but current is 'false'" },
    { "x-expires", OCTETS(ONE), OCTETS("I\0\0\0\2"), "received '1' but current is '2'" },
    { "x-message-ttl", OCTETS(ONE), OCTETS("I\0\0\0\2"), "received '1' but current is '2'" },
    { "x-dead-letter-routing-key", OCTETS(ABC), OCTETS("S\0\0\0\0"),
      "received 'abc' but current is ''" },
    { "x-max-length-bytes", OCTETS(ONE), OCTETS("I\0\0\0\2"), "received '1' but current is '2'" },
    { "x-max-priority", OCTETS(ONE), OCTETS("I\0\0\0\2"), "received '1' but current is '2'" },
    { "x-overflow", OCTETS(ABC), OCTETS("S\0\0\0\1b"), "received 'abc' but current is 'b'" },
    { "x-queue-mode", OCTETS(ABC), OCTETS("S\0\0\0\1b"), "received 'abc' but current is 'b'" },
    { "x-queue-version", OCTETS(ONE), OCTETS("I\0\0\0\2"), "received '1' but current is '2'" },
    { "x-queue-type", OCTETS(""),
      OCTETS("S\0\0\0\7"
             "classic"),
      NULL },
    { "x-queue-type",
      OCTETS("S\0\0\0\7"
             "classic"),
      OCTETS(""), NULL },
    { "x-unknown", OCTETS(ONE), OCTETS(ABC), NULL },
    { "x-consumer-timeout", OCTETS(ONE), OCTETS(""), NULL },
};

static void
test_equivalence(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(repeats); i++) {
        struct buf received = { 0 };
        struct buf current = { 0 };
        struct amqp_exception ex = { 0 };
        char expected[300];
        if (repeats[i].received.size > 0)
            put(&received, repeats[i].name, repeats[i].received);
        if (repeats[i].current.size > 0)
            put(&current, repeats[i].name, repeats[i].current);
        const bool ok = queue_arguments_equivalent(buf_bytes(&received), buf_bytes(&current),
                                                   BYTES_LITERAL("q"), BYTES_LITERAL("v"), &ex);
        if (ok != (repeats[i].difference == NULL))
            fail_msg("row %zu, %s: %s", i, repeats[i].name, ok ? "accepted" : ex.text);
        snprintf(expected, sizeof(expected),
                 "PRECONDITION_FAILED - inequivalent arg '%s' for queue 'q' in vhost 'v': %s",
                 repeats[i].name, ok ? "" : repeats[i].difference);
        if (!ok)
            assert_string_equal(ex.text, expected);
        buf_fini(&received);
        buf_fini(&current);
    }
}

/* Of several differences RabbitMQ names the first in its own order. */
static void
test_the_first_difference_is_named(void **state)
{
    (void)state;
    struct buf received = { 0 };
    struct amqp_exception ex;
    put(&received, "x-overflow", (struct bytes)OCTETS(ABC));
    put(&received, "x-max-priority", (struct bytes)OCTETS(ONE));
    put(&received, "x-message-ttl", (struct bytes)OCTETS(ONE));
    assert_false(queue_arguments_equivalent(buf_bytes(&received), BYTES_NONE, BYTES_LITERAL("q"),
                                            BYTES_LITERAL("/"), &ex));
    assert_non_null(strstr(ex.text, "'x-message-ttl'"));
    buf_fini(&received);
}

static void
put_number(struct buf *table, const char *name, int64_t value)
{
    if (value >= 0)
        table_put_integer(table, name, value);
}

/* Any three limits, each of which may be absent: which counts, and whose it is. */
static void
test_whose_the_least_is(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 4 * 4 * 4; n++) {
        const int64_t limits[] = { n % 4 - 1, n / 4 % 4 - 1, n / 16 - 1 };
        struct buf tables[3] = { { 0 }, { 0 }, { 0 } };
        struct queue_arguments a;
        struct amqp_exception ex;
        struct bytes text;
        int64_t least = -1;
        int64_t value;
        uint8_t source = RULE_OF_NOBODY;
        for (size_t i = 0; i < 3; i++) {
            put_number(&tables[i], i == 0 ? "x-max-length" : "max-length", limits[i]);
            if (limits[i] >= 0 && (least < 0 || limits[i] < least)) {
                least = limits[i];
                source = (uint8_t)(RULE_OF_ARGUMENT + i);
            }
        }
        assert_true(parse(&tables[0], &a, &ex));
        queue_arguments_add_policy(&a, buf_bytes(&tables[1]), buf_bytes(&tables[2]));
        assert_int_equal(a.max_length, least < 0 ? UINT64_MAX : (uint64_t)least);
        for (size_t rule = 0; rule < QUEUE_RULES; rule++)
            assert_int_equal(a.sources[rule], rule == RULE_MAX_LENGTH ? source : RULE_OF_NOBODY);
        queue_rule_value(&a, RULE_MAX_LENGTH, &value, &text);
        assert_int_equal(value, least);
        for (size_t i = 0; i < 3; i++)
            buf_fini(&tables[i]);
    }
}

/* Of texts the argument counts, but for the overflow and the strategy of quorum queues. */
static void
test_whose_texts_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const bool is_quorum = i == 1;
        struct buf own = { 0 };
        struct buf policy = { 0 };
        struct queue_arguments a;
        struct amqp_exception ex;
        struct bytes text;
        int64_t number;
        table_put_string(&own, "x-dead-letter-exchange", BYTES_LITERAL("mine"));
        table_put_string(&own, "x-overflow", BYTES_LITERAL("reject-publish"));
        if (is_quorum)
            table_put_string(&own, "x-queue-type", BYTES_LITERAL("quorum"));
        table_put_string(&policy, "dead-letter-exchange", BYTES_LITERAL("theirs"));
        table_put_string(&policy, "dead-letter-routing-key", BYTES_LITERAL("k"));
        table_put_string(&policy, "dead-letter-strategy", BYTES_LITERAL("at-least-once"));
        table_put_string(&policy, "overflow", BYTES_LITERAL("drop-head"));
        assert_true(parse(&own, &a, &ex));
        queue_arguments_add_policy(&a, buf_bytes(&policy), BYTES_NONE);
        assert_int_equal(a.sources[RULE_DEAD_LETTER_EXCHANGE], RULE_OF_ARGUMENT);
        assert_int_equal(a.sources[RULE_DEAD_LETTER_KEY], RULE_OF_POLICY);
        assert_int_equal(a.sources[RULE_DEAD_LETTER_STRATEGY], RULE_OF_POLICY);
        assert_int_equal(a.sources[RULE_OVERFLOW], is_quorum ? RULE_OF_POLICY : RULE_OF_ARGUMENT);
        const char *const wanted[] = { is_quorum ? "drop-head" : "reject-publish", "k",
                                       "at-least-once" };
        const enum queue_rule rules[] = { RULE_OVERFLOW, RULE_DEAD_LETTER_KEY,
                                          RULE_DEAD_LETTER_STRATEGY };
        for (size_t n = 0; n < COUNT(rules); n++) {
            queue_rule_value(&a, rules[n], &number, &text);
            assert_true(bytes_equal(text, bytes_of_string(wanted[n])));
        }
        buf_fini(&own);
        buf_fini(&policy);
    }
}

static void
test_rules_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < QUEUE_RULES; i++)
        assert_int_equal(queue_rule_find(bytes_of_string(queue_rule_name((enum queue_rule)i))), i);
    assert_int_equal(queue_rule_find(BYTES_LITERAL("x-max-priority")), QUEUE_RULES);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_argument_is_checked),
        cmocka_unit_test(test_dead_letter_exchange_has_a_form_of_its_own),
        cmocka_unit_test(test_meaning),
        cmocka_unit_test(test_equivalence),
        cmocka_unit_test(test_the_first_difference_is_named),
        cmocka_unit_test(test_whose_the_least_is),
        cmocka_unit_test(test_whose_texts_are),
        cmocka_unit_test(test_rules_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
