/* What the door tells those who wait for it: whoever pauses because it is full, and looks again
 * whenever he is notified, goes on in the end; and so does whoever waits for a ticket. */

#include "broker/base/mem.h"
#include "persistence/door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

enum { BYTES_MAX = 4096, PUSH_BYTES = 100, THREADS = 3, PUSHES = 4000 };

/* Somebody who sleeps until he is notified, as a worker does. */
struct sleeper {
    struct door *door;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    uint64_t notified;
    bool was_full; /* When the last notification came. */
    uint64_t was_committed;
};

static void
sleeper_notify(void *context)
{
    struct sleeper *s = context;
    pthread_mutex_lock(&s->mutex);
    s->notified++;
    s->was_full = door_is_full(s->door);
    s->was_committed = door_committed(s->door);
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

/* An engine that commits at once. The first round, if it is gated, waits for the gate. */
struct prompt {
    struct engine engine;
    pthread_mutex_t gate;
};

static void
prompt_submit(struct engine *engine, const struct round *round)
{
    struct prompt *p = (struct prompt *)engine;
    pthread_mutex_lock(&p->gate);
    pthread_mutex_unlock(&p->gate);
    engine->done(engine->done_context, round->number, ROUND_COMMITTED);
}

static void
prompt_destroy(struct engine *engine)
{
    (void)engine;
}

static const struct engine_ops prompt_ops = { .submit = prompt_submit, .destroy = prompt_destroy };

static void
start(struct sleeper *s, struct prompt *p)
{
    *p = (struct prompt){ .engine = { .ops = &prompt_ops, .first_round = 1000, .first_log = 77 } };
    *s = (struct sleeper){ 0 };
    pthread_mutex_init(&p->gate, NULL);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, NULL);
    s->door = door_create(&p->engine, BYTES_MAX, sleeper_notify, s);
}

static uint64_t
push(struct door *door, enum effect_kind kind)
{
    struct effect e = { .kind = kind, .log = 1, .count = 1 };
    buf_printf(&e.payload, "%0*d", PUSH_BYTES, 7);
    return door_push(door, &e);
}

static void
test_numbers_begin_where_the_engine_says(void **state)
{
    (void)state;
    struct prompt p;
    struct sleeper s;
    start(&s, &p);
    assert_int_equal(door_committed(s.door), 999);
    assert_int_equal(door_new_logs(s.door, 1), 77);
    assert_int_equal(door_new_logs(s.door, 1), 78);
    assert_int_equal(push(s.door, EFFECT_PUT), 1000);
    door_expect(s.door); /* In vain. */
    door_destroy(s.door);
    assert_true(s.was_committed >= 1000);
}

/* Nobody is left with "it is full" as the last thing he has seen. */
static void
test_the_last_notification_finds_room(void **state)
{
    (void)state;
    struct prompt p;
    struct sleeper s;
    start(&s, &p);
    pthread_mutex_lock(&p.gate);
    while (!door_is_full(s.door))
        push(s.door, EFFECT_RECORDS);
    pthread_mutex_unlock(&p.gate);
    door_destroy(s.door);
    assert_true(s.notified > 0);
    assert_false(s.was_full);
}

static void *
push_with_pauses(void *argument)
{
    struct sleeper *s = argument;
    for (int i = 0; i < PUSHES; i++) {
        pthread_mutex_lock(&s->mutex);
        while (door_is_full(s->door))
            pthread_cond_wait(&s->wake, &s->mutex);
        pthread_mutex_unlock(&s->mutex);
        if (i % 7 == 0)
            door_expect(s->door); /* It may come late, or not be what is waited for. */
        const uint64_t ticket = push(s->door, i % 3 == 0 ? EFFECT_SETTLE : EFFECT_RECORDS);
        if (i % 500 != 0)
            continue;
        door_hurry(s->door); /* Without it a settlement takes its time. */
        pthread_mutex_lock(&s->mutex);
        while (door_committed(s->door) < ticket)
            pthread_cond_wait(&s->wake, &s->mutex);
        pthread_mutex_unlock(&s->mutex);
    }
    return NULL;
}

static void
test_those_who_pause_go_on(void **state)
{
    (void)state;
    struct prompt p;
    struct sleeper s;
    pthread_t threads[THREADS];
    start(&s, &p);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, push_with_pauses, &s), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    door_destroy(s.door);
    assert_false(s.was_full);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_begin_where_the_engine_says),
        cmocka_unit_test(test_the_last_notification_finds_room),
        cmocka_unit_test(test_those_who_pause_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
