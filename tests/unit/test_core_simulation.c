/* A broker that is driven at random, that dies and starts again, hundreds of times: the program
 * and the disk follow from a seed. TEST_SEED repeats one run, and TEST_TRACE=1 tells what happens
 * in it; TEST_RUNS makes as many as it says. */

#include "broker/core/broker.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core_world_crash.h"

enum { RUNS = 400, STEPS = 250, BATCH_MAX = 40 };

/* What one run is like. */
static struct mood {
    size_t batch_max;
    size_t publish;
    size_t take;
    size_t commit;
    size_t crash; /* One in so many steps. */
} mood;

static struct incarnation *
pick_queue(uint32_t *home)
{
    const size_t name = dice_below(NAMES);
    if (world.current[name] == INCARNATIONS_MAX)
        return NULL;
    *home = world.current[name];
    return &world.incarnations[*home];
}

static void
choose_arguments(struct incarnation *x)
{
    struct buf *out = &x->arguments;
    x->max_length = x->ttl_ms = x->delivery_limit = NEVER;
    x->levels = 1;
    if (x->name == SINK)
        return;
    x->has_dead_letters = dice_one_in(2);
    if (x->has_dead_letters) {
        table_put_string(out, "x-dead-letter-exchange", BYTES_NONE);
        table_put_string(out, "x-dead-letter-routing-key", bytes_of_string(world_names[SINK]));
    }
    x->is_quorum = x->is_durable && dice_one_in(4);
    if (dice_one_in(3)) {
        x->delivery_limit = 1 + dice_below(3);
        table_put_integer(out, "x-delivery-limit", (int64_t)x->delivery_limit);
    }
    if (dice_one_in(3)) {
        x->max_length = 1 + dice_below(60);
        table_put_integer(out, "x-max-length", (int64_t)x->max_length);
    }
    if (!x->is_quorum && dice_one_in(3)) {
        x->levels = LEVELS;
        table_put_integer(out, "x-max-priority", LEVELS - 1);
    }
    if (x->max_length == NEVER && dice_one_in(3)) {
        x->ttl_ms = 100 * (1 + dice_below(20)) + 5;
        table_put_integer(out, "x-message-ttl", (int64_t)x->ttl_ms);
    }
    x->rejects = x->max_length != NEVER && dice_one_in(2);
    if (x->rejects)
        table_put_string(out, "x-overflow", BYTES_LITERAL("reject-publish"));
    if (x->is_quorum)
        table_put_string(out, "x-queue-type", BYTES_LITERAL("quorum"));
}

static void
declare(size_t name)
{
    struct amqp_exception ex = { 0 };
    bool created;
    uint64_t ticket;
    if (world.current[name] != INCARNATIONS_MAX || world.incarnation_count == INCARNATIONS_MAX)
        return;
    struct incarnation *x = &world.incarnations[world.incarnation_count];
    *x = (struct incarnation){ .name = name, .is_durable = !dice_one_in(4), .deleted = NEVER };
    choose_arguments(x);
    const struct queue_spec spec = {
        .name = bytes_of_string(world_names[name]),
        .arguments = buf_bytes(&x->arguments),
        .durable = x->is_durable,
        .window = 1u << 20,
    };
    if (!vhost_declare_queue(world.vhost, &spec, 1, &x->queue, &created, &ticket, &ex))
        fail_msg("%s", ex.text);
    assert_true(created);
    assert_int_equal(ticket, x->is_durable ? world.open_round : 0);
    TRACE("declare %s: durable %d, quorum %d, length %" PRIu64 " rejects %d, ttl %" PRIu64
          ", limit %" PRIu64 ", levels %d, dead letters %d\n",
          world_names[name], x->is_durable, x->is_quorum, x->max_length, x->rejects, x->ttl_ms,
          x->delivery_limit, x->levels, x->has_dead_letters);
    x->declared = world.open_round;
    x->log = x->queue->log;
    world.current[name] = world.incarnation_count++;
}

static void move_dead(void);

