/* A queue alone: who gets which message, what goes back where, what limits do; and four threads
 * that do everything at once, after which every message must have ended exactly once. */

#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"
#include "tests/unit/test_random.h"

#include <string.h>

#include <pthread.h>
#include <sched.h>

struct bench {
    struct door *door;
    struct vhost *vhost;
    struct loop loop;
    struct queue *queue;
};

static void
ignore_door(void *context)
{
    (void)context;
}

static void
ignore_mail(struct mail *mail)
{
    (void)mail;
}

static void
bench_start(struct bench *b, const struct queue_arguments *arguments)
{
    const struct queue_spec spec = {
        .name = BYTES_LITERAL("q"),
        .effective = *arguments,
        .window = 1 << 20,
    };
    assert_true(loop_init(&b->loop));
    b->door = door_create(engine_sim_create(0), 1 << 20, ignore_door, NULL);
    b->vhost = vhost_create(BYTES_LITERAL("/"), b->door);
    b->queue = queue_create(b->vhost, b->door, &spec);
}

static void
bench_stop(struct bench *b)
{
    end_queue(b->queue);
    vhost_destroy(b->vhost);
    door_destroy(b->door);
    loop_fini(&b->loop);
}

static const struct queue_arguments no_limits = {
    .max_length = UINT64_MAX,
    .max_length_bytes = UINT64_MAX,
    .message_ttl_ms = UINT64_MAX,
    .expires_ms = UINT64_MAX,
    .delivery_limit = UINT64_MAX,
    .consumer_timeout_ms = UINT64_MAX,
};

/* A message whose body is one number. */
static enum append_outcome
publish(struct queue *q, uint32_t number, uint8_t priority)
{
    struct message *m =
        message_create(BYTES_LITERAL(""), BYTES_LITERAL("q"), bytes_of("\0\0", 2), sizeof(number));
    memcpy(message_body(m), &number, sizeof(number));
    message_charge(sizeof(number));
    struct append item = { .queue = q, .entry = { .message = m, .priority = priority } };
    queue_append(q, &item, 1);
    if (item.outcome != APPEND_DONE)
        message_unref(m);
    return item.outcome;
}

static uint32_t
number_of(const struct entry *e)
{
    uint32_t number;
    memcpy(&number, message_body(e->message), sizeof(number));
    return number;
}

static void
settle_one(struct queue *q, struct consumer *c, const struct entry *e)
{
    const struct settle settle = { .queue = q, .consumer = c, .entry = *e };
    queue_settle(q, &settle, 1);
}

static void
requeue_one(struct queue *q, struct consumer *c, const struct entry *e)
{
    struct departure departure = { .queue = q,
                                   .delivery = { .queue = q, .consumer = c, .entry = *e } };
    queue_depart(q, &departure, 1);
}

static uint32_t
get(struct queue *q)
{
    struct entry e;
    size_t left;
    assert_true(queue_take_ready(q, &e, &left));
    const uint32_t number = number_of(&e);
    settle_one(q, NULL, &e);
    return number;
}

static void
consumer_init(struct consumer *c, struct bench *b, struct outbox *outbox, uint32_t prefetch,
              int64_t priority)
{
    *c = (struct consumer){
        .queue = b->queue,
        .outbox = outbox,
        .prefetch_left = prefetch,
        .priority = priority,
    };
    list_init(&c->in_queue);
    list_init(&c->in_waiting);
    list_init(&c->in_channel);
}

static void
cancel(struct consumer *c)
{
    struct departure departure = { .queue = c->queue, .leaver = c };
    queue_depart(c->queue, &departure, 1);
}

static void
test_priorities_then_order(void **state)
{
    (void)state;
    struct bench b;
    struct queue_arguments arguments = no_limits;
    arguments.max_priority = 3;
    bench_start(&b, &arguments);
    const struct {
        uint32_t number;
        uint8_t priority;
    } sent[] = { { 1, 0 }, { 2, 1 }, { 3, 3 }, { 4, 9 }, { 5, 2 }, { 6, 1 } };
    for (size_t i = 0; i < COUNT(sent); i++)
        publish(b.queue, sent[i].number, sent[i].priority);
    const uint32_t expected[] = { 3, 4, 5, 2, 6, 1 };
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_int_equal(get(b.queue), expected[i]);
    bench_stop(&b);
}

