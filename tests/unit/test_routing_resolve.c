#include "test_routing.h"

#include <pthread.h>

/* Some exchanges and queues, with their alternates. */
struct world {
    struct router exchanges[6];
    struct router *alternates[6];
    struct destination queues[4];
    struct route_set routes;
    size_t alternates_asked;
};

static void
world_init(struct world *w, enum router_type type)
{
    *w = (struct world){ 0 };
    for (size_t i = 0; i < COUNT(w->exchanges); i++)
        router_init(&w->exchanges[i], type);
    for (size_t i = 0; i < COUNT(w->queues); i++)
        destination_init(&w->queues[i], DESTINATION_QUEUE);
    route_set_init(&w->routes);
}

static void
world_fini(struct world *w)
{
    for (size_t i = 0; i < COUNT(w->exchanges); i++)
        router_fini(&w->exchanges[i]);
    for (size_t i = 0; i < COUNT(w->queues); i++)
        assert_true(list_is_empty(&w->queues[i].bindings));
    route_set_fini(&w->routes);
}

static void
bind_exchange(struct world *w, size_t from, const char *key, size_t to)
{
    bind_key(&w->exchanges[from], &w->exchanges[to].destination, key);
}

static void
bind_queue(struct world *w, size_t from, const char *key, size_t to)
{
    bind_key(&w->exchanges[from], &w->queues[to], key);
}

static struct router *
world_alternate(void *context, const struct router *r)
{
    struct world *w = context;
    w->alternates_asked++;
    return w->alternates[r - w->exchanges];
}

static struct route_trace
resolve_query(struct world *w, size_t start, const struct route_query *query)
{
    const struct route_context context = { world_alternate, w };
    route_set_clear(&w->routes);
    w->alternates_asked = 0;
    return router_resolve(&w->exchanges[start], query, &context, &w->routes);
}

static struct route_trace
resolve(struct world *w, size_t start, const char *key)
{
    const struct route_query query = { .key = bytes_of_string(key) };
    return resolve_query(w, start, &query);
}

/* Which queues, as digits: "02". */
static void
expect_queues(const struct world *w, const char *digits)
{
    assert_int_equal(w->routes.count, strlen(digits));
    for (; *digits != 0; digits++)
        assert_true(route_set_has(&w->routes, &w->queues[*digits - '0']));
}

static void
test_direct_is_exact(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_DIRECT);
    bind_queue(&w, 0, "key", 0);
    bind_queue(&w, 0, "key", 1);
    bind_queue(&w, 0, "other", 1);
    bind_queue(&w, 0, "", 2);
    bind_queue(&w, 0, "#", 3);
    resolve(&w, 0, "key");
    expect_queues(&w, "01");
    resolve(&w, 0, "other");
    expect_queues(&w, "1");
    resolve(&w, 0, "");
    expect_queues(&w, "2");
    static const char *const nowhere[] = { "Key", "ke", "keys", "none" };
    for (size_t i = 0; i < COUNT(nowhere); i++) {
        resolve(&w, 0, nowhere[i]);
        expect_queues(&w, "");
    }
    world_fini(&w);
}

static void
test_one_copy_a_queue(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_TOPIC);
    bind_queue(&w, 0, "a.b", 0);
    bind_queue(&w, 0, "a.*", 0);
    bind_queue(&w, 0, "#", 0);
    bind_queue(&w, 0, "#.b", 1);
    const struct route_trace trace = resolve(&w, 0, "a.b");
    expect_queues(&w, "01");
    assert_false(trace.through_others);
    assert_false(trace.depends_on_headers);
    assert_false(trace.alternate_missing);
    assert_int_equal(w.alternates_asked, 0);
    world_fini(&w);
}

static void
test_results_are_added(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_FANOUT);
    bind_queue(&w, 0, "", 0);
    bind_queue(&w, 1, "", 0);
    bind_queue(&w, 1, "", 1);
    const struct route_query query = { .key = BYTES_LITERAL("k") };
    router_resolve(&w.exchanges[0], &query, NULL, &w.routes);
    router_resolve(&w.exchanges[1], &query, NULL, &w.routes);
    expect_queues(&w, "01");
    world_fini(&w);
}

static void
test_headers_exchange(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_HEADERS);
    const struct header arguments[] = { header_integer("a", 1), header_string("b", "x") };
    const struct binding_request request = {
        .destination = &w.queues[0],
        .headers = arguments,
        .header_count = COUNT(arguments),
    };
    assert_int_equal(router_bind(&w.exchanges[0], &request), BIND_ADDED);
    bind_queue(&w, 0, "no arguments", 1);
    const struct route_query query = {
        .key = BYTES_LITERAL("k"),
        .headers = arguments,
        .header_count = COUNT(arguments),
    };
    assert_true(resolve_query(&w, 0, &query).depends_on_headers);
    expect_queues(&w, "01");
    assert_true(resolve(&w, 0, "k").depends_on_headers);
    expect_queues(&w, "1");
    /* Without bindings, too: the first one will make the difference. */
    assert_true(resolve(&w, 1, "k").depends_on_headers);
    world_fini(&w);
}

