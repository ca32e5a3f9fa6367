#include "broker/core/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"

static struct notes notes;
static struct policies policies;
static struct door *door;

static int
setup(void **state)
{
    (void)state;
    door = door_create(engine_sim_create(0), UINT64_MAX, recorder_no_notify, NULL);
    notes_init(&notes, door);
    policies_init(&policies, &notes);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    policies_fini(&policies);
    notes_fini(&notes);
    door_destroy(door);
    return 0;
}

/* A definition is a table with one key, so that what is in force can be told. */
static void
put(const char *vhost, const char *name, const char *pattern, enum policy_apply_to apply_to,
    int32_t priority, bool is_operators)
{
    char problem[200];
    uint64_t ticket;
    uint8_t definition[64];
    const size_t size = strlen(name);
    definition[0] = (uint8_t)size;
    memcpy(definition + 1, name, size);
    definition[size + 1] = 'V';
    const struct policy_spec spec = {
        .vhost = bytes_of_string(vhost),
        .name = bytes_of_string(name),
        .is_operators = is_operators,
        .pattern = bytes_of_string(pattern),
        .apply_to = apply_to,
        .priority = priority,
        .definition = bytes_of(definition, size + 2),
    };
    if (!policy_put(&policies, &spec, &ticket, problem, sizeof(problem)))
        fail_msg("%s", problem);
    assert_true(ticket > 0);
}

/* "" for none. */
static void
expect_for(const char *vhost, const char *name, enum policy_target target, const char *policy,
           const char *operators)
{
    struct policy_in_force found[POLICY_SORTS];
    const bool any =
        policy_for(&policies, bytes_of_string(vhost), bytes_of_string(name), target, found);
    assert_true(any == (policy[0] != 0 || operators[0] != 0));
    const char *wanted[] = { policy, operators };
    for (size_t i = 0; i < POLICY_SORTS; i++) {
        const size_t size = strlen(wanted[i]);
        assert_true(bytes_equal(buf_bytes(&found[i].name), bytes_of_string(wanted[i])));
        assert_int_equal(found[i].definition.size, size == 0 ? 0 : size + 2);
        if (size > 0)
            assert_memory_equal(found[i].definition.data + 1, wanted[i], size);
    }
    policies_in_force_fini(found);
}

static void
test_which_is_in_force(void **state)
{
    (void)state;
    put("/", "low", "^a", POLICY_TO_ALL, 1, false);
    put("/", "high", "^ab", POLICY_TO_QUEUES, 2, false);
    put("/", "classic", "^abc", POLICY_TO_CLASSIC_QUEUES, 3, false);
    put("/", "operator", "", POLICY_TO_QUEUES, 0, true);
    put("v", "elsewhere", "", POLICY_TO_ALL, 9, false);
    expect_for("/", "x", POLICY_FOR_CLASSIC_QUEUE, "", "operator");
    expect_for("/", "xa", POLICY_FOR_EXCHANGE, "", "");
    expect_for("/", "ab", POLICY_FOR_EXCHANGE, "low", "");
    expect_for("/", "ax", POLICY_FOR_STREAM, "low", "operator");
    expect_for("/", "ab", POLICY_FOR_QUORUM_QUEUE, "high", "operator");
    expect_for("/", "abc", POLICY_FOR_QUORUM_QUEUE, "high", "operator");
    expect_for("/", "abc", POLICY_FOR_CLASSIC_QUEUE, "classic", "operator");
    expect_for("v", "abc", POLICY_FOR_CLASSIC_QUEUE, "elsewhere", "");
    expect_for("w", "abc", POLICY_FOR_CLASSIC_QUEUE, "", "");
}

