#include "broker/config/yaml_tree.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct reading {
    struct diagnostics diagnostics;
    struct yaml_tree tree;
    bool fine;
};

static void
read_text(struct reading *r, struct bytes text)
{
    diagnostics_init(&r->diagnostics, "t", text);
    r->fine = yaml_tree_read(&r->tree, &r->diagnostics);
}

static void
reading_fini(struct reading *r)
{
    yaml_tree_fini(&r->tree);
    diagnostics_fini(&r->diagnostics);
}

static void
expect_report(struct bytes text, const char *report)
{
    struct reading r;
    struct buf out = { 0 };
    read_text(&r, text);
    diagnostics_print(&r.diagnostics, &out);
    buf_append(&out, "", 1);
    assert_string_equal((const char *)out.data, report);
    buf_fini(&out);
    reading_fini(&r);
}

static void
test_tree_and_places(void **state)
{
    (void)state;
    struct reading r;
    read_text(&r, BYTES_LITERAL("# c\na: 1\nb:\n  - 'x y'\n  - {k: \"caf\xc3\xa9\", l: v}\n"));
    assert_true(r.fine);
    const struct tree_node *root = r.tree.root;
    assert_int_equal(root->kind, TREE_MAPPING);
    assert_int_equal(root->item_count, 4);
    assert_true(bytes_equal(root->items[0]->text, BYTES_LITERAL("a")));
    assert_int_equal(root->items[1]->place.line, 2);
    assert_int_equal(root->items[1]->place.column, 4);
    assert_true(root->items[1]->plain);
    const struct tree_node *list = root->items[3];
    assert_int_equal(list->kind, TREE_LIST);
    assert_int_equal(list->item_count, 2);
    assert_true(bytes_equal(list->items[0]->text, BYTES_LITERAL("x y")));
    assert_false(list->items[0]->plain);
    assert_int_equal(list->items[0]->place.width, 5);
    const struct tree_node *last = list->items[1]->items[2];
    assert_true(bytes_equal(last->text, BYTES_LITERAL("l")));
    assert_int_equal(last->place.line, 5);
    assert_int_equal(last->place.column, 17);
    reading_fini(&r);
}

static void
test_empty_files(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "\n\n", "# only a comment\n" };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct reading r;
        read_text(&r, bytes_of_string(texts[i]));
        assert_true(r.fine);
        assert_null(r.tree.root);
        reading_fini(&r);
    }
    struct reading r;
    read_text(&r, BYTES_NONE);
    assert_true(r.fine);
    reading_fini(&r);
}

static void
test_aliases_share_the_node(void **state)
{
    (void)state;
    struct reading r;
    read_text(&r, BYTES_LITERAL("a: &x [1]\nb: *x\nc: &x 2\nd: *x\n"));
    assert_true(r.fine);
    assert_ptr_equal(r.tree.root->items[1], r.tree.root->items[3]);
    assert_ptr_equal(r.tree.root->items[5], r.tree.root->items[7]);
    assert_int_equal(r.tree.root->aliases, 2);
    reading_fini(&r);
}

