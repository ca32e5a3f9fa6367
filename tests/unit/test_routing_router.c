#include "test_routing.h"

static const enum router_type all_types[] = {
    ROUTER_DIRECT,
    ROUTER_FANOUT,
    ROUTER_TOPIC,
    ROUTER_HEADERS,
};

static void
test_type_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "direct", "fanout", "topic", "headers", "x-consistent-hash", "x-random"
    };
    for (size_t i = 0; i < COUNT(all_types); i++) {
        enum router_type found = ROUTER_DIRECT;
        assert_string_equal(router_type_name(all_types[i]), names[i]);
        assert_true(router_type_find(bytes_of_string(names[i]), &found));
        assert_int_equal(found, all_types[i]);
    }
    static const char *const unknown[] = { "", "Direct", "direc", "directs", "x-rando" };
    for (size_t i = 0; i < COUNT(unknown); i++) {
        enum router_type found = ROUTER_TOPIC;
        assert_false(router_type_find(bytes_of_string(unknown[i]), &found));
        assert_int_equal(found, ROUTER_TOPIC);
    }
}

/* Octets in a heap block without room to spare, to be freed by the caller. */
static struct bytes
exact(const char *text)
{
    const size_t size = strlen(text);
    uint8_t *octets = mem_alloc(size);
    memcpy(octets, text, size);
    return bytes_of(octets, size);
}

static enum bind_result
bind_full(struct router *r, struct destination *d, const char *key, const char *arguments)
{
    const struct bytes k = exact(key);
    const struct bytes a = exact(arguments);
    const struct binding_request request = { .destination = d, .key = k, .arguments = a };
    const enum bind_result result = router_bind(r, &request);
    mem_free_const(k.data);
    mem_free_const(a.data);
    return result;
}

static bool
unbind_full(struct router *r, struct destination *d, const char *key, const char *arguments)
{
    struct binding_request request = request_of(d, key);
    request.arguments = bytes_of_string(arguments);
    return router_unbind(r, &request);
}

static void
test_identity(void **state)
{
    (void)state;
    static const struct {
        int destination;
        const char *key;
        const char *arguments;
    } ids[] = {
        { 0, "key", "args" }, { 1, "key", "args" }, { 0, "Key", "args" }, { 0, "key", "Args" },
        { 0, "key", "" },     { 0, "", "args" },    { 0, "", "" },        { 0, "ke", "yargs" },
        { 0, "keyargs", "" }, { 0, "", "keyargs" },
    };
    for (size_t t = 0; t < COUNT(all_types); t++) {
        struct destination queues[2];
        struct router r;
        destination_init(&queues[0], DESTINATION_QUEUE);
        destination_init(&queues[1], DESTINATION_QUEUE);
        router_init(&r, all_types[t]);
        for (size_t i = 0; i < COUNT(ids); i++) {
            struct destination *d = &queues[ids[i].destination];
            assert_false(unbind_full(&r, d, ids[i].key, ids[i].arguments));
            assert_int_equal(bind_full(&r, d, ids[i].key, ids[i].arguments), BIND_ADDED);
            assert_int_equal(bind_full(&r, d, ids[i].key, ids[i].arguments), BIND_EXISTS);
            assert_int_equal(router_binding_count(&r), i + 1);
        }
        for (size_t i = 0; i < COUNT(ids); i++) {
            struct destination *d = &queues[ids[i].destination];
            assert_true(unbind_full(&r, d, ids[i].key, ids[i].arguments));
            assert_false(unbind_full(&r, d, ids[i].key, ids[i].arguments));
            assert_int_equal(router_binding_count(&r), COUNT(ids) - i - 1);
        }
        assert_true(list_is_empty(&queues[0].bindings));
        assert_null(r.index);
        router_fini(&r);
    }
}

