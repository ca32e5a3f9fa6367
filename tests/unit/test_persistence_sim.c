/* The simulated engine: what its crashes and failures leave, and that it accepts nothing that
 * breaks a rule of the door. */

#include "persistence/engine_sim.h"

#include "broker/base/mem.h"
#include "persistence/rows.h"

#include <signal.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_persistence.h"
#include "tests/unit/test_random.h"

enum { LOG = 7, WEIGHT = 10 };

static struct sim_disk *disk;
static struct engine *engine;
static uint64_t next_round;
static uint64_t next_sequence;
static enum round_outcome last_outcome;
static uint64_t last_done;

static void
done(void *context, uint64_t round_number, enum round_outcome outcome)
{
    (void)context;
    last_done = round_number;
    last_outcome = outcome;
}

static void
open_engine(void)
{
    engine = engine_sim_open(disk);
    engine->done = done;
    next_round = engine->first_round;
    next_sequence = engine->first_log;
}

static void
open_disk(uint64_t seed)
{
    disk = sim_disk_create(&(const struct sim_options){ .seed = seed });
    open_engine();
}

static void
close_disk(void)
{
    engine->ops->destroy(engine);
    sim_disk_destroy(disk);
}

static void
reopen(void)
{
    engine->ops->destroy(engine);
    open_engine();
}

/* Takes the effect over. */
static void
submit(struct effect *e, bool sync)
{
    const struct round round = {
        .number = next_round++,
        .effects = e,
        .effect_count = e == NULL ? 0 : 1,
        .bytes = e == NULL ? 0 : e->key.size + effect_payload_size(e),
        .sync = sync,
    };
    engine->ops->submit(engine, &round);
    assert_int_equal(last_done, round.number);
    if (e != NULL)
        effect_fini(e);
}

static struct effect
records_at(uint64_t sequence)
{
    struct effect e = { .kind = EFFECT_RECORDS, .log = LOG, .sequence = sequence, .count = 1 };
    payload_add(&e.payload, 0, sequence, WEIGHT);
    return e;
}

static uint64_t
publish(bool sync)
{
    struct effect e = records_at(next_sequence);
    submit(&e, sync);
    return next_sequence++;
}

static struct effect
settlement_of(uint64_t sequence, uint32_t weight)
{
    struct effect e = { .kind = EFFECT_SETTLE, .log = LOG };
    e.count = settled_runs_add(&e.payload, sequence, weight);
    return e;
}

static void
settle(uint64_t sequence, bool sync)
{
    struct effect e = settlement_of(sequence, WEIGHT);
    submit(&e, sync);
}

static bool
has(uint64_t sequence)
{
    struct bytes octets;
    return sim_disk_record(disk, LOG, sequence, &octets) && record_mark(octets) == sequence;
}

static void
define(const char *value, bool sync)
{
    struct effect e = { .kind = value == NULL ? EFFECT_DELETE : EFFECT_PUT };
    buf_append(&e.key, "key", 3);
    if (value != NULL)
        buf_append_bytes(&e.payload, bytes_of_string(value));
    submit(&e, sync);
}

static void
assert_defined(const char *value)
{
    struct bytes row;
    assert_int_equal(sim_disk_row(disk, BYTES_LITERAL("key"), &row), value != NULL);
    if (value != NULL)
        assert_true(bytes_equal(row, bytes_of_string(value)));
}

static void
test_the_end_of_the_process_loses_nothing(void **state)
{
    (void)state;
    open_disk(1);
    const uint64_t settled = publish(true);
    const uint64_t kept = publish(false);
    settle(settled, false);
    define("value", false);
    sim_disk_crash(disk, SIM_CRASH_PROCESS);
    reopen();
    assert_false(has(settled));
    assert_true(has(kept));
    assert_defined("value");
    close_disk();
}

static void
test_the_end_of_power_loses_what_was_not_synced(void **state)
{
    (void)state;
    unsigned outcomes = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        open_disk(seed);
        const uint64_t first = publish(true);
        define("old", true);
        settle(first, false);
        define("new", false);
        const uint64_t second = publish(false);
        sim_disk_crash(disk, SIM_CRASH_POWER);
        reopen();
        const bool is_settled = !has(first);
        struct bytes row;
        assert_true(sim_disk_row(disk, BYTES_LITERAL("key"), &row));
        const bool is_defined = bytes_equal(row, BYTES_LITERAL("new"));
        /* What came later is not there without what came before. */
        assert_true(is_settled || !is_defined);
        assert_true(is_defined || !has(second));
        outcomes |= 1u << (is_settled + is_defined + has(second));
        close_disk();
    }
    assert_int_equal(outcomes, 15);
}

