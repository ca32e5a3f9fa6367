#include "broker/net/loop.h"

#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sys/epoll.h>
#include <unistd.h>

#define NEVER_MS (UINT64_C(1) << 50)

enum { TIMERS = 60, ROUNDS = 2000 };
enum { POSTERS = 4, POSTS = 5000, MAILS = 3, PINGS = 5000 };

static struct loop loop;

static int
loop_setup(void **state)
{
    (void)state;
    assert_true(loop_init(&loop));
    return 0;
}

static int
loop_teardown(void **state)
{
    (void)state;
    loop_fini(&loop);
    return 0;
}

/* Timers against a model: due times lie long ago or far away, so the clock decides nothing. */

struct alarm_clock {
    struct timer timer;
    bool running; /* What the model says. */
    unsigned fired;
};

static struct alarm_clock clocks[TIMERS];
static uint64_t last_due_ms;
static struct random timers_random;

static void
clock_start(struct alarm_clock *c, uint64_t due_ms)
{
    timer_start(&loop, &c->timer, due_ms);
    c->running = true;
    assert_int_equal(c->timer.due_ms, due_ms);
}

static void
clock_stop(struct alarm_clock *c)
{
    timer_stop(&loop, &c->timer);
    c->running = false;
}

static void
clock_fire(struct timer *timer)
{
    struct alarm_clock *c = LIST_CONTAINER(timer, struct alarm_clock, timer);
    assert_true(c->running);
    assert_int_equal(timer->heap_place, 0);
    assert_true(timer->due_ms >= last_due_ms);
    last_due_ms = timer->due_ms;
    c->running = false;
    c->fired++;
    /* What fires may stop others, itself and start anew. */
    struct alarm_clock *other = &clocks[random_below(&timers_random, TIMERS)];
    switch (random_below(&timers_random, 4)) {
    case 0:
        clock_stop(other);
        break;
    case 1:
        clock_start(other, NEVER_MS + random_below(&timers_random, 100));
        break;
    case 2:
        clock_start(c, NEVER_MS);
        break;
    default:
        break;
    }
}

static void
check_turn(void)
{
    for (size_t i = 0; i < TIMERS; i++) {
        const struct timer *t = &clocks[i].timer;
        assert_int_equal(t->heap_place != 0, clocks[i].running);
        if (clocks[i].running)
            assert_true(t->due_ms >= NEVER_MS); /* All others have fired. */
    }
}

static void
test_timers_against_a_model(void **state)
{
    (void)state;
    timers_random = random_start("test_timers_against_a_model");
    loop.now_ms = 0;
    for (size_t i = 0; i < TIMERS; i++)
        clocks[i] = (struct alarm_clock){ .timer.fire = clock_fire };
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t steps = random_below(&timers_random, 40); steps > 0; steps--) {
            struct alarm_clock *c = &clocks[random_below(&timers_random, TIMERS)];
            if (random_below(&timers_random, 3) == 0)
                clock_stop(c);
            else
                clock_start(c, random_below(&timers_random, 4) == 0
                                   ? NEVER_MS + random_below(&timers_random, 50)
                                   : 1 + random_below(&timers_random, 20));
        }
        last_due_ms = 0;
        loop_turn(&loop, 0);
        check_turn();
    }
    for (size_t i = 0; i < TIMERS; i++)
        clock_stop(&clocks[i]);
    assert_int_equal(loop.timer_count, 0);
}

/* Descriptors. */

struct watched {
    struct loop_source source;
    unsigned calls;
    uint32_t events;
};

static void
watched_ready(struct loop_source *source, uint32_t events)
{
    struct watched *w = LIST_CONTAINER(source, struct watched, source);
    w->calls++;
    w->events = events;
}

