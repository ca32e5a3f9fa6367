/*
 * Random worlds of exchanges and queues against a model that keeps its bindings in a plain array
 * and routes by trying all of them.
 */

#include "test_routing.h"

enum { EXCHANGES = 6, QUEUES = 20, BINDINGS_MAX = 200 };

struct model_binding {
    size_t source;
    struct destination *destination;
    char key[256];
    size_t key_size;
    size_t arguments; /* Index into argument_lists. */
};

struct model {
    struct random random;
    struct router exchanges[EXCHANGES];
    struct router *alternates[EXCHANGES];
    struct destination queues[QUEUES];
    struct model_binding bindings[BINDINGS_MAX];
    size_t binding_count;
};

/* Few enough to tell by hand what they match. */
enum { ARGUMENT_LISTS = 5 };

static const char *const argument_octets[ARGUMENT_LISTS] = { "", "1", "2", "3", "4" };

static size_t
argument_list(size_t i, struct header out[3])
{
    const struct header lists[ARGUMENT_LISTS][3] = {
        { header_void("") },
        { header_integer("a", 1), header_integer("b", 1) },
        { header_string("x-match", "any"), header_integer("a", 1), header_integer("b", 1) },
        { header_string("x-match", "any-with-x"), header_void("x-c") },
        { header_string("x-match", "any") },
    };
    static const size_t counts[ARGUMENT_LISTS] = { 0, 2, 3, 2, 1 };
    memcpy(out, lists[i], sizeof(lists[i]));
    return counts[i];
}

static bool
argument_list_matches(size_t i, bool a, bool b, bool x_c)
{
    switch (i) {
    case 0:
        return true;
    case 1:
        return a && b;
    case 2:
        return a || b;
    case 3:
        return x_c;
    default:
        return false;
    }
}

static const char *const words[] = { "a", "b", "*", "#", "" };

/* What one message is, for both sides. */
struct message {
    struct bytes keys[3];
    size_t key_count;
    bool a;
    bool b;
    bool x_c;
};

static bool
model_binding_matches(const struct model *m, const struct model_binding *b,
                      const struct message *message)
{
    const struct bytes key = bytes_of(b->key, b->key_size);
    for (size_t i = 0; i < message->key_count; i++) {
        if (m->exchanges[b->source].type == ROUTER_DIRECT && bytes_equal(key, message->keys[i]))
            return true;
        if (m->exchanges[b->source].type == ROUTER_TOPIC &&
            naive_topic_match(key, message->keys[i]))
            return true;
    }
    if (m->exchanges[b->source].type == ROUTER_HEADERS)
        return argument_list_matches(b->arguments, message->a, message->b, message->x_c);
    return m->exchanges[b->source].type == ROUTER_FANOUT;
}

/* Recursive, as there are few exchanges. */
static void
model_route(const struct model *m, size_t exchange, const struct message *message, bool *visited,
            bool *reached)
{
    if (visited[exchange])
        return;
    visited[exchange] = true;
    bool led_somewhere = false;
    for (size_t i = 0; i < m->binding_count; i++) {
        const struct model_binding *b = &m->bindings[i];
        if (b->source != exchange || !model_binding_matches(m, b, message))
            continue;
        led_somewhere = true;
        if (b->destination->kind == DESTINATION_QUEUE)
            reached[b->destination - m->queues] = true;
        else
            model_route(m, (size_t)(router_of_destination(b->destination) - m->exchanges), message,
                        visited, reached);
    }
    if (!led_somewhere && m->alternates[exchange] != NULL)
        model_route(m, (size_t)(m->alternates[exchange] - m->exchanges), message, visited, reached);
}

static struct router *
model_alternate(void *context, const struct router *r)
{
    struct model *m = context;
    return m->alternates[r - m->exchanges];
}

static void
check_message(struct model *m, size_t start, const struct message *message,
              struct route_set *routes)
{
    bool visited[EXCHANGES] = { false };
    bool reached[QUEUES] = { false };
    model_route(m, start, message, visited, reached);

    struct header headers[3];
    size_t header_count = 0;
    if (message->x_c)
        headers[header_count++] = header_bool("x-c", false);
    if (message->b)
        headers[header_count++] = header_float("b", 1.0);
    if (message->a)
        headers[header_count++] = header_unsigned("a", 1);
    const struct route_query query = { message->keys[0],       headers,
                                       header_count,           &message->keys[1],
                                       message->key_count - 1, NULL };
    const struct route_context context = { model_alternate, m };
    route_set_clear(routes);
    const struct route_trace trace = router_resolve(&m->exchanges[start], &query, &context, routes);

    size_t expected = 0;
    size_t consulted = 0;
    bool by_headers = false;
    for (size_t i = 0; i < QUEUES; i++) {
        expected += reached[i];
        assert_int_equal(route_set_has(routes, &m->queues[i]), reached[i]);
    }
    for (size_t i = 0; i < EXCHANGES; i++) {
        consulted += visited[i];
        by_headers |= visited[i] && m->exchanges[i].type == ROUTER_HEADERS;
    }
    assert_int_equal(routes->count, expected);
    assert_int_equal(trace.through_others, consulted > 1);
    assert_int_equal(trace.depends_on_headers, by_headers);
}

