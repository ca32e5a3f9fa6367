/* Messages leave memory and come back: whatever a queue has been given comes out of it once, in
 * order, octet for octet, with little memory and a pager at work; and the store is told of it. */

#include "broker/core/queue.h"

#include "broker/core/record.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core_stage.h"

enum { LEVELS_MAX = 3, READY_MAX = 3000, OUT_MAX = 400, APPEND_MAX = 60 };

struct model_message {
    uint32_t number;
    bool redelivered;
};

/* What a queue holds by level, in order, and what is out. */
struct model {
    struct model_message ready[LEVELS_MAX][READY_MAX];
    size_t counts[LEVELS_MAX];
    unsigned levels;
    uint32_t last_number;
    struct entry out[OUT_MAX];
    uint32_t out_numbers[OUT_MAX];
    size_t out_count;
    size_t parted;     /* Deliveries that let go of their messages. */
    size_t paged_most; /* Ever seen. */
};

static struct stage stage;
static struct model model;
static struct random dice;

/* What decides how messages are made of their numbers. */
static unsigned levels;
static unsigned persistent_percent;

static uint64_t
spread(uint32_t number)
{
    struct random r = { number };
    return random_next(&r);
}

static uint8_t
level_of(uint32_t number)
{
    return (uint8_t)(spread(number) % levels);
}

static bool
is_persistent(uint32_t number)
{
    return (spread(number) >> 8) % 100 < persistent_percent;
}

/* Now and then about as large as what is referred to and not copied. */
static size_t
size_of(uint32_t number)
{
    static const size_t large[] = { 16383, 16384, 16385, 17000, 40000, 70000 };
    const uint64_t choice = spread(number) >> 16;
    if (choice % 20 == 0)
        return large[choice / 20 % COUNT(large)];
    return 8 + choice / 20 % 3000;
}

static size_t
model_ready(void)
{
    size_t count = 0;
    for (unsigned level = 0; level < levels; level++)
        count += model.counts[level];
    return count;
}

/* Keeps numbers in order, which is that of sequences. */
static void
model_insert(uint8_t level, struct model_message m)
{
    struct model_message *ready = model.ready[level];
    size_t place = model.counts[level]++;
    for (; place > 0 && ready[place - 1].number > m.number; place--)
        ready[place] = ready[place - 1];
    ready[place] = m;
}

static struct model_message
model_take(uint8_t *level)
{
    *level = (uint8_t)(levels - 1);
    while (model.counts[*level] == 0)
        --*level;
    const struct model_message m = model.ready[*level][0];
    memmove(model.ready[*level], model.ready[*level] + 1,
            --model.counts[*level] * sizeof(struct model_message));
    return m;
}

static struct message *
make_message(uint32_t number)
{
    struct message *m = stage_message(number, size_of(number), is_persistent(number));
    m->priority = level_of(number);
    return m;
}

static void
check_message(struct message *m, uint32_t number)
{
    stage_check_message(m, number, size_of(number), is_persistent(number));
}

static void
append_some(void)
{
    struct append items[APPEND_MAX];
    const size_t count = 1 + random_below(&dice, APPEND_MAX);
    if (model_ready() + count > READY_MAX)
        return;
    for (size_t i = 0; i < count; i++) {
        const uint32_t number = model.last_number + 1 + (uint32_t)i;
        items[i] = (struct append){
            .queue = stage.queue,
            .entry = { .message = make_message(number), .priority = level_of(number) },
        };
    }
    const size_t before = model_ready();
    queue_append(stage.queue, items, count);
    size_t taken = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t number = ++model.last_number;
        const bool fits = before + taken < stage.queue->limits.max_length;
        assert_int_equal(items[i].outcome, fits ? APPEND_DONE : APPEND_REJECTED);
        if (fits)
            model_insert(level_of(number), (struct model_message){ number, false });
        else
            message_unref(items[i].entry.message);
        taken += fits;
    }
    const size_t paged = stage_paged(&stage);
    model.paged_most = paged > model.paged_most ? paged : model.paged_most;
}

/* What a crash right now would forget: that a message was sent whose record it keeps. */
static void
check_watermark(const struct entry *e)
{
    const uint64_t log = stage.queue->log;
    if (e->is_durable && shelf_has(&stage.shelf, log + e->priority, e->sequence))
        assert_true(shelf_watermark(&stage.shelf, log) >= e->sequence);
}

static void
get_some(void)
{
    shelf_hold(&stage.shelf, false);
    for (size_t n = random_below(&dice, APPEND_MAX); n > 0; n--) {
        if (model_ready() == 0 || model.out_count == OUT_MAX)
            return;
        uint8_t level;
        const struct entry e = stage_get(&stage);
        const struct model_message m = model_take(&level);
        check_message(e.message, m.number);
        assert_int_equal(e.priority, level);
        assert_int_equal(e.redelivered, m.redelivered);
        assert_int_equal(e.is_durable, stage.queue->durable && is_persistent(m.number));
        check_watermark(&e);
        model.out_numbers[model.out_count] = m.number;
        model.out[model.out_count++] = e;
    }
}

static struct entry
take_out(uint32_t *number)
{
    const size_t which = random_below(&dice, model.out_count);
    const struct entry e = model.out[which];
    *number = model.out_numbers[which];
    model.out[which] = model.out[--model.out_count];
    model.out_numbers[which] = model.out_numbers[model.out_count];
    return e;
}

/* Those that the store has let go of their messages, as on a channel when memory is short. */
static void
part_some(void)
{
    for (size_t i = 0; i < model.out_count; i++) {
        struct entry *e = &model.out[i];
        if (!e->is_durable || e->is_absent || random_below(&dice, 4) == 0 ||
            !shelf_has(&stage.shelf, stage.queue->log + e->priority, e->sequence))
            continue;
        message_unref(entry_part(e));
        model.parted++;
    }
}

