#include "broker/cli/options.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS_MAX 8

static const struct option options[] = {
    { .letter = 'l',
      .name = "listen",
      .argument = "HOST:PORT",
      .repeats = true,
      .doc = "Listen here; may be given more than once, and then all of the addresses are used." },
    { .letter = 'v', .name = "verbose", .doc = "Say more." },
    { .letter = 'q', .name = "quiet", .doc = "Say less." },
    { .name = "workers", .argument = "N", .path = "server.workers" },
};

static const struct command command = {
    .name = "railmq test",
    .arguments = "FILE [OTHER]",
    .argument_min = 1,
    .argument_max = 2,
    .doc = "Tests the options.",
    .options = options,
    .option_count = COUNT(options),
};

struct parsing {
    struct options options;
    struct buf error;
    enum options_result result;
};

static void
parse(struct parsing *p, const char *const *words)
{
    static char name[] = "test";
    static char copies[WORDS_MAX][64];
    char *argv[WORDS_MAX + 2] = { name };
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++) {
        char *copy = copies[argc - 1];
        assert_true(strlen(words[argc - 1]) < sizeof(copies[0]));
        memcpy(copy, words[argc - 1], strlen(words[argc - 1]) + 1);
        argv[argc] = copy;
    }
    *p = (struct parsing){ 0 };
    p->result = options_parse(&p->options, &command, argc, argv, &p->error);
    buf_append(&p->error, "", 1);
}

static void
parsing_fini(struct parsing *p)
{
    options_fini(&p->options);
    buf_fini(&p->error);
}

#define PARSE(p, ...) parse(p, (const char *const[]){ __VA_ARGS__, NULL })

static void
test_all_forms(void **state)
{
    (void)state;
    struct parsing p;
    PARSE(&p, "-la", "--listen=b", "-vq", "file", "--listen", "--c", "-l", "-");
    assert_int_equal(p.result, OPTIONS_FINE);
    static const char *const values[] = { "a", "b", NULL, NULL, "--c", "-" };
    assert_int_equal(p.options.value_count, COUNT(values));
    for (size_t i = 0; i < COUNT(values); i++) {
        if (values[i] == NULL)
            assert_null(p.options.values[i].text);
        else
            assert_string_equal(p.options.values[i].text, values[i]);
    }
    assert_ptr_equal(p.options.values[2].option, &options[1]);
    assert_ptr_equal(p.options.values[3].option, &options[2]);
    assert_string_equal(options_get(&p.options, "listen"), "-");
    assert_null(options_get(&p.options, "workers"));
    assert_int_equal(p.options.argument_count, 1);
    assert_string_equal(p.options.arguments[0], "file");
    parsing_fini(&p);
}

static void
test_arguments(void **state)
{
    (void)state;
    struct parsing p;
    PARSE(&p, "-v", "--", "--listen", "-v");
    assert_int_equal(p.result, OPTIONS_FINE);
    assert_int_equal(p.options.argument_count, 2);
    assert_string_equal(p.options.arguments[0], "--listen");
    parsing_fini(&p);
    PARSE(&p, "-", "--workers=");
    assert_int_equal(p.result, OPTIONS_FINE);
    assert_string_equal(p.options.arguments[0], "-");
    assert_string_equal(options_get(&p.options, "workers"), "");
    parsing_fini(&p);
}

static void
test_help_stops_everything(void **state)
{
    (void)state;
    struct parsing p;
    PARSE(&p, "-v", "--help", "--nonsense");
    assert_int_equal(p.result, OPTIONS_HELP);
    parsing_fini(&p);
    PARSE(&p, "-vh");
    assert_int_equal(p.result, OPTIONS_HELP);
    parsing_fini(&p);
}

static void
test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *words[4];
        const char *error;
    } samples[] = {
        { { "--lisen", "x" }, "unknown option --lisen (did you mean --listen?)" },
        { { "--lisen=x" }, "unknown option --lisen (did you mean --listen?)" },
        { { "--hepl" }, "unknown option --hepl (did you mean --help?)" },
        { { "--bananas" }, "unknown option --bananas" },
        { { "-x" }, "unknown option -x" },
        { { "-vx" }, "unknown option -x" },
        { { "--verbose=yes" }, "--verbose takes no value" },
        { { "f", "--workers" }, "--workers needs a value: --workers N" },
        { { "f", "-l" }, "--listen needs a value: --listen HOST:PORT" },
        { { "--workers=1", "--workers", "2" }, "--workers is given twice" },
        { { "-vv" }, "--verbose is given twice" },
        { { "a", "b", "c" }, "unexpected argument \"c\"" },
        { { "-v" }, "FILE [OTHER] is missing" },
    };
    for (size_t i = 0; i < COUNT(samples); i++) {
        struct parsing p;
        struct buf expected = { 0 };
        parse(&p, samples[i].words);
        assert_int_equal(p.result, OPTIONS_WRONG);
        buf_printf(&expected, "railmq test: %s; see railmq test --help\n", samples[i].error);
        buf_append(&expected, "", 1);
        assert_string_equal((const char *)p.error.data, (const char *)expected.data);
        buf_fini(&expected);
        parsing_fini(&p);
    }
}

static void
test_help_text(void **state)
{
    (void)state;
    struct buf out = { 0 };
    options_help(&command, &out);
    buf_append(&out, "", 1);
    assert_string_equal(
        (const char *)out.data,
        "Usage: railmq test [OPTION]... FILE [OTHER]\n"
        "\n"
        "Tests the options.\n"
        "\n"
        "Options:\n"
        "  -l, --listen HOST:PORT ...\n"
        "      Listen here; may be given more than once, and then all of the addresses\n"
        "      are used.\n"
        "  -v, --verbose\n"
        "      Say more.\n"
        "  -q, --quiet\n"
        "      Say less.\n"
        "  --workers N\n"
        "      Threads that serve connections; 0 means one per core. Default: 0.\n"
        "  -h, --help\n"
        "      Print this text and exit.\n"
        "\n"
        "Exit status: 0 fine, 1 failed, 64 wrong usage.\n");
    buf_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_forms),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_help_stops_everything),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_help_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
