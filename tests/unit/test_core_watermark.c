/* Up to where the messages of a durable queue may have been sent: after a crash at any moment what
 * has been sent is marked as redelivered, and what nobody can have seen is not. */

#include "broker/core/watermark.h"

#include "broker/core/queue.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core_stage.h"

enum { SIZE = 100 };

static struct stage stage;
static struct client client;

static struct queue_spec
durable_spec(uint64_t log)
{
    struct queue_spec spec = spec_named("q");
    spec.durable = true;
    spec.log = log;
    return spec;
}

static void
open_stage(void)
{
    const struct queue_spec spec = durable_spec(0);
    memset(&stage, 0, sizeof(stage));
    shelf_init(&stage.shelf);
    stage_open(&stage, &spec);
}

static void
close_stage(void)
{
    stage_close(&stage);
    shelf_fini(&stage.shelf);
}

/* A run on what another has left in `left`, as recovery begins it. */
static void
reopen_stage(struct shelf *left, uint64_t id)
{
    const struct queue_spec spec = durable_spec(id);
    memset(&stage, 0, sizeof(stage));
    shelf_copy(left, &stage.shelf);
    const struct log_summary summary = sim_disk_summary(stage.shelf.disk, id);
    const uint64_t watermark = shelf_watermark(&stage.shelf, id);
    stage_open(&stage, &spec);
    queue_restore_watermark(stage.queue, watermark);
    if (summary.count > 0)
        assert_true(queue_restore(stage.queue, &summary));
    assert_counts(stage.queue, summary.count, 0, 0);
}

/* Ends this run in the middle: what it had committed goes on in another. */
static void
crash(void)
{
    struct shelf left;
    const uint64_t log = stage.queue->log;
    shelf_copy(&stage.shelf, &left);
    shelf_hold(&stage.shelf, false);
    close_stage();
    reopen_stage(&left, log);
    shelf_fini(&left);
}

/* Ends it in order. */
static void
restart(void)
{
    struct shelf left;
    const uint64_t log = stage.queue->log;
    stage_close(&stage);
    shelf_copy(&stage.shelf, &left);
    shelf_fini(&stage.shelf);
    reopen_stage(&left, log);
    shelf_fini(&left);
}

static void
append(uint32_t first, uint32_t last)
{
    stage_await(&stage, stage_append(&stage, first, last, SIZE, true));
}

/* Takes it and keeps it out for ever. */
static void
get_one(uint32_t number, bool redelivered)
{
    const struct entry e = stage_get(&stage);
    stage_check_message(e.message, number, SIZE, true);
    assert_int_equal(e.redelivered, redelivered);
    message_unref(e.message);
}

static void
test_what_nobody_has_seen_is_not_marked(void **state)
{
    (void)state;
    open_stage();
    append(0, 99);
    crash();
    append(100, 109);
    crash();
    for (uint32_t number = 0; number < 110; number++)
        get_one(number, false);
    close_stage();
}

static void
test_what_was_sent_is_marked_after_a_crash(void **state)
{
    (void)state;
    open_stage();
    append(0, 99);
    for (uint32_t number = 0; number < 10; number++)
        get_one(number, false);
    crash();
    for (uint32_t number = 0; number < 10; number++)
        get_one(number, true);
    close_stage();
}

/* In a run that ends in order it is known what has been sent, and nothing else is marked. */
static void
test_what_was_sent_is_marked_after_a_stop(void **state)
{
    (void)state;
    open_stage();
    append(0, 99);
    for (uint32_t number = 0; number < 10; number++)
        get_one(number, false);
    restart();
    restart(); /* Of a run that has sent nothing. */
    append(100, 109);
    for (uint32_t number = 0; number < 20; number++)
        get_one(number, number < 10);
    restart();
    for (uint32_t number = 0; number < 110; number++)
        get_one(number, number < 20);
    close_stage();
}

/* Not even once: what waits is sent when the reservation is on disk, and not before. */
static void
test_a_backlog_waits_for_its_reservation(void **state)
{
    (void)state;
    struct entry e;
    size_t left;
    open_stage();
    append(0, 9);
    shelf_hold(&stage.shelf, true);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(queue_get(stage.queue, &stage.getter, &e, &left), GET_LATER);
        loop_turn(&stage.loop, 0); /* The pager may say that it is worth while to try. */
    }
    assert_int_equal(shelf_watermark(&stage.shelf, stage.queue->log), 0);
    stage.has_mail = false;
    shelf_hold(&stage.shelf, false);
    get_one(0, false);
    assert_true(shelf_watermark(&stage.shelf, stage.queue->log) > 0);
    close_stage();
}