static struct destination *
model_random_destination(struct model *m)
{
    const size_t i = random_below(&m->random, EXCHANGES + QUEUES);
    return i < QUEUES ? &m->queues[i] : &m->exchanges[i - QUEUES].destination;
}

static size_t
model_find(const struct model *m, const struct model_binding *wanted)
{
    size_t i = 0;
    for (; i < m->binding_count; i++) {
        const struct model_binding *b = &m->bindings[i];
        if (b->source == wanted->source && b->destination == wanted->destination &&
            b->arguments == wanted->arguments &&
            bytes_equal(bytes_of(b->key, b->key_size), bytes_of(wanted->key, wanted->key_size)))
            break;
    }
    return i;
}

static void
model_bind_or_unbind(struct model *m)
{
    struct model_binding b = { .source = random_below(&m->random, EXCHANGES),
                               .destination = model_random_destination(m),
                               .arguments = random_below(&m->random, ARGUMENT_LISTS) };
    b.key_size = random_topic(&m->random, words, COUNT(words), 3, b.key).size;
    if (m->binding_count > 0 && random_below(&m->random, 3) == 0)
        b = m->bindings[random_below(&m->random, m->binding_count)];
    struct header headers[3];
    struct binding_request request = {
        .destination = b.destination,
        .key = bytes_of(b.key, b.key_size),
        .arguments = bytes_of_string(argument_octets[b.arguments]),
        .headers = headers,
        .header_count = argument_list(b.arguments, headers),
    };
    struct router *source = &m->exchanges[b.source];
    const size_t place = model_find(m, &b);
    const bool exists = place < m->binding_count;
    if (m->binding_count == BINDINGS_MAX || random_below(&m->random, 2) == 0) {
        assert_int_equal(router_unbind(source, &request), exists);
        if (exists)
            m->bindings[place] = m->bindings[--m->binding_count];
    } else {
        assert_int_equal(router_bind(source, &request), exists ? BIND_EXISTS : BIND_ADDED);
        if (!exists)
            m->bindings[m->binding_count++] = b;
    }
}

static void
count_removal(void *context, struct router *source)
{
    (void)source;
    ++*(size_t *)context;
}

static void
model_unbind_all(struct model *m)
{
    struct destination *d = model_random_destination(m);
    size_t expected = 0;
    for (size_t i = m->binding_count; i-- > 0;) {
        if (m->bindings[i].destination != d)
            continue;
        expected++;
        m->bindings[i] = m->bindings[--m->binding_count];
    }
    size_t removed = 0;
    destination_unbind_all(d, count_removal, &removed);
    assert_int_equal(removed, expected);
}

static void
model_delete_exchange(struct model *m)
{
    const size_t gone = random_below(&m->random, EXCHANGES);
    for (size_t i = m->binding_count; i-- > 0;)
        if (m->bindings[i].source == gone ||
            m->bindings[i].destination == &m->exchanges[gone].destination)
            m->bindings[i] = m->bindings[--m->binding_count];
    router_fini(&m->exchanges[gone]);
    router_init(&m->exchanges[gone], (enum router_type)random_below(&m->random, 4));
}

static void
model_change(struct model *m)
{
    switch (random_below(&m->random, 40)) {
    case 0:
        model_unbind_all(m);
        return;
    case 1:
        model_delete_exchange(m);
        return;
    case 2:
        m->alternates[random_below(&m->random, EXCHANGES)] =
            random_below(&m->random, 2) == 0 ? NULL
                                             : &m->exchanges[random_below(&m->random, EXCHANGES)];
        return;
    default:
        model_bind_or_unbind(m);
    }
}

static void
model_check(struct model *m, struct route_set *routes)
{
    size_t counts[EXCHANGES] = { 0 };
    for (size_t i = 0; i < m->binding_count; i++)
        counts[m->bindings[i].source]++;
    for (size_t i = 0; i < EXCHANGES; i++)
        assert_int_equal(router_binding_count(&m->exchanges[i]), counts[i]);

    char texts[3][256];
    struct message message = {
        .key_count = 1 + random_below(&m->random, 3),
        .a = random_below(&m->random, 2) == 0,
        .b = random_below(&m->random, 2) == 0,
        .x_c = random_below(&m->random, 2) == 0,
    };
    for (size_t i = 0; i < message.key_count; i++)
        message.keys[i] = random_topic(&m->random, words, COUNT(words), 4, texts[i]);
    check_message(m, random_below(&m->random, EXCHANGES), &message, routes);
}

static void
test_random_worlds(void **state)
{
    (void)state;
    static struct model m;
    struct route_set routes;
    m.random = random_start("test_random_worlds");
    route_set_init(&routes);
    for (size_t i = 0; i < QUEUES; i++)
        destination_init(&m.queues[i], DESTINATION_QUEUE);
    for (size_t i = 0; i < EXCHANGES; i++)
        router_init(&m.exchanges[i], (enum router_type)random_below(&m.random, 4));
    for (int step = 0; step < 50000; step++) {
        model_change(&m);
        model_check(&m, &routes);
    }
    for (size_t i = 0; i < EXCHANGES; i++)
        router_fini(&m.exchanges[i]);
    route_set_fini(&routes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_worlds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