static void
test_listing_in_order(void **state)
{
    (void)state;
    static const char *const keys[] = { "c", "a", "b", "d" };
    struct destination queue;
    struct router r;
    destination_init(&queue, DESTINATION_QUEUE);
    router_init(&r, ROUTER_DIRECT);
    assert_null(router_next_binding(&r, NULL));
    assert_null(destination_next_binding(&queue, NULL));
    for (size_t i = 0; i < COUNT(keys); i++)
        assert_int_equal(bind_full(&r, &queue, keys[i], "args"), BIND_ADDED);
    const struct binding *from = NULL;
    const struct binding *to = NULL;
    for (size_t i = 0; i < COUNT(keys); i++) {
        from = router_next_binding(&r, from);
        to = destination_next_binding(&queue, to);
        assert_non_null(from);
        assert_ptr_equal(from, to);
        assert_ptr_equal(from->source, &r);
        assert_ptr_equal(from->destination, &queue);
        assert_true(bytes_equal(from->key, bytes_of_string(keys[i])));
        assert_true(bytes_equal(from->arguments, BYTES_LITERAL("args")));
    }
    assert_null(router_next_binding(&r, from));
    assert_null(destination_next_binding(&queue, to));
    router_fini(&r);
}

static void
test_invalid_match_changes_nothing(void **state)
{
    (void)state;
    struct destination queue;
    struct router r;
    destination_init(&queue, DESTINATION_QUEUE);
    const struct header wrong[] = { header_string("x-match", "most") };
    const struct header right[] = { header_string("x-match", "any"), header_integer("a", 1) };
    struct binding_request request = { .destination = &queue, .headers = wrong, .header_count = 1 };
    router_init(&r, ROUTER_HEADERS);
    assert_int_equal(router_bind(&r, &request), BIND_INVALID_MATCH);
    assert_int_equal(router_binding_count(&r), 0);
    assert_true(list_is_empty(&queue.bindings));
    assert_false(router_unbind(&r, &request));
    request.headers = right;
    request.header_count = COUNT(right);
    assert_int_equal(router_bind(&r, &request), BIND_ADDED);
    router_fini(&r);

    /* Other types do not look. */
    request.headers = wrong;
    request.header_count = 1;
    router_init(&r, ROUTER_TOPIC);
    assert_int_equal(router_bind(&r, &request), BIND_ADDED);
    router_fini(&r);
}

static void
test_fini_removes_from_and_to(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT(all_types); t++) {
        struct router before;
        struct router middle;
        struct router after;
        struct destination queue;
        router_init(&before, ROUTER_DIRECT);
        router_init(&middle, all_types[t]);
        router_init(&after, ROUTER_TOPIC);
        destination_init(&queue, DESTINATION_QUEUE);
        bind_key(&before, &middle.destination, "a");
        bind_key(&before, &queue, "a");
        bind_key(&middle, &middle.destination, "a");
        bind_key(&middle, &after.destination, "a");
        bind_key(&middle, &queue, "a");
        bind_key(&middle, &queue, "b");
        bind_key(&after, &queue, "a");
        router_fini(&middle);
        assert_int_equal(router_binding_count(&before), 1);
        assert_int_equal(router_binding_count(&after), 1);
        assert_true(list_is_empty(&after.destination.bindings));
        router_fini(&before);
        router_fini(&after);
        assert_true(list_is_empty(&queue.bindings));
    }
}

struct removals {
    struct router *sources;
    size_t counts[4];
};

static void
note_removal(void *context, struct router *source)
{
    struct removals *removals = context;
    removals->counts[source - removals->sources]++;
}

static void
test_unbind_all_tells_each_source(void **state)
{
    (void)state;
    struct router routers[COUNT(all_types)];
    struct destination gone;
    struct destination kept;
    destination_init(&gone, DESTINATION_QUEUE);
    destination_init(&kept, DESTINATION_QUEUE);
    for (size_t t = 0; t < COUNT(all_types); t++) {
        router_init(&routers[t], all_types[t]);
        bind_key(&routers[t], &kept, "a");
        static const char *const keys[] = { "a", "b", "c", "d" };
        for (size_t i = 0; i < t; i++)
            bind_key(&routers[t], &gone, keys[i]);
    }
    struct removals removals = { .sources = routers };
    destination_unbind_all(&gone, note_removal, &removals);
    assert_true(list_is_empty(&gone.bindings));
    for (size_t t = 0; t < COUNT(all_types); t++) {
        assert_int_equal(removals.counts[t], t);
        assert_int_equal(router_binding_count(&routers[t]), 1);
    }
    destination_unbind_all(&gone, note_removal, &removals);
    destination_unbind_all(&kept, NULL, NULL);
    for (size_t t = 0; t < COUNT(all_types); t++) {
        assert_int_equal(router_binding_count(&routers[t]), 0);
        router_fini(&routers[t]);
    }
}

