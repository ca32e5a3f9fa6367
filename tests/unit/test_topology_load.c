#include "test_topology.h"

#include "amqp/table.h"
#include "broker/config/file.h"
#include "test_topology_goldens_values.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
check_goldens(const struct golden *goldens, size_t count)
{
    setenv("HOME", "/home/x", 1);
    unsetenv("RAIL_TEST_UNSET");
    for (size_t i = 0; i < count; i++) {
        struct configuration c;
        struct buf report = { 0 };
        const bool fine = read_text(&c, goldens[i].text);
        assert_int_equal(fine, c.document.diagnostics.count == 0);
        diagnostics_print(&c.document.diagnostics, &report);
        buf_append(&report, "", 1);
        assert_string_equal((const char *)report.data, goldens[i].report);
        buf_fini(&report);
        configuration_fini(&c);
    }
}

static void
test_goldens(void **state)
{
    (void)state;
    check_goldens(golden_shapes, COUNT(golden_shapes));
    check_goldens(golden_keys, COUNT(golden_keys));
    check_goldens(golden_values, COUNT(golden_values));
    check_goldens(golden_names, COUNT(golden_names));
    check_goldens(golden_lint, COUNT(golden_lint));
}

static const struct topology_item *
find(const struct configuration *c, enum topology_kind kind, const char *vhost, const char *name)
{
    const struct topology_item *item =
        topology_find_named(&c->topology, kind, bytes_of_string(vhost), bytes_of_string(name));
    if (item == NULL)
        fail_msg("no %s %s in %s", topology_kinds[kind].name, name, vhost);
    return item;
}

static void
expect_text(struct bytes value, const char *text)
{
    assert_non_null(value.data);
    if (!bytes_equal(value, bytes_of_string(text)))
        fail_msg("expected \"%s\", got \"%.*s\"", text, BYTES_ARGS(value));
}

static void
expect_arguments(struct bytes table, const char *text)
{
    struct buf shown = { 0 };
    assert_true(table_is_valid(table));
    arguments_show(table, &shown);
    expect_text(buf_bytes(&shown), text);
    buf_fini(&shown);
}