static void
test_headers_exchange_behind_another(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_FANOUT);
    router_fini(&w.exchanges[1]);
    router_init(&w.exchanges[1], ROUTER_HEADERS);
    bind_exchange(&w, 0, "", 1);
    const struct route_trace trace = resolve(&w, 0, "k");
    assert_true(trace.through_others);
    assert_true(trace.depends_on_headers);
    world_fini(&w);
}

static void
test_exchange_to_exchange(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_TOPIC);
    bind_exchange(&w, 0, "a.#", 1);
    bind_exchange(&w, 1, "#.c", 2);
    bind_queue(&w, 0, "*.b", 0);
    bind_queue(&w, 1, "*.b", 1);
    bind_queue(&w, 2, "a.*", 2);
    assert_true(resolve(&w, 0, "a.b").through_others);
    expect_queues(&w, "01");
    resolve(&w, 0, "a.c");
    expect_queues(&w, "2");
    assert_false(resolve(&w, 0, "x.b").through_others);
    expect_queues(&w, "0");
    world_fini(&w);
}

static void
test_cycles_end(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_FANOUT);
    bind_exchange(&w, 0, "", 0);
    bind_exchange(&w, 0, "", 1);
    bind_exchange(&w, 1, "", 2);
    bind_exchange(&w, 2, "", 0);
    bind_exchange(&w, 2, "", 1);
    bind_queue(&w, 2, "", 3);
    for (size_t start = 0; start < 3; start++) {
        const struct route_trace trace = resolve(&w, start, "k");
        expect_queues(&w, "3");
        assert_true(trace.through_others);
        assert_false(trace.alternate_missing);
    }
    world_fini(&w);
}

static void
test_binding_to_itself_stays_simple(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_FANOUT);
    bind_exchange(&w, 0, "", 0);
    w.alternates[0] = &w.exchanges[1];
    bind_queue(&w, 1, "", 0);
    /* It routed to an exchange, so the alternate is not used. */
    assert_false(resolve(&w, 0, "k").through_others);
    expect_queues(&w, "");
    assert_int_equal(w.alternates_asked, 0);
    world_fini(&w);
}

static void
test_diamond_gives_one_copy(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_DIRECT);
    bind_exchange(&w, 0, "k", 1);
    bind_exchange(&w, 0, "k", 2);
    bind_exchange(&w, 1, "k", 3);
    bind_exchange(&w, 2, "k", 3);
    bind_queue(&w, 1, "k", 0);
    bind_queue(&w, 2, "k", 0);
    bind_queue(&w, 3, "k", 0);
    bind_queue(&w, 3, "k", 1);
    resolve(&w, 0, "k");
    expect_queues(&w, "01");
    world_fini(&w);
}

static void
test_alternates_chain(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_DIRECT);
    w.alternates[0] = &w.exchanges[1];
    w.alternates[1] = &w.exchanges[2];
    w.alternates[2] = &w.exchanges[3];
    bind_queue(&w, 0, "zero", 0);
    bind_queue(&w, 1, "one", 1);
    bind_queue(&w, 2, "two", 2);
    struct route_trace trace = resolve(&w, 0, "zero");
    expect_queues(&w, "0");
    assert_int_equal(w.alternates_asked, 0);
    assert_false(trace.through_others);
    trace = resolve(&w, 0, "one");
    expect_queues(&w, "1");
    assert_int_equal(w.alternates_asked, 1);
    assert_true(trace.through_others);
    trace = resolve(&w, 0, "two");
    expect_queues(&w, "2");
    assert_int_equal(w.alternates_asked, 2);
    assert_false(trace.alternate_missing);
    trace = resolve(&w, 0, "three");
    expect_queues(&w, "");
    assert_int_equal(w.alternates_asked, 4);
    assert_true(trace.alternate_missing);
    world_fini(&w);
}

static void
test_alternates_cycle(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_DIRECT);
    w.alternates[0] = &w.exchanges[1];
    w.alternates[1] = &w.exchanges[0];
    w.alternates[2] = &w.exchanges[2];
    const struct route_trace trace = resolve(&w, 0, "k");
    expect_queues(&w, "");
    assert_int_equal(w.alternates_asked, 2);
    assert_false(trace.alternate_missing);
    assert_false(resolve(&w, 2, "k").through_others);
    assert_int_equal(w.alternates_asked, 1);
    world_fini(&w);
}

static void
test_alternate_of_a_bound_exchange(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_DIRECT);
    bind_exchange(&w, 0, "k", 1);
    w.alternates[0] = &w.exchanges[2];
    w.alternates[1] = &w.exchanges[3];
    bind_queue(&w, 2, "k", 2);
    bind_queue(&w, 3, "k", 3);
    /* 0 led to 1, which led nowhere: 1's alternate, not 0's. */
    resolve(&w, 0, "k");
    expect_queues(&w, "3");
    /* A queue that was found before is somewhere, too. */
    bind_queue(&w, 0, "k", 0);
    bind_queue(&w, 1, "k", 0);
    resolve(&w, 0, "k");
    expect_queues(&w, "0");
    assert_int_equal(w.alternates_asked, 0);
    world_fini(&w);
}

