/* The door on a disk without room: rounds wait and nothing has failed, settlements go as long as
 * they can, and closing the door does not wait. */

#include "broker/base/mem.h"
#include "persistence/door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>
#include <sched.h>

#include "tests/unit/test_persistence.h"

#define MIB (UINT64_C(1) << 20)

enum { TOTAL_MIB = 1024, BALLAST_MIB = 32, MARGIN_MIB = 16 };

/* An engine that counts, on a disk that a test fills. */
struct scene {
    struct engine engine;
    struct space *space;
    struct door *door;
    char path[PATH_SIZE];
    _Atomic uint64_t free_mib; /* The ballast's room included. */
    atomic_uint looks;
    atomic_uint rounds;
    atomic_uint records;
    atomic_uint settlements;
    atomic_uint attempts;
    atomic_bool is_full; /* The engine finds the disk so. */
};

static bool
has_ballast(const struct scene *s)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof(name), "%s/ballast", s->path);
    return access(name, F_OK) == 0;
}

static bool
scene_measure(void *context, struct space_reading *reading)
{
    struct scene *s = context;
    const uint64_t held = has_ballast(s) ? BALLAST_MIB : 0;
    const uint64_t free_mib = atomic_load(&s->free_mib);
    reading->total = TOTAL_MIB * MIB;
    reading->free = (free_mib > held ? free_mib - held : 0) * MIB;
    reading->unflushed = 0;
    atomic_fetch_add(&s->looks, 1);
    return true;
}

static void
scene_submit(struct engine *engine, const struct round *round)
{
    struct scene *s = (struct scene *)engine;
    unsigned attempt = 0;
    while (atomic_load(&s->is_full)) {
        if (!engine->await_room(engine->done_context, attempt++)) {
            engine->done(engine->done_context, round->number, ROUND_UNKNOWN);
            return;
        }
        atomic_fetch_add(&s->attempts, 1);
    }
    for (size_t i = 0; i < round->effect_count; i++)
        atomic_fetch_add(round->effects[i].kind == EFFECT_RECORDS ? &s->records : &s->settlements,
                         1);
    atomic_fetch_add(&s->rounds, 1);
    engine->done(engine->done_context, round->number, ROUND_COMMITTED);
}

static void
scene_destroy(struct engine *engine)
{
    (void)engine; /* The test still looks at it. */
}

static const struct engine_ops scene_ops = { .submit = scene_submit, .destroy = scene_destroy };

static void
ignore(void *context)
{
    (void)context;
}

static struct scene *
scene_create(uint64_t free_mib)
{
    struct scene *s = mem_alloc_zeroed(sizeof(*s));
    s->engine = (struct engine){ .ops = &scene_ops, .first_round = 1, .first_log = 1 };
    atomic_init(&s->free_mib, free_mib);
    directory_make(s->path);
    s->space = space_create(&(const struct space_options){
        .directory = s->path,
        .watermark = 64 * MIB,
        .look_ms = 1,
        .measure = scene_measure,
        .context = s,
    });
    s->door = door_create(&s->engine, 8 * MIB, ignore, NULL);
    door_set_space(s->door, s->space);
    return s;
}

/* True if all that was pushed has been committed. */
static bool
scene_end(struct scene *s)
{
    const bool is_complete = door_destroy(s->door);
    space_destroy(s->space);
    directory_remove(s->path);
    return is_complete;
}

static uint64_t
push(struct scene *s, enum effect_kind kind, size_t size)
{
    struct effect e = { .kind = kind, .log = 1, .count = 1 };
    if (size > 0)
        memset(buf_reserve(&e.payload, size), 0, size);
    e.payload.size = size;
    return door_push(s->door, &e);
}

static void
commit(struct scene *s, uint64_t ticket)
{
    door_hurry(s->door);
    while (door_committed(s->door) < ticket)
        sched_yield();
}

/* It has been seen that there is no room, and nothing has happened. */
static void
wait_for_looks(struct scene *s)
{
    const unsigned before = atomic_load(&s->looks);
    while (atomic_load(&s->looks) < before + 3)
        sched_yield();
}

static void
fill(struct scene *s, uint64_t free_mib)
{
    atomic_store(&s->free_mib, free_mib);
    while (!door_is_short(s->door))
        sched_yield();
    wait_for_looks(s);
}

/* The ticket of a record that the engine has tried in vain to write so many times. */
static uint64_t
push_to_a_full_disk(struct scene *s, unsigned attempts)
{
    atomic_store(&s->is_full, true);
    const uint64_t ticket = push(s, EFFECT_RECORDS, 100);
    while (atomic_load(&s->attempts) < attempts)
        sched_yield();
    return ticket;
}

static void
test_a_round_waits_for_room(void **state)
{
    (void)state;
    struct scene *s = scene_create(500);
    commit(s, push(s, EFFECT_RECORDS, 100));
    assert_false(door_is_short(s->door));
    fill(s, BALLAST_MIB + MARGIN_MIB - 1);
    const uint64_t ticket = push(s, EFFECT_RECORDS, 100);
    wait_for_looks(s);
    assert_int_equal(atomic_load(&s->records), 1);
    assert_true(door_committed(s->door) < ticket);
    assert_false(door_has_failed(s->door));
    assert_true(has_ballast(s));
    atomic_store(&s->free_mib, 500);
    commit(s, ticket);
    while (door_is_short(s->door))
        sched_yield();
    assert_int_equal(atomic_load(&s->records), 2);
    assert_true(scene_end(s));
    mem_free(s);
}

