#include "broker/core/config.h"
#include "broker/core/config_value.h"
#include "broker/core/memory_total.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The text in a heap block of its exact size, so that reading one octet too many is seen. */
static bool
set(void *base, const struct config_field *field, const char *text, struct config_problem *problem)
{
    const size_t size = strlen(text);
    char *copy = malloc(size > 0 ? size : 1);
    memcpy(copy, text, size);
    const bool fine = config_field_set(base, field, bytes_of(copy, size), problem);
    free(copy);
    return fine;
}

static void
test_defaults(void **state)
{
    (void)state;
    struct config c;
    config_init(&c);
    assert_memory_equal(c.server.name, "rail@", 5);
    assert_true(strlen(c.server.name) > 5);
    assert_string_equal(c.server.product, "Rail");
    assert_string_equal(c.server.version, RAIL_VERSION);
    assert_string_equal(c.server.data_dir, "/var/lib/railmq");
    assert_int_equal(c.server.workers, 0);
    assert_int_equal(c.server.log_level, LOG_LEVEL_INFO);
    assert_int_equal(c.limits.max_connections, 65536);
    assert_int_equal(c.limits.channel_max, 2047);
    assert_int_equal(c.limits.frame_max, 131072);
    assert_int_equal(c.limits.max_message_size, 128 << 20);
    assert_int_equal(c.limits.heartbeat_s, 60);
    assert_int_equal(c.limits.handshake_timeout_ms, 10000);
    assert_int_equal(c.limits.consumer_timeout_ms, 30 * 60 * 1000);
    assert_int_equal(c.limits.table_depth, 32);
    assert_int_equal(c.limits.table_entries, 4096);
    assert_int_equal(c.limits.outbox_bytes, 256 << 10);
    assert_int_equal(c.limits.output_bytes_max, 1 << 20);
    assert_true(c.limits.memory_high_watermark >= memory_total_bytes() / 100 * 60);
    assert_int_equal(c.testing.commit_delay_ms, 0);
    assert_int_equal(c.testing.journal_bytes, 64 << 20);
    assert_string_equal(c.testing.fault, "");
    assert_int_equal(c.listener_count, 1);
    assert_int_equal(c.listeners[0].protocol, CONFIG_PROTOCOL_AMQP);
    assert_string_equal(c.listeners[0].bind.host, "127.0.0.1");
    assert_int_equal(c.listeners[0].bind.port, 5672);
}

static void
table_check(const struct config_field *fields, size_t count, void *base)
{
    struct config_problem problem;
    for (size_t i = 0; i < count; i++) {
        const struct config_field *f = &fields[i];
        assert_true(strlen(f->doc) > 10 && f->doc[strlen(f->doc) - 1] == '.');
        assert_true((f->kind->number != NULL) != (f->kind->store != NULL));
        if (f->kind->number == NULL)
            continue;
        uint64_t max;
        assert_true(set(base, f, f->min, &problem));
        assert_true(set(base, f, f->max, &problem));
        assert_true(set(base, f, f->fallback, &problem));
        assert_true(f->kind->number(bytes_of_string(f->max), &max));
        assert_true(f->size == 8 || max < UINT64_C(1) << 8 * f->size);
    }
}

/* Every bound can be read, lies in bounds and fits its member; every row has a sentence. */
static void
test_table_is_sound(void **state)
{
    (void)state;
    struct config c;
    config_init(&c);
    table_check(config_fields, config_field_count, &c);
    table_check(config_listener_fields, config_listener_field_count, &c.listeners[0]);
    for (size_t i = 0; i < config_field_count; i++)
        assert_ptr_equal(config_field_find(config_fields[i].path), &config_fields[i]);
    assert_null(config_field_find("limits.none"));
}

#define BAD UINT64_C(0xBAD)