/* Whether some died that may have to be read again: of this queue, or, if NULL, of any. */
static bool
any_absent_dies(const struct incarnation *x)
{
    for (size_t i = 0; i < world.dying.count; i++) {
        const struct copy *c = &world.copies[world.dying.items[i]];
        if ((x == NULL || home_of(c) == x) && c->was_absent)
            return true;
    }
    return false;
}

static void
delete_queue(struct incarnation *x)
{
    struct amqp_exception ex;
    size_t ready;
    uint64_t ticket;
    if (any_absent_dies(x))
        move_dead(); /* Else it would go with the records of its queue. */
    const size_t expected = ready_total(x);
    assert_true(vhost_delete_queue(world.vhost, x->queue, false, false, &ready, &ticket, &ex));
    assert_int_equal(ready, expected);
    assert_int_equal(ticket, x->is_durable ? world.open_round : 0);
    TRACE("delete %s\n", world_names[x->name]);
    x->deleted = world.open_round;
    for (size_t level = 0; level < LEVELS; level++) {
        for (size_t i = 0; i < x->ready[level].count; i++)
            copy_settle(&world.copies[x->ready[level].items[i]]);
        x->ready[level].count = 0;
    }
    world.current[x->name] = INCARNATIONS_MAX;
}

static void
publish(struct incarnation *x, uint32_t home)
{
    struct append items[BATCH_MAX] = { 0 };
    /* Where being full is rejection, each is dealt with before the next. */
    const size_t count = x->rejects ? 1 : 1 + dice_below(mood.batch_max);
    uint8_t levels[BATCH_MAX];
    bool has_records = false;
    if (world.copy_count + count > COPIES_MAX / 2)
        return;
    for (size_t i = 0; i < count; i++) {
        levels[i] = (uint8_t)dice_below(x->levels);
        items[i].queue = x->queue;
        items[i].entry.message = message_make(++world.last_number);
        items[i].entry.message->priority = levels[i];
        items[i].entry.priority = levels[i];
    }
    const uint32_t first = world.last_number + 1 - (uint32_t)count;
    TRACE("publish %u to %u to %s\n", first, world.last_number, world_names[x->name]);
    const uint64_t ticket = queue_append(x->queue, items, count);
    for (size_t i = 0; i < count; i++) {
        const uint32_t number = first + (uint32_t)i;
        if (items[i].outcome == APPEND_REJECTED) {
            assert_true(x->rejects && queue_counts(x->queue).ready >= x->max_length);
            message_unref(items[i].entry.message);
            continue;
        }
        assert_int_equal(items[i].outcome, APPEND_DONE);
        const uint32_t copy = copy_new(number, home, levels[i], is_persistent(number));
        world.copies[copy].sequence = items[i].entry.sequence;
        has_records = has_records || world.copies[copy].is_durable;
        ready_add(copy);
    }
    settle_ticket_check(ticket, has_records);
}

static void
get(struct incarnation *x)
{
    struct entry e;
    size_t left;
    const enum get_outcome outcome = queue_get(x->queue, NULL, &e, &left);
    TRACE("get from %s: %d\n", world_names[x->name], (int)outcome);
    if (outcome == GET_DONE)
        model_send(x, &e);
    if (outcome == GET_EMPTY)
        model_catch_up(x, 0);
}

static void
consume(struct incarnation *x, uint32_t home)
{
    struct world_consumer *w = &world.consumers[dice_below(CONSUMERS)];
    if (w->is_active)
        return;
    *w = (struct world_consumer){
        .is_active = true,
        .home = home,
        .no_ack = dice_one_in(4),
        .prefetch = dice_one_in(3) ? 0 : 1 + (uint32_t)dice_below(20),
        .consumer = consumer_of(&world.client, x->queue, "c"),
    };
    w->consumer.prefetch_left = w->prefetch == 0 ? PREFETCH_UNLIMITED : w->prefetch;
    TRACE("consume %s, no_ack %d, prefetch %u\n", world_names[x->name], w->no_ack, w->prefetch);
    queue_ref(x->queue);
    consumer_start(&w->consumer);
}

