/* Deliveries that have let go of their messages, and come back to their queue: they get them again
 * from their records, whatever happens to the queue meanwhile. */

#include "broker/core/queue.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core_reads.h"
#include "tests/unit/test_core_stage.h"

enum { MESSAGES = 900, SIZE = 300 };

static struct stage stage;
static struct entry out[MESSAGES];

/* What befalls the queue while its records are read, once. */
static void (*_Atomic on_read)(void);
static atomic_bool has_happened;
static atomic_bool is_damaged;
static _Atomic uint32_t reads;

static struct watched_reads watched;

static bool
read_watched(struct engine *engine, const struct log_reading *r)
{
    void (*now)(void) = atomic_exchange(&on_read, NULL);
    atomic_fetch_add(&reads, 1);
    if (now != NULL) {
        now();
        atomic_store(&has_happened, true);
    }
    return !atomic_load(&is_damaged) && watched.sound(engine, r);
}

/* A queue all of whose messages are out, without being in memory. */
static void
open_stage(void)
{
    struct queue_spec spec = spec_named("q");
    spec.durable = true;
    memset(&stage, 0, sizeof(stage));
    atomic_store(&on_read, NULL);
    atomic_store(&has_happened, false);
    atomic_store(&is_damaged, false);
    shelf_init(&stage.shelf);
    shelf_open(&stage.shelf);
    watch_reads(&watched, stage.shelf.engine, read_watched);
    stage_open(&stage, &spec);
    stage_await(&stage, stage_append(&stage, 0, MESSAGES - 1, SIZE, true));
    for (uint32_t i = 0; i < MESSAGES; i++) {
        out[i] = stage_get(&stage);
        message_unref(entry_part(&out[i]));
    }
    atomic_store(&reads, 0);
}

static void
close_stage(void)
{
    stage_close(&stage);
    shelf_fini(&stage.shelf);
}

static struct departure
departure_of(uint32_t number)
{
    return (struct departure){
        .queue = stage.queue,
        .delivery = { .queue = stage.queue, .entry = out[number] },
    };
}

/* Every `step`-th from that one on. */
static void
requeue(uint32_t first, uint32_t step)
{
    struct departure departures[MESSAGES];
    size_t count = 0;
    for (uint32_t i = first; i < MESSAGES; i += step)
        departures[count++] = departure_of(i);
    queue_depart(stage.queue, departures, count);
}

static void
get_and_settle(uint32_t number)
{
    const struct entry e = stage_get(&stage);
    assert_false(e.is_absent);
    assert_true(e.redelivered);
    assert_true(e.is_durable);
    stage_check_message(e.message, number, SIZE, true);
    stage_settle(&stage, &e);
}

static void
test_all_come_back_in_order(void **state)
{
    (void)state;
    open_stage();
    assert_counts(stage.queue, 0, MESSAGES, 0);
    requeue(0, 1);
    assert_counts(stage.queue, MESSAGES, 0, 0);
    assert_int_equal(stage.queue->ready_octets, MESSAGES * SIZE);
    for (uint32_t number = 0; number < MESSAGES; number++)
        get_and_settle(number);
    assert_int_equal(stage.queue->ready_octets, 0);
    close_stage();
}

/* What lies between them is still out; then that comes back, in two parts. */
static void
test_others_stay_out(void **state)
{
    (void)state;
    open_stage();
    requeue(1, 3);
    for (uint32_t number = 1; number < MESSAGES; number += 3)
        get_and_settle(number);
    /* They were read many at a time. */
    assert_true(atomic_load(&reads) <= 20);
    requeue(2, 3);
    requeue(0, 3);
    for (uint32_t number = 0; number < MESSAGES; number++)
        if (number % 3 != 1)
            get_and_settle(number);
    assert_counts(stage.queue, 0, 0, 0);
    close_stage();
}

/* Those that are far apart are not read together. */
static void
test_those_that_are_far_apart(void **state)
{
    (void)state;
    open_stage();
    requeue(0, MESSAGES - 1);
    get_and_settle(0);
    get_and_settle(MESSAGES - 1);
    assert_true(atomic_load(&reads) >= 2);
    requeue(1, MESSAGES); /* A single one. */
    get_and_settle(1);
    close_stage();
}

/* Entries with and without messages, and new ones behind them. */
static void
test_order_among_others(void **state)
{
    (void)state;
    open_stage();
    requeue(0, 2);
    const struct entry first = stage_get(&stage);
    struct departure back = { .queue = stage.queue,
                              .delivery = { .queue = stage.queue, .entry = first } };
    stage_append(&stage, MESSAGES, MESSAGES, SIZE, true);
    queue_depart(stage.queue, &back, 1);
    for (uint32_t number = 0; number < MESSAGES; number += 2)
        get_and_settle(number);
    const struct entry last = stage_get(&stage);
    assert_false(last.redelivered);
    stage_check_message(last.message, MESSAGES, SIZE, true);
    stage_settle(&stage, &last);
    for (uint32_t number = 1; number < MESSAGES; number += 2) {
        const struct settle item = { .queue = stage.queue, .entry = out[number] };
        queue_settle(stage.queue, &item, 1); /* Settled without ever being read. */
    }
    assert_counts(stage.queue, 0, 0, 0);
    close_stage();
}

