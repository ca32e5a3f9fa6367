/* One queue and four threads: two publish, two are channels that consume, get, settle, requeue,
 * cancel and begin anew, and purge. In the end every message has ended exactly once, also where
 * there is so little memory that most of them leave it and come back. */

#include "broker/core/queue.h"

#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sched.h>

#include "persistence/engine_sim.h"
#include "tests/unit/test_core_stage.h"

enum { PUBLISHERS = 2, CHANNELS = 2, EACH = 20000, TOTAL = PUBLISHERS * EACH };
enum { WAITING_MAX = 1000, SIZE_SMALL = 8, SIZE_PAGED = 2000 };
enum { CONSUMERS = 2, HELD_MAX = 40, SHARED_LIMIT = 30, WINDOW = 2000 };

struct shop {
    struct queue *queue;
    size_t body_size;
    _Atomic uint32_t published;
    _Atomic uint32_t over; /* Messages that have ended. */
    _Atomic uint32_t purged;
    _Atomic uint8_t ended[TOTAL];
    atomic_bool broken; /* A message ended twice. */
    atomic_bool paged;  /* Some have left memory. */
};

static struct shop shop;

struct publisher {
    pthread_t thread;
    uint32_t first;
    struct random dice;
};

static void
note_paged(void)
{
    lock_acquire(&shop.queue->lock);
    if (paged_count(&shop.queue->levels[0].paged) > 0)
        atomic_store(&shop.paged, true);
    lock_release(&shop.queue->lock);
}

static void *
publish_all(void *argument)
{
    struct publisher *p = argument;
    struct append items[50];
    for (uint32_t at = 0; at < EACH;) {
        const size_t left = EACH - at;
        size_t count = 1 + random_below(&p->dice, COUNT(items));
        count = count < left ? count : left;
        for (size_t i = 0; i < count; i++)
            items[i] = (struct append){
                .queue = shop.queue,
                .entry = { .message = message_sized(p->first + at + (uint32_t)i, shop.body_size,
                                                    random_below(&p->dice, 2) == 0),
                           .priority = (uint8_t)random_below(&p->dice, 5) },
            };
        queue_append(shop.queue, items, count);
        note_paged();
        for (size_t i = 0; i < count; i++)
            if (items[i].outcome != APPEND_DONE)
                atomic_store(&shop.broken, true);
        at += (uint32_t)count;
        /* So that there is much coming and going, and little waiting. */
        atomic_fetch_add(&shop.published, (uint32_t)count);
        while (atomic_load(&shop.published) - atomic_load(&shop.over) > WAITING_MAX &&
               !atomic_load(&shop.broken))
            sched_yield();
    }
    return NULL;
}

struct channel {
    pthread_t thread;
    struct random dice;
    struct client client;
    struct shared_credit shared;
    struct consumer consumers[CONSUMERS];
    struct settle held[HELD_MAX];
    size_t held_count;
};

static void
consumer_begin(struct channel *ch, struct consumer *c)
{
    static const uint32_t prefetches[] = { 1, 3, 20, PREFETCH_UNLIMITED };
    *c = consumer_of(&ch->client, shop.queue, "c");
    c->prefetch_left = prefetches[random_below(&ch->dice, COUNT(prefetches))];
    c->priority = (int64_t)random_below(&ch->dice, 2);
    c->shared = random_below(&ch->dice, 2) == 0 ? &ch->shared : NULL;
    list_init(&c->in_queue);
    list_init(&c->in_waiting);
    list_init(&c->in_channel);
    if (queue_consume(shop.queue, c) != CONSUME_DONE)
        atomic_store(&shop.broken, true);
}

static void
note_end(const struct settle *item)
{
    if (atomic_fetch_add(&shop.ended[message_number(item->entry.message)], 1) != 0)
        atomic_store(&shop.broken, true);
    atomic_fetch_add(&shop.over, 1);
}

/* The deliveries are over for the client, whichever way: shared credit is its channel's to give. */
static void
give_credit(struct channel *ch, const struct settle *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (items[i].consumer != NULL && items[i].consumer->shared != NULL)
            shared_credit_give(&ch->shared);
}

static void
retry_consumers(struct channel *ch)
{
    for (size_t i = 0; i < CONSUMERS; i++)
        queue_retry(shop.queue, &ch->consumers[i]);
}

