/* What a durable queue tells the store: a record for each persistent message it takes, a settlement
 * for each that has ended, never before its record; and what limits and purging do to both. */

#include "broker/core/queue.h"

#include "broker/core/record.h"
#include "persistence/rows.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core.h"

struct fixture {
    struct recorder recorder;
    struct door *door;
    struct vhost *vhost;
    struct queue *queue;
};

static struct fixture f;

static int
setup(void **state)
{
    (void)state;
    f.door = recorder_open(&f.recorder);
    f.vhost = vhost_create(BYTES_LITERAL("/"), f.door);
    struct queue_spec spec = spec_named("q");
    spec.durable = true;
    f.queue = queue_create(f.vhost, f.door, &spec);
    return 0;
}

/* Ends the queue and closes the door: after this the recorder may be looked at. */
static void
finish(void)
{
    f.vhost->is_closing = true;
    end_queue(f.queue);
    vhost_destroy(f.vhost);
    door_destroy(f.door);
}

static int
teardown(void **state)
{
    (void)state;
    recorder_fini(&f.recorder);
    assert_no_messages();
    return 0;
}

static struct entry
get_one(void)
{
    struct entry e;
    size_t left;
    assert_true(queue_take_ready(f.queue, &e, &left));
    return e;
}

static uint64_t
settle_one(const struct entry *e)
{
    const struct settle item = { .queue = f.queue, .entry = *e };
    return queue_settle(f.queue, &item, 1);
}

/* What became of each message by what was written: its record's sequence and round, and the round
 * that settled it. Messages are numbered below STORY_MAX. */
#define STORY_MAX 100

struct story {
    uint64_t sequence;
    uint64_t recorded;
    uint64_t settled;
};

static struct story stories[STORY_MAX];

static void
read_records(const struct written *w)
{
    struct bytes rest = buf_bytes(&w->effect.payload);
    uint32_t count = 0;
    while (rest.size > 0) {
        struct entry e = { 0 };
        const uint32_t size = load_be32(rest.data);
        assert_true(record_decode(bytes_of(rest.data, size), &e));
        struct message *m = e.message;
        struct story *s = &stories[message_number(m)];
        assert_int_equal(s->recorded, 0);
        s->sequence = w->effect.sequence + load_be32(rest.data + 4);
        s->recorded = w->round;
        message_unref(m);
        rest = bytes_of(rest.data + size, rest.size - size);
        count++;
    }
    assert_int_equal(count, w->effect.count);
}

static void
note_settled(uint64_t sequence, uint64_t round)
{
    struct story *found = NULL;
    for (size_t s = 0; s < STORY_MAX; s++)
        if (stories[s].recorded != 0 && stories[s].sequence == sequence)
            found = &stories[s];
    assert_non_null(found); /* Its record has been written before. */
    assert_int_equal(found->settled, 0);
    found->settled = round;
}

static void
read_settlement(const struct written *w)
{
    struct bytes payload = buf_bytes(&w->effect.payload);
    struct settled_run run;
    uint32_t count = 0;
    for (; settled_run_next(&payload, &run); count++)
        for (uint32_t i = 0; i < run.count; i++)
            note_settled(run.first + i, w->round);
    assert_int_equal(payload.size, 0);
    assert_int_equal(count, w->effect.count);
}

static void
read_stories(void)
{
    memset(stories, 0, sizeof(stories));
    for (size_t i = 0; i < f.recorder.count; i++) {
        const struct written *w = &f.recorder.items[i];
        assert_int_equal(w->effect.log, 1); /* The first that the door gave away. */
        if (w->effect.kind == EFFECT_RECORDS)
            read_records(w);
        else if (w->effect.kind == EFFECT_SETTLE)
            read_settlement(w);
    }
}

static void
assert_story(uint32_t number, bool recorded, bool settled)
{
    assert_int_equal(stories[number].recorded != 0, recorded);
    assert_int_equal(stories[number].settled != 0, settled);
}

static void
test_records_and_settlements(void **state)
{
    (void)state;
    struct append items[3];
    for (uint32_t i = 0; i < 3; i++)
        items[i] =
            (struct append){ .queue = f.queue, .entry.message = message_sized(i, 8, i != 1) };
    const uint64_t ticket = queue_append(f.queue, items, 3);
    assert_true(ticket > 0);
    const struct entry first = get_one();
    const struct entry transient = get_one();
    assert_true(first.is_durable);
    assert_false(transient.is_durable);
    assert_int_equal(settle_one(&transient), 0);
    assert_true(settle_one(&first) >= ticket);
    finish();
    read_stories();
    assert_story(0, true, true);
    assert_story(1, false, false);
    assert_story(2, true, false);
    assert_int_equal(stories[0].recorded, ticket);
    assert_int_equal(stories[2].sequence, stories[0].sequence + 2);
}

static void
test_transient_messages_have_no_ticket(void **state)
{
    (void)state;
    struct append item = { .queue = f.queue, .entry.message = message_sized(1, 8, false) };
    assert_int_equal(queue_append(f.queue, &item, 1), 0);
    assert_int_equal(queue_purge(f.queue), 1);
    finish();
    assert_int_equal(f.recorder.count, 0);
}

static void
test_purged_messages_are_settled(void **state)
{
    (void)state;
    queue_add_run(f.queue, 0, 9);
    const struct entry out = get_one();
    assert_int_equal(queue_purge(f.queue), 9);
    assert_counts(f.queue, 0, 1, 0);
    struct departure back = { .queue = f.queue, .delivery = { .queue = f.queue, .entry = out } };
    queue_depart(f.queue, &back, 1);
    finish();
    read_stories();
    assert_story(0, true, false);
    for (uint32_t i = 1; i < 10; i++)
        assert_story(i, true, true);
}