static void
test_numbers(void **state)
{
    (void)state;
    static const struct {
        const struct config_kind *kind;
        const char *text;
        uint64_t value;
    } samples[] = {
        { &config_kind_count, "0", 0 },
        { &config_kind_count, "65536", 65536 },
        { &config_kind_count, "18446744073709551615", UINT64_MAX },
        { &config_kind_count, "99999999999999999999999", UINT64_MAX },
        { &config_kind_count, "", BAD },
        { &config_kind_count, "-1", BAD },
        { &config_kind_count, "+1", BAD },
        { &config_kind_count, " 1", BAD },
        { &config_kind_count, "1 ", BAD },
        { &config_kind_count, "0644", BAD },
        { &config_kind_count, "1_000", BAD },
        { &config_kind_count, "0x10", BAD },
        { &config_kind_count, "1.0", BAD },
        { &config_kind_size, "0", 0 },
        { &config_kind_size, "131072", 131072 },
        { &config_kind_size, "7B", 7 },
        { &config_kind_size, "1KiB", 1024 },
        { &config_kind_size, "2MiB", 2 << 20 },
        { &config_kind_size, "2 GiB", UINT64_C(2) << 30 },
        { &config_kind_size, "1TiB", UINT64_C(1) << 40 },
        { &config_kind_size, "1KB", 1000 },
        { &config_kind_size, "1MB", 1000000 },
        { &config_kind_size, "3GB", UINT64_C(3000000000) },
        { &config_kind_size, "1TB", UINT64_C(1000000000000) },
        { &config_kind_size, "99999999999TiB", UINT64_MAX },
        { &config_kind_size, "2 gigs", BAD },
        { &config_kind_size, "1.5GiB", BAD },
        { &config_kind_size, "1kb", BAD },
        { &config_kind_size, "GiB", BAD },
        { &config_kind_size, "1 ", BAD },
        { &config_kind_size, "", BAD },
        { &config_kind_milliseconds, "0", 0 },
        { &config_kind_milliseconds, "500ms", 500 },
        { &config_kind_milliseconds, "30s", 30000 },
        { &config_kind_milliseconds, "2m", 120000 },
        { &config_kind_milliseconds, "2min", 120000 },
        { &config_kind_milliseconds, "1h", 3600000 },
        { &config_kind_milliseconds, "7d", 604800000 },
        { &config_kind_milliseconds, "30", BAD },
        { &config_kind_milliseconds, "30 sec", BAD },
        { &config_kind_milliseconds, "", BAD },
        { &config_kind_seconds, "0", 0 },
        { &config_kind_seconds, "60s", 60 },
        { &config_kind_seconds, "2000ms", 2 },
        { &config_kind_seconds, "500ms", BAD },
        { &config_kind_seconds, "60", BAD },
        { &config_kind_memory, "4GiB", UINT64_C(4) << 30 },
        { &config_kind_memory, "0%", BAD },
        { &config_kind_memory, "101%", BAD },
        { &config_kind_memory, "60 percent", BAD },
    };
    for (size_t i = 0; i < COUNT(samples); i++) {
        uint64_t value = 0;
        const bool fine = samples[i].kind->number(bytes_of_string(samples[i].text), &value);
        if (fine != (samples[i].value != BAD) || (fine && value != samples[i].value))
            fail_msg("\"%s\" as %s gives %d, %llu", samples[i].text, samples[i].kind->what, fine,
                     (unsigned long long)value);
    }
}

static void
test_percentages(void **state)
{
    (void)state;
    uint64_t all;
    uint64_t half;
    assert_true(config_kind_memory.number(BYTES_LITERAL("100%"), &all));
    assert_true(config_kind_memory.number(BYTES_LITERAL("50%"), &half));
    assert_int_equal(all, memory_total_bytes());
    assert_true(all - half * 2 <= 1);
}