static void
test_no_context(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_DIRECT);
    const struct route_context empty = { 0 };
    const struct route_query query = { .key = BYTES_LITERAL("k") };
    assert_true(router_resolve(&w.exchanges[0], &query, NULL, &w.routes).alternate_missing);
    assert_true(router_resolve(&w.exchanges[0], &query, &empty, &w.routes).alternate_missing);
    expect_queues(&w, "");
    world_fini(&w);
}

static void
test_more_keys_are_one_routing(void **state)
{
    (void)state;
    static const enum router_type types[] = { ROUTER_DIRECT, ROUTER_TOPIC };
    for (size_t t = 0; t < COUNT(types); t++) {
        struct world w;
        world_init(&w, types[t]);
        bind_queue(&w, 0, "a", 0);
        bind_queue(&w, 0, "b", 0);
        bind_queue(&w, 0, "b", 1);
        bind_queue(&w, 0, "d", 2);
        w.alternates[0] = &w.exchanges[1];
        bind_queue(&w, 1, "none", 3);
        bind_queue(&w, 1, "neither", 3);
        const struct bytes more[] = { BYTES_LITERAL("b"), BYTES_LITERAL("c") };
        struct route_query query = { BYTES_LITERAL("a"), NULL, 0, more, COUNT(more), NULL };
        resolve_query(&w, 0, &query);
        expect_queues(&w, "01");
        /* One key that leads somewhere keeps all from the alternate. */
        query.key = BYTES_LITERAL("none");
        resolve_query(&w, 0, &query);
        expect_queues(&w, "01");
        const struct bytes neither[] = { BYTES_LITERAL("neither") };
        query = (struct route_query){ BYTES_LITERAL("nor"), NULL, 0, neither, 1, NULL };
        resolve_query(&w, 0, &query);
        expect_queues(&w, "3");
        world_fini(&w);
    }
}

/* Longer than any stack could take if routing recursed. */
static void
test_long_chains(void **state)
{
    (void)state;
    enum { LENGTH = 200000 };
    struct router *chain = mem_alloc(LENGTH * sizeof(*chain));
    struct destination queue;
    destination_init(&queue, DESTINATION_QUEUE);
    for (size_t i = 0; i < LENGTH; i++)
        router_init(&chain[i], ROUTER_FANOUT);
    for (size_t i = 0; i + 1 < LENGTH; i++)
        bind_key(&chain[i], &chain[i + 1].destination, "");
    bind_key(&chain[LENGTH - 1], &queue, "");
    struct route_set routes;
    route_set_init(&routes);
    route_key(&chain[0], "k", &routes);
    assert_int_equal(routes.count, 1);
    assert_ptr_equal(routes.items[0], &queue);
    for (size_t i = 0; i < LENGTH; i++)
        router_fini(&chain[i]);
    route_set_fini(&routes);
    mem_free(chain);
}

static void *
resolve_repeatedly(void *argument)
{
    struct router *start = argument;
    struct route_set routes;
    size_t wrong = 0;
    route_set_init(&routes);
    for (int i = 0; i < 500; i++) {
        route_key(start, "a.b", &routes);
        wrong += routes.count != 2;
    }
    route_set_fini(&routes);
    return (void *)wrong;
}

/* For the thread sanitizer: resolving writes into nothing that is shared. */
static void
test_many_threads_resolve(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ROUTER_TOPIC);
    bind_exchange(&w, 0, "#.b.#", 1);
    bind_exchange(&w, 1, "#", 0);
    bind_queue(&w, 0, "a.*", 0);
    bind_queue(&w, 1, "*.b", 1);
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, resolve_repeatedly, &w.exchanges[0]), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    world_fini(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct_is_exact),
        cmocka_unit_test(test_one_copy_a_queue),
        cmocka_unit_test(test_results_are_added),
        cmocka_unit_test(test_headers_exchange),
        cmocka_unit_test(test_headers_exchange_behind_another),
        cmocka_unit_test(test_exchange_to_exchange),
        cmocka_unit_test(test_cycles_end),
        cmocka_unit_test(test_binding_to_itself_stays_simple),
        cmocka_unit_test(test_diamond_gives_one_copy),
        cmocka_unit_test(test_alternates_chain),
        cmocka_unit_test(test_alternates_cycle),
        cmocka_unit_test(test_alternate_of_a_bound_exchange),
        cmocka_unit_test(test_no_context),
        cmocka_unit_test(test_more_keys_are_one_routing),
        cmocka_unit_test(test_long_chains),
        cmocka_unit_test(test_many_threads_resolve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
