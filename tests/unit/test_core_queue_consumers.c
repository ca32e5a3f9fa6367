/* Who gets which message, and what a consumer's end does. Deliveries are written as tag and number:
 * "a1 b2 a3*" is 1 to a, 2 to b, 3 again to a; "a!" tells a that its queue is gone. */

#include "broker/core/queue.h"

#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"

struct fixture {
    struct door *door;
    struct vhost *vhost;
    struct queue *queue;
    struct client client;
    struct client other;
};

static struct fixture f;

static void
queue_open(const struct queue_spec *spec)
{
    struct queue *q;
    struct amqp_exception ex;
    uint64_t ticket;
    bool created;
    assert_true(vhost_declare_queue(f.vhost, spec, 1, &q, &created, &ticket, &ex));
    assert_true(created);
    q->effective = spec->effective;
    queue_unref(q); /* The vhost's reference is enough. */
    f.queue = q;
}

static int
setup(void **state)
{
    (void)state;
    f.door = door_create(engine_sim_create(0), UINT64_MAX, recorder_no_notify, NULL);
    f.vhost = vhost_create(BYTES_LITERAL("/"), f.door);
    const struct queue_spec spec = spec_named("q");
    queue_open(&spec);
    client_init(&f.client);
    client_init(&f.other);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    vhost_destroy(f.vhost);
    door_destroy(f.door);
    client_fini(&f.client);
    client_fini(&f.other);
    assert_no_messages();
    return 0;
}

static void
ack_all(struct client *c)
{
    while (c->got_count > 0)
        client_ack(c, message_number(c->got[0].entry.message));
}

static void
end_consumer(struct client *client, struct consumer *c)
{
    ack_all(client);
    client_cancel(client, c);
}

static void
test_round_robin(void **state)
{
    (void)state;
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    struct consumer b = consumer_of(&f.client, f.queue, "b");
    struct consumer c = consumer_of(&f.other, f.queue, "c");
    consumer_start(&a);
    consumer_start(&b);
    consumer_start(&c);
    queue_add_run(f.queue, 1, 7);
    assert_deliveries(&f.client, "a1 b2 a4 b5 a7");
    assert_deliveries(&f.other, "c3 c6");
    queue_add(f.queue, 8); /* The turn goes on where it was. */
    assert_deliveries(&f.client, "b8");
    end_consumer(&f.client, &b);
    queue_add_run(f.queue, 9, 11);
    assert_deliveries(&f.other, "c9 c11");
    assert_deliveries(&f.client, "a10");
    end_consumer(&f.client, &a);
    end_consumer(&f.other, &c);
}

/* Those of a higher priority are served first for as long as they can take anything. */
static void
test_consumer_priorities(void **state)
{
    (void)state;
    struct consumer low = consumer_of(&f.client, f.queue, "l");
    struct consumer high = consumer_of(&f.client, f.queue, "h");
    struct consumer same = consumer_of(&f.client, f.queue, "s");
    struct consumer negative = consumer_of(&f.client, f.queue, "n");
    high.priority = same.priority = 7;
    negative.priority = INT64_MIN;
    low.prefetch_left = high.prefetch_left = same.prefetch_left = 2;
    consumer_start(&negative);
    consumer_start(&low);
    consumer_start(&high);
    consumer_start(&same);
    queue_add_run(f.queue, 1, 8);
    assert_deliveries(&f.client, "h1 s2 h3 s4 l5 l6 n7 n8");
    client_ack(&f.client, 5);
    client_ack(&f.client, 4);
    queue_add_run(f.queue, 9, 11);
    assert_deliveries(&f.client, "s9 l10 n11");
    ack_all(&f.client);
    end_consumer(&f.client, &low);
    end_consumer(&f.client, &high);
    end_consumer(&f.client, &same);
    end_consumer(&f.client, &negative);
}

