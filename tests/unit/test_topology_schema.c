/* The schema against documents, by a validator of the few keywords that it uses. JSON is YAML, so
 * the reader of the configuration reads both. */

#include "test_topology.h"

#include "broker/config/file.h"
#include "broker/topology/schema.h"

#include <stdio.h>
#include <string.h>

static struct document schema;

struct check {
    struct buf path; /* Of the value at hand. */
    struct buf wrong;
};

static bool fits(struct check *c, const struct tree_node *s, const struct tree_node *value);

static void
complain(struct check *c, const char *what)
{
    if (c->wrong.size == 0)
        buf_printf(&c->wrong, "%.*s: %s", BYTES_ARGS(buf_bytes(&c->path)), what);
}

static bool
is_number(const struct tree_node *value, const char *digits)
{
    return value->kind == TREE_SCALAR && value->plain && value->text.size > 0 &&
           strspn((const char *)value->text.data, digits) >= value->text.size;
}

/* The text of a node of ours may be followed by anything: it is compared by its size. */
static bool
is_type(const struct tree_node *value, struct bytes type)
{
    const bool is_scalar = value->kind == TREE_SCALAR;
    const bool is_empty = tree_node_is_empty(value);
    if (bytes_equal(type, BYTES_LITERAL("object")))
        return value->kind == TREE_MAPPING;
    if (bytes_equal(type, BYTES_LITERAL("array")))
        return value->kind == TREE_LIST;
    if (bytes_equal(type, BYTES_LITERAL("null")))
        return is_empty;
    if (bytes_equal(type, BYTES_LITERAL("integer")))
        return is_number(value, "-0123456789");
    if (bytes_equal(type, BYTES_LITERAL("number")))
        return is_number(value, "-0123456789.e");
    const bool is_boolean = is_scalar && value->plain &&
                            (bytes_equal(value->text, BYTES_LITERAL("true")) ||
                             bytes_equal(value->text, BYTES_LITERAL("false")));
    if (bytes_equal(type, BYTES_LITERAL("boolean")))
        return is_boolean;
    assert_true(bytes_equal(type, BYTES_LITERAL("string")));
    return is_scalar && !is_empty && !is_boolean && !is_number(value, "-0123456789.e");
}

static bool
check_type(struct check *c, const struct tree_node *types, const struct tree_node *value)
{
    if (types->kind == TREE_SCALAR && is_type(value, types->text))
        return true;
    for (size_t i = 0; i < types->item_count; i++)
        if (is_type(value, types->items[i]->text))
            return true;
    complain(c, "is of another type");
    return false;
}

static bool
check_enum(struct check *c, const struct tree_node *words, const struct tree_node *value)
{
    for (size_t i = 0; i < words->item_count; i++)
        if (value->kind == TREE_SCALAR && bytes_equal(words->items[i]->text, value->text))
            return true;
    complain(c, "is none of the words");
    return false;
}

static bool
check_any_of(struct check *c, const struct tree_node *options, const struct tree_node *value)
{
    struct check quiet = { 0 };
    bool fine = false;
    for (size_t i = 0; i < options->item_count; i++)
        fine = fits(&quiet, options->items[i], value) || fine;
    buf_fini(&quiet.wrong);
    buf_fini(&quiet.path);
    if (!fine)
        complain(c, "is none of what it may be");
    return fine;
}

static bool
check_required(struct check *c, const struct tree_node *keys, const struct tree_node *value)
{
    for (size_t i = 0; i < keys->item_count; i++) {
        char key[64];
        snprintf(key, sizeof(key), "%.*s", BYTES_ARGS(keys->items[i]->text));
        if (value->kind == TREE_MAPPING && tree_find(value, key) == NULL) {
            complain(c, "lacks a key");
            return false;
        }
    }
    return true;
}

static const struct tree_node *
find(const struct tree_node *mapping, struct bytes key)
{
    for (size_t i = 0; mapping != NULL && i < mapping->item_count; i += 2)
        if (bytes_equal(mapping->items[i]->text, key))
            return mapping->items[i + 1];
    return NULL;
}