static void
test_it_is_full_while_a_round_waits(void **state)
{
    (void)state;
    struct scene *s = scene_create(500);
    fill(s, BALLAST_MIB);
    uint64_t ticket = 0;
    while (!door_is_full(s->door))
        ticket = push(s, EFFECT_RECORDS, MIB);
    atomic_store(&s->free_mib, 500);
    commit(s, ticket);
    assert_true(scene_end(s));
    assert_int_equal(atomic_load(&s->records), 9);
    mem_free(s);
}

static void
test_settlements_use_the_ballast(void **state)
{
    (void)state;
    struct scene *s = scene_create(500);
    fill(s, BALLAST_MIB);
    commit(s, push(s, EFFECT_SETTLE, 8));
    assert_false(has_ballast(s));
    commit(s, push(s, EFFECT_DELETE, 8));
    commit(s, push(s, EFFECT_LOG_END, 0));
    assert_int_equal(atomic_load(&s->settlements), 3);
    assert_true(scene_end(s));
    mem_free(s);
}

/* Records alone wait; a settlement that comes behind them takes them along, in order. */
static void
test_a_settlement_takes_waiting_records_along(void **state)
{
    (void)state;
    struct scene *s = scene_create(500);
    fill(s, BALLAST_MIB);
    const uint64_t records = push(s, EFFECT_RECORDS, 1000);
    wait_for_looks(s);
    assert_true(door_committed(s->door) < records);
    commit(s, push(s, EFFECT_SETTLE, 8));
    assert_int_equal(atomic_load(&s->records), 1);
    assert_int_equal(atomic_load(&s->settlements), 1);
    assert_true(scene_end(s));
    mem_free(s);
}

static void
test_closing_does_not_wait_for_room(void **state)
{
    (void)state;
    struct scene *s = scene_create(500);
    commit(s, push(s, EFFECT_RECORDS, 100));
    fill(s, BALLAST_MIB);
    push(s, EFFECT_RECORDS, 100);
    wait_for_looks(s);
    push(s, EFFECT_RECORDS, 100);
    assert_false(scene_end(s));
    assert_int_equal(atomic_load(&s->records), 1);
    mem_free(s);
}

static void
test_closing_writes_what_has_room(void **state)
{
    (void)state;
    struct scene *s = scene_create(500);
    fill(s, BALLAST_MIB);
    push(s, EFFECT_SETTLE, 8);
    assert_true(scene_end(s));
    assert_int_equal(atomic_load(&s->settlements), 1);
    mem_free(s);
}

/* Although there seemed to be room: it counts as low, without the ballast, until it has been
 * written. */
static void
test_an_engine_that_finds_the_disk_full_tries_again(void **state)
{
    (void)state;
    struct scene *s = scene_create(500);
    commit(s, push(s, EFFECT_RECORDS, 100));
    const uint64_t ticket = push_to_a_full_disk(s, 3);
    assert_true(door_is_short(s->door));
    assert_false(has_ballast(s));
    assert_true(door_committed(s->door) < ticket);
    assert_false(door_has_failed(s->door));
    atomic_store(&s->is_full, false);
    commit(s, ticket);
    while (door_is_short(s->door) || !has_ballast(s))
        sched_yield();
    assert_true(scene_end(s));
    assert_int_equal(atomic_load(&s->records), 2);
    mem_free(s);
}

/* Without room it is not even asked to. */
static void
test_an_engine_that_finds_the_disk_full_waits_for_room(void **state)
{
    (void)state;
    struct scene *s = scene_create(500);
    const uint64_t ticket = push_to_a_full_disk(s, 1);
    atomic_store(&s->free_mib, 0);
    wait_for_looks(s);
    const unsigned attempts = atomic_load(&s->attempts);
    wait_for_looks(s);
    assert_int_equal(atomic_load(&s->attempts), attempts);
    atomic_store(&s->is_full, false);
    atomic_store(&s->free_mib, 500);
    commit(s, ticket);
    assert_true(atomic_load(&s->attempts) > attempts);
    assert_true(scene_end(s));
    mem_free(s);
}

/* Who reads what the round is to write waits for the committer; what a stop waits for is that. */
static void
test_waiting_for_room_is_given_up(void **state)
{
    (void)state;
    struct scene *s = scene_create(500);
    const uint64_t ticket = push_to_a_full_disk(s, 1);
    door_give_up_waiting(s->door);
    while (!door_has_failed(s->door))
        sched_yield();
    assert_true(door_committed(s->door) < ticket);
    scene_end(s);
    assert_int_equal(atomic_load(&s->records), 0);
    mem_free(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_round_waits_for_room),
        cmocka_unit_test(test_it_is_full_while_a_round_waits),
        cmocka_unit_test(test_settlements_use_the_ballast),
        cmocka_unit_test(test_a_settlement_takes_waiting_records_along),
        cmocka_unit_test(test_closing_does_not_wait_for_room),
        cmocka_unit_test(test_closing_writes_what_has_room),
        cmocka_unit_test(test_an_engine_that_finds_the_disk_full_tries_again),
        cmocka_unit_test(test_an_engine_that_finds_the_disk_full_waits_for_room),
        cmocka_unit_test(test_waiting_for_room_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