/* Without looking what it was sent: that goes back. */
static void
cancel(void)
{
    struct world_consumer *w = &world.consumers[dice_below(CONSUMERS)];
    struct departure departure = { .queue = w->consumer.queue, .leaver = &w->consumer };
    if (!w->is_active)
        return;
    if (world.incarnations[w->home].ttl_ms != NEVER)
        world_look(); /* The time of what goes back is known from then on; which that is, is not. */
    if (!w->is_active)
        return;
    TRACE("cancel a consumer of %s\n", world_names[world.incarnations[w->home].name]);
    queue_depart(departure.queue, &departure, 1);
    consumer_forget(w);
}

static struct copy *
pick_out(void)
{
    const uint32_t start = world.copy_count == 0 ? 0 : (uint32_t)dice_below(world.copy_count);
    for (uint32_t i = 0; i < world.copy_count; i++) {
        struct copy *c = &world.copies[(start + i) % world.copy_count];
        if (c->state == COPY_OUT)
            return c;
    }
    return NULL;
}

static void
settle(void)
{
    for (size_t n = 1 + dice_below(mood.take); n > 0; n--) {
        struct copy *c = pick_out();
        if (c == NULL)
            return;
        /* What a deleted queue's delivery is without cannot be read any more. */
        copy_ack(c, dice_one_in(5) && (home_of(c)->deleted == NEVER || !c->was_absent));
        world_look();
    }
}

/* Deliveries that are out let go of what is committed, as channels do where memory is short. */
static void
part(void)
{
    for (uint32_t i = 0; i < world.copy_count; i++) {
        struct copy *c = &world.copies[i];
        if (c->state != COPY_OUT || !c->is_durable || c->entry.is_absent ||
            c->ticket > door_committed(world.door) || home_of(c)->deleted != NEVER ||
            dice_one_in(3))
            continue;
        assert_true(queue_can_recall(home_of(c)->queue));
        message_unref(entry_part(&c->entry));
        c->was_absent = true;
        world.parted++;
        TRACE("part with %u of %s\n", c->number, world_names[home_of(c)->name]);
    }
}

static void
requeue(void)
{
    struct copy *c = pick_out();
    if (c == NULL)
        return;
    struct incarnation *x = home_of(c);
    const uint32_t copy = (uint32_t)(c - world.copies);
    struct departure departure = {
        .queue = x->queue,
        .delivery = { .queue = x->queue, .consumer = c->consumer, .entry = c->entry },
    };
    for (size_t i = 0; i < CONSUMERS; i++)
        world.consumers[i].out_count -=
            world.consumers[i].is_active && &world.consumers[i].consumer == c->consumer;
    x->out_count--;
    TRACE("requeue %u to %s\n", c->number, world_names[x->name]);
    if (x->deleted != NEVER) {
        c->state = COPY_GONE;
    } else if (c->deliveries == x->delivery_limit) {
        copy_dies(copy); /* This time is not counted any more. */
    } else {
        c->redelivered = true;
        c->deliveries++;
        c->deliveries_min = c->deliveries;
        c->counted = world.open_round;
        ready_add(copy);
    }
    queue_depart(x->queue, &departure, 1);
}

static void
purge(struct incarnation *x)
{
    const size_t expected = ready_total(x);
    TRACE("purge %s\n", world_names[x->name]);
    assert_int_equal(queue_purge(x->queue), expected);
    for (size_t level = 0; level < LEVELS; level++) {
        for (size_t i = 0; i < x->ready[level].count; i++)
            copy_settle(&world.copies[x->ready[level].items[i]]);
        x->ready[level].count = 0;
    }
}

