/* What declaring, binding and deleting do, and how they are refused. */

#include "broker/core/vhost.h"

#include "amqp/table.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core_vhost.h"

#define LOCKED                                                                                     \
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could " \
    "be originally declared on another connection or the exclusive property value does not match " \
    "that of the original declaration."

static struct amqp_exception ex;
static uint64_t ticket;
static bool created;

static struct queue *
try_declare(const struct queue_spec *spec, uint64_t connection)
{
    struct queue *q = NULL;
    ex = (struct amqp_exception){ 0 };
    if (!vhost_declare_queue(host.vhost, spec, connection, &q, &created, &ticket, &ex))
        return NULL;
    queue_unref(q);
    return q;
}

static void
test_predeclared_exchanges(void **state)
{
    (void)state;
    static const char *const names[] = { "amq.direct",  "amq.fanout", "amq.topic",
                                         "amq.headers", "amq.match",  "amq.rabbitmq.trace" };
    for (size_t i = 0; i < COUNT(names); i++)
        assert_true(has_exchange(names[i]));
    assert_false(has_exchange(""));
    assert_false(has_exchange("amq"));
    struct exchange_spec spec = exchange_named("amq.topic", ROUTER_TOPIC);
    spec.durable = true;
    declare_exchange_as(&spec); /* Equal to what is there. */
}

static void
test_exchange_differences(void **state)
{
    (void)state;
    struct buf alternate = { 0 };
    table_put_string(&alternate, "alternate-exchange", BYTES_LITERAL("spare"));
    declare_exchange("x", ROUTER_DIRECT);
    const struct exchange_spec equal = exchange_named("x", ROUTER_DIRECT);
    declare_exchange_as(&equal);
    struct exchange_spec specs[6];
    for (size_t i = 0; i < COUNT(specs); i++)
        specs[i] = equal;
    specs[0].type = ROUTER_TOPIC;
    specs[1].durable = true;
    specs[2].auto_delete = true;
    specs[3].internal = true;
    specs[4].arguments = buf_bytes(&alternate);
    specs[5].name = BYTES_LITERAL("amq.mine");
    static const char *const texts[] = {
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received "
        "'topic' but current is 'direct'",
        "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'x' in vhost '/': received "
        "'true' but current is 'false'",
        "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for exchange 'x' in vhost '/': "
        "received 'true' but current is 'false'",
        "PRECONDITION_FAILED - inequivalent arg 'internal' for exchange 'x' in vhost '/': received "
        "'true' but current is 'false'",
        "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'x' in vhost "
        "'/': received the value 'spare' of type 'longstr' but current is none",
        "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
    };
    for (size_t i = 0; i < COUNT(specs); i++) {
        assert_false(vhost_declare_exchange(host.vhost, &specs[i], &ticket, &ex));
        assert_string_equal(ex.text, texts[i]);
    }
    buf_fini(&alternate);
}

static void
test_queue_differences(void **state)
{
    (void)state;
    struct buf arguments = { 0 };
    table_put_bool(&arguments, "x-single-active-consumer", true);
    struct queue_spec spec = spec_named("q");
    struct queue *q = try_declare(&spec, 1);
    assert_non_null(q);
    assert_true(created);
    assert_ptr_equal(try_declare(&spec, 2), q);
    assert_false(created);
    spec.durable = true;
    assert_null(try_declare(&spec, 1));
    assert_string_equal(ex.text, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' "
                                 "in vhost '/': received 'true' but current is 'false'");
    spec = spec_named("q");
    spec.auto_delete = true;
    assert_null(try_declare(&spec, 1));
    assert_string_equal(ex.text, "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue "
                                 "'q' in vhost '/': received 'true' but current is 'false'");
    spec = spec_named("q");
    spec.arguments = buf_bytes(&arguments);
    assert_null(try_declare(&spec, 1));
    assert_string_equal(ex.text,
                        "PRECONDITION_FAILED - inequivalent arg 'x-single-active-consumer' for "
                        "queue 'q' in vhost '/': received the value 'true' of type 'bool' but "
                        "current is none");
    spec.owner = 1; /* Looked at first. */
    assert_null(try_declare(&spec, 1));
    assert_string_equal(ex.text, LOCKED);
    buf_fini(&arguments);
}

