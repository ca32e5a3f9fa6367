/* Routes and how long they are remembered. */

#include "broker/core/route.h"

#include "amqp/table.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core_vhost.h"

static struct route_cache cache;

static int
setup(void **state)
{
    host_setup(state);
    route_cache_init(&cache);
    return 0;
}

static int
teardown(void **state)
{
    route_cache_fini(&cache);
    return host_teardown(state);
}

static const struct route *
find(const char *exchange, const char *key)
{
    struct amqp_exception ex = { 0 };
    const struct route_address address = { .exchange = bytes_of_string(exchange),
                                           .key = bytes_of_string(key) };
    const struct route *r = route_find(&cache, host.vhost, &address, &ex);
    if (r == NULL)
        fail_msg("%s", ex.text);
    return r;
}

/* The names of a route's queues, in alphabetical order and with a space between them. */
static void
assert_queues(const struct route *r, const char *expected)
{
    char text[200] = "";
    for (char name = 'a'; name <= 'z'; name++)
        for (uint32_t i = 0; i < r->queue_count; i++)
            if (bytes_equal(r->queues[i]->name, bytes_of(&name, 1)))
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%c",
                         text[0] == 0 ? "" : " ", name);
    assert_string_equal(text, expected);
}

static void
assert_route(const char *exchange, const char *key, const char *expected)
{
    assert_queues(find(exchange, key), expected);
}

static void
assert_refused(const char *exchange, const char *text)
{
    struct amqp_exception ex = { 0 };
    const struct route_address address = { .exchange = bytes_of_string(exchange) };
    assert_null(route_find(&cache, host.vhost, &address, &ex));
    assert_string_equal(ex.text, text);
}

static void
test_default_exchange(void **state)
{
    (void)state;
    assert_route("", "a", "");
    struct queue *a = declare_queue("a"); /* That there was none is not remembered. */
    const struct route *r = find("", "a");
    assert_queues(r, "a");
    assert_ptr_equal(find("", "a"), r);
    declare_queue("b");
    declare_exchange("x", ROUTER_TOPIC);
    assert_ptr_equal(find("", "a"), r); /* Others do not matter. */
    delete_queue(a);
    assert_route("", "a", "");
    declare_queue("a");
    assert_route("", "a", "a");
}

static void
test_a_route_stands_while_its_exchange_stands_still(void **state)
{
    (void)state;
    declare_exchange("x", ROUTER_TOPIC);
    declare_exchange("other", ROUTER_TOPIC);
    declare_queue("a");
    struct queue *b = declare_queue("b");
    bind_queue("x", "a", "k.*");
    const struct route *r = find("x", "k.1");
    assert_queues(r, "a");
    bind_queue("other", "b", "#");
    declare_queue("c");
    assert_ptr_equal(find("x", "k.1"), r);
    bind_queue("x", "b", "#");
    assert_route("x", "k.1", "a b");
    assert_route("x", "z", "b");
    unbind_queue("x", "a", "k.*");
    assert_route("x", "k.1", "b");
    delete_queue(b);
    assert_route("x", "k.1", "");
    bind_queue("x", "a", "z");
    assert_route("x", "z", "a");
    assert_route("x", "k.1", "");
}

static void
test_an_exchange_of_the_same_name_is_another(void **state)
{
    (void)state;
    declare_queue("a");
    declare_exchange("x", ROUTER_DIRECT);
    bind_queue("x", "a", "k");
    assert_route("x", "k", "a");
    delete_exchange("x");
    assert_refused("x", "NOT_FOUND - no exchange 'x' in vhost '/'");
    declare_exchange("x", ROUTER_DIRECT);
    assert_route("x", "k", "");
    bind_queue("x", "a", "k");
    assert_route("x", "k", "a");
}

/* A route through other exchanges changes with any of them. */
static void
test_exchange_to_exchange(void **state)
{
    (void)state;
    declare_exchange("x", ROUTER_DIRECT);
    declare_exchange("y", ROUTER_FANOUT);
    declare_exchange("z", ROUTER_FANOUT);
    declare_queue("a");
    declare_queue("b");
    bind_queue("x", "a", "k");
    bind_exchange("x", "y", "k");
    assert_route("x", "k", "a");
    bind_queue("y", "b", "");
    assert_route("x", "k", "a b");
    const struct route *r = find("x", "k");
    assert_ptr_equal(find("x", "k"), r);
    unbind_queue("y", "b", "");
    assert_route("x", "k", "a");
    bind_exchange("y", "z", "");
    assert_route("x", "k", "a");
    bind_queue("z", "b", "");
    assert_route("x", "k", "a b");
    delete_exchange("z");
    assert_route("x", "k", "a");
}

static void
declare_with_alternate(const char *name, const char *alternate)
{
    struct buf arguments = { 0 };
    table_put_string(&arguments, "alternate-exchange", bytes_of_string(alternate));
    struct exchange_spec spec = exchange_named(name, ROUTER_DIRECT);
    spec.arguments = buf_bytes(&arguments);
    declare_exchange_as(&spec);
    buf_fini(&arguments);
}

