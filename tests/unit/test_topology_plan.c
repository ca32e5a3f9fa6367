#include "test_topology.h"

#include "broker/topology/plan.h"

static void
plan_texts(const char *current, const char *wanted, struct topology_rules rules, bool is_owned,
           uint64_t messages, struct buf *out)
{
    struct configuration is;
    struct configuration should;
    struct plan plan;
    expect_read(&is, current);
    expect_read(&should, wanted);
    for (size_t i = 0; i < is.topology.count; i++) {
        is.topology.items[i].is_owned = is_owned;
        is.topology.items[i].messages = is.topology.items[i].kind == TOPOLOGY_QUEUE ? messages : 0;
    }
    plan_make(&plan, &(const struct plan_request){
                         .current = &is.topology,
                         .wanted = &should.topology,
                         .rules = rules,
                     });
    plan_print(&plan, false, out);
    buf_append(out, "", 1);
    plan_fini(&plan);
    configuration_fini(&is);
    configuration_fini(&should);
}

static void
expect_plan(const char *current, const char *wanted, struct topology_rules rules, bool is_owned,
            uint64_t messages, const char *expected)
{
    struct buf out = { 0 };
    plan_texts(current, wanted, rules, is_owned, messages, &out);
    assert_string_equal((const char *)out.data, expected);
    buf_fini(&out);
}

static const struct topology_rules careful = { .delete_queues = DELETE_QUEUES_IF_EMPTY };
static const struct topology_rules pruning = { .delete_queues = DELETE_QUEUES_IF_EMPTY,
                                               .prune = PRUNE_OWNED };
static const struct topology_rules forced = { .delete_queues = DELETE_QUEUES_ALWAYS,
                                              .prune = PRUNE_OWNED,
                                              .replace_on_conflict = true };

#define HEAD "version: 1\nvhosts:\n  /:\n"
#define SMALL                                                                                      \
    HEAD "    exchanges: {x: {type: topic}}\n"                                                     \
         "    queues: {q: {arguments: {x-max-length: 5}, bindings: [{from: x, key: a}]}}\n"
#define EMPTY "version: 1\nvhosts: {/: {}}\n"

static void
test_creation_in_order(void **state)
{
    (void)state;
    expect_plan(EMPTY, SMALL "    policies: {p: {pattern: a, definition: {}}}\n", careful, false, 0,
                "  + create   exchange \"x\" in vhost \"/\"\n"
                "  + create   queue \"q\" in vhost \"/\"\n"
                "  + create   binding of queue \"q\" to exchange \"x\" with key \"a\" in vhost "
                "\"/\"\n"
                "  + create   policy \"p\" in vhost \"/\"\n"
                "4 to create, 0 to update, 0 to replace, 0 to delete\n");
}

static void
test_nothing(void **state)
{
    (void)state;
    expect_plan(SMALL, SMALL, pruning, true, 5, "no changes\n");
    expect_plan(SMALL, EMPTY, careful, true, 5, "no changes\n");
    /* Others made it. */
    expect_plan(SMALL, EMPTY, pruning, false, 5, "no changes\n");
    /* What a repeated declaration does not compare. */
    expect_plan(HEAD "    queues: {q: {arguments: {x-mine: 1}}}\n",
                HEAD "    queues: {q: {type: classic}}\n", careful, false, 0, "no changes\n");
}

#define NOT_IN_PLACE                                                                               \
    "               refused: this cannot change while it exists: restore the old value; or "       \
    "declare another one under a new name, move the bindings, drain the old one and remove it; "   \
    "or write replace: allow there, and it is deleted and made again\n"

static void
test_replacement(void **state)
{
    (void)state;
    const char *changed = HEAD "    exchanges: {x: {type: topic}}\n"
                               "    queues: {q: {arguments: {x-max-length: 6}, replace: allow, "
                               "bindings: [{from: x, key: a}]}}\n";
    expect_plan(SMALL,
                HEAD "    exchanges: {x: {type: fanout}}\n"
                     "    queues: {q: {arguments: {x-max-length: 5}}}\n",
                careful, false, 1,
                "-/+ replace  exchange \"x\" in vhost \"/\"\n"
                "               type: topic -> fanout\n" NOT_IN_PLACE
                "0 to create, 0 to update, 1 to replace, 0 to delete; 1 of them refused\n");
    expect_plan(SMALL, changed, careful, false, 1,
                "-/+ replace  queue \"q\" in vhost \"/\" (1 message would be lost)\n"
                "               arguments: {x-max-length: 5} -> {x-max-length: 6}\n"
                "               refused: it holds messages: consume or purge them first, or use "
                "--force\n"
                "  + create   binding of queue \"q\" to exchange \"x\" with key \"a\" in vhost "
                "\"/\"\n"
                "1 to create, 0 to update, 1 to replace, 0 to delete; 1 of them refused\n");
    expect_plan(SMALL, changed, careful, false, 0,
                "-/+ replace  queue \"q\" in vhost \"/\"\n"
                "               arguments: {x-max-length: 5} -> {x-max-length: 6}\n"
                "  + create   binding of queue \"q\" to exchange \"x\" with key \"a\" in vhost "
                "\"/\"\n"
                "1 to create, 0 to update, 1 to replace, 0 to delete\n");
}

