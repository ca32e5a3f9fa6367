#include "broker/cli/options.h"
#include "broker/cli/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS_MAX 72

static char file[] = "/tmp/rail-test-settings-XXXXXX";

static int
setup(void **state)
{
    static const char text[] = "version: 1\n"
                               "server: {name: from-file, workers: 7, log: {level: error}}\n"
                               "listeners:\n"
                               "  - bind: 127.0.0.1:6001\n"
                               "  - bind: 127.0.0.1:6002\n";
    (void)state;
    const int fd = mkstemp(file);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) != sizeof(text) - 1)
        return -1;
    return close(fd);
}

static int
teardown(void **state)
{
    (void)state;
    return remove(file);
}

/* Whatever is printed goes to the test's own output. */
static bool
read_settings(const char *const *words, struct config *config, int *status)
{
    char *argv[WORDS_MAX + 2];
    int argc = 0;
    argv[argc++] = strdup("serve");
    for (; words[argc - 1] != NULL; argc++)
        argv[argc] = strdup(words[argc - 1]);
    argv[argc] = NULL;
    struct serve_setup setup;
    const bool goes_on = settings_read(argc, argv, &setup, status);
    if (goes_on)
        topology_fini(&setup.topology);
    *config = setup.config;
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return goes_on;
}

#define READ(config, status, ...)                                                                  \
    read_settings((const char *const[]){ __VA_ARGS__, NULL }, config, status)

static void
test_no_options_give_the_defaults(void **state)
{
    (void)state;
    struct config defaults;
    struct config c;
    int status;
    config_init(&defaults);
    const char *const none[] = { NULL };
    assert_true(read_settings(none, &c, &status));
    assert_memory_equal(&c, &defaults, sizeof(c));
}

static void
test_file_then_options(void **state)
{
    (void)state;
    struct config c;
    int status;
    assert_true(READ(&c, &status, "--config", file));
    assert_string_equal(c.server.name, "from-file");
    assert_int_equal(c.server.workers, 7);
    assert_int_equal(c.listener_count, 2);

    /* Options win also if they stand before --config. */
    assert_true(READ(&c, &status, "--workers=3", "-l", "[::1]:0", "--config", file, "--listen",
                     "127.0.0.1:6003", "--data-dir", "/srv", "--log-level=debug"));
    assert_string_equal(c.server.name, "from-file");
    assert_int_equal(c.server.workers, 3);
    assert_string_equal(c.server.data_dir, "/srv");
    assert_int_equal(c.server.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(c.listener_count, 2);
    assert_string_equal(c.listeners[0].bind.host, "::1");
    assert_int_equal(c.listeners[0].bind.port, 0);
    assert_int_equal(c.listeners[1].bind.port, 6003);
}

static void
test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *words[4];
        int status;
    } samples[] = {
        { { "--help" }, EXIT_FINE },
        { { "--nonsense" }, EXIT_USAGE },
        { { "argument" }, EXIT_USAGE },
        { { "--workers", "many" }, EXIT_USAGE },
        { { "--workers", "1025" }, EXIT_USAGE },
        { { "--listen", "nowhere" }, EXIT_USAGE },
        { { "--log-level", "loud" }, EXIT_USAGE },
        { { "--data-dir", "" }, EXIT_USAGE },
        { { "--config", "/nonexistent/f" }, EXIT_FAILED },
    };
    for (size_t i = 0; i < COUNT(samples); i++) {
        struct config c;
        int status = -1;
        assert_false(read_settings(samples[i].words, &c, &status));
        assert_int_equal(status, samples[i].status);
    }
}

static void
test_too_many_listens(void **state)
{
    (void)state;
    const char *words[2 * (CONFIG_LISTENERS_MAX + 1) + 1] = { NULL };
    struct config c;
    int status;
    for (size_t i = 0; i <= CONFIG_LISTENERS_MAX; i++) {
        words[2 * i] = "-l";
        words[2 * i + 1] = "127.0.0.1:0";
    }
    assert_false(read_settings(words, &c, &status));
    assert_int_equal(status, EXIT_USAGE);
    words[2 * CONFIG_LISTENERS_MAX] = NULL;
    assert_true(read_settings(words, &c, &status));
    assert_int_equal(c.listener_count, CONFIG_LISTENERS_MAX);
}

static int
check(char *first, char *second)
{
    char name[] = "check";
    char *argv[] = { name, first, second, NULL };
    return settings_check(1 + (first != NULL) + (second != NULL), argv);
}

static void
test_check(void **state)
{
    (void)state;
    char help[] = "--help";
    char missing[] = "/nonexistent/f";
    assert_int_equal(check(file, NULL), EXIT_FINE);
    assert_int_equal(check(help, NULL), EXIT_FINE);
    assert_int_equal(check(missing, NULL), EXIT_FAILED);
    assert_int_equal(check(NULL, NULL), EXIT_USAGE);
    assert_int_equal(check(file, missing), EXIT_USAGE);
}

/* Every setting for operators is explained, none for tests is, and no line is too long. */
static void
test_help_covers_the_table(void **state)
{
    (void)state;
    struct buf out = { 0 };
    settings_help(&out);
    buf_append(&out, "", 1);
    const char *text = (const char *)out.data;
    for (size_t i = 0; i < config_field_count; i++) {
        const bool found = strstr(text, config_fields[i].path) != NULL;
        assert_int_equal(found, !config_fields[i].hidden);
    }
    for (const char *line = text; *line != 0; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    buf_fini(&out);
}

/* The example in the help is a file that can be read; the certificates that it names are nowhere.
 */
static void
test_example_is_fine(void **state)
{
    (void)state;
    struct buf out = { 0 };
    char path[] = "/tmp/rail-test-example-XXXXXX";
    settings_help(&out);
    buf_append(&out, "", 1);
    const char *start = strstr((const char *)out.data, "\nversion: 1\n");
    const char *end = strstr((const char *)out.data, "\nKeys:");
    assert_non_null(start);
    assert_non_null(end);
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, start, (size_t)(end - start)), end - start);
    close(fd);
    char no_files[] = "--no-files";
    assert_int_equal(check(path, NULL), EXIT_FAILED);
    assert_int_equal(check(no_files, path), EXIT_FINE);
    remove(path);
    buf_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_options_give_the_defaults),
        cmocka_unit_test(test_file_then_options),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_too_many_listens),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_help_covers_the_table),
        cmocka_unit_test(test_example_is_fine),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