static void
test_prefetch_is_what_is_out(void **state)
{
    (void)state;
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    a.prefetch_left = 2;
    consumer_start(&a);
    queue_add_run(f.queue, 1, 5);
    assert_deliveries(&f.client, "a1 a2");
    assert_counts(f.queue, 3, 2, 1);
    client_ack(&f.client, 2);
    assert_deliveries(&f.client, "a3");
    client_requeue(&f.client, 1); /* Back to its place, and out again. */
    assert_deliveries(&f.client, "a1*");
    assert_int_equal(a.outstanding, 2);
    ack_all(&f.client);
    assert_deliveries(&f.client, "a4 a5");
    assert_counts(f.queue, 0, 2, 1);
    end_consumer(&f.client, &a);
    assert_counts(f.queue, 0, 0, 0);
}

static void
test_prefetch_of_zero_left_takes_nothing(void **state)
{
    (void)state;
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    a.prefetch_left = 0;
    consumer_start(&a);
    queue_add(f.queue, 1);
    queue_retry(f.queue, &a);
    queue_refill(f.queue, &a);
    assert_deliveries(&f.client, "");
    end_consumer(&f.client, &a);
    assert_ready(f.queue, "1");
}

/* Encoding, not acknowledging, opens the window again; each consumer has one of its own. */
static void
test_dispatch_windows(void **state)
{
    (void)state;
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    struct consumer b = consumer_of(&f.other, f.queue, "b");
    struct message *sample = message_sized(0, 10, false);
    f.queue->window = message_cost(sample) * 2;
    message_unref(sample);
    consumer_start(&a);
    consumer_start(&b);
    queue_add_run(f.queue, 1, 9);
    assert_deliveries(&f.client, "a1 a3");
    client_ack(&f.client, 1);
    assert_deliveries(&f.client, "");
    queue_refill(f.queue, &a);
    assert_deliveries(&f.client, "a5 a6");
    assert_deliveries(&f.other, "b2 b4");
    queue_refill(f.queue, &b);
    assert_deliveries(&f.other, "b7 b8");
    assert_int_equal(b.window_used, f.queue->window);
    assert_counts(f.queue, 1, 7, 2);
    end_consumer(&f.client, &a);
    end_consumer(&f.other, &b);
    assert_ready(f.queue, "9");
}

/* One limit for the consumers of a channel, whatever their queues. */
static void
test_shared_credit(void **state)
{
    (void)state;
    struct shared_credit shared = { 0 };
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    struct consumer b = consumer_of(&f.client, f.queue, "b");
    consumer_start(&a);
    queue_add(f.queue, 1); /* Before there was a limit; it counts all the same. */
    assert_deliveries(&f.client, "a1");
    atomic_store(&shared.limit, 3);
    queue_share_credit(f.queue, &a, &shared);
    queue_share_credit(f.queue, &a, &shared);
    assert_int_equal(atomic_load(&shared.used), 1);
    b.shared = &shared;
    consumer_start(&b);
    queue_add_run(f.queue, 2, 6);
    assert_deliveries(&f.client, "a2 b3");
    assert_int_equal(atomic_load(&shared.used), 3);
    shared_credit_give(&shared); /* As the channel does when it settles. */
    client_ack(&f.client, 2);
    queue_retry(f.queue, &a);
    queue_retry(f.queue, &b);
    assert_int_equal(atomic_load(&shared.used), 3);
    assert_deliveries(&f.client, "a4");
    atomic_store(&shared.limit, 0); /* No limit any more. */
    queue_retry(f.queue, &b);
    queue_retry(f.queue, &a);
    assert_deliveries(&f.client, "b5 b6");
    assert_int_equal(atomic_load(&shared.used), 5);
    end_consumer(&f.client, &a);
    end_consumer(&f.client, &b);
}