static void
test_deletion(void **state)
{
    (void)state;
    const char *all = "  - delete   binding of queue \"q\" to exchange \"x\" with key \"a\" in "
                      "vhost \"/\"\n"
                      "  - delete   queue \"q\" in vhost \"/\"%s\n"
                      "%s"
                      "  - delete   exchange \"x\" in vhost \"/\"\n"
                      "0 to create, 0 to update, 0 to replace, 3 to delete%s\n";
    struct buf expected = { 0 };
    const char *refused = "               refused: it holds messages: consume or purge them "
                          "first, or use --force\n";
    struct {
        struct topology_rules rules;
        uint64_t messages;
        const char *loss;
        const char *why;
        const char *end;
    } cases[] = {
        { pruning, 0, "", "", "" },
        { pruning, 2, " (2 messages would be lost)", refused, "; 1 of them refused" },
        { forced, 2, " (2 messages would be lost)", "", "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expected.size = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buf_printf(&expected, all, cases[i].loss, cases[i].why, cases[i].end);
#pragma GCC diagnostic pop
        buf_append(&expected, "", 1);
        expect_plan(SMALL, EMPTY, cases[i].rules, true, cases[i].messages,
                    (const char *)expected.data);
    }
    buf_fini(&expected);
}

static void
test_absent_is_deleted_without_pruning(void **state)
{
    (void)state;
    expect_plan(SMALL, HEAD "    queues: {q: {state: absent}, r: {state: absent}}\n", careful,
                false, 0,
                "  - delete   queue \"q\" in vhost \"/\"\n"
                "0 to create, 0 to update, 0 to replace, 1 to delete\n");
}

static void
test_updates_in_place(void **state)
{
    (void)state;
    expect_plan(HEAD "    policies: {p: {pattern: a, definition: {max-length: 5}}}\n",
                HEAD "    policies: {p: {pattern: b, priority: 2, definition: {max-length: 6}}}\n",
                careful, false, 0,
                "  ~ update   policy \"p\" in vhost \"/\"\n"
                "               pattern: \"a\" -> \"b\"\n"
                "               priority: 0 -> 2\n"
                "               definition: {max-length: 5} -> {max-length: 6}\n"
                "0 to create, 1 to update, 0 to replace, 0 to delete\n");
}

/* Whoever forgets the users, or names no vhost, keeps them; the rest goes. */
static void
test_prune_all(void **state)
{
    (void)state;
    const struct topology_rules all = { .delete_queues = DELETE_QUEUES_IF_EMPTY,
                                        .prune = PRUNE_ALL };
    expect_plan("version: 1\nusers: {a: {password: x}}\nvhosts: {/: {permissions: {a: {}}, "
                "exchanges: {x: {}}}, v: {}}\n",
                EMPTY, all, false, 0,
                "  - delete   exchange \"x\" in vhost \"/\"\n"
                "0 to create, 0 to update, 0 to replace, 1 to delete\n");
}

static void
test_secrets_are_hidden(void **state)
{
    (void)state;
    expect_plan("version: 1\nusers: {a: {password: old}}\n",
                "version: 1\nusers: {a: {password: new}}\n", careful, false, 0,
                "  ~ update   user \"a\"\n"
                "               password: (hidden) -> (hidden)\n"
                "0 to create, 1 to update, 0 to replace, 0 to delete\n");
}

static void
test_json(void **state)
{
    (void)state;
    struct configuration is;
    struct configuration should;
    struct plan plan;
    struct buf out = { 0 };
    expect_read(&is, HEAD "    policies: {p: {pattern: a, definition: {}}}\n");
    expect_read(&should, HEAD "    policies: {p: {pattern: \"\\\\d\", definition: {}}}\n"
                              "    queues: {q: {bindings: [{from: amq.topic, key: k}]}}\n");
    plan_make(&plan,
              &(const struct plan_request){ .current = &is.topology, .wanted = &should.topology });
    plan_print_json(&plan, &out);
    buf_append(&out, "", 1);
    assert_string_equal(
        (const char *)out.data,
        "{\"changes\": [\n"
        "  {\"action\": \"create\", \"kind\": \"queue\", \"vhost\": \"/\", \"name\": \"q\", "
        "\"messages\": 0, \"fields\": []},\n"
        "  {\"action\": \"create\", \"kind\": \"binding\", \"vhost\": \"/\", \"destination\": "
        "\"q\", \"source\": \"amq.topic\", \"key\": \"k\", \"destination_type\": \"queue\", "
        "\"messages\": 0, \"fields\": []},\n"
        "  {\"action\": \"update\", \"kind\": \"policy\", \"vhost\": \"/\", \"name\": \"p\", "
        "\"messages\": 0, \"fields\": [{\"name\": \"pattern\", \"from\": \"a\", \"to\": "
        "\"\\\\d\"}]}\n"
        "], \"create\": 2, \"update\": 1, \"replace\": 0, \"delete\": 0, \"refused\": 0}\n");
    buf_fini(&out);
    plan_fini(&plan);
    configuration_fini(&is);
    configuration_fini(&should);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_creation_in_order),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_replacement),
        cmocka_unit_test(test_deletion),
        cmocka_unit_test(test_absent_is_deleted_without_pruning),
        cmocka_unit_test(test_updates_in_place),
        cmocka_unit_test(test_prune_all),
        cmocka_unit_test(test_secrets_are_hidden),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
