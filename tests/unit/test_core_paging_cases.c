/* What befalls a queue whose messages have left memory: consumers, basic.get that has to wait,
 * limits, purging, deletion, a store and a disk that fail. */

#include "broker/core/queue.h"

#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core_stage.h"

/* So many of so many octets are several times the budget. */
enum { MESSAGES = 1000, SIZE = 2000 };

static struct stage stage;

static void
open_stage(const struct queue_spec *spec)
{
    memset(&stage, 0, sizeof(stage));
    shelf_init(&stage.shelf);
    stage_open(&stage, spec);
}

static void
open_queue(bool durable)
{
    struct queue_spec spec = spec_named("q");
    spec.durable = durable;
    open_stage(&spec);
}

/* Appends until much of it is paged; commits are let pass, so that records may leave memory. */
static void
append_all(bool is_persistent)
{
    for (uint32_t first = 0; first < MESSAGES; first += 50)
        stage_await(&stage, stage_append(&stage, first, first + 49, SIZE, is_persistent));
    assert_true(stage_paged(&stage) > MESSAGES / 2);
}

static void
close_stage(void)
{
    stage_close(&stage);
    shelf_fini(&stage.shelf);
}

static void
get_and_settle(uint32_t number, bool is_persistent)
{
    const struct entry e = stage_get(&stage);
    stage_check_message(e.message, number, SIZE, is_persistent);
    stage_settle(&stage, &e);
}

/* The next delivery, waited for. */
static struct delivery
client_await(struct client *c)
{
    struct delivery d;
    while (!outbox_take(&c->outbox, &d))
        loop_turn(&c->loop, -1);
    d.consumer->encoded += message_cost(d.entry.message);
    return d;
}

/* In order, each once, and nothing after the last. */
static void
drain_by_consumer(bool durable)
{
    static struct client client;
    open_queue(durable);
    append_all(durable);
    client_init(&client);
    struct consumer a = consumer_of(&client, stage.queue, "a");
    a.prefetch_left = 20;
    consumer_start(&a);
    for (uint32_t number = 0; number < MESSAGES; number++) {
        const struct delivery d = client_await(&client);
        const struct settle item = { .queue = stage.queue, .consumer = &a, .entry = d.entry };
        stage_check_message(d.entry.message, number, SIZE, durable);
        assert_false(d.entry.redelivered);
        queue_settle(stage.queue, &item, 1);
        queue_refill(stage.queue, &a);
    }
    assert_counts(stage.queue, 0, 0, 1);
    client_cancel(&client, &a);
    client_fini(&client);
    close_stage();
}

static void
test_a_consumer_drains_transient_messages(void **state)
{
    (void)state;
    drain_by_consumer(false);
}

static void
test_a_consumer_drains_durable_messages(void **state)
{
    (void)state;
    drain_by_consumer(true);
}

/* What was sent and comes back goes before what is paged. */
static void
test_requeued_messages_come_before_paged_ones(void **state)
{
    (void)state;
    struct departure back[300];
    open_queue(true);
    append_all(true);
    for (uint32_t i = 0; i < COUNT(back); i++)
        back[i] = (struct departure){
            .queue = stage.queue,
            .delivery = { .queue = stage.queue, .entry = stage_get(&stage) },
        };
    queue_depart(stage.queue, back, COUNT(back));
    for (uint32_t number = 0; number < MESSAGES; number++) {
        const struct entry e = stage_get(&stage);
        stage_check_message(e.message, number, SIZE, true);
        assert_int_equal(e.redelivered, number < COUNT(back));
        stage_settle(&stage, &e);
    }
    close_stage();
}

/* With the front paged, basic.get gets its message by and by, or, if the queue is emptied before,
 * hears of that. */
static void
test_a_getter_hears_of_a_purge(void **state)
{
    (void)state;
    size_t left;
    open_queue(true);
    append_all(true);
    shelf_hold(&stage.shelf, true); /* Nothing may be sent for now. */
    struct entry e;
    assert_int_equal(queue_get(stage.queue, &stage.getter, &e, &left), GET_LATER);
    assert_int_equal(left, MESSAGES);
    assert_int_equal(queue_purge(stage.queue), MESSAGES);
    shelf_hold(&stage.shelf, false);
    enum get_outcome outcome;
    do {
        stage_await_mail(&stage);
        outcome = queue_get(stage.queue, &stage.getter, &e, &left);
    } while (outcome == GET_LATER);
    assert_int_equal(outcome, GET_EMPTY);
    close_stage();
}

static void
test_a_getter_hears_of_the_end(void **state)
{
    (void)state;
    size_t left;
    struct entry e;
    open_queue(true);
    append_all(true);
    shelf_hold(&stage.shelf, true);
    assert_int_equal(queue_get(stage.queue, &stage.getter, &e, &left), GET_LATER);
    struct queue *q = stage.queue;
    queue_ref(q);
    stage_end_queue(&stage);
    stage_await_mail(&stage);
    assert_int_equal(queue_get(q, NULL, &e, &left), GET_EMPTY);
    queue_unref(q);
    shelf_hold(&stage.shelf, false);
    close_stage();
}

/* One who does not wait any more gets no mail. */
static void
test_a_getter_that_is_forgotten(void **state)
{
    (void)state;
    size_t left;
    struct entry e;
    open_queue(true);
    stage_await(&stage, stage_append(&stage, 0, 9, SIZE, true));
    shelf_hold(&stage.shelf, true);
    assert_int_equal(queue_get(stage.queue, &stage.getter, &e, &left), GET_LATER);
    assert_int_equal(queue_get(stage.queue, &stage.getter, &e, &left), GET_LATER);
    queue_forget_getter(stage.queue, &stage.getter);
    assert_true(list_is_empty(&stage.queue->getters));
    shelf_hold(&stage.shelf, false);
    get_and_settle(0, true);
    close_stage();
}