static bool
check_member(struct check *c, const struct tree_node *s, const struct tree_node *key,
             const struct tree_node *value)
{
    const struct tree_node *known = find(tree_find(s, "properties"), key->text);
    const struct tree_node *others = tree_find(s, "additionalProperties");
    if (known == NULL && others != NULL && others->kind == TREE_SCALAR &&
        bytes_equal(others->text, BYTES_LITERAL("false"))) {
        complain(c, "is not known");
        return false;
    }
    if (known == NULL && (others == NULL || others->kind == TREE_SCALAR))
        return true;
    return fits(c, known == NULL ? others : known, value);
}

static bool
check_members(struct check *c, const struct tree_node *s, const struct tree_node *value)
{
    const struct tree_node *elements = tree_find(s, "items");
    bool fine = true;
    const size_t step = value->kind == TREE_MAPPING ? 2 : 1;
    for (size_t i = 0; i < value->item_count; i += step) {
        const size_t size = c->path.size;
        const struct tree_node *at = value->items[i];
        if (step == 2)
            buf_printf(&c->path, "/%.*s", BYTES_ARGS(at->text));
        else
            buf_printf(&c->path, "/%zu", i);
        fine = (step == 2 ? check_member(c, s, at, value->items[i + 1])
                          : elements == NULL || fits(c, elements, at)) &&
               fine;
        c->path.size = size;
    }
    return fine;
}

static bool
fits(struct check *c, const struct tree_node *s, const struct tree_node *value)
{
    const struct tree_node *reference = tree_find(s, "$ref");
    const struct tree_node *type = tree_find(s, "type");
    const struct tree_node *words = tree_find(s, "enum");
    const struct tree_node *any = tree_find(s, "anyOf");
    const struct tree_node *required = tree_find(s, "required");
    if (reference != NULL) {
        const size_t skip = strlen("#/definitions/");
        const struct tree_node *definition =
            find(tree_find(schema.root, "definitions"),
                 bytes_of(reference->text.data + skip, reference->text.size - skip));
        assert_non_null(definition);
        return fits(c, definition, value);
    }
    if (tree_find(s, "pattern") != NULL) /* There is one only. */
        return value->kind == TREE_SCALAR && value->text.size > 1 &&
               memmem(value->text.data, value->text.size, "${", 2) != NULL;
    return (type == NULL || check_type(c, type, value)) &&
           (words == NULL || check_enum(c, words, value)) &&
           (any == NULL || check_any_of(c, any, value)) &&
           (required == NULL || check_required(c, required, value)) && check_members(c, s, value);
}

/* `wrong` NULL: it fits. */
static void
expect(const char *text, const char *wrong)
{
    struct document doc;
    struct check c = { 0 };
    assert_true(document_read_text(&doc, "document", bytes_of_string(text)));
    const bool fine = fits(&c, schema.root, doc.root);
    buf_append(&c.wrong, "", 1);
    if (fine != (wrong == NULL) || (!fine && strcmp((const char *)c.wrong.data, wrong) != 0))
        fail_msg("\"%s\" for:\n%s", (const char *)c.wrong.data, text);
    buf_fini(&c.wrong);
    buf_fini(&c.path);
    document_fini(&doc);
}

static int
read_schema(void **state)
{
    (void)state;
    struct buf text = { 0 };
    configuration_schema(&text);
    assert_true(document_read_text(&schema, "schema", buf_bytes(&text)));
    assert_int_equal(schema.diagnostics.count, 0);
    buf_fini(&text);
    return 0;
}

static int
forget_schema(void **state)
{
    (void)state;
    document_fini(&schema);
    return 0;
}

static void
expect_file(const char *path)
{
    struct buf text = { 0 };
    assert_true(file_read(path, 1 << 20, &text));
    buf_append(&text, "", 1);
    expect((const char *)text.data, NULL);
    buf_fini(&text);
}

