/* The door with an engine that writes down what it is given: every push goes out exactly once, in
 * the round its ticket names, and counts as committed only when the engine has said so. */

#include "broker/base/mem.h"
#include "persistence/door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

enum { THREADS = 4, PUSHES = 3000 };

struct recorder {
    struct engine engine;
    uint64_t last_round;
    _Atomic uint64_t rounds[THREADS][PUSHES]; /* In which each push went out. */
    uint64_t fail_at;                         /* Outcome unknown from this round on; 0: never. */
    atomic_bool held;                         /* Rounds stay uncommitted while set. */
};

static void
recorder_submit(struct engine *engine, const struct round *round)
{
    struct recorder *r = (struct recorder *)engine;
    assert_int_equal(round->number, r->last_round + 1);
    assert_true(round->effect_count > 0);
    r->last_round = round->number;
    for (size_t i = 0; i < round->effect_count; i++) {
        const struct effect *e = &round->effects[i];
        _Atomic uint64_t *slot = &r->rounds[e->log][e->sequence];
        assert_int_equal(atomic_load(slot), 0);
        atomic_store(slot, round->number);
    }
    while (atomic_load(&r->held))
        sched_yield();
    const bool fails = r->fail_at != 0 && round->number >= r->fail_at;
    engine->done(engine->done_context, round->number, fails ? ROUND_UNKNOWN : ROUND_COMMITTED);
}

static void
recorder_destroy(struct engine *engine)
{
    (void)engine; /* The test still looks at it. */
}

static const struct engine_ops recorder_ops = { .submit = recorder_submit,
                                                .destroy = recorder_destroy };

static struct recorder *
recorder_create(void)
{
    struct recorder *r = mem_alloc_zeroed(sizeof(*r));
    r->engine.ops = &recorder_ops;
    r->engine.first_round = 1;
    r->engine.first_log = 1;
    return r;
}

struct pusher {
    struct door *door;
    struct recorder *recorder;
    uint64_t id;
    uint64_t tickets[PUSHES];
    pthread_t thread;
};

static void
ignore(void *context)
{
    (void)context;
}

static void *
push_all(void *argument)
{
    struct pusher *p = argument;
    for (uint64_t i = 0; i < PUSHES; i++) {
        const uint64_t before = door_committed(p->door);
        p->tickets[i] = door_push(
            p->door,
            &(struct effect){ .kind = EFFECT_RECORDS, .log = p->id, .sequence = i, .count = 1 });
        assert_true(p->tickets[i] > before);
        /* Committed means that it went out, and in that round. */
        if (door_committed(p->door) >= p->tickets[i])
            assert_int_equal(atomic_load(&p->recorder->rounds[p->id][i]), p->tickets[i]);
    }
    return NULL;
}

static void
test_every_push_is_in_the_round_of_its_ticket(void **state)
{
    (void)state;
    static struct pusher pushers[THREADS];
    struct recorder *r = recorder_create();
    struct door *door = door_create(&r->engine, 1 << 20, ignore, NULL);
    for (uint64_t t = 0; t < THREADS; t++) {
        pushers[t] = (struct pusher){ .door = door, .recorder = r, .id = t };
        assert_int_equal(pthread_create(&pushers[t].thread, NULL, push_all, &pushers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(pushers[t].thread, NULL);
    door_destroy(door); /* Commits what is left. */
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < PUSHES; i++)
            assert_int_equal(atomic_load(&r->rounds[t][i]), pushers[t].tickets[i]);
    mem_free(r);
}

static void
test_nothing_is_committed_before_the_engine_says_so(void **state)
{
    (void)state;
    struct recorder *r = recorder_create();
    atomic_store(&r->held, true);
    struct door *door = door_create(&r->engine, 1 << 20, ignore, NULL);
    const uint64_t ticket =
        door_push(door, &(struct effect){ .kind = EFFECT_RECORDS, .log = 0, .sequence = 0 });
    while (atomic_load(&r->rounds[0][0]) == 0)
        sched_yield();
    assert_true(door_committed(door) < ticket);
    atomic_store(&r->held, false);
    while (door_committed(door) < ticket)
        sched_yield();
    door_destroy(door);
    mem_free(r);
}

static void
test_unknown_outcome_is_final(void **state)
{
    (void)state;
    struct recorder *r = recorder_create();
    r->fail_at = 2;
    struct door *door = door_create(&r->engine, 1 << 20, ignore, NULL);
    const struct effect first = { .kind = EFFECT_RECORDS, .log = 0, .sequence = 0 };
    const struct effect second = { .kind = EFFECT_RECORDS, .log = 0, .sequence = 1 };
    const uint64_t ticket = door_push(door, &first);
    while (door_committed(door) < ticket)
        sched_yield();
    assert_false(door_has_failed(door));
    door_push(door, &second);
    while (!door_has_failed(door))
        sched_yield();
    assert_int_equal(door_committed(door), ticket);
    door_destroy(door);
    assert_int_equal(r->last_round, 2);
    mem_free(r);
}

static void
test_it_is_full_while_too_much_waits(void **state)
{
    (void)state;
    struct recorder *r = recorder_create();
    atomic_store(&r->held, true);
    struct door *door = door_create(&r->engine, 100, ignore, NULL);
    struct effect e = { .kind = EFFECT_RECORDS, .log = 0, .sequence = 0 };
    buf_printf(&e.payload, "%0100d", 7);
    assert_false(door_is_full(door));
    door_push(door, &e);
    e = (struct effect){ .kind = EFFECT_RECORDS, .log = 0, .sequence = 1 };
    buf_printf(&e.payload, "%0100d", 7);
    const uint64_t ticket = door_push(door, &e);
    assert_true(door_is_full(door));
    atomic_store(&r->held, false);
    while (door_committed(door) < ticket || door_is_full(door))
        sched_yield();
    door_destroy(door);
    mem_free(r);
}

/* Settlements alone are committed at leisure; somebody who waits for one hurries it. */
static void
test_hurried_settlement(void **state)
{
    (void)state;
    struct recorder *r = recorder_create();
    struct door *door = door_create(&r->engine, 1 << 20, ignore, NULL);
    const uint64_t ticket =
        door_push(door, &(struct effect){ .kind = EFFECT_SETTLE, .log = 1, .sequence = 5 });
    door_hurry(door);
    while (door_committed(door) < ticket)
        sched_yield();
    door_destroy(door);
    mem_free(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_push_is_in_the_round_of_its_ticket),
        cmocka_unit_test(test_nothing_is_committed_before_the_engine_says_so),
        cmocka_unit_test(test_unknown_outcome_is_final),
        cmocka_unit_test(test_it_is_full_while_too_much_waits),
        cmocka_unit_test(test_hurried_settlement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
