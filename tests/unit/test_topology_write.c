#include "test_topology.h"

#include "amqp/table.h"
#include "broker/base/endian.h"
#include "broker/base/mem.h"
#include "broker/topology/plan.h"
#include "broker/topology/write.h"
#include "test_random.h"

/* Names that YAML, shells and people trip over. */
static const char *const names[] = {
    "a",
    "orders.eu",
    "no",
    "5",
    "1.5",
    "true",
    "~",
    "a b",
    "a: b",
    "# x",
    "- y",
    "\"q\"",
    "'s'",
    "caf\xc3\xa9",
    "$x",
    "${env:HOME}",
    "a\nb",
    "\t",
    "a\x7f",
    "{x}",
    "[y]",
    "\xc2\x85line",
    "*star",
    "&amp",
    "!tag",
    "@at",
    "%percent",
    "back\\s",
    "|pipe",
    "\xef\xbb\xbf",
    "\xe2\x80\xa8",
    "k, l: m",
    " lead",
    "trail ",
    "null",
    "0x10",
    "1_000",
    "\xf0\x9f\x90\x87",
};

static struct bytes
any_name(struct random *dice)
{
    return bytes_of_string(names[random_below(dice, COUNT(names))]);
}

static void any_table(struct random *dice, struct buf *out, size_t depth);

static void
any_field(struct random *dice, struct bytes name, struct buf *out, size_t depth)
{
    uint8_t octets[12];
    static const char tags[] = "tbBsuIilLfdDTSxVFA";
    static const size_t sizes[] = { 1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 5, 8 };
    const size_t kind = random_below(dice, depth < 3 ? 18 : 16);
    struct buf inner = { 0 };
    struct table_field f = { .name = name, .tag = tags[kind] };
    for (size_t i = 0; i < sizeof(octets); i++)
        octets[i] = (uint8_t)random_next(dice);
    octets[0] = f.tag == 't' ? octets[0] & 1u : octets[0];
    if (kind < COUNT(sizes))
        f.value = bytes_of(octets, sizes[kind]);
    else if (f.tag == 'S')
        f.value = random_below(dice, 4) == 0 ? bytes_of(octets, 5) : any_name(dice);
    else if (f.tag == 'x')
        f.value = bytes_of(octets, random_below(dice, 12));
    else if (f.tag == 'F')
        any_table(dice, &inner, depth + 1);
    for (size_t i = random_below(dice, 3); f.tag == 'A' && i > 0; i--)
        any_field(dice, BYTES_NONE, &inner, depth + 1);
    if (inner.size > 0)
        f.value = buf_bytes(&inner);
    argument_append(out, &f);
    buf_fini(&inner);
}

static void
any_table(struct random *dice, struct buf *out, size_t depth)
{
    struct buf fields = { 0 };
    const size_t first = random_below(dice, COUNT(names));
    const size_t count = random_below(dice, 4);
    for (size_t i = 0; i < count; i++)
        any_field(dice, bytes_of_string(names[(first + i) % COUNT(names)]), &fields, depth);
    assert_true(table_is_valid(buf_bytes(&fields)));
    table_canonical(buf_bytes(&fields), out);
    buf_fini(&fields);
}

static bool
is_there(const struct topology *t, const struct topology_item *names_of)
{
    for (size_t i = 0; i < t->count; i++)
        if (topology_order(&t->items[i], names_of) == 0)
            return true;
    return false;
}

static void
any_binding(struct random *dice, struct topology *t)
{
    struct buf table = { 0 };
    const size_t to = random_below(dice, t->count);
    const enum topology_kind kind = t->items[to].kind;
    if (kind == TOPOLOGY_QUEUE || kind == TOPOLOGY_EXCHANGE) {
        any_table(dice, &table, 0);
        /* The one key whose values are known. */
        struct topology_item names_of = {
            .kind = TOPOLOGY_BINDING,
            .vhost = t->items[to].vhost,
            .name = t->items[to].name,
            .other = BYTES_LITERAL("amq.headers"),
            .key = any_name(dice),
            .to_exchange = kind == TOPOLOGY_EXCHANGE,
            .arguments = buf_bytes(&table),
        };
        struct buf identity = { 0 };
        arguments_identity(names_of.arguments, &identity);
        names_of.identity = buf_bytes(&identity);
        if (!is_there(t, &names_of))
            topology_add(t, &names_of);
        buf_fini(&identity);
    }
    buf_fini(&table);
}

