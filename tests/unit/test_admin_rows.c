/* Rows on their way, columns, and field tables as JSON. */

#include "broker/admin/columns.h"
#include "broker/admin/table_json.h"

#include "amqp/table.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
expect_cell(struct bytes *row, struct buf *scratch, enum cell_kind kind, struct bytes text)
{
    struct cell cell;
    assert_true(row_next(row, scratch, &cell));
    assert_int_equal(cell.kind, kind);
    assert_true(bytes_equal(cell.text, text));
}

static void
test_cells_come_back(void **state)
{
    struct rows r = { 0 };
    struct buf scratch = { 0 };
    struct bytes row;
    const struct bytes nasty = BYTES_LITERAL("\t\n\\\\t\0\x80\x1b end\\");
    (void)state;
    cell_put_text(&r, nasty);
    cell_put_number(&r, UINT64_MAX);
    cell_put_signed(&r, -1);
    cell_put_bool(&r, true);
    cell_put_none(&r);
    cell_put_text(&r, BYTES_NONE);
    cell_put_json(&r, BYTES_LITERAL("{\"a\\n\":1}"));
    rows_end(&r);
    cell_put_string(&r, "second");
    rows_end(&r);
    assert_int_equal(r.count, 2);
    struct bytes text = buf_bytes(&r.text);
    assert_true(rows_next(&text, &row));
    expect_cell(&row, &scratch, CELL_TEXT, nasty);
    expect_cell(&row, &scratch, CELL_NUMBER, BYTES_LITERAL("18446744073709551615"));
    expect_cell(&row, &scratch, CELL_NUMBER, BYTES_LITERAL("-1"));
    expect_cell(&row, &scratch, CELL_BOOL, BYTES_LITERAL("true"));
    expect_cell(&row, &scratch, CELL_NONE, BYTES_NONE);
    expect_cell(&row, &scratch, CELL_TEXT, BYTES_NONE);
    expect_cell(&row, &scratch, CELL_JSON, BYTES_LITERAL("{\"a\\n\":1}"));
    assert_false(row_next(&row, &scratch, &(struct cell){ 0 }));
    assert_true(rows_next(&text, &row));
    expect_cell(&row, &scratch, CELL_TEXT, BYTES_LITERAL("second"));
    assert_false(rows_next(&text, &row));
    buf_fini(&scratch);
    rows_fini(&r);
}

static void
test_rows_in_a_cell(void **state)
{
    struct rows inner = { 0 };
    struct rows r = { 0 };
    struct buf scratch = { 0 };
    struct buf inner_scratch = { 0 };
    struct bytes row;
    struct bytes inner_row;
    struct cell cell;
    const struct bytes nasty = BYTES_LITERAL("a\tb\nc\\t");
    (void)state;
    cell_put_string(&inner, "name");
    rows_end(&inner);
    cell_put_text(&inner, nasty);
    rows_end(&inner);
    cell_put_rows(&r, &inner);
    cell_put_bool(&r, true);
    rows_end(&r);
    struct bytes text = buf_bytes(&r.text);
    assert_true(rows_next(&text, &row));
    assert_int_equal(text.size, 0);
    assert_true(row_next(&row, &scratch, &cell));
    assert_int_equal(cell.kind, CELL_ROWS);
    assert_true(rows_next(&cell.text, &inner_row));
    expect_cell(&inner_row, &inner_scratch, CELL_TEXT, BYTES_LITERAL("name"));
    assert_true(rows_next(&cell.text, &inner_row));
    expect_cell(&inner_row, &inner_scratch, CELL_TEXT, nasty);
    assert_false(rows_next(&cell.text, &inner_row));
    expect_cell(&row, &scratch, CELL_BOOL, BYTES_LITERAL("true"));
    buf_fini(&scratch);
    buf_fini(&inner_scratch);
    rows_fini(&inner);
    rows_fini(&r);
}

static void
test_rows_that_are_none(void **state)
{
    struct buf scratch = { 0 };
    struct cell cell;
    struct bytes row = BYTES_NONE;
    (void)state;
    assert_false(row_next(&row, &scratch, &cell));
    row = BYTES_LITERAL("");
    assert_false(row_next(&row, &scratch, &cell));
    row = BYTES_LITERAL("\tn1");
    assert_false(row_next(&row, &scratch, &cell));
    row = BYTES_LITERAL("sends in \\");
    assert_true(row_next(&row, &scratch, &cell));
    buf_fini(&scratch);
}

