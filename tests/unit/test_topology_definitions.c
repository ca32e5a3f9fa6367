#include "test_topology.h"

#include "broker/topology/write.h"

#include <stdio.h>

/* As RabbitMQ 3.13 exports it, shortened. */
static const char definitions[] =
    "{\"rabbit_version\":\"3.13.7\",\"rabbitmq_version\":\"3.13.7\",\"product_name\":\"RabbitMQ\","
    "\"product_version\":\"3.13.7\",\"users\":[{\"name\":\"guest\",\"password_hash\":"
    "\"iSGj5NhVhCtOrMhfAtXfsi9ZWdCyJc3JkmH8TmTSpQDsNqI1\",\"hashing_algorithm\":"
    "\"rabbit_password_hashing_sha256\",\"tags\":[\"administrator\"],\"limits\":{}},"
    "{\"name\":\"old\",\"password_hash\":\"iSGj5NhVhCtOrMhfAtXfsi9ZWdCyJc3JkmH8TmTSpQDsNqI1\","
    "\"tags\":\"monitoring,policymaker\"},{\"name\":\"certified\",\"password_hash\":\"\","
    "\"hashing_algorithm\":\"rabbit_password_hashing_sha256\",\"tags\":[],\"limits\":{"
    "\"max-connections\":10}}],\"vhosts\":[{\"name\":\"/\",\"description\":\"Default virtual "
    "host\",\"tags\":[],\"metadata\":{\"description\":\"Default virtual host\",\"tags\":[]}},"
    "{\"name\":\"shop\"}],\"permissions\":[{\"user\":\"guest\",\"vhost\":\"/\",\"configure\":"
    "\".*\",\"write\":\".*\",\"read\":\".*\"}],\"topic_permissions\":[{\"user\":\"old\","
    "\"vhost\":\"shop\",\"exchange\":\"orders\",\"write\":\"^a\\\\.$$\",\"read\":\".*\"}],"
    "\"parameters\":[{\"value\":{\"max-queues\":5},\"vhost\":\"/\",\"component\":\"vhost-limits\","
    "\"name\":\"limits\"}],\"global_parameters\":[{\"name\":\"internal_cluster_id\",\"value\":"
    "\"rabbitmq-cluster-id-x\"}],\"policies\":[{\"vhost\":\"shop\",\"name\":\"ttl\",\"pattern\":"
    "\"^tmp\\\\.\",\"apply-to\":\"queues\",\"definition\":{\"message-ttl\":60000},\"priority\":1}],"
    "\"queues\":[{\"name\":\"q\",\"vhost\":\"shop\",\"durable\":true,\"auto_delete\":false,"
    "\"arguments\":{\"x-queue-type\":\"quorum\",\"x-max-length\":1000}},{\"name\":\"tmp.${x}\","
    "\"vhost\":\"shop\",\"durable\":true,\"auto_delete\":true,\"arguments\":{\"x-tag\":\"${env:"
    "HOME}\"}}],\"exchanges\":[{\"name\":\"orders\",\"vhost\":\"shop\",\"type\":\"topic\","
    "\"durable\":true,\"auto_delete\":false,\"internal\":false,\"arguments\":{}},{\"name\":\"in\","
    "\"vhost\":\"shop\",\"type\":\"fanout\",\"durable\":false,\"auto_delete\":false,\"internal\":"
    "true,\"arguments\":{\"alternate-exchange\":\"orders\"}}],\"bindings\":[{\"source\":\"orders\","
    "\"vhost\":\"shop\",\"destination\":\"q\",\"destination_type\":\"queue\",\"routing_key\":"
    "\"a.#\",\"arguments\":{}},{\"source\":\"orders\",\"vhost\":\"shop\",\"destination\":\"in\","
    "\"destination_type\":\"exchange\",\"routing_key\":\"\",\"arguments\":{\"n\":5}}]}\n";