/* Dead letters arrive, in the order in which they died. */
static void
move_dead(void)
{
    world_look();
    const uint32_t home = world.current[SINK];
    struct incarnation *sink = home == INCARNATIONS_MAX ? NULL : &world.incarnations[home];
    uint64_t sequence = sink == NULL ? 0 : sink->queue->next_sequence;
    if (world.copy_count + world.dying.count > COPIES_MAX)
        return;
    if (door_has_failed(world.door) && any_absent_dies(NULL))
        return; /* It cannot be read any more. */
    TRACE("move dead letters\n");
    dead_letters_step(world.broker.dead_letters);
    for (size_t i = 0; i < world.dying.count; i++) {
        struct copy *c = &world.copies[world.dying.items[i]];
        copy_settle(c);
        if (sink == NULL)
            continue;
        c->target = copy_new(c->number, home, 0, is_persistent(c->number));
        world.copies[c->target].sequence = sequence++;
        ready_add(c->target);
    }
    if (sink != NULL)
        assert_int_equal(sink->queue->next_sequence, sequence);
    world.dying.count = 0;
}

static void
set_time(uint64_t now_ms)
{
    world.now_ms = now_ms;
    clock_hold(now_ms * 1000000);
}

/* Everything happens at the 90th millisecond of some tenth of a second, and expires at the 95th.
 * The pager, which does not look at a queue all the time, gets what it needs until the next. */
static void
pass_time(void)
{
    const uint64_t before = world.now_ms + 100 * dice_below(6);
    for (uint64_t now_ms = before + 9; now_ms < before + 100; now_ms += 11) {
        TRACE("time %" PRIu64 "\n", now_ms);
        set_time(now_ms);
        world_idle();
    }
    set_time(before + 100);
}

static void
page(void)
{
    const bool moved = pager_step(world.pager);
    TRACE("page: %d\n", moved);
}

static void step(void);

/* Ends do not come in between. */
static void
go_on(void)
{
    const size_t crash = mood.crash;
    mood.crash = SIZE_MAX;
    for (size_t n = dice_below(40); n > 0; n--)
        step();
    mood.crash = crash;
}

static void
end_run(void)
{
    const size_t choice = dice_below(6);
    if (choice == 0) {
        move_dead();
        world_look();
        world_restart();
    } else if (choice == 5) {
        world_fail(go_on);
    } else {
        world_crash(choice < 3 ? SIM_CRASH_PROCESS : SIM_CRASH_POWER, dice_one_in(2));
    }
}

static void
act_on_queue(size_t choice)
{
    uint32_t home;
    struct incarnation *x = pick_queue(&home);
    if (x == NULL)
        declare(dice_below(NAMES));
    else if (choice < mood.publish)
        publish(x, home);
    else if (choice < 70)
        get(x);
    else if (choice < 90)
        consume(x, home);
    else if (choice < 97)
        purge(x);
    else
        delete_queue(x);
}

static void
step(void)
{
    const size_t choice = dice_below(100);
    if (choice < 45)
        act_on_queue(dice_below(100));
    else if (choice < 60)
        settle();
    else if (choice < 66)
        requeue();
    else if (choice < 68)
        cancel();
    else if (choice < 70)
        part();
    else if (choice < 70 + mood.commit)
        world_commit(dice_one_in(10));
    else if (choice < 92)
        page();
    else if (choice < 97)
        move_dead();
    else
        pass_time();
    world_look();
    if (dice_one_in(mood.crash))
        end_run();
}

static void
print_stuck(const struct incarnation *x)
{
    const struct queue_counts counts = queue_counts(x->queue);
    printf("%s: model has %zu ready and %zu out, the queue %zu, %zu, and %zu consumers\n",
           world_names[x->name], ready_total(x), x->out_count, counts.ready, counts.unacked,
           counts.consumers);
}