static void
any_object(struct random *dice, struct topology *t, struct bytes vhost)
{
    struct buf table = { 0 };
    struct topology_item names_of = {
        .kind = random_below(dice, 2) == 0 ? TOPOLOGY_QUEUE : TOPOLOGY_EXCHANGE,
        .vhost = vhost,
        .name = any_name(dice),
    };
    if (random_below(dice, 4) == 0)
        names_of.kind = TOPOLOGY_POLICY;
    if (is_there(t, &names_of))
        return;
    struct topology_item *item = topology_add(t, &names_of);
    any_table(dice, &table, 0);
    if (item->kind == TOPOLOGY_QUEUE) {
        topology_set(t, item, QUEUE_ARGUMENTS, buf_bytes(&table));
        topology_set_bool(t, item, QUEUE_DURABLE, random_below(dice, 2) == 0);
    } else if (item->kind == TOPOLOGY_EXCHANGE) {
        topology_set(t, item, EXCHANGE_ARGUMENTS, buf_bytes(&table));
        topology_set_text(t, item, EXCHANGE_TYPE, "fanout");
        topology_set_bool(t, item, EXCHANGE_INTERNAL, random_below(dice, 2) == 0);
    } else {
        topology_set_text(t, item, POLICY_PATTERN, "^a$");
        topology_set_text(t, item, POLICY_PRIORITY, "-7");
    }
    buf_fini(&table);
}

static void
any_topology(struct random *dice, struct topology *t)
{
    const struct topology_item user = { .kind = TOPOLOGY_USER, .name = any_name(dice) };
    struct topology_item *u = topology_add(t, &user);
    topology_set_text(t, u, USER_PASSWORD, "pass$word: #");
    topology_set_text(t, u, USER_TAGS, "a\nb c\n");
    topology_set_text(t, u, USER_MAX_CHANNELS, "5");
    for (size_t v = 0; v < 2; v++) {
        const struct topology_item vhost = { .kind = TOPOLOGY_VHOST,
                                             .name = bytes_of_string(v == 0 ? "/" : "2: #") };
        const struct topology_item permission = { .kind = TOPOLOGY_PERMISSION,
                                                  .vhost = vhost.name,
                                                  .name = user.name };
        const struct topology_item topic = { .kind = TOPOLOGY_TOPIC_PERMISSION,
                                             .vhost = vhost.name,
                                             .name = user.name,
                                             .other = any_name(dice) };
        topology_add(t, &vhost);
        topology_set_text(t, topology_add(t, &permission), PERMISSION_READ, "^x\\.y$");
        topology_add(t, &topic);
        for (size_t i = random_below(dice, 8); i > 0; i--)
            any_object(dice, t, vhost.name);
    }
    for (size_t i = random_below(dice, 10); i > 0; i--)
        any_binding(dice, t);
    topology_sort(t);
}

static void
expect_equal(const struct topology *a, const struct topology *b, const char *text)
{
    if (a->count != b->count)
        fail_msg("%zu items became %zu:\n%s", a->count, b->count, text);
    for (size_t i = 0; i < a->count; i++) {
        const struct topology_item *x = &a->items[i];
        const struct topology_item *y = &b->items[i];
        if (topology_order(x, y) != 0)
            fail_msg("item %zu differs:\n%s", i, text);
        for (size_t k = 0; k < topology_kinds[x->kind].field_count; k++) {
            struct buf left = { 0 };
            struct buf right = { 0 };
            const bool is_table = topology_kinds[x->kind].fields[k].form == FORM_TABLE;
            if (is_table) {
                arguments_identity(x->values[k], &left);
                arguments_identity(y->values[k], &right);
            }
            if (is_table ? !bytes_equal(buf_bytes(&left), buf_bytes(&right))
                         : !bytes_equal(x->values[k], y->values[k]))
                fail_msg("%s of item %zu differs:\n%s", topology_kinds[x->kind].fields[k].name, i,
                         text);
            buf_fini(&left);
            buf_fini(&right);
        }
    }
}