static void
test_what_was_synced_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        open_disk(seed);
        const uint64_t first = publish(true);
        settle(first, false);
        define("value", false);
        submit(NULL, true);
        assert_int_equal(sim_disk_synced(disk), next_round - 1);
        sim_disk_crash(disk, SIM_CRASH_POWER);
        reopen();
        assert_false(has(first));
        assert_defined("value");
        close_disk();
    }
}

static void
test_a_round_that_fails_may_be_there(void **state)
{
    (void)state;
    unsigned there = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        open_disk(seed);
        const uint64_t first = publish(true);
        sim_disk_set_failures(disk, 1);
        const uint64_t second = publish(true);
        assert_int_equal(last_outcome, ROUND_UNKNOWN);
        sim_disk_set_failures(disk, 0);
        const uint64_t third = publish(true);
        assert_int_equal(last_outcome, ROUND_UNKNOWN); /* For ever. */
        reopen();
        assert_true(has(first));
        assert_false(has(third));
        there += has(second);
        publish(true);
        assert_int_equal(last_outcome, ROUND_COMMITTED);
        close_disk();
    }
    assert_in_range(there, 20, 80);
}

static void
test_a_seed_tells_all(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint64_t left[2] = { 0 };
        for (int again = 0; again < 2; again++) {
            open_disk(seed);
            publish(true);
            for (int i = 0; i < 30; i++)
                publish(false);
            sim_disk_crash(disk, SIM_CRASH_POWER);
            left[again] = sim_disk_summary(disk, LOG).count;
            close_disk();
        }
        assert_int_equal(left[0], left[1]);
    }
}

/* Recovery tells definitions by key, and logs. */
struct told {
    char text[64];
    struct log_summary log;
    size_t logs;
};

static void
on_definition(void *context, struct bytes key, struct bytes row)
{
    struct told *t = context;
    const size_t used = strlen(t->text);
    snprintf(t->text + used, sizeof(t->text) - used, "%.*s=%.*s ", BYTES_ARGS(key),
             BYTES_ARGS(row));
}

static void
on_log(void *context, const struct log_summary *summary)
{
    struct told *t = context;
    t->log = *summary;
    t->logs++;
}

static void
put(const char *key, const char *value)
{
    struct effect e = { .kind = EFFECT_PUT };
    buf_append_bytes(&e.key, bytes_of_string(key));
    buf_append_bytes(&e.payload, bytes_of_string(value));
    submit(&e, true);
}

static void
test_recovery_tells_what_is_alive(void **state)
{
    (void)state;
    struct told told = { .logs = 0 };
    const struct recovery recovery = { on_definition, on_log, &told };
    open_disk(1);
    put("b", "1");
    put("a", "2");
    put("c", "3");
    put("b", "4");
    define("gone", true);
    define(NULL, true);
    const uint64_t first = publish(true);
    const uint64_t second = publish(true);
    const uint64_t third = publish(true);
    settle(second, true);
    const uint64_t before = engine->first_log;
    reopen();
    assert_true(engine->first_log > third && engine->first_log > before);
    assert_true(engine->ops->recover(engine, &recovery, NULL, 0));
    assert_string_equal(told.text, "a=2 b=4 c=3 ");
    assert_int_equal(told.logs, 1);
    assert_int_equal(told.log.log, LOG);
    assert_int_equal(told.log.first, first);
    assert_int_equal(told.log.last, third);
    assert_int_equal(told.log.count, 2);
    assert_int_equal(told.log.weight, 2 * WEIGHT);
    close_disk();
}

static void
test_a_copy_is_a_disk_of_its_own(void **state)
{
    (void)state;
    open_disk(1);
    const uint64_t first = publish(true);
    struct sim_disk *copy = sim_disk_copy(disk);
    settle(first, true);
    assert_false(has(first));
    close_disk();
    disk = copy;
    open_engine();
    assert_true(has(first));
    assert_true(next_sequence > first);
    close_disk();
}

