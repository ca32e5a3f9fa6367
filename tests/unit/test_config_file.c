#include "broker/config/config_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Reads content from a heap block of its exact size. */
static bool
read_text(const char *text, struct config *config, struct buf *report)
{
    const size_t size = strlen(text);
    char *copy = malloc(size > 0 ? size : 1);
    memcpy(copy, text, size);
    const bool fine = config_text_read("broker.yaml", bytes_of(copy, size), config, report);
    free(copy);
    return fine;
}

static void
expect_fine(const char *text, struct config *config)
{
    struct buf report = { 0 };
    config_init(config);
    const bool fine = read_text(text, config, &report);
    if (!fine)
        fail_msg("%.*s", BYTES_ARGS(buf_bytes(&report)));
    assert_int_equal(report.size, 0);
    buf_fini(&report);
}

/* The whole report, and a config that stays as it was. */
static void
expect_report(const char *text, const char *expected)
{
    struct buf report = { 0 };
    struct config before;
    config_init(&before);
    struct config config = before;
    assert_false(read_text(text, &config, &report));
    assert_memory_equal(&config, &before, sizeof(config));
    buf_append(&report, "", 1);
    assert_string_equal((const char *)report.data, expected);
    buf_fini(&report);
}

static void
test_every_setting(void **state)
{
    (void)state;
    struct config c;
    expect_fine("version: 1\n"
                "server:\n"
                "  name: broker-1\n"
                "  product: \"Rail Test\"\n"
                "  version: 3.12.0\n"
                "  data_dir: /srv/rail\n"
                "  workers: 4\n"
                "  log:\n"
                "    level: debug\n"
                "listeners:\n"
                "  - {protocol: amqp, bind: \"[::1]:5673\"}\n"
                "  - bind: 127.0.0.1:0\n"
                "  - bind: 127.0.0.1:0\n"
                "limits:\n"
                "  max_connections: 100\n"
                "  channel_max: 64\n"
                "  frame_max: 16KiB\n"
                "  max_message_size: 16MiB\n"
                "  heartbeat: 0s\n"
                "  handshake_timeout: 500ms\n"
                "  consumer_timeout: 1h\n"
                "  table_depth: 4\n"
                "  table_entries: 10\n"
                "  outbox_bytes: 64 KiB\n"
                "  output_bytes_max: 2MB\n"
                "  memory_high_watermark: 512MiB\n"
                "testing: {commit_delay: 5ms}\n",
                &c);
    assert_string_equal(c.server.name, "broker-1");
    assert_string_equal(c.server.product, "Rail Test");
    assert_string_equal(c.server.version, "3.12.0");
    assert_string_equal(c.server.data_dir, "/srv/rail");
    assert_int_equal(c.server.workers, 4);
    assert_int_equal(c.server.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(c.listener_count, 3);
    assert_string_equal(c.listeners[0].bind.host, "::1");
    assert_int_equal(c.listeners[0].bind.port, 5673);
    assert_string_equal(c.listeners[1].bind.host, "127.0.0.1");
    assert_int_equal(c.listeners[1].bind.port, 0);
    assert_int_equal(c.limits.max_connections, 100);
    assert_int_equal(c.limits.channel_max, 64);
    assert_int_equal(c.limits.frame_max, 16384);
    assert_int_equal(c.limits.max_message_size, 16 << 20);
    assert_int_equal(c.limits.heartbeat_s, 0);
    assert_int_equal(c.limits.handshake_timeout_ms, 500);
    assert_int_equal(c.limits.consumer_timeout_ms, 3600000);
    assert_int_equal(c.limits.table_depth, 4);
    assert_int_equal(c.limits.table_entries, 10);
    assert_int_equal(c.limits.outbox_bytes, 65536);
    assert_int_equal(c.limits.output_bytes_max, 2000000);
    assert_int_equal(c.limits.memory_high_watermark, 512 << 20);
    assert_int_equal(c.testing.commit_delay_ms, 5);
}

static void
test_defaults_stay(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "version: 1\n",
        "version: 1\nserver:\nlimits:\n",
        "version: 1\nserver: {}\nlimits: {}\n",
        "version: 1\nserver:\n  log:\n",
        "{\"version\": 1, \"limits\": {\"heartbeat\": \"60s\"}}",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct config defaults;
        struct config c;
        config_init(&defaults);
        expect_fine(texts[i], &c);
        assert_memory_equal(&c, &defaults, sizeof(c));
    }
}