static void
test_limits(void **state)
{
    (void)state;
    struct bench b;
    struct queue_arguments arguments = no_limits;
    arguments.max_length = 2;
    bench_start(&b, &arguments);
    for (uint32_t i = 1; i <= 5; i++)
        assert_int_equal(publish(b.queue, i, 0), APPEND_DONE);
    assert_int_equal(get(b.queue), 4);
    assert_int_equal(get(b.queue), 5);
    bench_stop(&b);

    arguments.overflow = OVERFLOW_REJECT_PUBLISH;
    bench_start(&b, &arguments);
    assert_int_equal(publish(b.queue, 1, 0), APPEND_DONE);
    assert_int_equal(publish(b.queue, 2, 0), APPEND_DONE);
    assert_int_equal(publish(b.queue, 3, 0), APPEND_REJECTED);
    assert_int_equal(get(b.queue), 1);
    assert_int_equal(publish(b.queue, 4, 0), APPEND_DONE);
    bench_stop(&b);

    arguments.max_length = UINT64_MAX;
    arguments.max_length_bytes = 9; /* Two bodies of four octets. */
    bench_start(&b, &arguments);
    assert_int_equal(publish(b.queue, 1, 0), APPEND_DONE);
    assert_int_equal(publish(b.queue, 2, 0), APPEND_DONE);
    assert_int_equal(publish(b.queue, 3, 0), APPEND_REJECTED);
    bench_stop(&b);
}

static void
test_requeued_messages_return_to_their_places(void **state)
{
    (void)state;
    struct bench b;
    struct entry taken[4];
    size_t left;
    bench_start(&b, &no_limits);
    for (uint32_t i = 0; i < 6; i++)
        publish(b.queue, i, 0);
    for (size_t i = 0; i < COUNT(taken); i++)
        assert_true(queue_take_ready(b.queue, &taken[i], &left));
    assert_int_equal(left, 2);
    const size_t back[] = { 2, 0, 3, 1 };
    for (size_t i = 0; i < COUNT(back); i++)
        requeue_one(b.queue, NULL, &taken[back[i]]);
    for (uint32_t i = 0; i < 6; i++) {
        struct entry e;
        assert_true(queue_take_ready(b.queue, &e, &left));
        assert_int_equal(number_of(&e), i);
        assert_int_equal(e.redelivered, i < 4);
        settle_one(b.queue, NULL, &e);
    }
    bench_stop(&b);
}

static void
test_round_robin_by_priority_and_prefetch(void **state)
{
    (void)state;
    struct bench b;
    struct outbox outbox;
    struct consumer low[2];
    struct consumer high;
    struct delivery d;
    bench_start(&b, &no_limits);
    outbox_init(&outbox, &b.loop, ignore_mail);
    consumer_init(&low[0], &b, &outbox, PREFETCH_UNLIMITED, 0);
    consumer_init(&low[1], &b, &outbox, PREFETCH_UNLIMITED, 0);
    consumer_init(&high, &b, &outbox, 2, 5);
    assert_int_equal(queue_consume(b.queue, &low[0]), CONSUME_DONE);
    assert_int_equal(queue_consume(b.queue, &low[1]), CONSUME_DONE);
    assert_int_equal(queue_consume(b.queue, &high), CONSUME_DONE);
    for (uint32_t i = 0; i < 6; i++)
        publish(b.queue, i, 0);
    struct consumer *const expected[] = { &high, &high, &low[0], &low[1], &low[0], &low[1] };
    struct entry first;
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(outbox_take(&outbox, &d));
        assert_ptr_equal(d.consumer, expected[i]);
        assert_int_equal(number_of(&d.entry), i);
        if (i == 0)
            first = d.entry;
        else
            settle_one(b.queue, d.consumer, &d.entry);
    }
    /* One of high's two is still out: it takes one more, and the rest goes to the others. */
    publish(b.queue, 6, 0);
    publish(b.queue, 7, 0);
    assert_true(outbox_take(&outbox, &d));
    assert_ptr_equal(d.consumer, &high);
    settle_one(b.queue, d.consumer, &d.entry);
    assert_true(outbox_take(&outbox, &d));
    assert_ptr_equal(d.consumer, &low[0]);
    settle_one(b.queue, d.consumer, &d.entry);
    settle_one(b.queue, &high, &first);
    cancel(&low[0]);
    cancel(&low[1]);
    cancel(&high);
    outbox_fini(&outbox);
    bench_stop(&b);
}