/* The alternate may come, go, and come again. */
static void
test_alternate_exchange(void **state)
{
    (void)state;
    declare_with_alternate("x", "spare");
    declare_queue("a");
    declare_queue("b");
    bind_queue("x", "a", "k");
    assert_route("x", "k", "a");
    assert_route("x", "other", "");
    declare_exchange("spare", ROUTER_FANOUT);
    assert_route("x", "other", "");
    bind_queue("spare", "b", "");
    assert_route("x", "other", "b");
    assert_route("x", "k", "a");
    delete_exchange("spare");
    assert_route("x", "other", "");
    declare_exchange("spare", ROUTER_FANOUT);
    bind_queue("spare", "a", "");
    assert_route("x", "other", "a");
}

static void
test_more_keys(void **state)
{
    (void)state;
    declare_queue("a");
    declare_queue("b");
    declare_queue("c");
    declare_exchange("x", ROUTER_DIRECT);
    bind_queue("x", "a", "1");
    bind_queue("x", "b", "2");
    bind_queue("x", "c", "3");
    const struct bytes more[] = { BYTES_LITERAL("2"), BYTES_LITERAL("b"), BYTES_LITERAL("1") };
    struct amqp_exception ex;
    struct route_address address = { .exchange = BYTES_LITERAL("x"),
                                     .key = BYTES_LITERAL("1"),
                                     .more_keys = more,
                                     .more_key_count = COUNT(more) };
    assert_queues(route_find(&cache, host.vhost, &address, &ex), "a b");
    assert_route("x", "1", "a"); /* The same key without them. */
    assert_queues(route_find(&cache, host.vhost, &address, &ex), "a b");
    address.exchange = BYTES_NONE;
    address.key = BYTES_LITERAL("c");
    assert_queues(route_find(&cache, host.vhost, &address, &ex), "b c");
    assert_route("", "c", "c");
}

static void
test_headers_are_looked_at_each_time(void **state)
{
    (void)state;
    struct buf headers = { 0 };
    struct amqp_exception ex;
    declare_queue("a");
    table_put_string(&headers, "colour", BYTES_LITERAL("red"));
    struct bind_spec spec = binding_of("amq.headers", DESTINATION_QUEUE, "a", "");
    spec.arguments = buf_bytes(&headers);
    bind_as(&spec);
    struct route_address address = { .exchange = BYTES_LITERAL("amq.headers"),
                                     .key = BYTES_LITERAL("k"),
                                     .headers = buf_bytes(&headers) };
    for (int i = 0; i < 3; i++) {
        assert_queues(route_find(&cache, host.vhost, &address, &ex), "a");
        assert_route("amq.headers", "k", "");
    }
    buf_fini(&headers);
}

static void
test_who_may_not_be_published_to(void **state)
{
    (void)state;
    struct exchange_spec spec = exchange_named("inner", ROUTER_FANOUT);
    spec.internal = true;
    declare_exchange_as(&spec);
    assert_refused("nowhere", "NOT_FOUND - no exchange 'nowhere' in vhost '/'");
    assert_refused("inner",
                   "ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'");
    assert_refused("amq.rabbitmq.trace", "ACCESS_REFUSED - cannot publish to internal exchange "
                                         "'amq.rabbitmq.trace' in vhost '/'");
}

/* Those that were given out stay until the release, whatever happens meanwhile. */
static void
test_routes_given_out_stay_valid(void **state)
{
    (void)state;
    declare_exchange("x", ROUTER_DIRECT);
    struct queue *a = declare_queue("a");
    bind_queue("x", "a", "k");
    const struct route *old[3] = { find("x", "k"), find("", "a") };
    delete_queue(a);
    delete_exchange("x");
    declare_queue("a");
    declare_exchange("x", ROUTER_DIRECT);
    assert_route("x", "k", "");
    assert_route("", "a", "a");
    assert_ptr_equal(old[0]->queues[0], a);
    assert_ptr_equal(old[1]->queues[0], a);
    assert_int_equal(queue_add(old[0]->queues[0], 1), APPEND_GONE);
    route_cache_release(&cache);
}

/* More addresses than the cache has slots: all are right, again and again. */
static void
test_many_keys(void **state)
{
    (void)state;
    declare_exchange("x", ROUTER_DIRECT);
    declare_queue("a");
    declare_queue("b");
    char key[16];
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        bind_queue("x", i % 2 == 0 ? "a" : "b", key);
    }
    for (int again = 0; again < 2; again++)
        for (int i = 0; i < 3 * ROUTE_CACHE_SLOTS; i++) {
            snprintf(key, sizeof(key), "%d", i);
            assert_route("x", key, i >= 2000 ? "" : i % 2 == 0 ? "a" : "b");
            if (i % 100 == 0)
                route_cache_release(&cache);
        }
}

#define ROUTE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ROUTE_TEST(test_default_exchange),
        ROUTE_TEST(test_a_route_stands_while_its_exchange_stands_still),
        ROUTE_TEST(test_an_exchange_of_the_same_name_is_another),
        ROUTE_TEST(test_exchange_to_exchange),
        ROUTE_TEST(test_alternate_exchange),
        ROUTE_TEST(test_more_keys),
        ROUTE_TEST(test_headers_are_looked_at_each_time),
        ROUTE_TEST(test_who_may_not_be_published_to),
        ROUTE_TEST(test_routes_given_out_stay_valid),
        ROUTE_TEST(test_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