static void
test_descriptors_are_watched_as_asked(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct watched w = { .source = { .fd = ends[0], .ready = watched_ready } };
    assert_true(loop_watch(&loop, &w.source, EPOLLIN));
    assert_false(loop_watch(&loop, &w.source, EPOLLIN)); /* It is watched already. */
    loop_turn(&loop, 0);
    assert_int_equal(w.calls, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    loop_turn(&loop, -1);
    loop_turn(&loop, -1); /* Level-triggered: nobody has read. */
    assert_int_equal(w.calls, 2);
    assert_int_equal(w.events, EPOLLIN);
    loop_rewatch(&loop, &w.source, 0);
    loop_turn(&loop, 0);
    assert_int_equal(w.calls, 2);
    loop_rewatch(&loop, &w.source, EPOLLIN);
    loop_turn(&loop, -1);
    assert_int_equal(w.calls, 3);
    loop_unwatch(&loop, &w.source);
    loop_turn(&loop, 0);
    assert_int_equal(w.calls, 3);
    close(ends[0]);
    close(ends[1]);
}

/* Mail on one thread. */

struct letter {
    struct mail mail;
    unsigned delivered;
    unsigned place; /* Which delivery of all it was. */
    bool posts_again;
};

static unsigned deliveries;

static void
letter_deliver(struct mail *mail)
{
    struct letter *l = LIST_CONTAINER(mail, struct letter, mail);
    assert_false(mail->posted);
    l->delivered++;
    l->place = ++deliveries;
    if (l->posts_again)
        loop_post(&loop, mail);
    l->posts_again = false;
}

static void
test_mail_is_delivered_once_and_in_order(void **state)
{
    (void)state;
    struct letter letters[MAILS] = { 0 };
    deliveries = 0;
    for (int i = 0; i < MAILS; i++)
        mail_init(&letters[i].mail, letter_deliver);
    for (int again = 0; again < 3; again++)
        for (int i = MAILS - 1; i >= 0; i--)
            loop_post(&loop, &letters[i].mail);
    letters[1].posts_again = true;
    loop_turn(&loop, -1); /* Mail that waits lets nothing sleep. */
    loop_turn(&loop, 0);
    assert_int_equal(letters[0].delivered, 1);
    assert_int_equal(letters[1].delivered, 2);
    assert_int_equal(letters[2].delivered, 1);
    assert_true(letters[2].place < letters[0].place);
    assert_true(letters[0].place < letters[1].place);
}

static void
test_unposted_mail_is_not_delivered(void **state)
{
    (void)state;
    struct letter letters[2] = { 0 };
    mail_init(&letters[0].mail, letter_deliver);
    mail_init(&letters[1].mail, letter_deliver);
    loop_unpost(&loop, &letters[0].mail); /* It never was posted. */
    loop_post(&loop, &letters[0].mail);
    loop_post(&loop, &letters[1].mail);
    loop_unpost(&loop, &letters[0].mail);
    loop_turn(&loop, 0);
    assert_int_equal(letters[0].delivered, 0);
    assert_int_equal(letters[1].delivered, 1);
    loop_post(&loop, &letters[0].mail);
    loop_turn(&loop, 0);
    assert_int_equal(letters[0].delivered, 1);
}

static unsigned turns_ended;

static void
note_turn_end(void *context)
{
    assert_ptr_equal(context, &turns_ended);
    turns_ended++;
}

static void
stop_deliver(struct mail *mail)
{
    (void)mail;
    loop_stop(&loop);
}

static void
test_stop_ends_the_run_after_the_turn(void **state)
{
    (void)state;
    struct mail stop;
    mail_init(&stop, stop_deliver);
    turns_ended = 0;
    loop.turn_end = note_turn_end;
    loop.turn_context = &turns_ended;
    loop_post(&loop, &stop);
    loop_run(&loop);
    assert_int_equal(turns_ended, 1);
}

/* Mail across threads: after the last post there is a delivery that sees all before it. */

struct poster {
    pthread_t thread;
    struct mail mails[MAILS];
    _Atomic uint64_t done[MAILS]; /* Counted before each post. */
    uint64_t seen[MAILS];         /* By the last delivery; the loop's thread. */
};

static struct poster posters[POSTERS];

static void
poster_deliver(struct mail *mail)
{
    for (int p = 0; p < POSTERS; p++)
        for (int m = 0; m < MAILS; m++)
            if (mail == &posters[p].mails[m])
                posters[p].seen[m] = atomic_load(&posters[p].done[m]);
}

static void *
post_all(void *argument)
{
    struct poster *p = argument;
    for (int i = 0; i < POSTS; i++) {
        atomic_fetch_add(&p->done[i % MAILS], 1);
        loop_post(&loop, &p->mails[i % MAILS]);
    }
    return NULL;
}

static void *
run_loop(void *argument)
{
    loop_run(argument);
    return NULL;
}

static void
test_mail_of_many_threads_gets_through(void **state)
{
    (void)state;
    pthread_t runner;
    struct mail stop;
    mail_init(&stop, stop_deliver);
    for (int p = 0; p < POSTERS; p++)
        for (int m = 0; m < MAILS; m++)
            mail_init(&posters[p].mails[m], poster_deliver);
    assert_int_equal(pthread_create(&runner, NULL, run_loop, &loop), 0);
    for (int p = 0; p < POSTERS; p++)
        assert_int_equal(pthread_create(&posters[p].thread, NULL, post_all, &posters[p]), 0);
    for (int p = 0; p < POSTERS; p++)
        pthread_join(posters[p].thread, NULL);
    loop_post(&loop, &stop);
    pthread_join(runner, NULL);
    for (int p = 0; p < POSTERS; p++)
        for (int m = 0; m < MAILS; m++)
            assert_int_equal(posters[p].seen[m], atomic_load(&posters[p].done[m]));
}

/* Two loops that wake each other from sleep: a wake-up that got lost would end in silence. */

struct player {
    struct loop loop;
    struct mail ball;
    struct player *other;
    unsigned left;
};

static void
ball_deliver(struct mail *mail)
{
    struct player *p = LIST_CONTAINER(mail, struct player, ball);
    loop_post(&p->other->loop, &p->other->ball);
    if (--p->left == 0)
        loop_stop(&p->loop);
}

static void
test_no_wake_up_is_lost(void **state)
{
    (void)state;
    struct player players[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_true(loop_init(&players[i].loop));
        mail_init(&players[i].ball, ball_deliver);
        players[i].other = &players[1 - i];
        players[i].left = PINGS;
    }
    loop_post(&players[0].loop, &players[0].ball);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_loop, &players[i].loop), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++)
        loop_fini(&players[i].loop);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, loop_setup, loop_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_timers_against_a_model),
        LOOP_TEST(test_descriptors_are_watched_as_asked),
        LOOP_TEST(test_mail_is_delivered_once_and_in_order),
        LOOP_TEST(test_unposted_mail_is_not_delivered),
        LOOP_TEST(test_stop_ends_the_run_after_the_turn),
        LOOP_TEST(test_mail_of_many_threads_gets_through),
        cmocka_unit_test(test_no_wake_up_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