static void
test_a_real_export(void **state)
{
    (void)state;
    struct configuration c;
    struct buf out = { 0 };
    expect_read(&c, definitions);
    assert_true(c.is_definitions);
    assert_int_equal(c.document.diagnostics.warning_count, 0);
    topology_write(&c.topology, WRITE_FOR_PEOPLE, &out);
    buf_append(&out, "", 1);
    assert_string_equal(
        (const char *)out.data,
        "version: 1\n"
        "users:\n"
        "  certified:\n"
        "    limits:\n"
        "      max-connections: 10\n"
        "  guest:\n"
        "    password_hash: {sha256: iSGj5NhVhCtOrMhfAtXfsi9ZWdCyJc3JkmH8TmTSpQDsNqI1}\n"
        "    tags: [administrator]\n"
        "  old:\n"
        "    password_hash: {sha256: iSGj5NhVhCtOrMhfAtXfsi9ZWdCyJc3JkmH8TmTSpQDsNqI1}\n"
        "    tags: [monitoring, policymaker]\n"
        "vhosts:\n"
        "  /:\n"
        "    description: \"Default virtual host\"\n"
        "    tags: []\n"
        "    limits:\n"
        "      max-queues: 5\n"
        "    permissions:\n"
        "      guest:\n"
        "        configure: \".*\"\n"
        "        write: \".*\"\n"
        "        read: \".*\"\n"
        "  shop:\n"
        "    topic_permissions:\n"
        "      old:\n"
        "        orders:\n"
        "          write: \"^a\\\\.$$$$\"\n"
        "          read: \".*\"\n"
        "    exchanges:\n"
        "      in:\n"
        "        type: fanout\n"
        "        durable: false\n"
        "        internal: true\n"
        "        arguments:\n"
        "          alternate-exchange: orders\n"
        "        bindings:\n"
        "          - {from: orders, arguments: {\"n\": 5}}\n"
        "      orders:\n"
        "        type: topic\n"
        "    queues:\n"
        "      q:\n"
        "        arguments:\n"
        "          x-max-length: 1000\n"
        "          x-queue-type: quorum\n"
        "        bindings:\n"
        "          - {from: orders, key: \"a.#\"}\n"
        "      \"tmp.${x}\":\n"
        "        auto_delete: true\n"
        "        arguments:\n"
        "          x-tag: \"$${env:HOME}\"\n"
        "    policies:\n"
        "      ttl:\n"
        "        pattern: \"^tmp\\\\.\"\n"
        "        apply_to: queues\n"
        "        priority: 1\n"
        "        definition:\n"
        "          message-ttl: 60000\n");
    buf_fini(&out);
    configuration_fini(&c);
}

static void
expect_file(const struct buf *out, const char *path)
{
    char expected[8192];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    const size_t size = fread(expected, 1, sizeof(expected) - 1, file);
    fclose(file);
    expected[size] = 0;
    assert_string_equal((const char *)out->data, expected);
}

/* What `export` of a version says becomes what stands beside it; nothing but what has no place here
 * is lost, and each of that is named. What a shovel connects to is shown nowhere. */
static void
expect_import(const char *name, const char *const *warnings, size_t warning_count)
{
    struct configuration c;
    struct configuration again;
    char path[400];
    struct buf out = { 0 };
    struct buf report = { 0 };
    snprintf(path, sizeof(path), RAIL_SOURCE "/tests/unit/definitions/%s.json", name);
    const bool is_read = configuration_read(&c, path, NULL);
    diagnostics_print(&c.document.diagnostics, &report);
    buf_append(&report, "", 1);
    if (!is_read)
        fail_msg("%s", (const char *)report.data);
    assert_null(strstr((const char *)report.data, "hunter2"));
    assert_null(strstr((const char *)report.data, "s3cret"));
    for (size_t i = 0; i < warning_count; i++)
        if (strstr((const char *)report.data, warnings[i]) == NULL)
            fail_msg("no %s in:\n%s", warnings[i], (const char *)report.data);
    assert_int_equal(c.document.diagnostics.warning_count, warning_count);
    topology_write(&c.topology, WRITE_FOR_PEOPLE, &out);
    buf_append(&out, "", 1);
    snprintf(path, sizeof(path), RAIL_SOURCE "/tests/unit/definitions/%s.yaml", name);
    expect_file(&out, path);
    expect_read(&again, (const char *)out.data);
    configuration_fini(&again);
    configuration_fini(&c);
    buf_fini(&report);
    buf_fini(&out);
}

