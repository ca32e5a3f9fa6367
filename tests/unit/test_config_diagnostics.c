#include "broker/config/diagnostics.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
expect(struct diagnostics *d, const char *text)
{
    struct buf out = { 0 };
    diagnostics_print(d, &out);
    buf_append(&out, "", 1);
    assert_string_equal((const char *)out.data, text);
    buf_fini(&out);
    diagnostics_fini(d);
}

static struct place
at(size_t line, size_t column, size_t width)
{
    return (struct place){ .line = line, .column = column, .width = width };
}

static void
test_nothing_wrong_prints_nothing(void **state)
{
    (void)state;
    struct diagnostics d;
    diagnostics_init(&d, "f", BYTES_LITERAL("a\n"));
    expect(&d, "");
}

static void
test_form_and_order(void **state)
{
    (void)state;
    struct diagnostics d;
    diagnostics_init(&d, "f.yaml", BYTES_LITERAL("one\r\n\ttwo: 2\rthree\n\nfive"));
    diagnostics_error(&d, DIAGNOSTIC_RANGE, at(5, 1, 4), NULL, "last %d", 5);
    diagnostics_error(&d, DIAGNOSTIC_VALUE, at(2, 7, 1), "try 3", "first");
    diagnostics_note(&d, at(1, 2, 2), "see here");
    diagnostics_error(&d, DIAGNOSTIC_SHAPE, at(3, 2, 1), NULL, "middle");
    diagnostics_error(&d, DIAGNOSTIC_FILE, at(0, 0, 0), NULL, "whole");
    diagnostics_error(&d, DIAGNOSTIC_SYNTAX, at(9, 1, 1), NULL, "beyond the end");
    expect(&d, "f.yaml: error: whole [RAIL-E001]\n"
               "f.yaml:2:7: error: first [RAIL-E021]\n"
               "    2 |  two: 2\n"
               "      |       ^\n"
               "   = hint: try 3\n"
               "f.yaml:1:2: note: see here\n"
               "    1 | one\n"
               "      |  ^~\n"
               "f.yaml:3:2: error: middle [RAIL-E011]\n"
               "    3 | three\n"
               "      |  ^\n"
               "f.yaml:5:1: error: last 5 [RAIL-E022]\n"
               "    5 | five\n"
               "      | ^~~~\n"
               "f.yaml:9:1: error: beyond the end [RAIL-E002]\n"
               "5 errors\n");
}

static void
test_columns_are_characters(void **state)
{
    (void)state;
    struct diagnostics d;
    diagnostics_init(&d, "f", BYTES_LITERAL("caf\xc3\xa9: \x1b!\n"));
    diagnostics_error(&d, DIAGNOSTIC_VALUE, at(1, 7, 2), NULL, "m");
    expect(&d, "f:1:7: error: m [RAIL-E021]\n"
               "    1 | caf\xc3\xa9: ?!\n"
               "      |       ^~\n"
               "1 error\n");
}

/* A long line is shown around the place, and the caret stays below it. */
static void
test_long_lines_are_cut(void **state)
{
    (void)state;
    char line[1000];
    struct diagnostics d;
    memset(line, '-', sizeof(line));
    memcpy(line + 500, "HERE", 4);
    diagnostics_init(&d, "f", bytes_of(line, sizeof(line)));
    diagnostics_error(&d, DIAGNOSTIC_VALUE, at(1, 501, 4), NULL, "m");
    diagnostics_error(&d, DIAGNOSTIC_VALUE, at(1, 502, 900), NULL, "m");
    expect(&d, "f:1:501: error: m [RAIL-E021]\n"
               "    1 | ...------------------------------------------------------------"
               "HERE------------------------------------...\n"
               "      |                                                                "
               "^~~~\n"
               "f:1:502: error: m [RAIL-E021]\n"
               "    1 | ...-----------------------------------------------------------"
               "HERE-------------------------------------...\n"
               "      |                                                                "
               "^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
               "2 errors\n");
}

