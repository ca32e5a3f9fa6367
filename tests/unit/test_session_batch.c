/* The batch of a worker: whatever is collected for many queues, each gets its own, once, in order
 * of arrival. */

#include "broker/session/batch.h"

#include "broker/session/channel.h"
#include "broker/session/worker.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"

enum { QUEUES = 60, STEPS = 20000, FANOUT_MAX = 12 };

struct shop {
    struct random dice;
    struct worker worker;
    struct channel channel;
    struct queue *queues[QUEUES];
    struct entry *out[QUEUES]; /* Got and not settled. */
    size_t out_count[QUEUES];
    uint32_t *expected[QUEUES]; /* Numbers, in order, from `taken` on. */
    size_t expected_count[QUEUES];
    size_t taken[QUEUES];
};

static struct shop shop;

/* The first queue gets a share of everything, beside others of which some get all but nothing. */
static size_t
some_queue(void)
{
    if (random_below(&shop.dice, 3) == 0)
        return 0;
    return random_below(&shop.dice, 1 + random_below(&shop.dice, QUEUES));
}

static void
publish_one(uint32_t number)
{
    struct route *route = mem_alloc_zeroed(sizeof(*route) + FANOUT_MAX * sizeof(struct queue *));
    for (size_t n = random_below(&shop.dice, FANOUT_MAX); n > 0; n--) {
        const size_t which = some_queue();
        bool is_new = true;
        for (uint32_t i = 0; i < route->queue_count; i++)
            is_new = is_new && route->queues[i] != shop.queues[which];
        if (!is_new)
            continue;
        route->queues[route->queue_count++] = shop.queues[which];
        shop.expected[which][shop.expected_count[which]++] = number;
    }
    if (shop.worker.batch.publish_count == BATCH_PUBLISHES_MAX)
        batch_flush(&shop.worker);
    batch_publish(&shop.worker, &shop.channel, route, message_sized(number, 8, true), 0);
    mem_free(route);
}

/* What has come is what was published to it, in order. */
static void
take_all(size_t which)
{
    struct entry e;
    size_t left;
    while (queue_take_ready(shop.queues[which], &e, &left)) {
        assert_true(shop.taken[which] < shop.expected_count[which]);
        assert_int_equal(message_number(e.message), shop.expected[which][shop.taken[which]++]);
        shop.out[which][shop.out_count[which]++] = e;
    }
}

static void
settle_some(size_t which)
{
    for (size_t n = random_below(&shop.dice, shop.out_count[which] + 1); n > 0; n--) {
        const size_t at = random_below(&shop.dice, shop.out_count[which]);
        queue_ref(shop.queues[which]);
        batch_settle(&shop.worker,
                     &(struct settle){ .queue = shop.queues[which], .entry = shop.out[which][at] });
        shop.out[which][at] = shop.out[which][--shop.out_count[which]];
    }
}

static void
check_all(void)
{
    batch_flush(&shop.worker);
    for (size_t i = 0; i < QUEUES; i++) {
        take_all(i);
        assert_int_equal(shop.taken[i], shop.expected_count[i]);
        assert_counts(shop.queues[i], 0, shop.out_count[i], 0);
    }
}

static void
shop_open(struct vhost *vhost, struct door *door, const char *test)
{
    memset(&shop, 0, sizeof(shop));
    shop.dice = random_start(test);
    for (size_t i = 0; i < QUEUES; i++) {
        struct queue_spec spec = spec_named("q");
        spec.durable = i % 2 == 0;
        shop.queues[i] = queue_create(vhost, door, &spec);
        shop.expected[i] = mem_alloc_zeroed(STEPS * sizeof(uint32_t));
        shop.out[i] = mem_alloc_zeroed(STEPS * sizeof(struct entry));
    }
    batch_init(&shop.worker.batch);
    route_cache_init(&shop.worker.routes);
}

static void
shop_close(void)
{
    for (size_t i = 0; i < QUEUES; i++) {
        while (shop.out_count[i] > 0)
            settle_some(i);
        batch_flush(&shop.worker);
        queue_unref(shop.queues[i]);
        mem_free(shop.expected[i]);
        mem_free(shop.out[i]);
    }
    batch_fini(&shop.worker.batch);
    route_cache_fini(&shop.worker.routes);
}

static void
test_each_queue_gets_its_own(void **state)
{
    (void)state;
    struct door *door = door_create(engine_sim_create(0), UINT64_MAX, recorder_no_notify, NULL);
    struct vhost *vhost = vhost_create(BYTES_LITERAL("/"), door);
    shop_open(vhost, door, __func__);
    for (uint32_t step = 0; step < STEPS; step++) {
        const size_t choice = random_below(&shop.dice, 1000);
        if (choice < 950)
            publish_one(step);
        else if (choice < 990)
            settle_some(some_queue());
        else if (choice < 998)
            batch_flush(&shop.worker);
        else
            check_all();
    }
    check_all();
    shop_close();
    vhost_destroy(vhost);
    door_destroy(door);
    assert_no_messages();
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_queue_gets_its_own) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