/* Ten aliases of ten aliases of...: small to write, huge to expand. */
static void
test_alias_bomb(void **state)
{
    (void)state;
    expect_report(BYTES_LITERAL("a: &a [x,x]\n"
                                "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                                "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                                "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                                "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"),
                  "t:4:29: error: more than 1000 aliases after expansion [RAIL-E006]\n"
                  "    4 | d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                  "      |                             ^~\n"
                  "1 error\n");
}

static void
test_unknown_aliases(void **state)
{
    (void)state;
    expect_report(BYTES_LITERAL("a: *x\n"),
                  "t:1:4: error: alias *x has no anchor &x before it [RAIL-E006]\n"
                  "    1 | a: *x\n"
                  "      |    ^~\n"
                  "1 error\n");
    /* A node cannot contain itself. */
    expect_report(BYTES_LITERAL("a: &x [*x]\n"),
                  "t:1:8: error: alias *x has no anchor &x before it [RAIL-E006]\n"
                  "    1 | a: &x [*x]\n"
                  "      |        ^~\n"
                  "1 error\n");
}

static void
test_duplicate_keys(void **state)
{
    (void)state;
    expect_report(BYTES_LITERAL("a: 1\nb: {c: 1, 'c': 2}\na: 3\n"),
                  "t:2:11: error: key \"c\" is written twice [RAIL-E003]\n"
                  "    2 | b: {c: 1, 'c': 2}\n"
                  "      |           ^~~\n"
                  "t:2:5: note: first written here\n"
                  "    2 | b: {c: 1, 'c': 2}\n"
                  "      |     ^\n"
                  "t:3:1: error: key \"a\" is written twice [RAIL-E003]\n"
                  "    3 | a: 3\n"
                  "      | ^\n"
                  "t:1:1: note: first written here\n"
                  "    1 | a: 1\n"
                  "      | ^\n"
                  "2 errors\n");
}

static void
test_keys_are_text(void **state)
{
    (void)state;
    expect_report(BYTES_LITERAL("? [a]\n: 1\n"),
                  "t:1:3: error: a key must be text, not a list, a mapping or an alias "
                  "[RAIL-E011]\n"
                  "    1 | ? [a]\n"
                  "      |   ^\n"
                  "1 error\n");
    expect_report(BYTES_LITERAL("a: &k x\n*k : {*k : 1}\n"),
                  "t:2:1: error: a key must be text, not a list, a mapping or an alias "
                  "[RAIL-E011]\n"
                  "    2 | *k : {*k : 1}\n"
                  "      | ^~\n"
                  "1 error\n");
}

static void
test_tags(void **state)
{
    (void)state;
    expect_report(BYTES_LITERAL("a: !!str 1\nb: !x [1]\nc: ! {}\n"),
                  "t:1:4: error: YAML tags are not read [RAIL-E005]\n"
                  "    1 | a: !!str 1\n"
                  "      |    ^~~~~~~\n"
                  "   = hint: leave the tag out; the setting decides the type\n"
                  "t:2:4: error: YAML tags are not read [RAIL-E005]\n"
                  "    2 | b: !x [1]\n"
                  "      |    ^~~~\n"
                  "   = hint: leave the tag out; the setting decides the type\n"
                  "t:3:4: error: YAML tags are not read [RAIL-E005]\n"
                  "    3 | c: ! {}\n"
                  "      |    ^~~\n"
                  "   = hint: leave the tag out; the setting decides the type\n"
                  "3 errors\n");
}

static void
nested(struct buf *text, size_t depth)
{
    for (size_t i = 0; i < depth; i++)
        buf_append(text, "[", 1);
    for (size_t i = 0; i < depth; i++)
        buf_append(text, "]", 1);
}

static void
test_depth(void **state)
{
    (void)state;
    struct buf text = { 0 };
    struct reading r;
    nested(&text, YAML_DEPTH_MAX);
    read_text(&r, buf_bytes(&text));
    assert_true(r.fine);
    reading_fini(&r);
    text.size = 0;
    nested(&text, YAML_DEPTH_MAX + 1);
    read_text(&r, buf_bytes(&text));
    assert_false(r.fine);
    reading_fini(&r);
    text.size = 0;
    nested(&text, 100000);
    read_text(&r, buf_bytes(&text));
    assert_false(r.fine);
    struct buf out = { 0 };
    diagnostics_print(&r.diagnostics, &out);
    assert_true(bytes_start_with(
        buf_bytes(&out),
        BYTES_LITERAL("t:1:65: error: nested more than 64 levels deep [RAIL-E010]\n")));
    buf_fini(&out);
    reading_fini(&r);
    buf_fini(&text);
}

static void
test_one_document(void **state)
{
    (void)state;
    expect_report(BYTES_LITERAL("---\na: 1\n---\nb: 2\n"),
                  "t:3:1: error: a second YAML document starts here [RAIL-E015]\n"
                  "    3 | ---\n"
                  "      | ^~~\n"
                  "   = hint: keep one document, and remove the --- between them\n"
                  "1 error\n");
}

/* Both where it was noticed and where the broken construct begins. */
static void
test_syntax(void **state)
{
    (void)state;
    expect_report(BYTES_LITERAL("a: [1, 2\nb: 3\n"),
                  "t:2:2: error: not valid YAML: did not find expected ',' or ']' [RAIL-E002]\n"
                  "    2 | b: 3\n"
                  "      |  ^\n"
                  "   = hint: close the bracket, and put values that contain ${...} in quotes\n"
                  "t:1:4: note: while parsing a flow sequence\n"
                  "    1 | a: [1, 2\n"
                  "      |    ^\n"
                  "1 error\n");
    expect_report(BYTES_LITERAL("a: b: c\n"),
                  "t:1:5: error: not valid YAML: mapping values are not allowed in this context "
                  "[RAIL-E002]\n"
                  "    1 | a: b: c\n"
                  "      |     ^\n"
                  "1 error\n");
    expect_report(BYTES_LITERAL("a: \xff\n"),
                  "t: error: not UTF-8 text at byte 3: invalid leading UTF-8 octet [RAIL-E002]\n"
                  "   = hint: save the file as UTF-8\n"
                  "1 error\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_and_places),
        cmocka_unit_test(test_empty_files),
        cmocka_unit_test(test_aliases_share_the_node),
        cmocka_unit_test(test_alias_bomb),
        cmocka_unit_test(test_unknown_aliases),
        cmocka_unit_test(test_duplicate_keys),
        cmocka_unit_test(test_keys_are_text),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_one_document),
        cmocka_unit_test(test_syntax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