/* As for an auto-delete exchange. */
static void
delete_source(void *context, struct router *source)
{
    size_t *deleted = context;
    router_fini(source);
    mem_free(source);
    ++*deleted;
}

static void
test_unbind_all_survives_deletion_of_sources(void **state)
{
    (void)state;
    struct destination queue;
    destination_init(&queue, DESTINATION_QUEUE);
    for (size_t i = 0; i < 10; i++) {
        struct router *r = mem_alloc(sizeof(*r));
        router_init(r, all_types[i % COUNT(all_types)]);
        bind_key(r, &queue, "a");
        bind_key(r, &queue, "b");
    }
    size_t deleted = 0;
    destination_unbind_all(&queue, delete_source, &deleted);
    assert_int_equal(deleted, 10);
    assert_true(list_is_empty(&queue.bindings));
}

/* The callback must see the binding gone. */
static void
count_left(void *context, struct router *source)
{
    size_t *left = context;
    assert_int_equal(router_binding_count(source), --*left);
}

enum { MANY = 100000 };

struct many {
    struct router router;
    struct destination *queues;
};

/* Binding i has its own queue, and its own key unless all share one. */
static const char *
many_key(size_t i, bool shared_key, char text[32])
{
    snprintf(text, 32, "key.%zu", shared_key ? 0 : i);
    return text;
}

static void
many_bind(struct many *m, enum router_type type, bool shared_key)
{
    m->queues = mem_alloc(MANY * sizeof(*m->queues));
    router_init(&m->router, type);
    for (size_t i = 0; i < MANY; i++) {
        char key[32];
        destination_init(&m->queues[i], DESTINATION_QUEUE);
        bind_key(&m->router, &m->queues[i], many_key(i, shared_key, key));
    }
    assert_int_equal(router_binding_count(&m->router), MANY);
    for (size_t i = 0; i < MANY; i++) {
        char key[32];
        const struct binding_request again =
            request_of(&m->queues[i], many_key(i, shared_key, key));
        assert_int_equal(router_bind(&m->router, &again), BIND_EXISTS);
    }
}

/* Half one by one, half by their queues. */
static void
many_unbind(struct many *m, bool shared_key)
{
    size_t left = MANY;
    for (size_t i = 0; i < MANY; i++) {
        char key[32];
        const struct binding_request request =
            request_of(&m->queues[i], many_key(i, shared_key, key));
        if (i % 2 == 0)
            assert_int_equal(router_unbind(&m->router, &request), left-- > 0);
        else
            destination_unbind_all(&m->queues[i], count_left, &left);
    }
    assert_int_equal(router_binding_count(&m->router), 0);
    assert_null(m->router.index);
    router_fini(&m->router);
    mem_free(m->queues);
}

static void
test_many_keys(void **state)
{
    (void)state;
    static const enum router_type types[] = { ROUTER_DIRECT, ROUTER_TOPIC };
    for (size_t t = 0; t < COUNT(types); t++) {
        struct many m;
        struct route_set routes;
        route_set_init(&routes);
        many_bind(&m, types[t], false);
        for (size_t i = 0; i < MANY; i++) {
            char key[32];
            route_key(&m.router, many_key(i, false, key), &routes);
            assert_int_equal(routes.count, 1);
            assert_ptr_equal(routes.items[0], &m.queues[i]);
        }
        many_unbind(&m, false);
        route_set_fini(&routes);
    }
}

static void
test_many_queues_of_one_key(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT(all_types); t++) {
        struct many m;
        struct route_set routes;
        route_set_init(&routes);
        many_bind(&m, all_types[t], true);
        route_key(&m.router, "key.0", &routes);
        assert_int_equal(routes.count, MANY);
        for (size_t i = 0; i < MANY; i++)
            assert_ptr_equal(routes.items[i], &m.queues[i]);
        many_unbind(&m, true);
        route_set_fini(&routes);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_type_names),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_listing_in_order),
        cmocka_unit_test(test_invalid_match_changes_nothing),
        cmocka_unit_test(test_fini_removes_from_and_to),
        cmocka_unit_test(test_unbind_all_tells_each_source),
        cmocka_unit_test(test_unbind_all_survives_deletion_of_sources),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_many_queues_of_one_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