static void
test_exports_of_versions(void **state)
{
    (void)state;
    static const char *const management[] = {
        "key \"ha-mode\" of operator policy \"tmp\" is not taken over",
        "shovel \"from-old\" in vhost \"legacy\" is not taken over",
        "federation-upstream \"dc2\" in vhost \"/\" is not taken over",
        "federation-upstream-set \"all-dcs\" in vhost \"/\" is not taken over",
        "global parameter \"mqtt_port_to_vhost_mapping\" is not taken over",
        "ha-mode of policy \"mirrors\" has no effect in this broker",
        "ha-params of policy \"mirrors\" has no effect in this broker",
        "key \"shards-per-node\" of policy \"mirrors\" is not taken over",
    };
    static const char *const ctl[] = {
        "global parameter \"my-global\" is not taken over",
        "shovel \"mover\" in vhost \"/\" is not taken over",
        "vhost \"shop\" is not protected from deletion: there is no such thing here",
    };
    expect_import("management-3.13", management, sizeof(management) / sizeof(management[0]));
    expect_import("ctl-4.1", ctl, sizeof(ctl) / sizeof(ctl[0]));
}

/* Of a virtual host that is nowhere else; any negative number is no limit. */
static void
test_limits_alone(void **state)
{
    (void)state;
    struct configuration c;
    expect_read(&c, "{\"parameters\": [{\"component\": \"vhost-limits\", \"name\": \"limits\", "
                    "\"vhost\": \"v\", \"value\": {\"max-queues\": -5, \"max-connections\": 0}}]}");
    const struct topology_item *v =
        topology_find_named(&c.topology, TOPOLOGY_VHOST, BYTES_NONE, BYTES_LITERAL("v"));
    assert_non_null(v);
    assert_int_equal(topology_integer(v, VHOST_MAX_QUEUES, 7), -1);
    assert_int_equal(topology_integer(v, VHOST_MAX_CONNECTIONS, 7), 0);
    configuration_fini(&c);
}

/* Other versions have other keys. */
static void
test_unknown_keys_are_warnings(void **state)
{
    (void)state;
    struct configuration c;
    expect_read(&c, "{\"exchanges\": [{\"name\": \"x\", \"vhost\": \"/\", \"type\": "
                    "\"topic\", \"colour\": \"red\"}]}");
    assert_int_equal(c.document.diagnostics.warning_count, 1);
    assert_int_equal(c.topology.count, 1);
    configuration_fini(&c);
}

static void
expect_error(const char *text, const char *message)
{
    struct configuration c;
    assert_false(read_text(&c, text));
    assert_true(c.is_definitions);
    assert_true(c.document.diagnostics.kept_count >= 1);
    struct buf *got = &c.document.diagnostics.kept[0].message;
    buf_append(got, "", 1);
    assert_string_equal((const char *)got->data, message);
    configuration_fini(&c);
}