/* Purging forgets what is paged, on disk as well, and what comes later is not touched. */
static void
purge_while_paged(bool durable)
{
    open_queue(durable);
    append_all(durable);
    const uint64_t log = stage.queue->log;
    const struct entry out = stage_get(&stage);
    assert_int_equal(queue_purge(stage.queue), MESSAGES - 1);
    assert_counts(stage.queue, 0, 1, 0);
    assert_int_equal(stage_paged(&stage), 0);
    stage_append(&stage, MESSAGES, MESSAGES + 9, SIZE, durable);
    for (uint32_t number = MESSAGES; number < MESSAGES + 10; number++) {
        struct entry e = stage_get(&stage);
        stage_check_message(e.message, number, SIZE, durable);
        if (number % 2 == 0) {
            stage_settle(&stage, &e);
            continue;
        }
        struct departure back = { .queue = stage.queue,
                                  .delivery = { .queue = stage.queue, .entry = e } };
        queue_depart(stage.queue, &back, 1);
        e = stage_get(&stage);
        assert_int_equal(message_number(e.message), number);
        assert_true(e.redelivered);
        message_unref(e.message); /* It stays out. */
    }
    message_unref(out.message);
    stage_close(&stage);
    if (durable)
        assert_int_equal(sim_disk_summary(stage.shelf.disk, log).count, 1 + 5);
    shelf_fini(&stage.shelf);
}

static void
test_purge_of_transient_messages(void **state)
{
    (void)state;
    purge_while_paged(false);
}

static void
test_purge_of_durable_messages(void **state)
{
    (void)state;
    purge_while_paged(true);
}

/* Deletion while pages are written and read: nothing is read or written afterwards. */
static void
end_while_paged(bool durable)
{
    open_queue(durable);
    append_all(durable);
    const uint64_t log = stage.queue->log;
    get_and_settle(0, durable); /* The pager begins to fetch. */
    stage_end_queue(&stage);
    stage_close(&stage);
    if (durable)
        assert_int_equal(sim_disk_summary(stage.shelf.disk, log).count, 0);
    shelf_fini(&stage.shelf);
}

static void
test_end_of_transient_queues(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        end_while_paged(false);
}

static void
test_end_of_durable_queues(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        end_while_paged(true);
}

/* Drop-head with a paged front: the oldest go as they come back, until the limit is kept. */
static void
drop_head(bool durable)
{
    struct queue_spec spec = spec_named("q");
    spec.durable = durable;
    spec.effective.max_length = MESSAGES;
    open_stage(&spec);
    const uint64_t log = stage.queue->log;
    append_all(durable);
    stage_append(&stage, MESSAGES, 2 * MESSAGES - 1, SIZE, durable);
    while (queue_counts(stage.queue).ready > MESSAGES)
        sched_yield();
    for (uint32_t number = MESSAGES; number < 2 * MESSAGES; number++)
        get_and_settle(number, durable);
    assert_counts(stage.queue, 0, 0, 0);
    stage_close(&stage);
    if (durable)
        assert_int_equal(sim_disk_summary(stage.shelf.disk, log).count, 0);
    shelf_fini(&stage.shelf);
}

static void
test_drop_head_transient(void **state)
{
    (void)state;
    drop_head(false);
}

static void
test_drop_head_durable(void **state)
{
    (void)state;
    drop_head(true);
}

/* What is not committed stays in memory: it could not be read back. */
static void
test_uncommitted_messages_stay(void **state)
{
    (void)state;
    open_queue(true);
    shelf_hold(&stage.shelf, true);
    stage_append(&stage, 0, MESSAGES - 1, SIZE, true);
    assert_int_equal(stage_paged(&stage), 0);
    shelf_hold(&stage.shelf, false);
    for (uint32_t number = 0; number < MESSAGES; number++)
        get_and_settle(number, true);
    close_stage();
}

/* No room for pages: messages stay in memory, and none is lost or comes twice. */
static void
test_a_swap_that_cannot_be_written(void **state)
{
    (void)state;
    open_queue(false);
    assert_int_equal(rmdir(stage.directory), 0);
    FILE *file = fopen(stage.directory, "we"); /* Where the directory should be. */
    assert_non_null(file);
    fclose(file);
    append_all(false);
    for (uint32_t number = 0; number < MESSAGES / 2; number++)
        get_and_settle(number, false);
    assert_int_equal(unlink(stage.directory), 0);
    for (uint32_t number = MESSAGES / 2; number < MESSAGES; number++)
        get_and_settle(number, false);
    close_stage();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_consumer_drains_transient_messages),
        cmocka_unit_test(test_a_consumer_drains_durable_messages),
        cmocka_unit_test(test_requeued_messages_come_before_paged_ones),
        cmocka_unit_test(test_a_getter_hears_of_a_purge),
        cmocka_unit_test(test_a_getter_hears_of_the_end),
        cmocka_unit_test(test_a_getter_that_is_forgotten),
        cmocka_unit_test(test_purge_of_transient_messages),
        cmocka_unit_test(test_purge_of_durable_messages),
        cmocka_unit_test(test_end_of_transient_queues),
        cmocka_unit_test(test_end_of_durable_queues),
        cmocka_unit_test(test_drop_head_transient),
        cmocka_unit_test(test_drop_head_durable),
        cmocka_unit_test(test_uncommitted_messages_stay),
        cmocka_unit_test(test_a_swap_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
