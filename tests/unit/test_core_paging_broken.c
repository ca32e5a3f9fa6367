/* Queues whose paged messages cannot be read back, and queues that drop what nobody has seen. */

#include "broker/core/queue.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core_reads.h"
#include "tests/unit/test_core_stage.h"

enum { MESSAGES = 1000, SIZE = 2000 };

static struct stage stage;
static atomic_bool is_damaged;

static struct watched_reads watched;

static bool
read_or_fail(struct engine *engine, const struct log_reading *r)
{
    return !atomic_load(&is_damaged) && watched.sound(engine, r);
}

static void
open_stage(const struct queue_spec *spec)
{
    memset(&stage, 0, sizeof(stage));
    atomic_store(&is_damaged, false);
    shelf_init(&stage.shelf);
    shelf_open(&stage.shelf);
    watch_reads(&watched, stage.shelf.engine, read_or_fail);
    stage_open(&stage, spec);
}

static struct queue_spec
durable_spec(void)
{
    struct queue_spec spec = spec_named("q");
    spec.durable = true;
    return spec;
}

static void
close_stage(void)
{
    stage_close(&stage);
    shelf_fini(&stage.shelf);
}

/* Persistent ones, and between them, if `mixed`, others. */
static void
append_all(bool mixed)
{
    for (uint32_t first = 0; first < MESSAGES; first += 50) {
        uint64_t ticket = 0;
        for (uint32_t number = first; number < first + 50; number++) {
            const uint64_t later =
                stage_append(&stage, number, number, SIZE, !mixed || number % 2 == 0);
            ticket = later > ticket ? later : ticket;
        }
        stage_await(&stage, ticket);
    }
    assert_true(stage_paged(&stage) > MESSAGES / 2);
}

/* Takes what is in memory until nothing comes any more. */
static void
get_until_broken(void)
{
    struct entry e;
    size_t left;
    uint32_t number = 0;
    for (;;) {
        const enum get_outcome outcome = queue_get(stage.queue, &stage.getter, &e, &left);
        if (outcome == GET_BROKEN)
            return;
        if (outcome == GET_LATER) {
            stage_await_mail(&stage);
            continue;
        }
        assert_int_equal(outcome, GET_DONE);
        assert_int_equal(message_number(e.message), number++);
        stage_settle(&stage, &e);
    }
}

static void
break_queue(bool mixed)
{
    const struct queue_spec spec = durable_spec();
    open_stage(&spec);
    append_all(mixed);
    atomic_store(&is_damaged, true);
    get_until_broken();
    atomic_store(&is_damaged, false);
}

static void
test_records_that_cannot_be_read(void **state)
{
    (void)state;
    break_queue(false);
    close_stage();
}

/* There are pages as well. */
static void
test_records_that_cannot_be_read_among_others(void **state)
{
    (void)state;
    break_queue(true);
    close_stage();
}

/* Who asks a broken queue is told, and does not wait; a purge makes it useful again. */
static void
test_a_purge_mends_a_broken_queue(void **state)
{
    (void)state;
    struct entry e;
    size_t left;
    break_queue(false);
    assert_int_equal(queue_get(stage.queue, &stage.getter, &e, &left), GET_BROKEN);
    assert_false(list_is_linked(&stage.getter.in_queue));
    queue_purge(stage.queue);
    assert_int_equal(queue_get(stage.queue, NULL, &e, &left), GET_EMPTY);
    stage_append(&stage, 0, 0, SIZE, true);
    e = stage_get(&stage);
    assert_int_equal(message_number(e.message), 0);
    stage_settle(&stage, &e);
    close_stage();
}

/* A message that was dropped has not been sent: nothing need be reserved for it. */
static void
test_dropping_reserves_nothing(void **state)
{
    (void)state;
    struct queue_spec spec = durable_spec();
    spec.effective.max_length = 10;
    open_stage(&spec);
    stage_await(&stage, stage_append(&stage, 0, 99, 100, true));
    while (queue_counts(stage.queue).ready > 10)
        sched_yield();
    stage_await(&stage, door_hurry(stage.door));
    assert_int_equal(shelf_watermark(&stage.shelf, stage.queue->log), 0);
    close_stage();
}

/* Queues with a limit of octets over a crash: what the store tells them of counts. */
static void
reopen_after_crash(struct queue_spec *spec)
{
    struct shelf left;
    spec->log = stage.queue->log;
    shelf_copy(&stage.shelf, &left);
    close_stage();
    memset(&stage, 0, sizeof(stage));
    shelf_copy(&left, &stage.shelf);
    const struct log_summary summary = sim_disk_summary(stage.shelf.disk, spec->log);
    stage_open(&stage, spec);
    assert_true(queue_restore(stage.queue, &summary));
    shelf_fini(&left);
}

static void
get_and_settle(uint32_t number, size_t size)
{
    const struct entry e = stage_get(&stage);
    stage_check_message(e.message, number, size, true);
    stage_settle(&stage, &e);
}

static void
test_a_limit_of_octets_over_a_crash(void **state)
{
    (void)state;
    struct queue_spec spec = durable_spec();
    spec.effective.max_length_bytes = 100 * SIZE;
    open_stage(&spec);
    stage_await(&stage, stage_append(&stage, 0, 99, SIZE, true));
    assert_counts(stage.queue, 100, 0, 0);
    reopen_after_crash(&spec);
    assert_counts(stage.queue, 100, 0, 0);
    stage_append(&stage, 100, 109, SIZE, true); /* Drop-head: the oldest have to be read first. */
    while (queue_counts(stage.queue).ready > 100)
        sched_yield();
    for (uint32_t number = 10; number < 60; number++)
        get_and_settle(number, SIZE);
    stage_append(&stage, 110, 110, 50 * SIZE, true);
    assert_counts(stage.queue, 51, 0, 0); /* It fits exactly. */
    stage_append(&stage, 111, 111, 8, true);
    while (queue_counts(stage.queue).ready > 51)
        sched_yield();
    for (uint32_t number = 61; number < 110; number++)
        get_and_settle(number, SIZE);
    get_and_settle(110, 50 * SIZE);
    get_and_settle(111, 8);
    assert_counts(stage.queue, 0, 0, 0);
    close_stage();
}

static void
test_a_rejecting_limit_of_octets_over_a_crash(void **state)
{
    (void)state;
    struct queue_spec spec = durable_spec();
    spec.effective.max_length_bytes = 100 * SIZE;
    spec.effective.overflow = OVERFLOW_REJECT_PUBLISH;
    open_stage(&spec);
    stage_await(&stage, stage_append(&stage, 0, 98, SIZE, true));
    reopen_after_crash(&spec);
    stage_append(&stage, 99, 99, SIZE, true);
    struct append item = { .queue = stage.queue, .entry.message = stage_message(100, 8, true) };
    queue_append(stage.queue, &item, 1);
    assert_int_equal(item.outcome, APPEND_REJECTED);
    message_unref(item.entry.message);
    get_and_settle(0, SIZE);
    stage_append(&stage, 101, 101, SIZE, true);
    for (uint32_t number = 1; number < 100; number++)
        get_and_settle(number, SIZE);
    get_and_settle(101, SIZE);
    close_stage();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dropping_reserves_nothing),
        cmocka_unit_test(test_records_that_cannot_be_read),
        cmocka_unit_test(test_a_purge_mends_a_broken_queue),
        cmocka_unit_test(test_records_that_cannot_be_read_among_others),
        cmocka_unit_test(test_a_limit_of_octets_over_a_crash),
        cmocka_unit_test(test_a_rejecting_limit_of_octets_over_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