/* A consumer that comes to a backlog, the same. */
static void
test_a_consumer_waits_for_its_reservation(void **state)
{
    (void)state;
    struct delivery d;
    open_stage();
    append(0, 9);
    client_init(&client);
    struct consumer a = consumer_of(&client, stage.queue, "a");
    shelf_hold(&stage.shelf, true);
    consumer_start(&a);
    assert_false(outbox_take(&client.outbox, &d));
    shelf_hold(&stage.shelf, false);
    for (uint32_t number = 0; number < 10; number++) {
        while (!outbox_take(&client.outbox, &d))
            loop_turn(&client.loop, -1);
        stage_check_message(d.entry.message, number, SIZE, true);
        assert_true(shelf_watermark(&stage.shelf, stage.queue->log) >= d.entry.sequence);
        message_unref(d.entry.message);
    }
    client_cancel(&client, &a);
    client_fini(&client);
    close_stage();
}

static void
take_at_once(uint32_t number, uint64_t *sequence)
{
    struct delivery d;
    assert_true(outbox_take(&client.outbox, &d));
    stage_check_message(d.entry.message, number, SIZE, true);
    *sequence = d.entry.sequence;
    message_unref(d.entry.message);
}

/* With a consumer that waits a message is sent before its record is committed; the reservation is
 * in the same round or an earlier one, over many reservations. */
static void
test_the_reservation_comes_no_later_than_the_record(void **state)
{
    (void)state;
    enum { ROUNDS = 60, EACH = 250 };
    static uint64_t sequences[ROUNDS * EACH];
    open_stage();
    client_init(&client);
    struct consumer a = consumer_of(&client, stage.queue, "a");
    consumer_start(&a);
    struct random dice = random_start(__func__);
    for (uint32_t at = 0; at < COUNT(sequences); at += EACH) {
        shelf_hold(&stage.shelf, random_below(&dice, 2) == 0);
        stage_append(&stage, at, at + EACH - 1, SIZE, true);
        for (uint32_t i = at; i < at + EACH; i++)
            take_at_once(i, &sequences[i]);
        a.encoded = a.window_used;
        queue_refill(stage.queue, &a);
    }
    shelf_hold(&stage.shelf, false);
    stage_await(&stage, door_hurry(stage.door));
    for (size_t i = 0; i < COUNT(sequences); i++) {
        assert_true(shelf_has(&stage.shelf, stage.queue->log, sequences[i]));
        assert_true(shelf_mark_of(&stage.shelf, stage.queue->log, sequences[i]) >= sequences[i]);
    }
    client_cancel(&client, &a);
    client_fini(&client);
    close_stage();
}

/* Appends, deliveries and crashes at any time. Messages are told apart by their numbers, which
 * ascend; those that were sent and are still there must say so. */
static void
test_random_crashes(void **state)
{
    (void)state;
    struct random dice = random_start(__func__);
    uint32_t next = 0;
    uint32_t sent = 0; /* All below have been, in this run or another. */
    open_stage();
    for (int step = 0; step < 600; step++) {
        const size_t choice = random_below(&dice, 10);
        if (choice < 3) {
            const uint32_t count = 1 + (uint32_t)random_below(&dice, 400);
            append(next, next + count - 1);
            next += count;
        } else if (choice < 9 && queue_counts(stage.queue).ready > 0) {
            const struct entry e = stage_get(&stage);
            const uint32_t number = message_number(e.message);
            if (number < sent)
                assert_true(e.redelivered);
            sent = number >= sent ? number + 1 : sent;
            stage_settle(&stage, &e);
        } else if (choice == 9 && random_below(&dice, 3) == 0) {
            crash();
        }
    }
    close_stage();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_nobody_has_seen_is_not_marked),
        cmocka_unit_test(test_what_was_sent_is_marked_after_a_crash),
        cmocka_unit_test(test_what_was_sent_is_marked_after_a_stop),
        cmocka_unit_test(test_a_backlog_waits_for_its_reservation),
        cmocka_unit_test(test_a_consumer_waits_for_its_reservation),
        cmocka_unit_test(test_the_reservation_comes_no_later_than_the_record),
        cmocka_unit_test(test_random_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