/* Drop-head: the oldest go, and are settled; what is out does not count. */
static void
test_drop_head(void **state)
{
    (void)state;
    f.queue->limits.max_length = 3;
    queue_add_run(f.queue, 0, 9);
    assert_counts(f.queue, 3, 0, 0);
    const struct entry out = get_one();
    queue_add(f.queue, 10);
    queue_add(f.queue, 11);
    assert_counts(f.queue, 3, 1, 0);
    settle_one(&out);
    assert_ready(f.queue, "9 10 11");
    finish();
    read_stories();
    for (uint32_t i = 0; i < 12; i++)
        assert_story(i, true, true);
}

static void
test_drop_head_by_octets(void **state)
{
    (void)state;
    f.queue->limits.max_length_bytes = 100;
    static const size_t sizes[] = { 50, 40, 10, 60, 101, 5, 100, 4 };
    static const char *const expected[] = { "0", "0 1", "0 1 2", "2 3", "", "5", "6", "7" };
    for (uint32_t i = 0; i < COUNT(sizes); i++) {
        struct append item = { .queue = f.queue,
                               .entry.message = message_sized(i, sizes[i], true) };
        queue_append(f.queue, &item, 1);
        assert_int_equal(item.outcome, APPEND_DONE);
        char text[32] = "";
        struct entry kept[4];
        size_t count = 0;
        size_t left = 1;
        while (queue_take_ready(f.queue, &kept[count], &left))
            count++;
        for (size_t k = 0; k < count; k++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u", k > 0 ? " " : "",
                     message_number(kept[k].message));
        assert_string_equal(text, expected[i]);
        for (size_t k = 0; k < count; k++) {
            struct departure back = { .queue = f.queue,
                                      .delivery = { .queue = f.queue, .entry = kept[k] } };
            queue_depart(f.queue, &back, 1);
        }
    }
    finish();
    read_stories();
    for (uint32_t i = 0; i < 7; i++)
        assert_story(i, true, true);
    assert_story(7, true, false);
}

/* Reject-publish: what does not fit leaves no trace. */
static void
test_rejected_messages_have_no_record(void **state)
{
    (void)state;
    f.queue->limits.max_length = 2;
    f.queue->limits.overflow = OVERFLOW_REJECT_PUBLISH;
    struct append items[4];
    for (uint32_t i = 0; i < 4; i++)
        items[i] = (struct append){ .queue = f.queue, .entry.message = message_sized(i, 8, true) };
    queue_append(f.queue, items, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(items[i].outcome, i < 2 ? APPEND_DONE : APPEND_REJECTED);
        if (i >= 2)
            message_unref(items[i].entry.message);
    }
    finish();
    read_stories();
    for (uint32_t i = 0; i < 4; i++)
        assert_story(i, i < 2, false);
}

/* Room that a consumer makes within one append is used by what comes later in it. */
static void
test_a_waiting_consumer_makes_room(void **state)
{
    (void)state;
    static struct client client;
    client_init(&client);
    struct consumer a = consumer_of(&client, f.queue, "a");
    a.prefetch_left = 3;
    f.queue->limits.max_length = 1;
    f.queue->limits.overflow = OVERFLOW_REJECT_PUBLISH;
    consumer_start(&a);
    struct append items[6];
    for (uint32_t i = 0; i < 6; i++)
        items[i] = (struct append){ .queue = f.queue, .entry.message = message_sized(i, 8, true) };
    queue_append(f.queue, items, 6);
    assert_int_equal(items[3].outcome, APPEND_DONE);
    for (uint32_t i = 4; i < 6; i++) {
        assert_int_equal(items[i].outcome, APPEND_REJECTED);
        message_unref(items[i].entry.message);
    }
    assert_deliveries(&client, "a0 a1 a2");
    client_ack(&client, 1);
    client_cancel(&client, &a);
    client_ack(&client, 0);
    client_requeue(&client, 2);
    client_fini(&client);
    finish();
    read_stories();
    assert_story(0, true, true);
    assert_story(1, true, true);
    assert_story(2, true, false);
    assert_story(3, true, false);
}

/* A log that ended is gone as a whole: nothing is settled in it afterwards. */
static void
test_the_end_of_the_log(void **state)
{
    (void)state;
    struct queue_remains remains = { 0 };
    struct amqp_exception ex;
    queue_add_run(f.queue, 0, 4);
    const struct entry out = get_one();
    const struct entry back = get_one();
    assert_true(queue_end(f.queue, false, false, &remains, &ex));
    assert_int_equal(remains.count, 3);
    queue_release_remains(f.queue, &remains);
    assert_int_equal(settle_one(&out), 0);
    struct departure departure = { .queue = f.queue,
                                   .delivery = { .queue = f.queue, .entry = back } };
    queue_depart(f.queue, &departure, 1);
    assert_int_equal(queue_add(f.queue, 5), APPEND_GONE);
    finish();
    read_stories();
    assert_int_equal(f.recorder.items[f.recorder.count - 1].effect.kind, EFFECT_LOG_END);
    assert_int_equal(f.recorder.count, 2);
}

#define RECORDS_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDS_TEST(test_records_and_settlements),
        RECORDS_TEST(test_transient_messages_have_no_ticket),
        RECORDS_TEST(test_purged_messages_are_settled),
        RECORDS_TEST(test_drop_head),
        RECORDS_TEST(test_drop_head_by_octets),
        RECORDS_TEST(test_rejected_messages_have_no_record),
        RECORDS_TEST(test_a_waiting_consumer_makes_room),
        RECORDS_TEST(test_the_end_of_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