/* What the window does not let out stays ready, and comes when encoding has been reported. */
static void
test_dispatch_window(void **state)
{
    (void)state;
    struct bench b;
    struct outbox outbox;
    struct consumer c;
    struct delivery d;
    bench_start(&b, &no_limits);
    b.queue->window = 1; /* One message at a time. */
    outbox_init(&outbox, &b.loop, ignore_mail);
    consumer_init(&c, &b, &outbox, PREFETCH_UNLIMITED, 0);
    assert_int_equal(queue_consume(b.queue, &c), CONSUME_DONE);
    for (uint32_t i = 0; i < 3; i++)
        publish(b.queue, i, 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(outbox_take(&outbox, &d));
        assert_int_equal(number_of(&d.entry), i);
        assert_false(outbox_take(&outbox, &d));
        c.encoded = message_cost(d.entry.message);
        settle_one(b.queue, &c, &d.entry);
        assert_false(outbox_take(&outbox, &d));
        queue_refill(b.queue, &c);
    }
    cancel(&c);
    outbox_fini(&outbox);
    bench_stop(&b);
}

static void
test_cancelled_consumer_gives_back_what_it_was_not_sent(void **state)
{
    (void)state;
    struct bench b;
    struct outbox outbox;
    struct consumer c;
    struct delivery d;
    bench_start(&b, &no_limits);
    outbox_init(&outbox, &b.loop, ignore_mail);
    consumer_init(&c, &b, &outbox, PREFETCH_UNLIMITED, 0);
    assert_int_equal(queue_consume(b.queue, &c), CONSUME_DONE);
    for (uint32_t i = 0; i < 3; i++)
        publish(b.queue, i, 0);
    assert_int_equal(queue_counts(b.queue).unacked, 3);
    cancel(&c);
    assert_false(outbox_take(&outbox, &d));
    assert_int_equal(queue_counts(b.queue).ready, 3);
    assert_int_equal(queue_counts(b.queue).unacked, 0);
    struct entry e;
    size_t left;
    assert_true(queue_take_ready(b.queue, &e, &left));
    assert_int_equal(number_of(&e), 0);
    assert_false(e.redelivered);
    settle_one(b.queue, NULL, &e);
    outbox_fini(&outbox);
    bench_stop(&b);
}