static void
test_purge_settles_them(void **state)
{
    (void)state;
    open_stage();
    const uint64_t log = stage.queue->log;
    requeue(0, 2);
    assert_int_equal(queue_purge(stage.queue), MESSAGES / 2);
    assert_counts(stage.queue, 0, MESSAGES / 2, 0);
    stage_close(&stage);
    for (uint32_t i = 0; i < MESSAGES; i++)
        assert_int_equal(shelf_has(&stage.shelf, log, out[i].sequence), i % 2 == 1);
    shelf_fini(&stage.shelf);
}

static void
purge_now(void)
{
    queue_purge(stage.queue);
    struct departure departures[] = { departure_of(5), departure_of(3) };
    queue_depart(stage.queue, departures, 2);
}

static void
await_event(void)
{
    while (!atomic_load(&has_happened))
        sched_yield();
}

static void
want_front(void)
{
    struct entry e;
    size_t left;
    const enum get_outcome outcome = queue_get(stage.queue, NULL, &e, &left);
    assert_true(outcome == GET_LATER || outcome == GET_EMPTY);
}

/* What was read is not there any more; other entries are. */
static void
test_a_purge_while_they_are_read(void **state)
{
    (void)state;
    open_stage();
    atomic_store(&on_read, purge_now);
    requeue(0, 2);
    want_front();
    await_event();
    get_and_settle(3);
    get_and_settle(5);
    assert_counts(stage.queue, 0, MESSAGES / 2 - 2, 0);
    close_stage();
}

static void
return_lower(void)
{
    struct departure departures[] = { departure_of(1), departure_of(0) };
    queue_depart(stage.queue, departures, 2);
}

/* What comes back meanwhile is before what was read. */
static void
test_lower_ones_come_back_while_they_are_read(void **state)
{
    (void)state;
    open_stage();
    atomic_store(&on_read, return_lower);
    requeue(2, 1);
    for (uint32_t number = 0; number < MESSAGES; number++)
        get_and_settle(number);
    close_stage();
}

static void
end_now(void)
{
    struct queue_remains remains = { 0 };
    struct amqp_exception ex;
    assert_true(queue_end(stage.queue, false, false, &remains, &ex));
    queue_release_remains(stage.queue, &remains);
}

static void
test_the_end_while_they_are_read(void **state)
{
    (void)state;
    size_t left;
    struct entry e;
    open_stage();
    atomic_store(&on_read, end_now);
    requeue(0, 2);
    enum get_outcome outcome;
    while ((outcome = queue_get(stage.queue, &stage.getter, &e, &left)) == GET_LATER)
        stage_await_mail(&stage);
    assert_int_equal(outcome, GET_EMPTY);
    await_event();
    requeue(1, 2); /* They go away. */
    assert_counts(stage.queue, 0, 0, 0);
    queue_unref(stage.queue);
    stage.queue = NULL;
    close_stage();
}

static enum get_outcome
get_until_told(struct entry *e)
{
    size_t left;
    enum get_outcome outcome;
    while ((outcome = queue_get(stage.queue, &stage.getter, e, &left)) == GET_LATER)
        stage_await_mail(&stage);
    return outcome;
}

/* Who asks is told; what comes back before it is tried, and a purge ends it. */
static void
test_records_that_cannot_be_read(void **state)
{
    (void)state;
    struct entry e;
    open_stage();
    atomic_store(&is_damaged, true);
    requeue(2, 1);
    assert_int_equal(get_until_told(&e), GET_BROKEN);
    assert_int_equal(get_until_told(&e), GET_BROKEN);
    atomic_store(&is_damaged, false);
    const struct departure back = departure_of(1);
    queue_depart(stage.queue, &(struct departure){ back.queue, NULL, back.delivery }, 1);
    get_and_settle(1);
    get_and_settle(2);
    atomic_store(&is_damaged, true);
    while (get_until_told(&e) == GET_DONE)
        stage_settle(&stage, &e); /* Those that had been read. */
    atomic_store(&is_damaged, false);
    assert_true(queue_purge(stage.queue) > 0);
    assert_int_equal(get_until_told(&e), GET_EMPTY);
    const struct departure last = departure_of(0);
    queue_depart(stage.queue, &(struct departure){ last.queue, NULL, last.delivery }, 1);
    get_and_settle(0);
    close_stage();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_come_back_in_order),
        cmocka_unit_test(test_others_stay_out),
        cmocka_unit_test(test_those_that_are_far_apart),
        cmocka_unit_test(test_order_among_others),
        cmocka_unit_test(test_purge_settles_them),
        cmocka_unit_test(test_a_purge_while_they_are_read),
        cmocka_unit_test(test_lower_ones_come_back_while_they_are_read),
        cmocka_unit_test(test_the_end_while_they_are_read),
        cmocka_unit_test(test_records_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