static void
test_aliases_and_expansion(void **state)
{
    (void)state;
    struct config c;
    setenv("RAIL_TEST_NAME", "from-env", 1);
    unsetenv("RAIL_TEST_UNSET");
    expect_fine(
        "version: 1\n"
        "server: {name: \"${env:RAIL_TEST_NAME}\", workers: \"${env:RAIL_TEST_UNSET:-3}\"}\n"
        "limits: {outbox_bytes: &size 2MiB, output_bytes_max: *size}\n",
        &c);
    assert_string_equal(c.server.name, "from-env");
    assert_int_equal(c.server.workers, 3);
    assert_int_equal(c.limits.output_bytes_max, 2 << 20);
}

/* Every message this file can give, with the place it points to. Those of the scanner are in
 * test_config_yaml_tree.c, those of ${...} in test_config_expand.c. */
static const struct {
    const char *text;
    const char *report;
} goldens[] = {
    { "", "broker.yaml:1:1: error: the key \"version\" is missing [RAIL-E013]\n"
          "   = hint: write version: 1 at the top of the file\n"
          "1 error\n" },
    { "server: {}\n", "broker.yaml:1:1: error: the key \"version\" is missing [RAIL-E013]\n"
                      "    1 | server: {}\n"
                      "      | ^\n"
                      "   = hint: write version: 1 at the top of the file\n"
                      "1 error\n" },
    { "version: 2\n",
      "broker.yaml:1:10: error: version of the file format must be 1, got \"2\" [RAIL-E014]\n"
      "    1 | version: 2\n"
      "      |          ^\n"
      "1 error\n" },
    { "version: [1]\n",
      "broker.yaml:1:10: error: version must be a single value, got a list [RAIL-E011]\n"
      "    1 | version: [1]\n"
      "      |          ^\n"
      "1 error\n" },
    { "- version: 1\n",
      "broker.yaml:1:1: error: the file must be a mapping, got a list [RAIL-E011]\n"
      "    1 | - version: 1\n"
      "      | ^\n"
      "1 error\n" },
    { "version: 1\nserver: node\n",
      "broker.yaml:2:9: error: server must be a mapping, got a single value [RAIL-E011]\n"
      "    2 | server: node\n"
      "      |         ^~~~\n"
      "1 error\n" },
    { "version: 1\nserver: {log: debug}\n",
      "broker.yaml:2:15: error: server.log must be a mapping, got a single value [RAIL-E011]\n"
      "    2 | server: {log: debug}\n"
      "      |               ^~~~~\n"
      "1 error\n" },
    { "version: 1\nlimits: {heartbeat: {}}\n",
      "broker.yaml:2:21: error: limits.heartbeat must be a single value, got a mapping "
      "[RAIL-E011]\n"
      "    2 | limits: {heartbeat: {}}\n"
      "      |                     ^\n"
      "1 error\n" },
    { "version: 1\nlimit: {}\n",
      "broker.yaml:2:1: error: unknown key \"limit\"; did you mean \"limits\"? [RAIL-E004]\n"
      "    2 | limit: {}\n"
      "      | ^~~~~\n"
      "1 error\n" },
    { "version: 1\nbananas: {}\n", "broker.yaml:2:1: error: unknown key \"bananas\" [RAIL-E004]\n"
                                   "    2 | bananas: {}\n"
                                   "      | ^~~~~~~\n"
                                   "1 error\n" },
    { "version: 1\nheartbeat: 60s\n",
      "broker.yaml:2:1: error: unknown key \"heartbeat\"; did you mean limits.heartbeat? "
      "[RAIL-E004]\n"
      "    2 | heartbeat: 60s\n"
      "      | ^~~~~~~~~\n"
      "1 error\n" },
    { "version: 1\nlimits:\n  frame_mx: 1MiB\n  bananas: 1\n  level: info\n  \"\": 1\n",
      "broker.yaml:3:3: error: unknown key \"frame_mx\" in limits; did you mean \"frame_max\"? "
      "[RAIL-E004]\n"
      "    3 |   frame_mx: 1MiB\n"
      "      |   ^~~~~~~~\n"
      "broker.yaml:4:3: error: unknown key \"bananas\" in limits [RAIL-E004]\n"
      "    4 |   bananas: 1\n"
      "      |   ^~~~~~~\n"
      "broker.yaml:5:3: error: unknown key \"level\" in limits; did you mean server.log.level? "
      "[RAIL-E004]\n"
      "    5 |   level: info\n"
      "      |   ^~~~~\n"
      "broker.yaml:6:3: error: unknown key \"\" in limits [RAIL-E004]\n"
      "    6 |   \"\": 1\n"
      "      |   ^~\n"
      "4 errors\n" },
    { "version: 1\nserver: {log: {levle: info}}\n",
      "broker.yaml:2:16: error: unknown key \"levle\" in server.log; did you mean \"level\"? "
      "[RAIL-E004]\n"
      "    2 | server: {log: {levle: info}}\n"
      "      |                ^~~~~\n"
      "1 error\n" },
    { "version: 1\nserver: &s {}\nlimits: {<<: *s}\n",
      "broker.yaml:3:10: error: unknown key \"<<\" in limits; merge keys are not read, so write "
      "the keys out [RAIL-E004]\n"
      "    3 | limits: {<<: *s}\n"
      "      |          ^~\n"
      "1 error\n" },
    /* What only tests know is not suggested. */
    { "version: 1\ntestin: {}\ntesting: {commit_dela: 1s}\n",
      "broker.yaml:2:1: error: unknown key \"testin\" [RAIL-E004]\n"
      "    2 | testin: {}\n"
      "      | ^~~~~~\n"
      "broker.yaml:3:11: error: unknown key \"commit_dela\" in testing [RAIL-E004]\n"
      "    3 | testing: {commit_dela: 1s}\n"
      "      |           ^~~~~~~~~~~\n"
      "2 errors\n" },
    { "version: 1\nlimits:\n  frame_max: 2 gigs\n  heartbeat: 60\n  consumer_timeout: 30\n"
      "  channel_max: 0644\n  memory_high_watermark: most\n",
      "broker.yaml:3:14: error: limits.frame_max must be a size, got \"2 gigs\" [RAIL-E021]\n"
      "    3 |   frame_max: 2 gigs\n"
      "      |              ^~~~~~\n"
      "   = hint: write 2GiB (1024-based) or 2GB (1000-based)\n"
      "broker.yaml:4:14: error: limits.heartbeat must be a duration in whole seconds, got \"60\" "
      "[RAIL-E021]\n"
      "    4 |   heartbeat: 60\n"
      "      |              ^~\n"
      "   = hint: write a number and a unit: 30s, 10min, 2h or 7d\n"
      "broker.yaml:5:21: error: limits.consumer_timeout must be a duration, got \"30\" "
      "[RAIL-E021]\n"
      "    5 |   consumer_timeout: 30\n"
      "      |                     ^~\n"
      "   = hint: write a number and a unit: 500ms, 30s, 10min, 2h or 7d\n"
      "broker.yaml:6:16: error: limits.channel_max must be a whole number, got \"0644\" "
      "[RAIL-E021]\n"
      "    6 |   channel_max: 0644\n"
      "      |                ^~~~\n"
      "   = hint: write decimal digits without sign, leading zeros or separators\n"
      "broker.yaml:7:26: error: limits.memory_high_watermark must be a size or a percentage of the "
      "memory, got \"most\" [RAIL-E021]\n"
      "    7 |   memory_high_watermark: most\n"
      "      |                          ^~~~\n"
      "   = hint: write 4GiB or 60%\n"
      "5 errors\n" },
    { "version: 1\nserver:\n  name: \"a\\nb\"\n  version: 3.12\n  log: {level: loud}\n"
      "  data_dir: \"\"\n",
      "broker.yaml:3:9: error: server.name must be text without control characters, got "
      "\"a\\x0ab\" [RAIL-E021]\n"
      "    3 |   name: \"a\\nb\"\n"
      "      |         ^~~~~~\n"
      "broker.yaml:4:12: error: server.version must be a version, got \"3.12\" [RAIL-E021]\n"
      "    4 |   version: 3.12\n"
      "      |            ^~~~\n"
      "   = hint: write three numbers: 3.12.0\n"
      "broker.yaml:5:16: error: server.log.level must be a log level, got \"loud\" [RAIL-E021]\n"
      "    5 |   log: {level: loud}\n"
      "      |                ^~~~\n"
      "   = hint: write one of debug, info, warning, error\n"
      "broker.yaml:6:13: error: server.data_dir must have between 1 and 4095 bytes, got \"\" "
      "[RAIL-E022]\n"
      "    6 |   data_dir: \"\"\n"
      "      |             ^~\n"
      "4 errors\n" },
    { "version: 1\nlimits: {frame_max: 1KiB}\n",
      "broker.yaml:2:21: error: limits.frame_max must be between 4KiB and 16MiB, got \"1KiB\" "
      "[RAIL-E022]\n"
      "    2 | limits: {frame_max: 1KiB}\n"
      "      |                     ^~~~\n"
      "1 error\n" },
    /* The value of a variable may be a secret. */
    { "version: 1\nserver: {workers: \"${env:RAIL_TEST_SECRET}\"}\n",
      "broker.yaml:2:19: error: server.workers must be a whole number, got the value of "
      "\"${env:RAIL_TEST_SECRET}\" [RAIL-E021]\n"
      "    2 | server: {workers: \"${env:RAIL_TEST_SECRET}\"}\n"
      "      |                   ^~~~~~~~~~~~~~~~~~~~~~~~~\n"
      "   = hint: write decimal digits without sign, leading zeros or separators\n"
      "1 error\n" },
    { "version: 1\nserver:\n  name: ${env:RAIL_TEST_UNSET}\n  data_dir: ${HOME}/rail\n"
      "  product: ${file:/nonexistent/x}\n",
      "broker.yaml:3:9: error: environment variable RAIL_TEST_UNSET is not set [RAIL-E007]\n"
      "    3 |   name: ${env:RAIL_TEST_UNSET}\n"
      "      |         ^~~~~~~~~~~~~~~~~~~~~~\n"
      "broker.yaml:4:13: error: ${...} names no source of a value [RAIL-E009]\n"
      "    4 |   data_dir: ${HOME}/rail\n"
      "      |             ^~~~~~~~~~~~\n"
      "   = hint: write ${env:NAME}, ${file:/path} or ${cred:name}, or $${ for a plain ${\n"
      "broker.yaml:5:12: error: file /nonexistent/x cannot be read: No such file or directory "
      "[RAIL-E008]\n"
      "    5 |   product: ${file:/nonexistent/x}\n"
      "      |            ^~~~~~~~~~~~~~~~~~~~~~\n"
      "3 errors\n" },
    { "version: 1\nlisteners: amqp\n",
      "broker.yaml:2:12: error: listeners must be a list, got a single value [RAIL-E011]\n"
      "    2 | listeners: amqp\n"
      "      |            ^~~~\n"
      "1 error\n" },
    { "version: 1\nlisteners: []\n",
      "broker.yaml:2:12: error: listeners must have between 1 and 32 items, got 0 [RAIL-E022]\n"
      "    2 | listeners: []\n"
      "      |            ^\n"
      "1 error\n" },
    { "version: 1\nlisteners:\n",
      "broker.yaml:2:1: error: listeners must have between 1 and 32 items, got 0 [RAIL-E022]\n"
      "    2 | listeners:\n"
      "      | ^~~~~~~~~\n"
      "1 error\n" },
    { "version: 1\nlisteners:\n  - {protocol: mqtt, bind: \"*:1\"}\n  - {protocol: amqp}\n  - x\n"
      "  - {bind: 127.0.0.1:5672, port: 1}\n",
      "broker.yaml:3:16: error: protocol must be a protocol this version speaks, got \"mqtt\" "
      "[RAIL-E021]\n"
      "    3 |   - {protocol: mqtt, bind: \"*:1\"}\n"
      "      |                ^~~~\n"
      "   = hint: write amqp, amqps or http\n"
      "broker.yaml:3:28: error: bind must be a numeric address and a port, or unix: and a path, "
      "got "
      "\"*:1\" [RAIL-E021]\n"
      "    3 |   - {protocol: mqtt, bind: \"*:1\"}\n"
      "      |                            ^~~~~\n"
      "   = hint: write \"127.0.0.1:5672\", \"0.0.0.0:5672\", \"[::]:5672\" or "
      "unix:/run/railmq/amqp.sock\n"
      "broker.yaml:4:5: error: a listener must have the key \"bind\" [RAIL-E013]\n"
      "    4 |   - {protocol: amqp}\n"
      "      |     ^\n"
      "   = hint: write {protocol: amqp, bind: \"127.0.0.1:5672\"}\n"
      "broker.yaml:5:5: error: a listener must be a mapping, got a single value [RAIL-E011]\n"
      "    5 |   - x\n"
      "      |     ^\n"
      "broker.yaml:6:28: error: unknown key \"port\" in a listener [RAIL-E004]\n"
      "    6 |   - {bind: 127.0.0.1:5672, port: 1}\n"
      "      |                            ^~~~\n"
      "5 errors\n" },
    { "version: 1\nlisteners:\n  - bind: localhost:5672\n  - bind: 127.0.0.1:5672\n",
      "broker.yaml:4:5: error: two listeners bind 127.0.0.1 port 5672 [RAIL-E003]\n"
      "    4 |   - bind: 127.0.0.1:5672\n"
      "      |     ^\n"
      "1 error\n" },
    { "version: 1\nlisteners:\n  - bind: unix:/run/a\n  - bind: unix:/run/a\n",
      "broker.yaml:4:5: error: two listeners bind /run/a [RAIL-E003]\n"
      "    4 |   - bind: unix:/run/a\n"
      "      |     ^\n"
      "1 error\n" },
    { "version: 1\nusers: {}\nvhosts: {}\ntls: {}\napply: {}\ninclude: []\n",
      "broker.yaml:6:10: error: this text may not include files [RAIL-E027]\n"
      "    6 | include: []\n"
      "      |          ^\n"
      "1 error\n" },
    /* TLS. */
    { "version: 1\ntls:\n  default:\n    certificat: a\n    verify_client: maybe\n    min_version: "
      "1.1\n  other: x\n",
      "broker.yaml:4:5: error: unknown key \"certificat\" in tls; did you mean \"certificate\"? "
      "[RAIL-E004]\n"
      "    4 |     certificat: a\n"
      "      |     ^~~~~~~~~~\n"
      "broker.yaml:5:20: error: verify_client must be none, optional or required, got \"maybe\" "
      "[RAIL-E021]\n"
      "    5 |     verify_client: maybe\n"
      "      |                    ^~~~~\n"
      "broker.yaml:6:18: error: min_version must be a version of TLS, got \"1.1\" [RAIL-E021]\n"
      "    6 |     min_version: 1.1\n"
      "      |                  ^~~\n"
      "   = hint: write \"1.2\" or \"1.3\"; older ones are broken\n"
      "broker.yaml:7:10: error: an item of tls must be a mapping, got a single value [RAIL-E011]\n"
      "    7 |   other: x\n"
      "      |          ^\n"
      "4 errors\n" },
    { "version: 1\nlisteners:\n  - {protocol: amqps, bind: 127.0.0.1:1, tls: defualt}\ntls:\n  "
      "default: {certificate: a, private_key: b}\n",
      "broker.yaml:3:47: error: the listener uses tls \"defualt\", which is not there [RAIL-E013]\n"
      "    3 |   - {protocol: amqps, bind: 127.0.0.1:1, tls: defualt}\n"
      "      |                                               ^~~~~~~\n"
      "   = hint: write a section tls with certificate and private_key below that name\n"
      "1 error\n" },
    { "version: 1\nlisteners:\n  - {protocol: amqps, bind: 127.0.0.1:1}\n",
      "broker.yaml:3:5: error: the listener uses tls \"default\", which is not there [RAIL-E013]\n"
      "    3 |   - {protocol: amqps, bind: 127.0.0.1:1}\n"
      "      |     ^\n"
      "   = hint: write a section tls with certificate and private_key below that name\n"
      "1 error\n" },
    { "version: 1\nlisteners:\n  - {bind: 127.0.0.1:1, tls: a}\n",
      "broker.yaml:3:30: error: only an amqps listener has the key \"tls\" [RAIL-E021]\n"
      "    3 |   - {bind: 127.0.0.1:1, tls: a}\n"
      "      |                              ^\n"
      "   = hint: write protocol: amqps\n"
      "1 error\n" },
    { "version: 1\ntls:\n  a: {certificate: a, private_key: b, verify_client: required}\n",
      "broker.yaml:3:54: error: verify_client needs the key \"client_ca\": whose clients are "
      "trusted? [RAIL-E013]\n"
      "    3 |   a: {certificate: a, private_key: b, verify_client: required}\n"
      "      |                                                      ^~~~~~~~\n"
      "   = hint: write client_ca: /path/of/ca.pem\n"
      "1 error\n" },
    { "version: 1\ntls:\n  a:\n    certificate: a\n    private_key: b\n    min_version: \"1.3\"\n  "
      "  max_version: 1.2\n\n",
      "broker.yaml:6:18: error: min_version is above max_version [RAIL-E022]\n"
      "    6 |     min_version: \"1.3\"\n"
      "      |                  ^~~~~\n"
      "1 error\n" },
    { "version: 1\ntls:\n  a: {certificate: a}\n  b: {certificate: a, private_key: b, "
      "more_certificates: [{certificate: a}]}\n",
      "broker.yaml:3:3: error: TLS needs the key \"private_key\" [RAIL-E013]\n"
      "    3 |   a: {certificate: a}\n"
      "      |   ^\n"
      "broker.yaml:4:59: error: TLS needs the key \"private_key\" [RAIL-E013]\n"
      "    4 |   b: {certificate: a, private_key: b, more_certificates: [{certificate: a}]}\n"
      "      |                                                           ^\n"
      "2 errors\n" },
    /* The scanner's errors come out the same way. */
    { "version: 1\nversion: 1\n",
      "broker.yaml:2:1: error: key \"version\" is written twice [RAIL-E003]\n"
      "    2 | version: 1\n"
      "      | ^~~~~~~\n"
      "broker.yaml:1:1: note: first written here\n"
      "    1 | version: 1\n"
      "      | ^~~~~~~\n"
      "1 error\n" },
};