static void
test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host; /* NULL: refused. */
        uint16_t port;
    } samples[] = {
        { "127.0.0.1:5672", "127.0.0.1", 5672 },
        { "0.0.0.0:0", "0.0.0.0", 0 },
        { "localhost:1", "127.0.0.1", 1 },
        { "[::]:65535", "::", 65535 },
        { "[2001:db8:1111:2222:3333:4444:5555:6666]:5672", "2001:db8:1111:2222:3333:4444:5555:6666",
          5672 },
        { "unix:/run/railmq/amqp.sock", "/run/railmq/amqp.sock", 0 },
        { "unix:", NULL, 0 },
        { "unix:/", NULL, 0 },
        { "unix:amqp.sock", NULL, 0 },
        { "unix:/"
          "23456789012345678901234567890123456789012345678901234567890123456789012345678901234"
          "567890123456789012345678",
          NULL, 0 },
        { "", NULL, 0 },
        { ":", NULL, 0 },
        { "5672", NULL, 0 },
        { ":5672", NULL, 0 },
        { "*:5672", NULL, 0 },
        { "::1:5672", NULL, 0 },
        { "[127.0.0.1]:5672", NULL, 0 },
        { "[::1:5672", NULL, 0 },
        { "[]:5672", NULL, 0 },
        { "[:5672", NULL, 0 },
        { "[::1]5672", NULL, 0 },
        { "127.0.0.1:", NULL, 0 },
        { "127.0.0.1:65536", NULL, 0 },
        { "127.0.0.1:-1", NULL, 0 },
        { "127.0.0.1:amqp", NULL, 0 },
        { "127.1:5672", NULL, 0 },
        { "broker.example:5672", NULL, 0 },
        { "[fe80:fe80:fe80:fe80:fe80:fe80:fe80:fe80:fe80:fe80:fe80:fe80]:1", NULL, 0 },
    };
    for (size_t i = 0; i < COUNT(samples); i++) {
        struct config_listener l = { 0 };
        struct config_problem problem;
        if (set(&l, &config_listener_fields[1], samples[i].text, &problem) !=
            (samples[i].host != NULL))
            fail_msg("\"%s\"", samples[i].text);
        if (samples[i].host == NULL) {
            assert_string_equal(problem.text,
                                "must be a numeric address and a port, or unix: and a path");
            assert_string_equal(l.bind.host, "");
            continue;
        }
        assert_string_equal(l.bind.host, samples[i].host);
        assert_int_equal(l.bind.port, samples[i].port);
        assert_int_equal(l.bind.is_path, samples[i].host[0] == '/');
    }
}

static const struct config_field *
field_of(const struct config_field *fields, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].path, path) == 0)
            return &fields[i];
    }
    fail_msg("%s", path);
    return NULL;
}

static void
test_modes(void **state)
{
    (void)state;
    static const char *const wrong[] = { "", "0", "60", "0668", "1660", "00660", "rw", "0x1ff" };
    const struct config_field *mode =
        field_of(config_listener_fields, config_listener_field_count, "mode");
    struct config_listener l = { 0 };
    struct config_problem problem;
    assert_true(set(&l, mode, "0660", &problem));
    assert_int_equal(l.mode, 0660);
    assert_true(set(&l, mode, "777", &problem));
    assert_int_equal(l.mode, 0777);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        if (set(&l, mode, wrong[i], &problem))
            fail_msg("\"%s\"", wrong[i]);
    }
    assert_int_equal(l.mode, 0777);
}

static void
test_tls(void **state)
{
    (void)state;
    struct config c;
    struct config_problem problem;
    config_init(&c);
    assert_null(config_tls_find(&c, BYTES_LITERAL("a")));
    struct config_tls *tls = config_tls_add(&c, BYTES_LITERAL("a"));
    assert_ptr_equal(config_tls_find(&c, BYTES_LITERAL("a")), tls);
    assert_int_equal(tls->min_version, CONFIG_TLS_1_2);
    assert_int_equal(tls->max_version, CONFIG_TLS_1_3);
    assert_int_equal(tls->verify_client, CONFIG_VERIFY_NONE);
    assert_true(tls->session_tickets);
    const struct config_field *key =
        field_of(config_tls_fields, config_tls_field_count, "private_key");
    assert_true(set(tls, key, "-----BEGIN PRIVATE KEY-----\nAAAA\n", &problem));
    assert_string_equal(tls->private_key, "-----BEGIN PRIVATE KEY-----\nAAAA\n");
    assert_false(set(tls, key, "/a\n", &problem));
    for (size_t i = 1; i < CONFIG_TLS_MAX; i++)
        assert_non_null(config_tls_add(&c, BYTES_LITERAL("b")));
    assert_null(config_tls_add(&c, BYTES_LITERAL("c")));
    for (size_t i = 0; i < CONFIG_CERTIFICATES_MAX; i++)
        assert_non_null(config_certificate_add(&c, 0));
    assert_null(config_certificate_add(&c, 0));
}