static void
test_errors(void **state)
{
    (void)state;
    expect_error("{\"rabbit_version\": \"3\", \"queues\": {}}",
                 "queues must be a list, got a mapping");
    expect_error("{\"queues\": [1]}",
                 "an object of the definitions must be a mapping, got a single value");
    expect_error("{\"queues\": [{\"name\": \"q\", \"vhost\": [1]}]}",
                 "an object of the definitions must have \"vhost\" as text");
    expect_error("{\"queues\": [{\"vhost\": \"/\"}]}",
                 "an object of the definitions must have \"name\" as text");
    expect_error("{\"queues\": [{\"name\": \"amq.q\", \"vhost\": \"/\"}]}",
                 "queue names that begin with \"amq.\" are reserved");
    expect_error("{\"queues\": [{\"name\": \"q\", \"vhost\": \"/\", \"arguments\": {"
                 "\"x-message-ttl\": -1}}]}",
                 "x-message-ttl of queue \"q\" must be between 0 and 315360000000, got \"-1\"");
    expect_error("{\"queues\": [{\"name\": \"q\", \"vhost\": \"/\", \"durable\": false, "
                 "\"arguments\": {\"x-queue-type\": \"quorum\"}}]}",
                 "the broker refuses queue \"q\": PRECONDITION_FAILED - invalid property "
                 "'non-durable' for queue 'q' in vhost '/'");
    expect_error("{\"exchanges\": [{\"name\": \"x\", \"vhost\": \"/\", \"type\": \"x-mine\"}]}",
                 "type of exchange \"x\" must be one of direct, fanout, topic, headers, "
                 "x-consistent-hash, x-delayed-message, x-random, got \"x-mine\"");
    expect_error("{\"users\": [{\"name\": \"a\", \"password_hash\": \"x\", \"hashing_algorithm\": "
                 "\"rabbit_password_hashing_md5\"}]}",
                 "passwords must be hashed with sha256 or sha512");
    expect_error("{\"policies\": [{\"name\": \"p\", \"vhost\": \"/\", \"pattern\": \"a\", "
                 "\"apply-to\": \"some\", \"definition\": {}}]}",
                 "apply_to of policy \"p\" must be one of all, queues, exchanges, classic_queues, "
                 "quorum_queues, streams, got \"some\"");
    expect_error("{\"parameters\": [{\"component\": \"operator_policy\", \"name\": \"p\", "
                 "\"vhost\": \"/\", \"value\": {\"pattern\": \"a\", \"apply-to\": \"exchanges\", "
                 "\"definition\": {}}}]}",
                 "apply_to of operator policy \"p\" must be one of queues, classic_queues, "
                 "quorum_queues, streams, all, got \"exchanges\"");
    expect_error("{\"parameters\": [{\"component\": \"operator_policy\", \"name\": \"p\", "
                 "\"vhost\": \"/\", \"value\": {\"pattern\": \"a\", \"definition\": "
                 "[[\"max-length\", \"x\"]]}}]}",
                 "max-length of operator policy \"p\" must be a whole number, got \"x\"");
    expect_error("{\"parameters\": [{\"component\": \"operator_policy\", \"name\": \"p\", "
                 "\"vhost\": \"/\", \"value\": {\"pattern\": \"a\", \"definition\": "
                 "[[\"max-length\"]]}}]}",
                 "the arguments of operator policy \"p\" must be a mapping, got a list");
    expect_error("{\"parameters\": [{\"component\": \"vhost-limits\", \"name\": \"limits\", "
                 "\"vhost\": \"/\", \"value\": {\"max-queues\": \"many\"}}]}",
                 "limits.max-queues of vhost \"/\" must be a whole number, got \"many\"");
    expect_error("{\"parameters\": [{\"name\": \"limits\", \"vhost\": \"/\"}]}",
                 "an object of the definitions must have \"component\" as text");
    expect_error("{\"bindings\": [{\"source\": \"amq.topic\", \"vhost\": \"/\", \"destination\": "
                 "\"q\", \"destination_type\": \"queue\", \"routing_key\": \"\"}]}",
                 "a binding leads to unknown queue \"q\" in vhost \"/\"");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_real_export), cmocka_unit_test(test_exports_of_versions),
        cmocka_unit_test(test_limits_alone),  cmocka_unit_test(test_unknown_keys_are_warnings),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
