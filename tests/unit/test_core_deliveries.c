/* Counts of deliveries behind the door: a client that gives a message back as fast as it can has
 * one row of it a round, with the last count. */

#include "broker/core/queue.h"

#include "broker/base/endian.h"
#include "broker/core/pager.h"

#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"

enum { TIMES = 1000, COUNT_KEY = 'r' };

static struct scene {
    struct sim_disk *disk;
    struct door *door;
    struct pager *pager;
    struct vhost *vhost;
    struct queue *queue;
    char directory[64];
    unsigned rows; /* Of counts, that were put. */
    uint32_t count;
} scene;

static void
committed(void *context)
{
    (void)context;
    if (scene.pager != NULL)
        pager_post_committed(scene.pager);
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
    scene = (struct scene){ .directory = "/tmp/rail-test-counts-XXXXXX" };
    assert_non_null(mkdtemp(scene.directory));
    scene.disk = sim_disk_create(&(const struct sim_options){ .seed = 1 });
    sim_disk_watch(scene.disk, note_counts, NULL);
    scene.door = door_create_stepped(engine_sim_open(scene.disk), UINT64_MAX, committed, NULL);
    scene.pager = pager_create(scene.door, scene.directory, committed, NULL);
    scene.vhost = vhost_create(BYTES_LITERAL("/"), scene.door);
    scene.vhost->pager = scene.pager;
    scene.queue = queue_create(scene.vhost, scene.door, &spec);
}

static void
close_scene(void)
{
    struct queue_remains remains = { 0 };
    struct amqp_exception ex;
    pager_stop(scene.pager);
    scene.vhost->is_closing = true;
    assert_true(queue_end(scene.queue, false, false, &remains, &ex));
    queue_release_remains(scene.queue, &remains);
    queue_unref(scene.queue);
    vhost_destroy(scene.vhost);
    door_destroy(scene.door);
    pager_destroy(scene.pager);
    sim_disk_destroy(scene.disk);
}

static void
step_until_idle(void)
{
    do
        door_step(scene.door, false);
    while (pager_step(scene.pager));
}

static void
give_back_and_take(struct entry *e)
{
    size_t left;
    struct departure departure = { .queue = scene.queue,
                                   .delivery = { .queue = scene.queue, .entry = *e } };
    queue_depart(scene.queue, &departure, 1);
    assert_true(queue_take_ready(scene.queue, e, &left));
}

static struct entry
append_and_take(void)
{
    struct entry e;
    size_t left;
    struct append item = { .queue = scene.queue, .entry.message = message_sized(1, 10, true) };
    queue_append(scene.queue, &item, 1);
    step_until_idle();
    while (!queue_take_ready(scene.queue, &e, &left))
        step_until_idle();
    step_until_idle();
    return e;
}

static void
test_one_row_waits(void **state)
{
    (void)state;
    open_scene();
    struct entry e = append_and_take();
    give_back_and_take(&e);
    const uint64_t pending = door_bytes_pending(scene.door);
    for (int i = 1; i < TIMES; i++)
        give_back_and_take(&e);
    assert_int_equal(e.deliveries, TIMES);
    assert_int_equal(door_bytes_pending(scene.door), pending);
    assert_int_equal(scene.rows, 0);
    step_until_idle();
    assert_int_equal(scene.rows, 1);
    assert_int_equal(scene.count, TIMES);
    give_back_and_take(&e); /* That round is closed. */
    step_until_idle();
    assert_int_equal(scene.rows, 2);
    assert_int_equal(scene.count, TIMES + 1);

    /* Settled while a row waits. */
    give_back_and_take(&e);
    give_back_and_take(&e);
    const struct settle item = { .queue = scene.queue, .entry = e };
    queue_settle(scene.queue, &item, 1);
    step_until_idle();
    assert_int_equal(scene.rows, 3);
    assert_int_equal(scene.queue->deliveries.count, 0);
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
