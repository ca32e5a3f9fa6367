#include "broker/config/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct folder {
    char path[64];
};

static int
setup(void **state)
{
    static struct folder f;
    snprintf(f.path, sizeof(f.path), "rail-document-XXXXXX");
    assert_non_null(mkdtemp(f.path));
    char inner[128];
    snprintf(inner, sizeof(inner), "%s/conf.d", f.path);
    assert_int_equal(mkdir(inner, 0700), 0);
    *state = &f;
    return 0;
}

static int
teardown(void **state)
{
    const struct folder *f = *state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", f->path);
    return system(command);
}

static void
put(const struct folder *f, const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void
drop(const struct folder *f, const char *name)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    unlink(path);
}

static bool
read_main(const struct folder *f, struct document *doc)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/broker.yaml", f->path);
    return document_read(doc, path);
}

/* The whole report; %s in it stands for the folder. */
static void
expect_report(const struct folder *f, const char *expected)
{
    struct document doc;
    struct buf out = { 0 };
    struct buf shown = { 0 };
    read_main(f, &doc);
    diagnostics_print(&doc.diagnostics, &out);
    const struct bytes name = bytes_of_string(f->path);
    for (size_t i = 0; i < out.size; i++) {
        if (bytes_start_with(bytes_of(out.data + i, out.size - i), name)) {
            buf_append(&shown, "DIR", 3);
            i += name.size - 1;
        } else {
            buf_append(&shown, out.data + i, 1);
        }
    }
    buf_append(&shown, "", 1);
    assert_string_equal((const char *)shown.data, expected);
    buf_fini(&out);
    buf_fini(&shown);
    document_fini(&doc);
}

static void
assert_value_at(const struct tree_node *root, const char *const *keys, const char *value)
{
    const struct tree_node *node = root;
    for (; *keys != NULL; keys++) {
        assert_non_null(node);
        node = tree_find(node, *keys);
    }
    assert_non_null(node);
    assert_true(bytes_equal(node->text, bytes_of_string(value)));
}

#define ASSERT_VALUE_AT(root, value, ...)                                                          \
    assert_value_at(root, (const char *const[]){ __VA_ARGS__, NULL }, value)

static void
test_files_are_merged(void **state)
{
    const struct folder *f = *state;
    struct document doc;
    put(f, "broker.yaml",
        "version: 1\ninclude: [conf.d/*.yaml, conf.d/b.yaml]\nlimits: {heartbeat: 1s}\n"
        "vhosts: {/: {queues: {one: {type: classic}}}, empty: }\n");
    put(f, "conf.d/a.yaml", "version: 1\nvhosts: {/: {queues: {two: {type: classic}}}}\n");
    put(f, "conf.d/b.yaml", "limits: {channel_max: 7}\nvhosts: {empty: {queues: {x: {}}}}\n");
    put(f, "conf.d/c.yaml", "# nothing\n");
    assert_true(read_main(f, &doc));
    assert_int_equal(doc.diagnostics.count, 0);
    ASSERT_VALUE_AT(doc.root, "1s", "limits", "heartbeat");
    ASSERT_VALUE_AT(doc.root, "7", "limits", "channel_max");
    ASSERT_VALUE_AT(doc.root, "classic", "vhosts", "/", "queues", "one", "type");
    ASSERT_VALUE_AT(doc.root, "classic", "vhosts", "/", "queues", "two", "type");
    assert_non_null(tree_find(tree_find(tree_find(doc.root, "vhosts"), "empty"), "queues"));
    document_fini(&doc);
    drop(f, "conf.d/a.yaml");
    drop(f, "conf.d/b.yaml");
    drop(f, "conf.d/c.yaml");
}

/* An anchored mapping is in two places; a file that adds to one of them must not add to both. */
static void
test_merging_leaves_anchors_alone(void **state)
{
    const struct folder *f = *state;
    struct document doc;
    put(f, "broker.yaml", "include: conf.d/a.yaml\nvhosts: {a: &v {queues: {one: {}}}, b: *v}\n");
    put(f, "conf.d/a.yaml", "vhosts: {a: {queues: {two: {}}}}\n");
    assert_true(read_main(f, &doc));
    const struct tree_node *vhosts = tree_find(doc.root, "vhosts");
    assert_int_equal(tree_find(tree_find(vhosts, "a"), "queues")->item_count, 4);
    assert_int_equal(tree_find(tree_find(vhosts, "b"), "queues")->item_count, 2);
    document_fini(&doc);
    drop(f, "conf.d/a.yaml");
}