/* Takes some of those that are held out of them, to `out`. */
static size_t
choose_held(struct channel *ch, struct settle *out)
{
    size_t count = 0;
    for (size_t i = 0; i < ch->held_count;) {
        if (random_below(&ch->dice, 2) == 0) {
            i++;
            continue;
        }
        out[count++] = ch->held[i];
        ch->held[i] = ch->held[--ch->held_count];
    }
    return count;
}

static void
settle_some(struct channel *ch)
{
    struct settle items[HELD_MAX];
    const size_t count = choose_held(ch, items);
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        note_end(&items[i]);
    give_credit(ch, items, count);
    queue_settle(shop.queue, items, count);
    retry_consumers(ch);
}

static void
requeue_some(struct channel *ch)
{
    struct settle items[HELD_MAX];
    struct departure departures[HELD_MAX];
    const size_t count = choose_held(ch, items);
    if (count == 0)
        return;
    give_credit(ch, items, count);
    for (size_t i = 0; i < count; i++)
        departures[i] = (struct departure){ .queue = shop.queue, .delivery = items[i] };
    queue_depart(shop.queue, departures, count);
    retry_consumers(ch);
}

/* Cancels one and starts it anew; half of the time what it was sent goes back as well. */
static void
restart_consumer(struct channel *ch)
{
    struct consumer *c = &ch->consumers[random_below(&ch->dice, CONSUMERS)];
    struct departure departures[HELD_MAX + 1] = { { .queue = shop.queue, .leaver = c } };
    size_t count = 1;
    const bool returns = random_below(&ch->dice, 2) == 0;
    for (size_t i = 0; i < ch->held_count;) {
        struct settle *item = &ch->held[i];
        if (item->consumer != c) {
            i++;
            continue;
        }
        give_credit(ch, item, 1);
        if (returns) {
            departures[count++] = (struct departure){ .queue = shop.queue, .delivery = *item };
            *item = ch->held[--ch->held_count];
        } else {
            item->consumer = NULL;
            i++;
        }
    }
    queue_depart(shop.queue, departures, count);
    for (size_t i = 0; i < ch->held_count; i++)
        if (ch->held[i].consumer == c)
            ch->held[i].consumer = NULL;
    consumer_begin(ch, c);
}

static void
take_delivery(struct channel *ch)
{
    struct delivery d;
    if (ch->held_count == HELD_MAX || !outbox_take(&ch->client.outbox, &d)) {
        sched_yield();
        return;
    }
    d.consumer->encoded += message_cost(d.entry.message);
    ch->held[ch->held_count++] =
        (struct settle){ .queue = shop.queue, .consumer = d.consumer, .entry = d.entry };
    if (d.consumer->encoded >= WINDOW / 2)
        queue_refill(shop.queue, d.consumer);
}

static void
get_one(struct channel *ch)
{
    struct entry e;
    size_t left;
    if (ch->held_count < HELD_MAX && queue_take_ready(shop.queue, &e, &left))
        ch->held[ch->held_count++] = (struct settle){ .queue = shop.queue, .entry = e };
}

static void
purge(void)
{
    const uint32_t count = (uint32_t)queue_purge(shop.queue);
    atomic_fetch_add(&shop.purged, count);
    atomic_fetch_add(&shop.over, count);
}

static void *
run_channel(void *argument)
{
    struct channel *ch = argument;
    for (size_t i = 0; i < CONSUMERS; i++)
        consumer_begin(ch, &ch->consumers[i]);
    while (atomic_load(&shop.over) < TOTAL && !atomic_load(&shop.broken)) {
        const size_t choice = random_below(&ch->dice, 30000);
        if (choice == 0)
            purge();
        else if (choice < 100)
            restart_consumer(ch);
        else if (choice < 1500)
            requeue_some(ch);
        else if (choice < 4500)
            settle_some(ch);
        else if (choice < 6000)
            get_one(ch);
        else
            take_delivery(ch);
    }
    for (size_t i = 0; i < CONSUMERS; i++)
        client_cancel(&ch->client, &ch->consumers[i]);
    return NULL;
}