static void
test_equals_by_name_and_changes(void **state)
{
    (void)state;
    put("/", "b", "q", POLICY_TO_ALL, 0, false);
    put("/", "a", "q", POLICY_TO_ALL, 0, false);
    expect_for("/", "q", POLICY_FOR_CLASSIC_QUEUE, "a", "");
    put("/", "b", "q", POLICY_TO_ALL, 1, false);
    expect_for("/", "q", POLICY_FOR_CLASSIC_QUEUE, "b", "");
    const uint64_t epoch = atomic_load(&policies.epoch);
    assert_true(policy_delete(&policies, BYTES_LITERAL("/"), false, BYTES_LITERAL("b")) > 0);
    assert_true(atomic_load(&policies.epoch) > epoch);
    expect_for("/", "q", POLICY_FOR_CLASSIC_QUEUE, "a", "");
    assert_int_equal(policy_delete(&policies, BYTES_LITERAL("/"), false, BYTES_LITERAL("b")), 0);
    assert_int_equal(policy_delete(&policies, BYTES_LITERAL("/"), true, BYTES_LITERAL("a")), 0);
    assert_true(policies_delete_vhost(&policies, BYTES_LITERAL("/")) > 0);
    expect_for("/", "q", POLICY_FOR_CLASSIC_QUEUE, "", "");
}

/* What start-up finds is what was put. */
static void
test_restored(void **state)
{
    (void)state;
    struct policies again;
    struct policy_in_force found[POLICY_SORTS];
    put("/", "a", "^q$", POLICY_TO_QUEUES, -5, false);
    put("/", "b", "^q$", POLICY_TO_QUEUES, -4, false);
    put("/", "o", "^q$", POLICY_TO_ALL, 7, true);
    policies_init(&again, &notes);
    assert_true(policies_restore(&again));
    assert_true(policy_for(&again, BYTES_LITERAL("/"), BYTES_LITERAL("q"), POLICY_FOR_CLASSIC_QUEUE,
                           found));
    assert_int_equal(found[POLICY_USERS].definition.data[1], 'b');
    assert_int_equal(found[POLICY_OPERATORS].definition.data[1], 'o');
    policies_in_force_fini(found);
    policies_fini(&again);
    notes_restore(&notes, BYTES_LITERAL("policy:nonsense"), BYTES_LITERAL("?"));
    policies_init(&again, &notes);
    assert_false(policies_restore(&again));
    policies_fini(&again);
}

static void
test_bad_pattern(void **state)
{
    (void)state;
    char problem[200];
    uint64_t ticket;
    const struct policy_spec spec = { .vhost = BYTES_LITERAL("/"),
                                      .name = BYTES_LITERAL("p"),
                                      .pattern = BYTES_LITERAL("a(") };
    assert_false(policy_put(&policies, &spec, &ticket, problem, sizeof(problem)));
    assert_string_equal(problem, "missing closing parenthesis at character 3");
    assert_int_equal(ticket, 0);
}

static void
test_notes(void **state)
{
    (void)state;
    struct buf value = { 0 };
    assert_true(notes_put(&notes, BYTES_LITERAL("k"), BYTES_LITERAL("v")) > 0);
    assert_int_equal(notes_put(&notes, BYTES_LITERAL("k"), BYTES_LITERAL("v")), 0);
    assert_true(notes_put(&notes, BYTES_LITERAL("k"), BYTES_LITERAL("w")) > 0);
    assert_true(notes_get(&notes, BYTES_LITERAL("k"), &value));
    assert_true(bytes_equal(buf_bytes(&value), BYTES_LITERAL("w")));
    assert_true(notes_delete(&notes, BYTES_LITERAL("k")) > 0);
    assert_int_equal(notes_delete(&notes, BYTES_LITERAL("k")), 0);
    assert_false(notes_get(&notes, BYTES_LITERAL("k"), &value));
    buf_fini(&value);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_which_is_in_force, setup, teardown),
        cmocka_unit_test_setup_teardown(test_equals_by_name_and_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_pattern, setup, teardown),
        cmocka_unit_test_setup_teardown(test_notes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