static void
test_what_is_dead_is_forgotten_some_day(void **state)
{
    (void)state;
    open_disk(1);
    const uint64_t stays = publish(true);
    for (int i = 0; i < 5000; i++) {
        settle(publish(true), i % 3 == 0);
        define(i % 2 == 0 ? "x" : NULL, false);
    }
    submit(NULL, true);
    assert_true(has(stays));
    assert_int_equal(sim_disk_summary(disk, LOG).count, 1);
    assert_defined(NULL);
    close_disk();
}

/* Rules. Each breaks one, in a process of its own. */

static void
break_sequence_used_again(void)
{
    struct effect e = records_at(publish(true));
    submit(&e, true);
}

static void
break_sequence_of_an_earlier_run(void)
{
    const uint64_t sequence = next_sequence + 100;
    reopen();
    struct effect e = records_at(sequence);
    submit(&e, true);
}

static void
break_settles_nothing(void)
{
    settle(next_sequence, true);
}

static void
break_settles_twice(void)
{
    const uint64_t sequence = publish(true);
    settle(sequence, true);
    settle(sequence, true);
}

static void
break_settles_another_weight(void)
{
    struct effect e = settlement_of(publish(true), WEIGHT + 1);
    submit(&e, true);
}

static void
end_log(void)
{
    submit(&(struct effect){ .kind = EFFECT_LOG_END, .log = LOG }, true);
}

static void
break_log_has_ended(void)
{
    publish(true);
    end_log();
    publish(true);
}

static void
break_round_out_of_order(void)
{
    next_round++;
    publish(true);
}

static void
break_round_counts_wrong(void)
{
    const struct round round = { .number = next_round, .bytes = 1, .sync = true };
    engine->ops->submit(engine, &round);
}

static void
break_records_are_cut(void)
{
    struct effect e = records_at(next_sequence);
    e.payload.size--;
    submit(&e, true);
}

static void
break_records_are_counted_wrong(void)
{
    struct effect e = records_at(next_sequence);
    e.count = 2;
    submit(&e, true);
}

static void
break_purges_what_is_not_committed(void)
{
    struct effect both[2] = { records_at(next_sequence) };
    both[1] = (struct effect){ .kind = EFFECT_PURGE, .log = LOG, .sequence = next_sequence };
    store_be64(buf_reserve(&both[1].payload, 8), next_sequence);
    both[1].payload.size = 8;
    const struct round round = {
        .number = next_round,
        .effects = both,
        .effect_count = 2,
        .bytes = both[0].payload.size + 8,
    };
    engine->ops->submit(engine, &round);
}

static void
break_no_log(void)
{
    struct effect e = records_at(next_sequence);
    e.log = 0;
    submit(&e, true);
}

/* What the process says that runs it. */
static void
assert_refused(void (*breaks)(void), const char *what)
{
    char text[4096] = "";
    size_t used = 0;
    ssize_t size;
    int ends[2];
    int status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        open_disk(1);
        breaks();
        _exit(0);
    }
    close(ends[1]);
    while ((size = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)size;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        fail_msg("it accepts %s", what);
    if (strstr(text, what) == NULL)
        fail_msg("of %s it says: %s", what, text);
}

static void
test_rules(void **state)
{
    (void)state;
    assert_refused(break_sequence_used_again, "a sequence that is used again");
    assert_refused(break_sequence_of_an_earlier_run, "a sequence of an earlier run");
    assert_refused(break_settles_nothing, "a settlement of a record that is not there");
    assert_refused(break_settles_twice, "a settlement of what was settled before");
    assert_refused(break_settles_another_weight, "another weight");
    assert_refused(break_log_has_ended, "a log that has ended");
    assert_refused(break_round_out_of_order, "comes out of order");
    assert_refused(break_round_counts_wrong, "says 1 octets and has 0");
    assert_refused(break_records_are_cut, "records that are not sound");
    assert_refused(break_records_are_counted_wrong, "a wrong number of records");
    assert_refused(break_purges_what_is_not_committed, "a purge of what is not committed");
    assert_refused(break_no_log, "an effect on no log");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_end_of_the_process_loses_nothing),
        cmocka_unit_test(test_the_end_of_power_loses_what_was_not_synced),
        cmocka_unit_test(test_what_was_synced_stays),
        cmocka_unit_test(test_a_round_that_fails_may_be_there),
        cmocka_unit_test(test_a_seed_tells_all),
        cmocka_unit_test(test_recovery_tells_what_is_alive),
        cmocka_unit_test(test_a_copy_is_a_disk_of_its_own),
        cmocka_unit_test(test_what_is_dead_is_forgotten_some_day),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