/* What is written is read back as the same, whatever names and arguments are. */
static void
test_written_and_read(void **state)
{
    (void)state;
    struct random dice = random_start("test_written_and_read");
    setenv("HOME", "/home/x", 1);
    for (size_t round = 0; round < 300; round++) {
        struct topology t;
        struct configuration c;
        struct buf text = { 0 };
        topology_init(&t);
        any_topology(&dice, &t);
        topology_write(&t, WRITE_FOR_BROKER, &text);
        buf_append(&text, "", 1);
        expect_read(&c, (const char *)text.data);
        expect_equal(&t, &c.topology, (const char *)text.data);
        configuration_fini(&c);
        buf_fini(&text);
        topology_fini(&t);
    }
}

static void
test_form(void **state)
{
    (void)state;
    static const char text[] = "version: 1\n"
                               "users:\n"
                               "  a:\n"
                               "    password_hash: {sha256: "
                               "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}\n"
                               "    tags: [administrator]\n"
                               "    limits:\n"
                               "      max-connections: 5\n"
                               "      max-channels: 6\n"
                               "vhosts:\n"
                               "  /:\n"
                               "    permissions:\n"
                               "      a:\n"
                               "        configure: \"\"\n"
                               "        write: \"\"\n"
                               "        read: \".*\"\n"
                               "    topic_permissions:\n"
                               "      a:\n"
                               "        amq.topic:\n"
                               "          write: \"^a$$\"\n"
                               "          read: \"\"\n"
                               "    exchanges:\n"
                               "      amq.fanout:\n"
                               "        type: fanout\n"
                               "        bindings:\n"
                               "          - {from: x}\n"
                               "      x:\n"
                               "        type: topic\n"
                               "        replace: allow\n"
                               "    queues:\n"
                               "      gone:\n"
                               "        state: absent\n"
                               "      q:\n"
                               "        auto_delete: true\n"
                               "        arguments:\n"
                               "          x-max-length: 5\n"
                               "        bindings:\n"
                               "          - {from: x, key: a.b, arguments: {x-match: any}}\n"
                               "      r: {}\n"
                               "    policies:\n"
                               "      p:\n"
                               "        pattern: \"\"\n"
                               "        apply_to: all\n"
                               "        definition: {}\n"
                               "  empty: {}\n";
    struct configuration c;
    struct buf out = { 0 };
    expect_read(&c, text);
    topology_write(&c.topology, WRITE_FOR_PEOPLE, &out);
    buf_append(&out, "", 1);
    assert_string_equal((const char *)out.data, text);
    buf_fini(&out);
    configuration_fini(&c);
}

static void
test_what_cannot_be_written_is_counted(void **state)
{
    (void)state;
    struct topology t;
    struct buf out = { 0 };
    topology_init(&t);
    topology_add(
        &t, &(const struct topology_item){ .kind = TOPOLOGY_VHOST, .name = BYTES_LITERAL("/") });
    topology_add(&t, &(const struct topology_item){ .kind = TOPOLOGY_QUEUE,
                                                    .vhost = BYTES_LITERAL("/"),
                                                    .name = BYTES_LITERAL("\xff") });
    topology_sort(&t);
    topology_write(&t, WRITE_FOR_PEOPLE, &out);
    buf_append(&out, "", 1);
    assert_string_equal((const char *)out.data, "version: 1\nvhosts:\n  /: {}\n"
                                                "# 1 names that are not UTF-8 were left out.\n");
    buf_fini(&out);
    topology_fini(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_what_cannot_be_written_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