static void
test_end_tells_consumers_and_refuses_appends(void **state)
{
    (void)state;
    struct bench b;
    struct outbox outbox;
    struct consumer c;
    struct delivery d;
    struct queue_remains remains = { 0 };
    struct amqp_exception ex;
    bench_start(&b, &no_limits);
    outbox_init(&outbox, &b.loop, ignore_mail);
    consumer_init(&c, &b, &outbox, 1, 0);
    assert_int_equal(queue_consume(b.queue, &c), CONSUME_DONE);
    publish(b.queue, 0, 0);
    publish(b.queue, 1, 0);
    assert_false(queue_end(b.queue, true, false, &remains, &ex));
    assert_string_equal(ex.text, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use");
    assert_false(queue_end(b.queue, false, true, &remains, &ex));
    assert_string_equal(ex.text, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty");
    assert_true(queue_end(b.queue, false, false, &remains, &ex));
    assert_int_equal(remains.count, 1);
    queue_release_remains(b.queue, &remains);
    assert_int_equal(publish(b.queue, 2, 0), APPEND_GONE);
    assert_true(outbox_take(&outbox, &d));
    requeue_one(b.queue, &c, &d.entry); /* Into nothing. */
    assert_true(outbox_take(&outbox, &d));
    assert_null(d.entry.message);
    assert_ptr_equal(d.consumer, &c);
    assert_int_equal(queue_counts(b.queue).ready, 0);
    outbox_fini(&outbox);
    bench_stop(&b);
}

enum { PUBLISHERS = 2, TAKERS = 2, EACH = 20000 };

struct actor {
    struct queue *queue;
    uint32_t from;
    _Atomic uint8_t *ended;
    _Atomic uint32_t *left;
    struct random dice;
    pthread_t thread;
};

static void *
publish_many(void *argument)
{
    struct actor *a = argument;
    for (uint32_t i = 0; i < EACH; i++)
        publish(a->queue, a->from + i, (uint8_t)random_below(&a->dice, 4));
    return NULL;
}

static void *
take_many(void *argument)
{
    struct actor *a = argument;
    while (atomic_load(a->left) > 0) {
        struct entry e;
        size_t left;
        if (!queue_take_ready(a->queue, &e, &left)) {
            sched_yield();
            continue;
        }
        if (random_below(&a->dice, 3) == 0) {
            requeue_one(a->queue, NULL, &e);
            continue;
        }
        assert_int_equal(atomic_fetch_add(&a->ended[number_of(&e)], 1), 0);
        settle_one(a->queue, NULL, &e);
        atomic_fetch_sub(a->left, 1);
    }
    return NULL;
}

static void
test_every_message_ends_once(void **state)
{
    (void)state;
    static _Atomic uint8_t ended[PUBLISHERS * EACH];
    _Atomic uint32_t left = PUBLISHERS * EACH;
    struct actor actors[PUBLISHERS + TAKERS];
    struct bench b;
    struct queue_arguments arguments = no_limits;
    struct random dice = random_start(__func__);
    arguments.max_priority = 3;
    bench_start(&b, &arguments);
    for (uint32_t i = 0; i < PUBLISHERS + TAKERS; i++) {
        actors[i] = (struct actor){ b.queue, i * EACH, ended, &left, { random_next(&dice) }, 0 };
        assert_int_equal(pthread_create(&actors[i].thread, NULL,
                                        i < PUBLISHERS ? publish_many : take_many, &actors[i]),
                         0);
    }
    for (uint32_t i = 0; i < PUBLISHERS + TAKERS; i++)
        pthread_join(actors[i].thread, NULL);
    for (uint32_t i = 0; i < PUBLISHERS * EACH; i++)
        assert_int_equal(ended[i], 1);
    assert_int_equal(queue_counts(b.queue).ready, 0);
    assert_int_equal(queue_counts(b.queue).unacked, 0);
    bench_stop(&b);
}

/* What one connection gives back when a broker stops goes to nobody, however they ask. */
static void
test_a_broker_that_ends_sends_nothing(void **state)
{
    (void)state;
    struct bench b;
    struct outbox outbox;
    struct consumer c;
    struct delivery d;
    struct entry e;
    size_t left;
    bench_start(&b, &no_limits);
    outbox_init(&outbox, &b.loop, ignore_mail);
    consumer_init(&c, &b, &outbox, PREFETCH_UNLIMITED, 0);
    assert_int_equal(publish(b.queue, 1, 0), APPEND_DONE);
    assert_true(queue_take_ready(b.queue, &e, &left));
    assert_int_equal(queue_consume(b.queue, &c), CONSUME_DONE);
    atomic_store(&b.vhost->is_quiet, true);
    requeue_one(b.queue, NULL, &e);
    assert_false(outbox_take(&outbox, &d));
    assert_int_equal(queue_get(b.queue, NULL, &e, &left), GET_LATER);
    assert_int_equal(queue_counts(b.queue).ready, 1);
    cancel(&c);
    outbox_fini(&outbox);
    bench_stop(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priorities_then_order),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_requeued_messages_return_to_their_places),
        cmocka_unit_test(test_round_robin_by_priority_and_prefetch),
        cmocka_unit_test(test_dispatch_window),
        cmocka_unit_test(test_cancelled_consumer_gives_back_what_it_was_not_sent),
        cmocka_unit_test(test_end_tells_consumers_and_refuses_appends),
        cmocka_unit_test(test_a_broker_that_ends_sends_nothing),
        cmocka_unit_test(test_every_message_ends_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