/* What was assigned and not encoded gives its share back when the consumer goes. */
static void
test_shared_credit_of_what_was_never_sent(void **state)
{
    (void)state;
    struct shared_credit shared = { .limit = 5 };
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    a.shared = &shared;
    consumer_start(&a);
    queue_add_run(f.queue, 1, 9);
    assert_int_equal(atomic_load(&shared.used), 5);
    client_cancel(&f.client, &a);
    assert_int_equal(atomic_load(&shared.used), 0);
    assert_int_equal(a.window_used, 0);
    assert_deliveries(&f.client, "");
    assert_ready(f.queue, "1 2 3 4 5 6 7 8 9");
}

static void
test_exclusive_consumer(void **state)
{
    (void)state;
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    struct consumer b = consumer_of(&f.client, f.queue, "b");
    struct consumer c = consumer_of(&f.client, f.queue, "c");
    consumer_start(&a);
    b.exclusive = true;
    assert_int_equal(queue_consume(f.queue, &b), CONSUME_EXCLUSIVE); /* It has one. */
    end_consumer(&f.client, &a);
    consumer_start(&b);
    assert_int_equal(queue_consume(f.queue, &c), CONSUME_EXCLUSIVE);
    assert_counts(f.queue, 0, 0, 1);
    end_consumer(&f.client, &b);
    consumer_start(&c); /* The right went with its holder. */
    end_consumer(&f.client, &c);
}

static void
test_single_active_consumer(void **state)
{
    (void)state;
    f.queue->effective.single_active_consumer = true;
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    struct consumer b = consumer_of(&f.client, f.queue, "b");
    struct consumer c = consumer_of(&f.client, f.queue, "c");
    struct consumer exclusive = consumer_of(&f.client, f.queue, "e");
    exclusive.exclusive = true;
    assert_int_equal(queue_consume(f.queue, &exclusive), CONSUME_EXCLUSIVE);
    c.priority = 9; /* Means nothing here. */
    a.prefetch_left = 2;
    consumer_start(&a);
    consumer_start(&b);
    consumer_start(&c);
    queue_add_run(f.queue, 1, 4);
    assert_deliveries(&f.client, "a1 a2"); /* Its prefetch is out: the others still wait. */
    end_consumer(&f.client, &b);
    assert_deliveries(&f.client, "a3 a4");
    client_cancel(&f.client, &a); /* What it was sent stays its own. */
    queue_add_run(f.queue, 5, 6);
    assert_deliveries(&f.client, "c5 c6");
    assert_counts(f.queue, 0, 4, 1);
    ack_all(&f.client);
    client_cancel(&f.client, &c);
}

static void
test_cancel_returns_what_was_not_sent(void **state)
{
    (void)state;
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    struct consumer b = consumer_of(&f.other, f.queue, "b");
    b.prefetch_left = 1;
    consumer_start(&a);
    queue_add_run(f.queue, 1, 2);
    assert_deliveries(&f.client, "a1 a2");
    queue_add_run(f.queue, 3, 5);
    consumer_start(&b);
    assert_counts(f.queue, 0, 5, 2);
    client_cancel(&f.client, &a);
    assert_deliveries(&f.client, "");
    assert_deliveries(&f.other, "b3"); /* Unmarked: nobody has seen it. */
    assert_counts(f.queue, 2, 3, 1);
    client_requeue(&f.client, 2);
    assert_counts(f.queue, 3, 2, 1);
    ack_all(&f.client);
    end_consumer(&f.other, &b);
    assert_deliveries(&f.other, "");
    assert_ready(f.queue, "2* 4 5");
}

/* A channel that ends: consumers and unacked deliveries together, so that nothing comes back to
 * those who leave, and others get it in order. */