static void
test_exclusive_queue(void **state)
{
    (void)state;
    struct queue_spec spec = spec_named("q");
    spec.owner = 7;
    struct queue *q = try_declare(&spec, 7);
    assert_non_null(q);
    assert_ptr_equal(try_declare(&spec, 7), q);
    struct queue *used = vhost_use_queue(host.vhost, BYTES_LITERAL("q"), 7, &ex);
    assert_ptr_equal(used, q);
    queue_unref(used);
    assert_null(vhost_use_queue(host.vhost, BYTES_LITERAL("q"), 8, &ex));
    assert_string_equal(ex.text, LOCKED);
    spec.owner = 8;
    assert_null(try_declare(&spec, 8));
    assert_string_equal(ex.text, LOCKED);
    spec.owner = 0;
    assert_null(try_declare(&spec, 7));
    assert_string_equal(ex.text, LOCKED);

    const struct bind_spec binding = binding_of("amq.fanout", DESTINATION_QUEUE, "q", "");
    assert_false(vhost_bind(host.vhost, &binding, 8, &ticket, &ex));
    assert_string_equal(ex.text, LOCKED);
    assert_true(vhost_unbind(host.vhost, &binding, 8, &ticket, &ex)); /* There is none. */
    assert_true(vhost_bind(host.vhost, &binding, 7, &ticket, &ex));
    assert_false(vhost_unbind(host.vhost, &binding, 8, &ticket, &ex));
    assert_string_equal(ex.text, LOCKED);
    assert_true(vhost_unbind(host.vhost, &binding, 7, &ticket, &ex));
}

static void
test_bad_arguments_make_no_queue(void **state)
{
    (void)state;
    struct buf arguments = { 0 };
    table_put_string(&arguments, "x-overflow", BYTES_LITERAL("up"));
    struct queue_spec spec = spec_named("q");
    spec.arguments = buf_bytes(&arguments);
    assert_null(try_declare(&spec, 1));
    assert_string_equal(ex.text, "PRECONDITION_FAILED - invalid arg 'x-overflow' for queue 'q' in "
                                 "vhost '/': invalid_overflow");
    assert_false(has_queue("q"));
    buf_fini(&arguments);
}