static void
test_more_than_are_shown(void **state)
{
    (void)state;
    struct diagnostics d;
    struct buf out = { 0 };
    diagnostics_init(&d, "f", BYTES_NONE);
    for (size_t i = 0; i < DIAGNOSTICS_MAX + 5; i++) {
        diagnostics_error(&d, DIAGNOSTIC_VALUE, at(i + 1, 1, 1), NULL, "m");
        diagnostics_note(&d, at(1, 1, 1), "n");
    }
    diagnostics_print(&d, &out);
    buf_append(&out, "", 1);
    assert_non_null(strstr((const char *)out.data, "f:20:1: error"));
    assert_null(strstr((const char *)out.data, "f:21:1: error"));
    assert_non_null(
        strstr((const char *)out.data, "\n25 errors, of which the first 20 are shown\n"));
    buf_fini(&out);
    diagnostics_fini(&d);
}

/* Warnings are counted and bounded apart; the path goes into JSON only. */
static void
test_warnings_files_and_json(void **state)
{
    (void)state;
    struct diagnostics d;
    struct buf out = { 0 };
    diagnostics_init(&d, "a", BYTES_LITERAL("x\n"));
    const unsigned second = diagnostics_enter(&d, "b", BYTES_LITERAL("y\n"));
    const size_t outer = diagnostics_path_push(&d, BYTES_LITERAL("vhosts"));
    const size_t inner = diagnostics_path_push(&d, BYTES_LITERAL("a.b"));
    diagnostics_error(&d, DIAGNOSTIC_VALUE,
                      (struct place){ .line = 1, .column = 1, .width = 1, .source = second }, NULL,
                      "later");
    diagnostics_path_pop(&d, inner);
    diagnostics_path_push(&d, BYTES_LITERAL("[3]"));
    diagnostics_warning(&d, DIAGNOSTIC_CYCLE, at(1, 1, 1), "why", "first");
    diagnostics_path_pop(&d, outer);
    diagnostics_print_json(&d, &out);
    buf_append(&out, "", 1);
    assert_string_equal(
        (const char *)out.data,
        "[\n"
        "  {\"file\": \"a\", \"line\": 1, \"column\": 1, \"severity\": \"warning\", \"code\": "
        "\"RAIL-W103\", \"path\": \"vhosts[3]\", \"message\": \"first\"},\n"
        "  {\"file\": \"b\", \"line\": 1, \"column\": 1, \"severity\": \"error\", \"code\": "
        "\"RAIL-E021\", \"path\": \"vhosts.\\\"a.b\\\"\", \"message\": \"later\"}\n"
        "]\n");
    buf_fini(&out);
    expect(&d, "a:1:1: warning: first [RAIL-W103]\n"
               "    1 | x\n"
               "      | ^\n"
               "   = hint: why\n"
               "b:1:1: error: later [RAIL-E021]\n"
               "    1 | y\n"
               "      | ^\n"
               "1 error, 1 warning\n");
}

static void
test_warnings_do_not_crowd_out_errors(void **state)
{
    (void)state;
    struct diagnostics d;
    struct buf out = { 0 };
    diagnostics_init(&d, "f", BYTES_NONE);
    for (size_t i = 0; i < DIAGNOSTICS_MAX + 5; i++)
        diagnostics_warning(&d, DIAGNOSTIC_CYCLE, at(1, 1, 1), NULL, "w");
    diagnostics_error(&d, DIAGNOSTIC_VALUE, at(2, 1, 1), NULL, "e");
    diagnostics_print(&d, &out);
    buf_append(&out, "", 1);
    assert_non_null(strstr((const char *)out.data, "f:2:1: error: e"));
    assert_non_null(strstr((const char *)out.data,
                           "\n1 error, 25 warnings, of which the first 20 are shown\n"));
    buf_fini(&out);
    diagnostics_fini(&d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_wrong_prints_nothing),
        cmocka_unit_test(test_form_and_order),
        cmocka_unit_test(test_columns_are_characters),
        cmocka_unit_test(test_long_lines_are_cut),
        cmocka_unit_test(test_more_than_are_shown),
        cmocka_unit_test(test_warnings_files_and_json),
        cmocka_unit_test(test_warnings_do_not_crowd_out_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