static void
test_tls(void **state)
{
    (void)state;
    struct config c;
    expect_fine("version: 1\n"
                "listeners:\n"
                "  - {protocol: amqps, bind: 127.0.0.1:0, tls: shop}\n"
                "  - {protocol: amqps, bind: 127.0.0.1:0}\n"
                "  - {bind: unix:/run/railmq/amqp.sock, mode: \"0600\"}\n"
                "tls:\n"
                "  default: {certificate: /c.pem, private_key: /k.pem}\n"
                "  shop:\n"
                "    certificate: /shop.pem\n"
                "    private_key: \"-----BEGIN PRIVATE KEY-----\\nAAAA\"\n"
                "    client_ca: /ca\n"
                "    verify_client: required\n"
                "    verify_depth: 2\n"
                "    login_from: san_dns\n"
                "    min_version: 1.3\n"
                "    max_version: \"1.3\"\n"
                "    ciphers: HIGH\n"
                "    ciphersuites: TLS_AES_128_GCM_SHA256\n"
                "    curves: X25519\n"
                "    session_tickets: false\n"
                "    more_certificates:\n"
                "      - {certificate: /eu.pem, private_key: /eu-key.pem}\n"
                "      - {certificate: /us.pem, private_key: /us-key.pem}\n",
                &c);
    assert_int_equal(c.listeners[0].protocol, CONFIG_PROTOCOL_AMQPS);
    assert_string_equal(c.listeners[0].tls, "shop");
    assert_string_equal(c.listeners[1].tls, "default");
    assert_true(c.listeners[2].bind.is_path);
    assert_string_equal(c.listeners[2].bind.host, "/run/railmq/amqp.sock");
    assert_int_equal(c.listeners[2].mode, 0600);
    assert_int_equal(c.tls_count, 2);
    assert_string_equal(c.tls[0].name, "default");
    assert_string_equal(c.tls[0].private_key, "/k.pem");
    const struct config_tls *shop = &c.tls[1];
    assert_string_equal(shop->private_key, "-----BEGIN PRIVATE KEY-----\nAAAA");
    assert_string_equal(shop->client_ca, "/ca");
    assert_int_equal(shop->verify_client, CONFIG_VERIFY_REQUIRED);
    assert_int_equal(shop->verify_depth, 2);
    assert_int_equal(shop->login_from, CONFIG_LOGIN_SAN_DNS);
    assert_int_equal(shop->min_version, CONFIG_TLS_1_3);
    assert_int_equal(shop->max_version, CONFIG_TLS_1_3);
    assert_string_equal(shop->curves, "X25519");
    assert_false(shop->session_tickets);
    assert_int_equal(c.certificate_count, 2);
    assert_int_equal(c.certificates[1].tls, 1);
    assert_string_equal(c.certificates[1].certificate, "/us.pem");
}

