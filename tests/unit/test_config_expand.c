#include "broker/config/expand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char directory[] = "/tmp/rail-test-expand-XXXXXX";
static char path[64];

static int
setup(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/secret", directory);
    FILE *out = fopen(path, "w");
    if (out == NULL)
        return -1;
    fputs("from a file\n\n", out);
    fclose(out);
    setenv("RAIL_TEST_SET", "value", 1);
    setenv("RAIL_TEST_EMPTY", "", 1);
    setenv("RAIL_TEST_DOLLAR", "${env:RAIL_TEST_SET}", 1);
    unsetenv("RAIL_TEST_UNSET");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    remove(path);
    return rmdir(directory);
}

static void
expect(const char *text, const char *expanded)
{
    struct buf out = { 0 };
    struct expand_problem problem;
    const size_t size = strlen(text);
    char *copy = malloc(size + 1);
    memcpy(copy, text, size);
    if (!expand(bytes_of(copy, size), &out, &problem))
        fail_msg("\"%s\": %s", text, problem.text);
    assert_true(bytes_equal(buf_bytes(&out), bytes_of_string(expanded)));
    buf_fini(&out);
    free(copy);
}

static void
expect_problem(const char *text, enum diagnostic_code code, const char *message, const char *hint)
{
    struct buf out = { 0 };
    struct expand_problem problem;
    assert_false(expand(bytes_of_string(text), &out, &problem));
    assert_int_equal(problem.code, code);
    assert_string_equal(problem.text, message);
    if (hint == NULL)
        assert_null(problem.hint);
    else
        assert_string_equal(problem.hint, hint);
    buf_fini(&out);
}

static void
test_expansion(void **state)
{
    (void)state;
    static const char *const samples[][2] = {
        { "", "" },
        { "plain", "plain" },
        { "${env:RAIL_TEST_SET}", "value" },
        { "a ${env:RAIL_TEST_SET} b ${env:RAIL_TEST_SET}", "a value b value" },
        { "${env:RAIL_TEST_EMPTY}", "" },
        { "${env:RAIL_TEST_UNSET:-other}", "other" },
        { "${env:RAIL_TEST_EMPTY:-other}", "other" },
        { "${env:RAIL_TEST_SET:-other}", "value" },
        { "${env:RAIL_TEST_UNSET:-}", "" },
        { "${env:RAIL_TEST_UNSET:-a:-b}", "a:-b" },
        { "${env:RAIL_TEST_DOLLAR}", "${env:RAIL_TEST_SET}" },
        { "$${env:X}", "${env:X}" },
        { "$$$$", "$$" },
        { "a$b $", "a$b $" },
        { "^order$", "^order$" },
    };
    for (size_t i = 0; i < COUNT(samples); i++)
        expect(samples[i][0], samples[i][1]);
    assert_true(expand_needed(BYTES_LITERAL("a$")));
    assert_false(expand_needed(BYTES_LITERAL("a")));
    assert_false(expand_needed(BYTES_NONE));
}

/* One line end at the end is an editor's; the rest belongs to the value. */
static void
test_files(void **state)
{
    (void)state;
    char text[96];
    snprintf(text, sizeof(text), "<${file:%s}>", path);
    expect(text, "<from a file\n>");
    setenv("CREDENTIALS_DIRECTORY", directory, 1);
    expect("${cred:secret}", "from a file\n");
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void
test_problems(void **state)
{
    (void)state;
    const char *const env_hint = "write ${env:NAME} or ${env:NAME:-default}";
    const char *const env_text = "${env:...} has no valid variable name";
    const char *const source_hint =
        "write ${env:NAME}, ${file:/path} or ${cred:name}, or $${ for a plain ${";
    expect_problem("${env:RAIL_TEST_UNSET}", DIAGNOSTIC_ENVIRONMENT,
                   "environment variable RAIL_TEST_UNSET is not set", NULL);
    expect_problem("${env:}", DIAGNOSTIC_EXPANSION, env_text, env_hint);
    expect_problem("${env:1A}", DIAGNOSTIC_EXPANSION, env_text, env_hint);
    expect_problem("${env:A B}", DIAGNOSTIC_EXPANSION, env_text, env_hint);
    expect_problem("${env::-x}", DIAGNOSTIC_EXPANSION, env_text, env_hint);
    expect_problem("${HOME}", DIAGNOSTIC_EXPANSION, "${...} names no source of a value",
                   source_hint);
    expect_problem("${}", DIAGNOSTIC_EXPANSION, "${...} names no source of a value", source_hint);
    expect_problem("${env:HOME", DIAGNOSTIC_EXPANSION, "${ has no closing }",
                   "write $${ for a plain ${");
    expect_problem("${file:relative}", DIAGNOSTIC_EXPANSION, "${file:...} needs an absolute path",
                   "write ${file:/path/of/the/file}");
    expect_problem("${file:}", DIAGNOSTIC_EXPANSION, "${file:...} needs an absolute path",
                   "write ${file:/path/of/the/file}");
    expect_problem("${file:/nonexistent/x}", DIAGNOSTIC_EXPANSION_FILE,
                   "file /nonexistent/x cannot be read: No such file or directory", NULL);
    expect_problem("${file:/dev/zero}", DIAGNOSTIC_EXPANSION_FILE,
                   "file /dev/zero cannot be read: File too large", NULL);
    expect_problem("${cred:../x}", DIAGNOSTIC_EXPANSION,
                   "${cred:...} needs the name of a credential", "write ${cred:name}");
    expect_problem("${cred:x}", DIAGNOSTIC_ENVIRONMENT,
                   "environment variable CREDENTIALS_DIRECTORY is not set",
                   "run as a systemd service with LoadCredential=");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_problems),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
