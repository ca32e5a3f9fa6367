/* Counts of deliveries behind the door: a client that gives a message back as fast as it can has
 * one row of it a round, with the last count. */

#include "broker/core/queue.h"

#include "broker/base/endian.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core_stepped.h"

enum { TIMES = 1000, COUNT_KEY = 'r' };

static struct scene {
    struct stepped on;
    unsigned rows; /* Of counts, that were put. */
    uint32_t count;
} scene;

static void
committed(void *context)
{
    const struct stepped *on = context;
    if (on->pager != NULL)
        pager_post_committed(on->pager);
}

static void
note_counts(void *context, const struct round *round)
{
    (void)context;
    for (size_t i = 0; i < round->effect_count; i++) {
        const struct effect *e = &round->effects[i];
        if (e->kind != EFFECT_PUT || e->key.data[0] != COUNT_KEY)
            continue;
        scene.rows++;
        scene.count = load_be32(e->payload.data);
    }
}

static void
open_scene(void)
{
    struct queue_spec spec = spec_named("q");
    spec.durable = true;
    spec.effective.delivery_limit = 1000000;
    scene = (struct scene){ 0 };
    struct sim_disk *disk = stepped_disk();
    sim_disk_watch(disk, note_counts, NULL);
    stepped_open(&scene.on, disk, engine_sim_open(disk), &spec, committed);
}

static void
close_scene(void)
{
    scene.on.vhost->is_closing = true;
    stepped_close(&scene.on);
}

static void
give_back_and_take(struct entry *e)
{
    size_t left;
    struct departure departure = { .queue = scene.on.queue,
                                   .delivery = { .queue = scene.on.queue, .entry = *e } };
    queue_depart(scene.on.queue, &departure, 1);
    assert_true(queue_take_ready(scene.on.queue, e, &left));
}

static struct entry
append_and_take(void)
{
    struct entry e;
    size_t left;
    struct append item = { .queue = scene.on.queue, .entry.message = message_sized(1, 10, true) };
    queue_append(scene.on.queue, &item, 1);
    step_until_idle(&scene.on);
    while (!queue_take_ready(scene.on.queue, &e, &left))
        step_until_idle(&scene.on);
    step_until_idle(&scene.on);
    return e;
}

static void
test_one_row_waits(void **state)
{
    (void)state;
    open_scene();
    struct entry e = append_and_take();
    give_back_and_take(&e);
    const uint64_t pending = door_bytes_pending(scene.on.door);
    for (int i = 1; i < TIMES; i++)
        give_back_and_take(&e);
    assert_int_equal(e.deliveries, TIMES);
    assert_int_equal(door_bytes_pending(scene.on.door), pending);
    assert_int_equal(scene.rows, 0);
    step_until_idle(&scene.on);
    assert_int_equal(scene.rows, 1);
    assert_int_equal(scene.count, TIMES);
    give_back_and_take(&e); /* That round is closed. */
    step_until_idle(&scene.on);
    assert_int_equal(scene.rows, 2);
    assert_int_equal(scene.count, TIMES + 1);

    /* Settled while a row waits. */
    give_back_and_take(&e);
    give_back_and_take(&e);
    const struct settle item = { .queue = scene.on.queue, .entry = e };
    queue_settle(scene.on.queue, &item, 1);
    step_until_idle(&scene.on);
    assert_int_equal(scene.rows, 3);
    assert_int_equal(scene.on.queue->deliveries.count, 0);
    close_scene();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_row_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