static void
test_goldens(void **state)
{
    (void)state;
    setenv("RAIL_TEST_SECRET", "hunter2", 1);
    unsetenv("RAIL_TEST_UNSET");
    for (size_t i = 0; i < COUNT(goldens); i++)
        expect_report(goldens[i].text, goldens[i].report);
}

static void
test_too_many_listeners(void **state)
{
    (void)state;
    struct buf text = { 0 };
    struct buf report = { 0 };
    struct config c;
    config_init(&c);
    buf_printf(&text, "version: 1\nlisteners:\n");
    for (int i = 0; i <= CONFIG_LISTENERS_MAX; i++)
        buf_printf(&text, "- bind: 127.0.0.1:%d\n", 6000 + i);
    assert_false(config_text_read("f", buf_bytes(&text), &c, &report));
    assert_true(bytes_start_with(
        buf_bytes(&report),
        BYTES_LITERAL("f:3:1: error: listeners must have between 1 and 32 items, got 33 ")));
    buf_fini(&text);
    buf_fini(&report);
}

/* Cut a fine file short at every octet: never a crash, and never half a config. */
static void
test_truncated_files(void **state)
{
    (void)state;
    static const char text[] = "version: 1\nserver: {name: \"a\\u00e9\", log: {level: info}}\n"
                               "listeners:\n  - &l {bind: \"[::]:5672\"}\nlimits:\n"
                               "  frame_max: ${env:HOME:-4KiB}\n";
    for (size_t size = 0; size < sizeof(text) - 1; size++) {
        struct buf report = { 0 };
        struct config before;
        config_init(&before);
        struct config c = before;
        char *copy = malloc(size > 0 ? size : 1);
        memcpy(copy, text, size);
        if (!config_text_read("f", bytes_of(copy, size), &c, &report))
            assert_memory_equal(&c, &before, sizeof(c));
        free(copy);
        buf_fini(&report);
    }
}

static void
test_files(void **state)
{
    (void)state;
    struct config c;
    struct buf report = { 0 };
    char path[] = "/tmp/rail-test-config-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "version: 1\nserver: {name: x}\n", 29), 29);
    config_init(&c);
    assert_true(config_file_read(path, &c, &report));
    assert_string_equal(c.server.name, "x");

    assert_int_equal(ftruncate(fd, DOCUMENT_BYTES_MAX + 1), 0);
    assert_false(config_file_read(path, &c, &report));
    close(fd);
    remove(path);
    assert_false(config_file_read("/nonexistent/f", &c, &report));
    buf_append(&report, "", 1);
    assert_non_null(strstr((const char *)report.data,
                           ": error: larger than 16 MiB, too large for a configuration file "
                           "[RAIL-E001]\n1 error\n"
                           "/nonexistent/f: error: cannot be read: No such file or directory "
                           "[RAIL-E001]\n1 error\n"));
    buf_fini(&report);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_setting),
        cmocka_unit_test(test_defaults_stay),
        cmocka_unit_test(test_aliases_and_expansion),
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_too_many_listeners),
        cmocka_unit_test(test_truncated_files),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