static void
settle_some(void)
{
    struct settle items[OUT_MAX];
    const size_t count = random_below(&dice, model.out_count + 1);
    uint32_t number;
    for (size_t i = 0; i < count; i++)
        items[i] = (struct settle){ .queue = stage.queue, .entry = take_out(&number) };
    queue_settle(stage.queue, items, count);
}

static void
requeue_some(void)
{
    struct departure departures[OUT_MAX];
    const size_t count = random_below(&dice, model.out_count + 1);
    if (model_ready() + count > READY_MAX)
        return;
    for (size_t i = 0; i < count; i++) {
        uint32_t number;
        const struct entry e = take_out(&number);
        departures[i] = (struct departure){
            .queue = stage.queue,
            .delivery = { .queue = stage.queue, .entry = e },
        };
        model_insert(e.priority, (struct model_message){ number, true });
    }
    queue_depart(stage.queue, departures, count);
}

static void
purge(void)
{
    assert_int_equal(queue_purge(stage.queue), model_ready());
    memset(model.counts, 0, sizeof(model.counts));
}

static void
random_step(bool grows)
{
    const size_t choice = random_below(&dice, 1000);
    if (choice < (grows ? 400u : 100u))
        append_some();
    else if (choice < 700)
        get_some();
    else if (choice < 850)
        settle_some();
    else if (choice < 950)
        requeue_some();
    else if (choice < 970)
        part_some();
    else if (choice < 990)
        shelf_hold(&stage.shelf, random_below(&dice, 2) == 0);
    else if (choice < 992)
        purge();
    assert_int_equal(queue_counts(stage.queue).ready, model_ready());
    assert_int_equal(queue_counts(stage.queue).unacked, model.out_count);
}

static void
open_stage(const char *test, bool durable, uint64_t max_length)
{
    struct queue_spec spec = spec_named("q");
    dice = random_start(test);
    memset(&model, 0, sizeof(model));
    memset(&stage, 0, sizeof(stage));
    spec.durable = durable;
    spec.effective.max_priority = (uint8_t)(levels - 1);
    if (max_length > 0) {
        spec.effective.max_length = max_length;
        spec.effective.overflow = OVERFLOW_REJECT_PUBLISH;
    }
    shelf_init(&stage.shelf);
    stage_open(&stage, &spec);
}

struct shelf_check {
    uint8_t level;
    size_t at;
};

/* A record of the store against the model: the next persistent one of its level. */
static bool
check_record(void *context, uint64_t sequence, struct bytes octets)
{
    struct shelf_check *c = context;
    const struct model_message *ready = model.ready[c->level];
    struct entry e = { .sequence = sequence };
    assert_true(record_decode(octets, &e));
    assert_int_equal(e.priority, c->level);
    while (c->at < model.counts[c->level] && !is_persistent(ready[c->at].number))
        c->at++;
    assert_true(c->at < model.counts[c->level]);
    check_message(e.message, ready[c->at++].number);
    message_unref(e.message);
    return true;
}

/* What the store holds at the end is what is left, no more and no less. */
static void
check_shelf(uint64_t first_log)
{
    for (unsigned level = 0; level < levels; level++) {
        struct shelf_check check = { .level = (uint8_t)level };
        shelf_visit(&stage.shelf, first_log + level, check_record, &check);
        for (; check.at < model.counts[level]; check.at++)
            assert_false(is_persistent(model.ready[level][check.at].number));
    }
}

static void
run(const char *test, bool durable, uint64_t max_length, int steps)
{
    open_stage(test, durable, max_length);
    const uint64_t first_log = stage.queue->log;
    for (int step = 0; step < steps; step++)
        random_step(step / 150 % 2 == 0);
    while (model.out_count > 0)
        requeue_some();
    if (random_below(&dice, 2) == 0) {
        while (model_ready() > 0) {
            get_some();
            settle_some();
        }
        while (model.out_count > 0)
            settle_some();
    }
    shelf_hold(&stage.shelf, false);
    printf("%u messages, %zu paged at most, %zu deliveries without messages, %zu left\n",
           model.last_number, model.paged_most, model.parted, model_ready());
    assert_true(model.paged_most > 0);
    stage_close(&stage);
    if (durable)
        check_shelf(first_log);
    shelf_fini(&stage.shelf);
}

static void
test_transient(void **state)
{
    (void)state;
    levels = 1;
    persistent_percent = 50; /* Without a log that means nothing. */
    run(__func__, false, 0, 1500);
}

static void
test_durable(void **state)
{
    (void)state;
    levels = 1;
    persistent_percent = 100;
    run(__func__, true, 0, 1500);
}

static void
test_mixed(void **state)
{
    (void)state;
    levels = 1;
    persistent_percent = 60;
    run(__func__, true, 0, 1500);
}

static void
test_mixed_priorities(void **state)
{
    (void)state;
    levels = LEVELS_MAX;
    persistent_percent = 50;
    run(__func__, true, 0, 1500);
}

static void
test_transient_priorities(void **state)
{
    (void)state;
    levels = LEVELS_MAX;
    persistent_percent = 0;
    run(__func__, false, 0, 1000);
}

static void
test_mixed_rejecting(void **state)
{
    (void)state;
    levels = 2;
    persistent_percent = 70;
    run(__func__, true, 700, 1500);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transient),
        cmocka_unit_test(test_durable),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_mixed_priorities),
        cmocka_unit_test(test_transient_priorities),
        cmocka_unit_test(test_mixed_rejecting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