static void
test_documents_that_are_fine(void **state)
{
    (void)state;
    struct buf page = { 0 };
    assert_true(file_read(RAIL_SOURCE "/docs/CONFIGURATION.md", 1 << 20, &page));
    buf_append(&page, "", 1);
    char *example = strstr((char *)page.data, "```yaml\n");
    assert_non_null(example);
    example += strlen("```yaml\n");
    char *end = strstr(example, "```\n");
    assert_non_null(end);
    *end = 0;
    expect(example, NULL);
    buf_fini(&page);
    expect_file(RAIL_SOURCE "/packaging/broker.yaml");
    expect_file(RAIL_SOURCE "/tests/unit/definitions/management-3.13.yaml");
    expect_file(RAIL_SOURCE "/tests/unit/definitions/ctl-4.1.yaml");
    expect("version: 1\n"
           "include: a.yaml\n"
           "server: {name: 5, log: {level: debug}}\n"
           "limits: {frame_max: 128KiB, channel_max: 5}\n"
           "listeners: [{protocol: http, bind: \"[::]:1\", serve: [metrics]}]\n"
           "tls: {default: {certificate: a, private_key: b, session_tickets: false,\n"
           "  more_certificates: [{certificate: a, private_key: b}]}}\n"
           "users:\n"
           "vhosts: {v: {queues: {q: , r: {durable: \"${env:X}\", arguments: {x-mine: [1]}}}}}\n",
           NULL);
}

#define VHOST "version: 1\nvhosts: {v: "

static void
test_documents_that_are_not(void **state)
{
    (void)state;
    expect("users: {}\n", ": lacks a key");
    expect("version: 2\n", "/version: is none of the words");
    expect("version: 1\nuser: {}\n", "/user: is not known");
    expect("version: 1\nserver: {workres: 1}\n", "/server/workres: is not known");
    expect("version: 1\nserver: {log: {levl: a}}\n", "/server/log/levl: is not known");
    expect("version: 1\nserver: {log.level: a}\n", "/server/log.level: is not known");
    expect("version: 1\nlimits: {frame_max: [1]}\n", "/limits/frame_max: is of another type");
    expect("version: 1\nlisteners: [{bnd: a}]\n", "/listeners/0/bnd: is not known");
    expect("version: 1\ntls: {d: {cert: a}}\n", "/tls/d/cert: is not known");
    expect("version: 1\napply: {prune: some}\n", "/apply/prune: is none of the words");
    expect("version: 1\nusers: {u: {password_hash: {md5: x}}}\n",
           "/users/u/password_hash/md5: is not known");
    expect("version: 1\nusers: {u: {limits: {max-queues: 1}}}\n",
           "/users/u/limits/max-queues: is not known");
    expect("version: 1\nusers: {u: {state: gone}}\n", "/users/u/state: is none of the words");
    expect(VHOST "{queue: {}}}\n", "/vhosts/v/queue: is not known");
    expect(VHOST "{limits: {max-queues: many}}}\n", NULL); /* Text may be ${...}. */
    expect(VHOST "{limits: {max-queues: [1]}}}\n",
           "/vhosts/v/limits/max-queues: is of another type");
    expect(VHOST "{queues: {q: {typ: quorum}}}}\n", "/vhosts/v/queues/q/typ: is not known");
    expect(VHOST "{queues: {q: {type: lazy}}}}\n",
           "/vhosts/v/queues/q/type: is none of what it may be");
    expect(VHOST "{queues: {q: {arguments: {x-overflow: drop}}}}}\n",
           "/vhosts/v/queues/q/arguments/x-overflow: is none of what it may be");
    expect(VHOST "{queues: {q: {bindings: [{key: a}]}}}}\n",
           "/vhosts/v/queues/q/bindings/0: lacks a key");
    expect(VHOST "{exchanges: {x: {type: fan}}}}\n",
           "/vhosts/v/exchanges/x/type: is none of what it may be");
    expect(VHOST "{topic_permissions: {u: {x: {configure: a}}}}}\n",
           "/vhosts/v/topic_permissions/u/x/configure: is not known");
    expect(VHOST "{operator_policies: {p: {definition: {overflow: drop-head}}}}}\n",
           "/vhosts/v/operator_policies/p/definition/overflow: is not known");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents_that_are_fine),
        cmocka_unit_test(test_documents_that_are_not),
    };
    return cmocka_run_group_tests(tests, read_schema, forget_schema);
}