static void
test_what_is_absent(void **state)
{
    (void)state;
    declare_exchange("x", ROUTER_DIRECT);
    declare_queue("q");
    static const struct {
        const char *source;
        enum destination_kind kind;
        const char *destination;
        const char *text;
    } rows[] = {
        { "x", DESTINATION_QUEUE, "no", "NOT_FOUND - no queue 'no' in vhost '/'" },
        { "no", DESTINATION_QUEUE, "q", "NOT_FOUND - no exchange 'no' in vhost '/'" },
        { "x", DESTINATION_EXCHANGE, "no", "NOT_FOUND - no exchange 'no' in vhost '/'" },
        { "no", DESTINATION_EXCHANGE, "x", "NOT_FOUND - no exchange 'no' in vhost '/'" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct bind_spec spec =
            binding_of(rows[i].source, rows[i].kind, rows[i].destination, "");
        assert_false(vhost_bind(host.vhost, &spec, 1, &ticket, &ex));
        assert_string_equal(ex.text, rows[i].text);
        assert_true(vhost_unbind(host.vhost, &spec, 1, &ticket, &ex));
        assert_int_equal(ticket, 0);
    }
    assert_null(vhost_use_queue(host.vhost, BYTES_LITERAL("no"), 1, &ex));
    assert_string_equal(ex.text, "NOT_FOUND - no queue 'no' in vhost '/'");
    assert_false(vhost_check_exchange(host.vhost, BYTES_LITERAL("no"), &ex));
    assert_string_equal(ex.text, "NOT_FOUND - no exchange 'no' in vhost '/'");
    assert_true(vhost_delete_exchange(host.vhost, BYTES_LITERAL("no"), true, &ticket, &ex));
}

static void
test_headers_bindings_are_checked(void **state)
{
    (void)state;
    struct buf arguments = { 0 };
    declare_queue("q");
    struct bind_spec spec = binding_of("amq.headers", DESTINATION_QUEUE, "q", "");
    table_put_string(&arguments, "x-match", BYTES_LITERAL("foo"));
    spec.arguments = buf_bytes(&arguments);
    assert_false(vhost_bind(host.vhost, &spec, 1, &ticket, &ex));
    assert_string_equal(ex.text, "PRECONDITION_FAILED - Invalid x-match field value <<\"foo\">>; "
                                 "expected all, any, all-with-x, or any-with-x");
    spec.arguments = BYTES_LITERAL("\7x-matchI\0\0\0\1");
    assert_false(vhost_bind(host.vhost, &spec, 1, &ticket, &ex));
    assert_string_equal(ex.text, "PRECONDITION_FAILED - Invalid x-match field type signedint "
                                 "(value 1); expected longstr");
    buf_fini(&arguments);
}

static void
test_conditions_of_deletion(void **state)
{
    (void)state;
    size_t ready;
    declare_exchange("x", ROUTER_FANOUT);
    struct queue *q = declare_queue("q");
    bind_queue("x", "q", "");
    assert_false(vhost_delete_exchange(host.vhost, BYTES_LITERAL("x"), true, &ticket, &ex));
    assert_string_equal(ex.text, "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use");
    queue_add_run(q, 1, 3);
    queue_ref(q);
    assert_false(vhost_delete_queue(host.vhost, q, true, true, &ready, &ticket, &ex));
    assert_string_equal(ex.text, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty");
    assert_true(has_queue("q"));
    assert_true(vhost_delete_queue(host.vhost, q, true, false, &ready, &ticket, &ex));
    assert_int_equal(ready, 3);
    assert_true(vhost_delete_queue(host.vhost, q, true, true, &ready, &ticket, &ex)); /* Gone. */
    assert_int_equal(ready, 0);
    assert_false(has_queue("q"));
    assert_true(vhost_delete_exchange(host.vhost, BYTES_LITERAL("x"), true, &ticket, &ex));
    assert_false(has_exchange("x"));
    /* The name belongs to another queue now; the old one's end leaves it alone. */
    declare_queue("q");
    assert_true(vhost_delete_queue(host.vhost, q, false, false, &ready, &ticket, &ex));
    assert_true(has_queue("q"));
    queue_unref(q);
}

static void
test_auto_delete_waits_for_its_first_binding(void **state)
{
    (void)state;
    declare_auto_delete("x");
    declare_exchange("source", ROUTER_FANOUT);
    declare_queue("q");
    bind_exchange("source", "x", "");
    const struct bind_spec to_it = binding_of("source", DESTINATION_EXCHANGE, "x", "");
    unbind_as(&to_it); /* Bindings to it do not count. */
    unbind_queue("x", "q", "never there");
    assert_true(has_exchange("x"));
    bind_queue("x", "q", "1");
    bind_queue("x", "q", "2");
    unbind_queue("x", "q", "1");
    assert_true(has_exchange("x"));
    unbind_queue("x", "q", "2");
    assert_false(has_exchange("x"));
}

/* One deletion takes a whole chain along: a -> b -> c -> q. */
static void
test_auto_delete_cascades(void **state)
{
    (void)state;
    declare_auto_delete("a");
    declare_auto_delete("b");
    declare_auto_delete("c");
    declare_auto_delete("other");
    declare_exchange("stays", ROUTER_FANOUT);
    struct queue *q = declare_queue("q");
    declare_queue("p");
    bind_queue("c", "q", "");
    bind_exchange("b", "c", "");
    bind_exchange("a", "b", "");
    bind_exchange("stays", "a", "");
    bind_queue("other", "q", "");
    bind_queue("other", "p", "");
    delete_queue(q);
    assert_false(has_exchange("a") || has_exchange("b") || has_exchange("c"));
    assert_true(has_exchange("stays"));
    assert_true(has_exchange("other"));
    assert_true(vhost_delete_exchange(host.vhost, BYTES_LITERAL("stays"), true, &ticket, &ex));
    delete_exchange("other");
}

/* A ring of exchanges that keep each other, and one that leads to itself. */
static void
test_auto_delete_in_circles(void **state)
{
    (void)state;
    declare_auto_delete("a");
    declare_auto_delete("b");
    declare_auto_delete("self");
    bind_exchange("a", "b", "");
    bind_exchange("b", "a", "");
    bind_exchange("self", "self", "");
    const struct bind_spec spec = binding_of("a", DESTINATION_EXCHANGE, "b", "");
    unbind_as(&spec);
    assert_false(has_exchange("a") || has_exchange("b"));
    delete_exchange("self");
    assert_false(has_exchange("self"));
}

static void
test_bindings_are_told_apart_by_arguments(void **state)
{
    (void)state;
    declare_auto_delete("x");
    declare_queue("q");
    struct bind_spec one = binding_of("x", DESTINATION_QUEUE, "q", "");
    struct bind_spec two = one;
    struct bind_spec two_again = one;
    two.arguments = BYTES_LITERAL("\1at\1\1bt\0");
    two_again.arguments = BYTES_LITERAL("\1bt\0\1at\1"); /* Order does not matter. */
    bind_as(&one);
    bind_as(&two);
    bind_as(&two_again);
    unbind_as(&one);
    assert_true(has_exchange("x"));
    unbind_as(&two_again);
    assert_false(has_exchange("x")); /* That was the last. */
}

#define VHOST_TEST(function) cmocka_unit_test_setup_teardown(function, host_setup, host_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        VHOST_TEST(test_predeclared_exchanges),
        VHOST_TEST(test_exchange_differences),
        VHOST_TEST(test_queue_differences),
        VHOST_TEST(test_exclusive_queue),
        VHOST_TEST(test_bad_arguments_make_no_queue),
        VHOST_TEST(test_what_is_absent),
        VHOST_TEST(test_headers_bindings_are_checked),
        VHOST_TEST(test_conditions_of_deletion),
        VHOST_TEST(test_auto_delete_waits_for_its_first_binding),
        VHOST_TEST(test_auto_delete_cascades),
        VHOST_TEST(test_auto_delete_in_circles),
        VHOST_TEST(test_bindings_are_told_apart_by_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