static void
test_the_same_object_twice(void **state)
{
    const struct folder *f = *state;
    put(f, "broker.yaml",
        "version: 1\ninclude: conf.d/*\nvhosts:\n  /:\n    queues:\n      one: {durable: true}\n");
    put(f, "conf.d/a.yaml",
        "version: 2\nvhosts:\n  /: {queues: {one: {type: classic}}}\nusers: {a: {}}\n");
    put(f, "conf.d/b.yaml", "users: {a: {}, b: {}}\n");
    expect_report(f, "DIR/conf.d/a.yaml:1:1: error: \"version\" is written in two files "
                     "[RAIL-E003]\n"
                     "    1 | version: 2\n"
                     "      | ^~~~~~~\n"
                     "   = hint: keep one of them; files are merged, and none of them wins\n"
                     "DIR/broker.yaml:1:1: note: first written here\n"
                     "    1 | version: 1\n"
                     "      | ^~~~~~~\n"
                     "DIR/conf.d/a.yaml:3:16: error: \"one\" is written in two files "
                     "[RAIL-E003]\n"
                     "    3 |   /: {queues: {one: {type: classic}}}\n"
                     "      |                ^~~\n"
                     "   = hint: keep one of them; files are merged, and none of them wins\n"
                     "DIR/broker.yaml:6:7: note: first written here\n"
                     "    6 |       one: {durable: true}\n"
                     "      |       ^~~\n"
                     "DIR/conf.d/b.yaml:1:9: error: \"a\" is written in two files [RAIL-E003]\n"
                     "    1 | users: {a: {}, b: {}}\n"
                     "      |         ^\n"
                     "   = hint: keep one of them; files are merged, and none of them wins\n"
                     "DIR/conf.d/a.yaml:4:9: note: first written here\n"
                     "    4 | users: {a: {}}\n"
                     "      |         ^\n"
                     "3 errors\n");
    drop(f, "conf.d/a.yaml");
    drop(f, "conf.d/b.yaml");
}

static void
test_errors_of_includes(void **state)
{
    const struct folder *f = *state;
    unsetenv("RAIL_TEST_UNSET");
    put(f, "broker.yaml",
        "include: [none.yaml, none*.yaml, \"${env:RAIL_TEST_UNSET}\", [x], \"\", "
        "conf.d/*]\n");
    put(f, "conf.d/a.yaml", "include: [b]\n");
    put(f, "conf.d/b.yaml", "- a list\n");
    put(f, "conf.d/c.yaml", "a: [1\n");
    expect_report(
        f, "DIR/broker.yaml:1:11: error: there is no file DIR/none.yaml [RAIL-E027]\n"
           "    1 | include: [none.yaml, none*.yaml, \"${env:RAIL_TEST_UNSET}\", [x], \"\", "
           "conf.d/*]\n"
           "      |           ^~~~~~~~~\n"
           "   = hint: only a pattern with * or ? may match nothing\n"
           "DIR/broker.yaml:1:34: error: environment variable RAIL_TEST_UNSET is not set "
           "[RAIL-E007]\n"
           "    1 | include: [none.yaml, none*.yaml, \"${env:RAIL_TEST_UNSET}\", [x], \"\", "
           "conf.d/*]\n"
           "      |                                  ^~~~~~~~~~~~~~~~~~~~~~~~\n"
           "DIR/broker.yaml:1:60: error: a path in include must be a single value, got a list "
           "[RAIL-E011]\n"
           "    1 | include: [none.yaml, none*.yaml, \"${env:RAIL_TEST_UNSET}\", [x], \"\", "
           "conf.d/*]\n"
           "      |                                                            ^\n"
           "   = hint: write include: [conf.d/*.yaml]\n"
           "DIR/broker.yaml:1:65: error: the path is empty or too long [RAIL-E027]\n"
           "    1 | include: [none.yaml, none*.yaml, \"${env:RAIL_TEST_UNSET}\", [x], \"\", "
           "conf.d/*]\n"
           "      |                                                                 ^~\n"
           "DIR/conf.d/a.yaml:1:1: error: an included file may not include others [RAIL-E027]\n"
           "    1 | include: [b]\n"
           "      | ^~~~~~~\n"
           "   = hint: name all files in the first one\n"
           "DIR/conf.d/b.yaml:1:1: error: the file must be a mapping, got a list [RAIL-E011]\n"
           "    1 | - a list\n"
           "      | ^\n"
           "DIR/conf.d/c.yaml:2:1: error: not valid YAML: did not find expected ',' or ']' "
           "[RAIL-E002]\n"
           "   = hint: close the bracket, and put values that contain ${...} in quotes\n"
           "DIR/conf.d/c.yaml:1:4: note: while parsing a flow sequence\n"
           "    1 | a: [1\n"
           "      |    ^\n"
           "7 errors\n");
    drop(f, "conf.d/a.yaml");
    drop(f, "conf.d/b.yaml");
    drop(f, "conf.d/c.yaml");
}

static void
test_text_includes_nothing(void **state)
{
    (void)state;
    struct document doc;
    assert_true(document_read_text(&doc, "text", BYTES_LITERAL("include: /etc/hostname\n")));
    assert_int_equal(doc.diagnostics.count, 1);
    assert_int_equal(doc.diagnostics.kept[0].code, DIAGNOSTIC_INCLUDE);
    document_fini(&doc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_merged),
        cmocka_unit_test(test_merging_leaves_anchors_alone),
        cmocka_unit_test(test_the_same_object_twice),
        cmocka_unit_test(test_errors_of_includes),
        cmocka_unit_test(test_text_includes_nothing),
    };
    return cmocka_run_group_tests_name("document", tests, setup, teardown);
}