/* Everything goes out and is settled; then nothing is left, neither here nor on the disk. */
static void
drain(void)
{
    uint32_t left = 1;
    for (int i = 0; left > 0 && i < 10000; i++) {
        struct copy *c;
        left = 0;
        world_idle();
        move_dead();
        world_look();
        while ((c = pick_out()) != NULL) {
            copy_ack(c, false);
            world_look();
        }
        for (size_t name = 0; name < NAMES; name++) {
            if (world.current[name] == INCARNATIONS_MAX)
                continue;
            struct incarnation *x = &world.incarnations[world.current[name]];
            for (size_t n = ready_total(x); n > 0; n--)
                get(x);
            left += (uint32_t)(ready_total(x) + x->out_count);
        }
        left += (uint32_t)world.dying.count;
    }
    for (size_t name = 0; left > 0 && name < NAMES; name++)
        if (world.current[name] != INCARNATIONS_MAX)
            print_stuck(&world.incarnations[world.current[name]]);
    assert_int_equal(left, 0);
    world_commit(true);
    world_crash(SIM_CRASH_POWER, false);
    world_idle();
    for (size_t name = 0; name < NAMES; name++)
        if (world.current[name] != INCARNATIONS_MAX)
            assert_int_equal(ready_total(&world.incarnations[world.current[name]]), 0);
}

static void
begin(uint64_t seed)
{
    struct client client = world.client;
    char directory[sizeof(world.directory)];
    memcpy(directory, world.directory, sizeof(directory));
    memset(&world, 0, offsetof(struct world, copies));
    world.client = client;
    memcpy(world.directory, directory, sizeof(directory));
    world.dice = (struct random){ seed };
    world.is_traced = getenv("TEST_TRACE") != NULL;
    world.copy_count = world.incarnation_count = world.last_number = 0;
    world.dying = (struct copy_list){ 0 };
    world.crashes = world.delivered = world.parted = 0;
    set_time(1000090);
    for (size_t name = 0; name < NAMES; name++)
        world.current[name] = INCARNATIONS_MAX;
    world.size_max = dice_one_in(2) ? 60 : 4000;
    config_init(&world.config);
    world.config.limits.message_memory = 64 * 1024;
    mood = (struct mood){
        .batch_max = 1 + dice_below(BATCH_MAX),
        .publish = 10 + dice_below(40),
        .take = 1 + dice_below(10),
        .commit = 1 + dice_below(15),
        .crash = 10 + dice_below(90),
    };
    world.disk = sim_disk_create(&(const struct sim_options){ .seed = seed });
    world_start();
}

static void
end(void)
{
    world_stop();
    for (uint32_t i = 0; i < world.incarnation_count; i++) {
        buf_fini(&world.incarnations[i].arguments);
        for (size_t level = 0; level < LEVELS; level++)
            mem_free(world.incarnations[i].ready[level].items);
    }
    mem_free(world.dying.items);
    sim_disk_destroy(world.disk);
}

static void
test_a_broker_that_dies(void **state)
{
    (void)state;
    struct random seeds = random_start(__func__);
    const char *given = getenv("TEST_RUNS");
    const bool is_one = getenv("TEST_SEED") != NULL && given == NULL;
    const unsigned long runs = is_one ? 1 : given != NULL ? strtoul(given, NULL, 0) : RUNS;
    uint64_t crashes = 0;
    uint64_t delivered = 0;
    uint64_t parted = 0;
    snprintf(world.directory, sizeof(world.directory), "/tmp/rail-test-sim-%d", (int)getpid());
    client_init(&world.client);
    log_set_level((enum log_level)(LOG_LEVEL_ERROR + 1));
    for (unsigned long run = 0; run < runs; run++) {
        const uint64_t seed = run == 0 ? seeds.state : random_next(&seeds);
        printf("%s: TEST_SEED=%" PRIu64 "\n", __func__, seed);
        fflush(stdout);
        begin(seed);
        for (int i = 0; i < STEPS; i++)
            step();
        drain();
        crashes += world.crashes;
        delivered += world.delivered;
        parted += world.parted;
        end();
    }
    printf("%lu runs, %" PRIu64 " ends, %" PRIu64 " deliveries, %" PRIu64 " without messages\n",
           runs, crashes, delivered, parted);
    client_fini(&world.client);
    clock_hold(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_broker_that_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
