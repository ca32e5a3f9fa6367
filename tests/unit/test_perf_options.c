#include "broker/perf/perf_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 24

/* Parses a command line given as one string; words lie in `line`, which must outlive `out`. */
static bool
parse(char *line, struct perf_options *out, struct perf_error *error)
{
    char *words[WORDS_MAX] = { line };
    int count = 1;
    char *rest = NULL;
    strtok_r(line, " ", &rest);
    for (char *word = strtok_r(NULL, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(count < WORDS_MAX);
        words[count++] = word;
    }
    return perf_options_parse(count, words, out, error);
}

static void
test_defaults(void **state)
{
    (void)state;
    char line[] = "perf";
    struct perf_options o;
    struct perf_error error = { "" };
    assert_true(parse(line, &o, &error));
    assert_int_equal(o.producers, 1);
    assert_int_equal(o.consumers, 1);
    assert_int_equal(o.size, 100);
    assert_true(o.auto_delete);
    assert_string_equal(o.target.host, "localhost");
    assert_string_equal(o.target.port, "5672");
    assert_string_equal(o.target.user, "guest");
    assert_string_equal(o.target.vhost, "/");
}

static void
test_short_and_long_names(void **state)
{
    (void)state;
    char line[] = "perf -x 2 --consumers=3 -qa x-max-length=5 -f persistent -f mandatory -r -1 "
                  "-ad false --json -s 16 -A 50 -q 20";
    struct perf_options o;
    struct perf_error error = { "" };
    assert_true(parse(line, &o, &error));
    assert_int_equal(o.producers, 2);
    assert_int_equal(o.consumers, 3);
    assert_string_equal(o.queue_arguments, "x-max-length=5");
    assert_true(o.persistent);
    assert_true(o.mandatory);
    assert_true(o.rate == 0);
    assert_false(o.auto_delete);
    assert_true(o.json);
    assert_int_equal(o.size, 16);
    assert_int_equal(o.ack_every, 20); /* Not above the prefetch. */
}

static void
test_idle_connections_come_alone(void **state)
{
    (void)state;
    char alone[] = "perf --idle-connections 5";
    char with[] = "perf --idle-connections 5 -x 1";
    struct perf_options o;
    struct perf_error error = { "" };
    assert_true(parse(alone, &o, &error));
    assert_int_equal(o.producers + o.consumers, 0);
    assert_true(parse(with, &o, &error));
    assert_int_equal(o.producers, 1);
    assert_int_equal(o.consumers, 0);
}

static void
test_mistakes_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *text; /* Part of the message. */
    } rows[] = {
        { "perf --nosuch", "'--nosuch'" },
        { "perf queue", "'queue'" },
        { "perf -", "'-'" },
        { "perf -x", "--producers needs a value" },
        { "perf -x two", "--producers two: expected a number" },
        { "perf -x -1", "--producers -1: expected a number" },
        { "perf -x 99999999999999999999", "expected a number" },
        { "perf -s 134217729", "from 0 to 134217728" },
        { "perf --json=1", "--json takes no value" },
        { "perf -f transient", "expected persistent or mandatory" },
        { "perf -ad maybe", "expected true|false" },
        { "perf -r fast", "expected messages a second" },
        { "perf -u q -qp q-%d", "not both" },
        { "perf -qp q-%d -qpf 5 -qpt 4", "--queue-pattern-to" },
        { "perf -p", "--predeclared" },
        { "perf -a --reject", "not both" },
        { "perf --priorities 256", "from 0 to 255" },
        { "perf -x 100000 -X 65535", "channels" },
        { "perf -h http://localhost", "amqp://" },
        { "perf -h amqps://localhost:0", "port" },
        { "perf -h amqp://localhost --tls-certificate a --tls-key b", "amqps://" },
        { "perf -h amqps://localhost --tls-key b", "--tls-certificate" },
        { "perf -h amqp://localhost:0", "port" },
        { "perf -h amqp://localhost:x", "port" },
        { "perf -h amqp://localhost/%zz", "vhost" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *line = strdup(rows[i].line);
        struct perf_options o;
        struct perf_error error = { "" };
        if (parse(line, &o, &error) || strstr(error.text, rows[i].text) == NULL)
            fail_msg("%s: %s", rows[i].line, error.text);
        free(line);
    }
}

static void
test_uri_parts(void **state)
{
    (void)state;
    struct perf_uri u;
    struct perf_error error = { "" };
    assert_true(perf_uri_parse("amqp://us%65r:p%40ss:w@host.example:1234/a%2Fb", &u, &error));
    assert_string_equal(u.user, "user");
    assert_string_equal(u.password, "p@ss:w");
    assert_string_equal(u.host, "host.example");
    assert_string_equal(u.port, "1234");
    assert_string_equal(u.vhost, "a/b");
    assert_true(perf_uri_parse("amqp://[::1]:5673", &u, &error));
    assert_string_equal(u.host, "::1");
    assert_string_equal(u.port, "5673");
    assert_string_equal(u.vhost, "/");
    assert_true(perf_uri_parse("amqp://", &u, &error));
    assert_string_equal(u.host, "localhost");
    assert_false(u.tls);
    assert_true(perf_uri_parse("amqps://u@h", &u, &error));
    assert_true(u.tls);
    assert_string_equal(u.host, "h");
    assert_string_equal(u.port, "5671");
}

static void
test_every_option_has_its_own_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < perf_options_count; i++) {
        for (size_t k = 0; k < i; k++) {
            const struct perf_option *a = &perf_options_table[i];
            const struct perf_option *b = &perf_options_table[k];
            assert_string_not_equal(a->longer, b->longer);
            if (a->shorter != NULL && b->shorter != NULL)
                assert_string_not_equal(a->shorter, b->shorter);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_short_and_long_names),
        cmocka_unit_test(test_idle_connections_come_alone),
        cmocka_unit_test(test_mistakes_are_explained),
        cmocka_unit_test(test_uri_parts),
        cmocka_unit_test(test_every_option_has_its_own_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