static void
test_join(void **state)
{
    struct rows a = { 0 };
    struct rows b = { 0 };
    (void)state;
    cell_put_number(&a, 1);
    rows_end(&a);
    cell_put_number(&b, 2);
    rows_end(&b);
    rows_join(&a, &b);
    assert_int_equal(a.count, 2);
    assert_int_equal(b.count, 0);
    assert_true(bytes_equal(buf_bytes(&a.text), BYTES_LITERAL("n1\nn2\n")));
    rows_fini(&a);
}

static void
put_one(struct rows *r, const void *object)
{
    cell_put_number(r, *(const unsigned *)object);
}

static const struct column columns[] = {
    { "name", put_one, true, "" },
    { "size", put_one, false, "" },
};

static bool
choose(struct selection *s, struct bytes words, char *problem, size_t problem_size)
{
    return selection_parse(s, columns, 2, words, problem, problem_size);
}

static void
test_selections(void **state)
{
    struct selection s;
    struct rows r = { 0 };
    char problem[128];
    const unsigned seven = 7;
    (void)state;
    assert_true(choose(&s, BYTES_NONE, problem, sizeof(problem)));
    assert_int_equal(s.count, 1);
    assert_true(choose(&s, BYTES_LITERAL("size\tname\tsize"), problem, sizeof(problem)));
    selection_put_header(&s, &r);
    selection_put(&s, &r, &seven);
    assert_true(
        bytes_equal(buf_bytes(&r.text), BYTES_LITERAL("ssize\tsname\tssize\nn7\tn7\tn7\n")));
    assert_false(choose(&s, BYTES_LITERAL("sise"), problem, sizeof(problem)));
    assert_string_equal(problem, "there is no column \"sise\" (did you mean size?)");
    assert_false(choose(&s, BYTES_LITERAL("a\\n\x1b"), problem, sizeof(problem)));
    assert_null(strchr(problem, 0x1b));
    rows_fini(&r);
}

static void
test_too_many_columns(void **state)
{
    struct selection s;
    struct buf words = { 0 };
    char problem[128];
    (void)state;
    for (unsigned i = 0; i < COLUMNS_MAX; i++)
        words_put(&words, BYTES_LITERAL("name"));
    assert_true(choose(&s, buf_bytes(&words), problem, sizeof(problem)));
    assert_int_equal(s.count, COLUMNS_MAX);
    words_put(&words, BYTES_LITERAL("name"));
    assert_false(choose(&s, buf_bytes(&words), problem, sizeof(problem)));
    buf_fini(&words);
}

static void
expect_json(struct bytes table, const char *wanted)
{
    struct buf out = { 0 };
    assert_true(table_is_valid(table));
    assert_true(table_json(&out, table, 1024));
    buf_append(&out, "", 1);
    assert_string_equal((const char *)out.data, wanted);
    buf_fini(&out);
}

static void
test_tables_as_json(void **state)
{
    (void)state;
    expect_json(BYTES_NONE, "{}");
    expect_json(BYTES_LITERAL("\1at\1\1bl\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\1cS\0\0\0\2\"\n"),
                "{\"a\":true,\"b\":-1,\"c\":\"\\\"\\u000a\"}");
    expect_json(BYTES_LITERAL("\1aV\1bT\0\0\0\0\0\0\1\0\1cL\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
                "{\"a\":null,\"b\":256,\"c\":-1}");
    expect_json(BYTES_LITERAL("\1af\x3F\x00\x00\x00\1bd\x7F\xF0\0\0\0\0\0\0\1cD\2\0\0\1\0"),
                "{\"a\":0.5,\"b\":null,\"c\":256e-2}");
    expect_json(BYTES_LITERAL("\1aA\0\0\0\4b\1b\2\1bF\0\0\0\4\1cb\3"),
                "{\"a\":[1,2],\"b\":{\"c\":3}}");
    expect_json(BYTES_LITERAL("\1ax\0\0\0\1\x80"), "{\"a\":\"\\ufffd\"}");
}

static void
test_tables_too_long_to_show(void **state)
{
    struct buf out = { 0 };
    const struct bytes table = BYTES_LITERAL("\1aS\0\0\0\4abcd");
    (void)state;
    buf_append(&out, "x", 1);
    assert_false(table_json(&out, table, 5));
    assert_int_equal(out.size, 1);
    assert_true(table_json(&out, table, 12));
    assert_int_equal(out.size, 13);
    buf_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_come_back),    cmocka_unit_test(test_rows_in_a_cell),
        cmocka_unit_test(test_rows_that_are_none), cmocka_unit_test(test_join),
        cmocka_unit_test(test_selections),         cmocka_unit_test(test_too_many_columns),
        cmocka_unit_test(test_tables_as_json),     cmocka_unit_test(test_tables_too_long_to_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
