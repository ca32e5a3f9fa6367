/* A sweep of what has expired releases the queue's lock while it reads the store. What publishers
 * do meanwhile happens here at a known moment: in the engine's read. */

#include "broker/core/queue.h"

#include "broker/base/clock.h"
#include "broker/core/message_properties.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core_reads.h"
#include "tests/unit/test_core_stepped.h"

enum {
    SIZE = 2000,
    FIRST_DUE = 100,  /* Paged when the sweep begins; that is what it reads. */
    SECOND_DUE = 250, /* In memory then. */
    PAGED_TO = 200,
    MESSAGES = 400,
};

#define LITTLE (256u * 1024u)
#define PLENTY (64u * 1024u * 1024u)
#define SECOND_NS UINT64_C(1000000000)

static struct scene {
    struct stepped on;
    int64_t memory_before;
    struct watched_reads watched;
    void (*meanwhile)(void); /* Done in the next read; NULL: nothing. */
} scene;

static bool
read_and_more(struct engine *engine, const struct log_reading *reading)
{
    void (*meanwhile)(void) = scene.meanwhile;
    scene.meanwhile = NULL;
    if (meanwhile != NULL)
        meanwhile();
    return scene.watched.sound(engine, reading);
}

static void
no_notify(void *context)
{
    (void)context;
}

static void
set_memory(uint64_t octets)
{
    message_set_budget((uint64_t)(scene.memory_before > 0 ? scene.memory_before : 0) + octets);
}

static void
open_scene(void)
{
    struct queue_spec spec = spec_named("q");
    spec.durable = true;
    scene = (struct scene){ .memory_before = message_memory() };
    clock_hold(1000 * SECOND_NS);
    struct sim_disk *disk = stepped_disk();
    struct engine *engine = engine_sim_open(disk);
    watch_reads(&scene.watched, engine, read_and_more);
    stepped_open(&scene.on, disk, engine, &spec, no_notify);
}

static void
close_scene(void)
{
    stepped_close(&scene.on);
    clock_hold(0);
}

static void
append(uint32_t number)
{
    struct append item = { .queue = scene.on.queue,
                           .entry.message = message_sized(number, SIZE, true) };
    if (number == FIRST_DUE || number == SECOND_DUE) {
        struct message *plain = item.entry.message;
        item.entry.message =
            message_with(plain, &(const struct properties){ .flags = PROPERTY_EXPIRATION,
                                                            .expiration = BYTES_LITERAL("1000") });
        item.entry.message->is_persistent = true;
        message_unref(plain);
    }
    queue_append(scene.on.queue, &item, 1);
    assert_int_equal(item.outcome, APPEND_DONE);
}

/* Each in a round of its own, which may leave memory when the next one comes. */
static void
append_and_commit(uint32_t first, uint32_t last)
{
    for (uint32_t number = first; number <= last; number++) {
        append(number);
        door_step(scene.on.door, false);
    }
}

static void
publish_into_little_memory(void)
{
    set_memory(LITTLE);
    append(MESSAGES);
}

/* Whether the message has left memory. */
static bool
is_paged(uint32_t number)
{
    const struct paged *p = &scene.on.queue->levels[0].paged;
    const uint64_t sequence = door_first_sequence(scene.on.door) + number;
    return p->records > 0 && sequence >= p->first && sequence <= p->last;
}

/* All that is left, in order and each once. */
static void
drain(void)
{
    struct entry e;
    size_t left;
    for (uint32_t number = 0; number <= MESSAGES; number++) {
        if (number == FIRST_DUE || number == SECOND_DUE)
            continue;
        while (!queue_take_ready(scene.on.queue, &e, &left))
            step_until_idle(&scene.on);
        const struct settle item = { .queue = scene.on.queue, .entry = e };
        assert_int_equal(message_number(e.message), number);
        queue_settle(scene.on.queue, &item, 1);
    }
    assert_counts(scene.on.queue, 0, 0, 0);
    step_until_idle(&scene.on);
    assert_int_equal(sim_disk_summary(scene.on.disk, scene.on.queue->log).count, 0);
}

/* What the sweep has taken out of memory has a record until its settlement is committed. A publish
 * pages what stood around it, so that the same sweep finds the record where it looks next. */
static void
test_a_publish_pages_what_a_sweep_has_seen(void **state)
{
    (void)state;
    open_scene();
    set_memory(LITTLE);
    append_and_commit(0, PAGED_TO - 1);
    assert_true(is_paged(FIRST_DUE));
    set_memory(PLENTY);
    append_and_commit(PAGED_TO, MESSAGES - 1);
    assert_false(is_paged(SECOND_DUE));

    clock_hold(1002 * SECOND_NS);
    scene.meanwhile = publish_into_little_memory;
    assert_true(pager_step(scene.on.pager));
    assert_null(scene.meanwhile);
    assert_true(is_paged(SECOND_DUE));
    assert_counts(scene.on.queue, MESSAGES + 1 - 2, 0, 0);
    step_until_idle(&scene.on);
    drain();
    close_scene();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_publish_pages_what_a_sweep_has_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