static void
test_texts(void **state)
{
    (void)state;
    struct config c;
    struct config_problem problem;
    config_init(&c);
    const struct config_field *version = config_field_find("server.version");
    static const char *const wrong[] = { "3.12", "3.12.0.1", "3..1",   "v3.1.2", "3.1.2-rc",
                                         "3.1.", "a.b.c",    "3.1.2 ", "03.1.2" };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(set(&c, version, wrong[i], &problem));
        assert_string_equal(problem.text, "must be a version");
    }
    assert_true(set(&c, version, "3.12.0", &problem));
    assert_string_equal(c.server.version, "3.12.0");

    const struct config_field *name = config_field_find("server.name");
    char longest[257];
    memset(longest, 'n', sizeof(longest));
    assert_true(config_field_set(&c, name, bytes_of(longest, 255), &problem));
    assert_int_equal(strlen(c.server.name), 255);
    assert_false(config_field_set(&c, name, bytes_of(longest, 256), &problem));
    assert_true(problem.out_of_range);
    assert_string_equal(problem.text, "must have between 1 and 255 bytes");
    assert_false(set(&c, name, "", &problem));
    assert_false(set(&c, name, "a\nb", &problem));
    assert_false(set(&c, name, "\xff", &problem));
    assert_false(config_field_set(&c, name, BYTES_LITERAL("a\0b"), &problem));
    assert_string_equal(problem.text, "must be text without control characters");
    assert_true(set(&c, name, "caf\xc3\xa9", &problem));
    assert_string_equal(c.server.name, "caf\xc3\xa9");
}

static void
test_choices(void **state)
{
    (void)state;
    static const char *const levels[] = { "debug", "info", "warning", "error" };
    const struct config_field *level = config_field_find("server.log.level");
    struct config c;
    struct config_problem problem;
    config_init(&c);
    for (size_t i = 0; i < COUNT(levels); i++) {
        assert_true(set(&c, level, levels[i], &problem));
        assert_int_equal(c.server.log_level, i);
    }
    assert_false(set(&c, level, "INFO", &problem));
    assert_int_equal(c.server.log_level, LOG_LEVEL_ERROR);
    assert_string_equal(problem.text, "must be a log level");
    bool flag = false;
    assert_true(config_kind_boolean.store(BYTES_LITERAL("true"), &flag, sizeof(flag)));
    assert_true(flag);
    assert_true(config_kind_boolean.store(BYTES_LITERAL("false"), &flag, sizeof(flag)));
    assert_false(flag);
    assert_false(config_kind_boolean.store(BYTES_LITERAL("yes"), &flag, sizeof(flag)));
}

/* A refused value changes nothing and says what would do. */
static void
test_range(void **state)
{
    (void)state;
    struct config c;
    struct config_problem problem;
    config_init(&c);
    const struct config_field *frame_max = config_field_find("limits.frame_max");
    static const char *const outside[] = { "4095", "16777217", "99999999999999999999TiB" };
    for (size_t i = 0; i < COUNT(outside); i++) {
        assert_false(set(&c, frame_max, outside[i], &problem));
        assert_true(problem.out_of_range);
        assert_string_equal(problem.text, "must be between 4KiB and 16MiB");
        assert_null(problem.hint);
        assert_int_equal(c.limits.frame_max, 131072);
    }
    assert_true(set(&c, frame_max, "16MiB", &problem));
    assert_int_equal(c.limits.frame_max, 16 << 20);
    assert_false(set(&c, config_field_find("limits.heartbeat"), "65536s", &problem));
    assert_int_equal(c.limits.heartbeat_s, 60);
}

static void
test_listeners_are_bounded(void **state)
{
    (void)state;
    struct config c;
    config_init(&c);
    for (size_t i = 1; i < CONFIG_LISTENERS_MAX; i++)
        assert_non_null(config_listener_add(&c));
    assert_null(config_listener_add(&c));
    assert_int_equal(c.listener_count, CONFIG_LISTENERS_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_table_is_sound),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_percentages),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_listeners_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