static void
test_values(void **state)
{
    (void)state;
    struct configuration c;
    setenv("RAIL_TEST_PASSWORD", "s$cret", 1);
    expect_read(&c, "version: 1\n"
                    "users:\n"
                    "  admin: {password_hash: "
                    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", tags: [b, a, b]}\n"
                    "  svc: {password: \"${env:RAIL_TEST_PASSWORD}\", limits: {max-channels: 3}}\n"
                    "vhosts:\n"
                    "  /shop:\n"
                    "    description: order processing\n"
                    "    tags: prod\n"
                    "    default_queue_type: quorum\n"
                    "    limits: {max-connections: -1}\n"
                    "    permissions:\n"
                    "      svc: {write: \"^orders$\"}\n"
                    "    topic_permissions:\n"
                    "      svc: {orders: {write: \"^order\\\\.\"}}\n"
                    "    exchanges:\n"
                    "      orders: {type: topic}\n"
                    "    queues:\n"
                    "      q:\n"
                    "        type: quorum\n"
                    "        arguments:\n"
                    "          x-message-ttl: 24h\n"
                    "          x-expires: 1500\n"
                    "          x-max-length-bytes: 2GiB\n"
                    "          mine: {a: [1, \"1\", true, null, -5000000000, 0.25, 1.1.1, 007]}\n"
                    "          odd: {\"@tag\": \"x\", \"@octets\": \"00ff\"}\n"
                    "        bindings:\n"
                    "          - {from: orders, keys: [b, a]}\n"
                    "          - from: orders\n"
                    "      gone: {state: absent}\n"
                    "    policies:\n"
                    "      p: {pattern: \"^a$$b\", priority: -3, definition: {max-length: 5}}\n"
                    "apply: {on_start: false, prune: all, delete_queues: always}\n");
    const struct topology_item *admin = find(&c, TOPOLOGY_USER, "", "admin");
    expect_text(admin->values[USER_PASSWORD_HASH],
                "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    expect_text(admin->values[USER_TAGS], "a\nb\n");
    assert_null(admin->values[USER_PASSWORD].data);
    const struct topology_item *svc = find(&c, TOPOLOGY_USER, "", "svc");
    expect_text(svc->values[USER_PASSWORD], "s$cret");
    assert_int_equal(topology_integer(svc, USER_MAX_CHANNELS, 9), 3);
    assert_int_equal(topology_integer(svc, USER_MAX_CONNECTIONS, 9), 9);
    const struct topology_item *shop = find(&c, TOPOLOGY_VHOST, "", "/shop");
    expect_text(shop->values[VHOST_DESCRIPTION], "order processing");
    expect_text(shop->values[VHOST_DEFAULT_QUEUE_TYPE], "quorum");
    assert_int_equal(topology_integer(shop, VHOST_MAX_CONNECTIONS, 0), -1);
    const struct topology_item *q = find(&c, TOPOLOGY_QUEUE, "/shop", "q");
    assert_true(topology_bool(q, QUEUE_DURABLE));
    assert_int_equal(q->place.line, 18);
    expect_arguments(q->values[QUEUE_ARGUMENTS],
                     "{mine: {a: [1, \"1\", true, null, -5000000000, 0.25, \"1.1.1\", \"007\"]}, "
                     "odd: {\"@tag\": \"x\", \"@octets\": \"00ff\"}, x-expires: 1500, "
                     "x-max-length-bytes: 2147483648, x-message-ttl: 86400000, "
                     "x-queue-type: quorum}");
    assert_true(find(&c, TOPOLOGY_QUEUE, "/shop", "gone")->is_absent);
    assert_int_equal(c.topology.rules.prune, PRUNE_ALL);
    assert_int_equal(c.topology.rules.delete_queues, DELETE_QUEUES_ALWAYS);
    assert_false(c.topology.rules.on_start);
    const struct topology_item policy = { .kind = TOPOLOGY_POLICY,
                                          .vhost = BYTES_LITERAL("/shop"),
                                          .name = BYTES_LITERAL("p") };
    const struct topology_item *p = topology_find(&c.topology, &policy);
    assert_non_null(p);
    expect_text(p->values[POLICY_PATTERN], "^a$b");
    assert_int_equal(topology_integer(p, POLICY_PRIORITY, 0), -3);
    size_t bindings = 0;
    for (size_t i = 0; i < c.topology.count; i++)
        bindings += c.topology.items[i].kind == TOPOLOGY_BINDING;
    assert_int_equal(bindings, 3);
    configuration_fini(&c);
}

/* Every prefix of a document is read without a crash, and without a leak. */
static void
test_truncated(void **state)
{
    (void)state;
    static const char text[] =
        "version: 1\nusers: {a: {password: x, tags: [a]}}\nvhosts: {/: {exchanges: {x: {type: "
        "topic, arguments: {alternate-exchange: y, n: [1, {a: b}]}}}, queues: {q: {type: quorum, "
        "bindings: [{from: x, keys: [a], arguments: {x-match: all}}]}}, policies: {p: {pattern: "
        "\"a\", definition: {max-length: 5}}}, permissions: {a: {read: \".*\"}}}}\n";
    char copy[sizeof(text)];
    for (size_t size = 0; size < sizeof(text); size++) {
        struct configuration c;
        memcpy(copy, text, size);
        copy[size] = 0;
        const bool fine = read_text(&c, copy);
        assert_true(fine == (c.document.diagnostics.count == 0));
        assert_true(fine || size < sizeof(text) - 2);
        configuration_fini(&c);
    }
}

/* The examples of docs/CONFIGURATION.md are what they say they are. */
static void
test_documentation(void **state)
{
    (void)state;
    struct buf page = { 0 };
    size_t examples = 0;
    assert_true(file_read(RAIL_SOURCE "/docs/CONFIGURATION.md", 1 << 20, &page));
    buf_append(&page, "", 1);
    unsetenv("ORDERS_PASSWORD");
    for (char *at = (char *)page.data; (at = strstr(at, "```yaml\n")) != NULL; examples++) {
        struct configuration c;
        at += strlen("```yaml\n");
        char *end = strstr(at, "```\n");
        assert_non_null(end);
        *end = 0;
        /* In memory nothing can be included. */
        char *include = strstr(at, "include:");
        assert_non_null(include);
        *include = '#';
        expect_read(&c, at);
        assert_int_equal(c.document.diagnostics.warning_count, 0);
        assert_true(c.topology.count > 20);
        configuration_fini(&c);
        at = end + 1;
    }
    assert_int_equal(examples, 1);
    buf_fini(&page);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