static void
test_all_that_leaves_leaves_together(void **state)
{
    (void)state;
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    struct consumer b = consumer_of(&f.client, f.queue, "b");
    struct consumer c = consumer_of(&f.other, f.queue, "c");
    consumer_start(&a);
    consumer_start(&b);
    queue_add_run(f.queue, 1, 4);
    assert_deliveries(&f.client, "a1 b2 a3 b4");
    queue_add_run(f.queue, 5, 6);
    consumer_start(&c);
    const struct departure departures[] = {
        { .queue = f.queue, .leaver = &a },
        { .queue = f.queue, .leaver = &b },
        { .queue = f.queue, .delivery = client_find(&f.client, 4) },
        { .queue = f.queue, .delivery = client_find(&f.client, 1) },
        { .queue = f.queue, .delivery = client_find(&f.client, 3) },
        { .queue = f.queue, .delivery = client_find(&f.client, 2) },
    };
    struct departure copies[COUNT(departures)];
    memcpy(copies, departures, sizeof(departures));
    assert_false(queue_depart(f.queue, copies, COUNT(copies)));
    assert_deliveries(&f.client, "");
    assert_deliveries(&f.other, "c1* c2* c3* c4* c5 c6");
    end_consumer(&f.other, &c);
}

static void
test_auto_delete_asks_for_its_end_once(void **state)
{
    (void)state;
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    struct consumer b = consumer_of(&f.client, f.queue, "b");
    f.queue->auto_delete = true;
    struct entry e;
    size_t left;
    queue_add(f.queue, 1);
    assert_true(queue_take_ready(f.queue, &e, &left));
    struct departure back = { .queue = f.queue, .delivery = { .queue = f.queue, .entry = e } };
    assert_false(queue_depart(f.queue, &back, 1)); /* It never had a consumer. */
    consumer_start(&a);
    consumer_start(&b);
    assert_deliveries(&f.client, "a1*");
    ack_all(&f.client);
    assert_false(client_cancel(&f.client, &a));
    assert_true(client_cancel(&f.client, &b));
}

static void
test_the_end_of_the_queue(void **state)
{
    (void)state;
    struct consumer a = consumer_of(&f.client, f.queue, "a");
    struct consumer b = consumer_of(&f.other, f.queue, "b");
    struct consumer late = consumer_of(&f.other, f.queue, "c");
    struct amqp_exception ex;
    size_t ready;
    uint64_t ticket;
    a.prefetch_left = 2;
    b.prefetch_left = 0;
    consumer_start(&a);
    consumer_start(&b);
    queue_add_run(f.queue, 1, 5);
    queue_ref(f.queue);
    assert_true(vhost_delete_queue(f.vhost, f.queue, false, false, &ready, &ticket, &ex));
    assert_int_equal(ready, 3);
    assert_int_equal(queue_add(f.queue, 6), APPEND_GONE);
    assert_int_equal(queue_consume(f.queue, &late), CONSUME_GONE);
    assert_deliveries(&f.client, "a1 a2 a!"); /* In order with what came before. */
    assert_deliveries(&f.other, "b!");
    assert_true(a.detached && b.detached);
    client_ack(&f.client, 1);
    client_requeue(&f.client, 2); /* Into nothing. */
    queue_refill(f.queue, &a);
    queue_retry(f.queue, &a);
    client_cancel(&f.client, &a); /* As its channel does when it is told. */
    assert_counts(f.queue, 0, 0, 0);
    queue_unref(f.queue);
}

#define QUEUE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(test_round_robin),
        QUEUE_TEST(test_consumer_priorities),
        QUEUE_TEST(test_prefetch_is_what_is_out),
        QUEUE_TEST(test_prefetch_of_zero_left_takes_nothing),
        QUEUE_TEST(test_dispatch_windows),
        QUEUE_TEST(test_shared_credit),
        QUEUE_TEST(test_shared_credit_of_what_was_never_sent),
        QUEUE_TEST(test_exclusive_consumer),
        QUEUE_TEST(test_single_active_consumer),
        QUEUE_TEST(test_cancel_returns_what_was_not_sent),
        QUEUE_TEST(test_all_that_leaves_leaves_together),
        QUEUE_TEST(test_auto_delete_asks_for_its_end_once),
        QUEUE_TEST(test_the_end_of_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