static void
check_end(struct channel *channels)
{
    uint32_t ended = 0;
    assert_false(atomic_load(&shop.broken));
    for (size_t i = 0; i < TOTAL; i++)
        ended += shop.ended[i];
    printf("%u settled, %u purged\n", ended, shop.purged);
    assert_int_equal(ended + shop.purged, TOTAL);
    assert_counts(shop.queue, 0, 0, 0);
    assert_int_equal(shop.queue->ready_octets, 0);
    for (size_t i = 0; i < CHANNELS; i++) {
        assert_int_equal(atomic_load(&channels[i].shared.used), 0);
        for (size_t c = 0; c < CONSUMERS; c++)
            assert_int_equal(channels[i].consumers[c].window_used,
                             channels[i].consumers[c].encoded);
        client_fini(&channels[i].client);
    }
}

static struct queue_spec
shop_spec(bool durable)
{
    struct queue_spec spec = spec_named("q");
    spec.durable = durable;
    spec.effective.max_priority = 2;
    spec.window = WINDOW;
    return spec;
}

/* All threads from their beginning to their end. */
static void
run_threads(struct random *dice)
{
    static struct channel channels[CHANNELS];
    struct publisher publishers[PUBLISHERS];
    for (uint32_t i = 0; i < CHANNELS; i++) {
        channels[i] =
            (struct channel){ .dice = { random_next(dice) }, .shared.limit = SHARED_LIMIT };
        client_init(&channels[i].client);
        assert_int_equal(pthread_create(&channels[i].thread, NULL, run_channel, &channels[i]), 0);
    }
    for (uint32_t i = 0; i < PUBLISHERS; i++) {
        publishers[i] = (struct publisher){ .first = i * EACH, .dice = { random_next(dice) } };
        assert_int_equal(pthread_create(&publishers[i].thread, NULL, publish_all, &publishers[i]),
                         0);
    }
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        pthread_join(publishers[i].thread, NULL);
    for (uint32_t i = 0; i < CHANNELS; i++)
        pthread_join(channels[i].thread, NULL);
    check_end(channels);
}

/* With a durable queue the door is among what the threads meet in. */
static void
run_shop(const char *test, bool durable)
{
    struct random dice = random_start(test);
    struct door *door = door_create(engine_sim_create(0), UINT64_MAX, recorder_no_notify, NULL);
    struct vhost *vhost = vhost_create(BYTES_LITERAL("/"), door);
    const struct queue_spec spec = shop_spec(durable);
    memset(&shop, 0, sizeof(shop));
    shop.body_size = SIZE_SMALL;
    shop.queue = queue_create(vhost, door, &spec);
    run_threads(&dice);
    queue_unref(shop.queue);
    vhost_destroy(vhost);
    door_destroy(door);
}

/* The same with a pager and little memory. */
static void
run_paged_shop(const char *test, bool durable)
{
    static struct stage stage;
    struct random dice = random_start(test);
    const struct queue_spec spec = shop_spec(durable);
    memset(&stage, 0, sizeof(stage));
    shelf_init(&stage.shelf);
    stage_open(&stage, &spec);
    memset(&shop, 0, sizeof(shop));
    shop.body_size = SIZE_PAGED;
    shop.queue = stage.queue;
    run_threads(&dice);
    assert_true(atomic_load(&shop.paged));
    const uint64_t log = stage.queue->log;
    stage_close(&stage);
    assert_int_equal(sim_disk_summary(stage.shelf.disk, log).count, 0);
    shelf_fini(&stage.shelf);
}

static void
test_every_message_ends_once(void **state)
{
    (void)state;
    run_shop("test_every_message_ends_once", false);
}

static void
test_every_message_of_a_durable_queue_ends_once(void **state)
{
    (void)state;
    run_shop("test_every_message_of_a_durable_queue_ends_once", true);
}

static void
test_every_message_that_is_paged_ends_once(void **state)
{
    (void)state;
    run_paged_shop("test_every_message_that_is_paged_ends_once", false);
}

static void
test_every_message_of_a_durable_queue_that_is_paged_ends_once(void **state)
{
    (void)state;
    run_paged_shop("test_every_message_of_a_durable_queue_that_is_paged_ends_once", true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_ends_once),
        cmocka_unit_test(test_every_message_of_a_durable_queue_ends_once),
        cmocka_unit_test(test_every_message_that_is_paged_ends_once),
        cmocka_unit_test(test_every_message_of_a_durable_queue_that_is_paged_ends_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
