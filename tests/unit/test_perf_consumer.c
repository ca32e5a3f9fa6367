#include "broker/perf/perf_consumer.h"

#include "broker/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A consumer on one end of a socket pair; the test plays the broker and hands it octets. */
struct scene {
    struct perf_options options;
    struct perf_topology topology;
    struct perf_shared shared;
    struct perf_worker worker;
    struct perf_connection connection;
    struct perf_consumer *consumer;
    int peer;
    struct buf stream; /* What the broker sends. */
    struct buf rest;   /* What the consumer left over. */
};

static const struct perf_options options_default = {
    .queue_pattern = "q%d",
    .queue_from = 1,
    .exchange = "",
    .type = "direct",
    .producers = 1,
    .producer_channels = 1,
    .consumers = 1,
    .consumer_channels = 2,
    .size = 100,
    .queue_to = 4, /* Two queues a channel. */
    .ack_every = 10,
};

static void
frame(struct buf *out, uint8_t type, uint16_t channel, const void *payload, size_t size)
{
    uint8_t *at = buf_reserve(out, size + AMQP_FRAME_OVERHEAD);
    amqp_frame_head_encode(at, type, channel, (uint32_t)size);
    if (size > 0)
        memcpy(at + AMQP_FRAME_HEAD_SIZE, payload, size);
    at[AMQP_FRAME_HEAD_SIZE + size] = AMQP_FRAME_END;
    out->size += size + AMQP_FRAME_OVERHEAD;
}

static void
method(struct buf *out, uint16_t channel, const union amqp_method *m)
{
    uint8_t payload[512];
    struct wire_writer w = wire_writer_of(payload, amqp_method_size(m));
    amqp_method_encode(&w, m);
    frame(out, AMQP_FRAME_METHOD, channel, payload, amqp_method_size(m));
}

static void
deliver(struct buf *out, uint16_t channel, const char *tag, uint64_t delivery_tag, bool redelivered)
{
    const union amqp_method m = { .basic_deliver = { .id = AMQP_ID_basic_deliver,
                                                     .consumer_tag = bytes_of_string(tag),
                                                     .delivery_tag = delivery_tag,
                                                     .redelivered = redelivered,
                                                     .routing_key = BYTES_LITERAL("q1") } };
    method(out, channel, &m);
}

static void
header(struct buf *out, uint16_t channel, uint64_t body_size)
{
    uint8_t payload[14] = { 0, 60 };
    store_be64(payload + 4, body_size);
    frame(out, AMQP_FRAME_HEADER, channel, payload, sizeof(payload));
}

/* A body of `size` octets, 16 at least, in frames of at most `chunk`. */
static void
body(struct buf *out, uint16_t channel, uint64_t word, size_t size, size_t chunk)
{
    uint8_t *octets = calloc(1, size);
    store_be64(octets, clock_monotonic_ns());
    store_be64(octets + 8, word);
    for (size_t at = 0; at < size; at += chunk)
        frame(out, AMQP_FRAME_BODY, channel, octets + at, size - at < chunk ? size - at : chunk);
    free(octets);
}

static uint64_t
word_of(const struct scene *s, uint64_t number)
{
    return perf_stamp_source(s->shared.run_tag, 0) << PERF_STAMP_NUMBER_BITS | number;
}

static void
scene_init(struct scene *s, const struct perf_options *o)
{
    int fds[2];
    struct perf_error error = { "" };
    *s = (struct scene){ .options = *o };
    assert_true(perf_topology_init(&s->topology, &s->options, &error));
    s->shared = (struct perf_shared){
        .options = &s->options, .topology = &s->topology, .run_tag = 7, .event_fd = -1
    };
    lock_init(&s->shared.lock);
    assert_true(perf_worker_init(&s->worker, &s->shared, &perf_role_consumer, &error));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    s->peer = fds[1];
    s->connection = (struct perf_connection){ .fd = fds[0], .frame_max = 4096 };
    struct buf replies = { 0 };
    const union amqp_method open_ok = { .id = AMQP_ID_channel_open_ok };
    for (uint16_t i = 1; i <= o->consumer_channels; i++)
        method(&replies, i, &open_ok);
    assert_int_equal(write(s->peer, replies.data, replies.size), replies.size);
    buf_fini(&replies);
    s->consumer = perf_consumer_create(&s->worker, &s->connection, 0, &error);
    assert_non_null(s->consumer);
    perf_role_consumer.start(s->worker.links[0]);
    /* With nothing to read, this only sets the budget. */
    perf_role_consumer.pump(s->worker.links[0], clock_monotonic_ns());
}

static void
scene_fini(struct scene *s)
{
    perf_link_release(s->worker.links[0]);
    perf_consumer_destroy(s->consumer);
    s->connection.broken = true;
    perf_connection_await_close(&s->connection);
    perf_worker_fini(&s->worker);
    perf_topology_fini(&s->topology);
    lock_fini(&s->shared.lock);
    close(s->peer);
    buf_fini(&s->stream);
    buf_fini(&s->rest);
}

/* Hands the stream over in pieces of at most `piece` octets, each in an exact-size block. */
static void
scene_feed(struct scene *s, size_t piece)
{
    struct perf_link *link = s->worker.links[0];
    for (size_t at = 0; at < s->stream.size && !link->failed; at += piece) {
        const size_t size = s->stream.size - at < piece ? s->stream.size - at : piece;
        const size_t have = s->rest.size;
        uint8_t *input = malloc(have + size);
        if (have > 0)
            memcpy(input, s->rest.data, have);
        memcpy(input + have, s->stream.data + at, size);
        const uint8_t *stop =
            perf_role_consumer.parse(link, input, input + have + size, clock_monotonic_ns());
        s->rest.size = 0;
        buf_append(&s->rest, stop, (size_t)(input + have + size - stop));
        free(input);
    }
    s->stream.size = 0;
}

static struct perf_order_totals
scene_order(const struct scene *s)
{
    struct perf_order_totals totals = { 0 };
    perf_consumer_sum(s->consumer, &totals);
    return totals;
}

/* All shapes of deliveries, at every way of cutting the stream. */
static void
test_deliveries_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 700; piece += piece < 64 ? 1 : 61) {
        struct scene s;
        scene_init(&s, &options_default);
        struct buf *out = &s.stream;
        deliver(out, 1, "00000000", 1, false);
        header(out, 1, 100);
        body(out, 1, word_of(&s, 0), 100, 100);
        deliver(out, 1, "00000001", 2, true); /* Its other queue. */
        header(out, 1, 16);
        body(out, 1, word_of(&s, 0), 16, 16);
        frame(out, AMQP_FRAME_HEARTBEAT, 0, NULL, 0);
        deliver(out, 1, "00000000", 3,
                false); /* Several body frames, and another channel between. */
        header(out, 1, 300);
        deliver(out, 2, "00000000", 1, true);
        header(out, 2, 40);
        body(out, 1, word_of(&s, 1), 300, 128);
        body(out, 2, word_of(&s, 0), 40, 40);
        deliver(out, 2, "00000001", 2, false); /* No body. */
        header(out, 2, 0);
        scene_feed(&s, piece);
        const struct perf_order_totals order = scene_order(&s);
        assert_false(s.worker.links[0]->failed);
        assert_int_equal(s.rest.size, 0);
        assert_int_equal(s.worker.counters.consumed, 5);
        assert_int_equal(s.worker.counters.redelivered, 2);
        assert_int_equal(histogram_count(&s.worker.latency), 4);
        assert_true(order.watched);
        assert_int_equal(order.lost + order.duplicates + order.out_of_order + order.foreign, 0);
        scene_fini(&s);
    }
}

static void
check_acks(bool reject)
{
    struct perf_options o = options_default;
    struct scene s;
    o.reject = reject;
    scene_init(&s, &o);
    struct perf_link *link = s.worker.links[0];
    link->writable = false; /* So that acknowledgements stay where we can see them. */
    link->out.size = 0;
    for (uint64_t i = 1; i <= 25; i++) {
        deliver(&s.stream, 1, "00000000", i, false);
        header(&s.stream, 1, 100);
        body(&s.stream, 1, word_of(&s, i - 1), 100, 100);
    }
    scene_feed(&s, SIZE_MAX / 2);
    assert_int_equal(link->out.size, 2 * 21);
    for (uint64_t i = 0; i < 2; i++) {
        const uint8_t *at = link->out.data + i * 21;
        assert_int_equal(load_be16(at + 1), 1);
        assert_int_equal(load_be32(at + 7), reject ? AMQP_ID_basic_nack : AMQP_ID_basic_ack);
        assert_int_equal(load_be64(at + 11), 10 * (i + 1));
        assert_int_equal(at[19], 1);
    }
    perf_role_consumer.finish(link); /* The rest, and now it goes out. */
    uint8_t sent[8192];
    const ssize_t size = read(s.peer, sent, sizeof(sent));
    assert_true(size >= 63);
    assert_int_equal(load_be64(sent + size - 21 + 11), 25);
    scene_fini(&s);
}

static void
test_acks_are_multiple_and_at_the_right_places(void **state)
{
    (void)state;
    check_acks(false);
    check_acks(true);
}

static void
test_loss_and_disorder_are_noticed(void **state)
{
    (void)state;
    static const uint64_t numbers[] = { 0, 1, 4, 3, 3, 7 };
    struct scene s;
    scene_init(&s, &options_default);
    for (uint64_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        deliver(&s.stream, 1, "00000000", i + 1, false);
        header(&s.stream, 1, 100);
        body(&s.stream, 1, word_of(&s, numbers[i]), 100, 100);
    }
    deliver(&s.stream, 1, "00000000", 7, false);
    header(&s.stream, 1, 100);
    body(&s.stream, 1, UINT64_MAX, 100, 100);
    scene_feed(&s, 1000);
    const struct perf_order_totals order = scene_order(&s);
    assert_int_equal(order.out_of_order, 1); /* 3 */
    assert_int_equal(order.duplicates, 1);   /* 3 again */
    assert_int_equal(order.lost, 3);         /* 2, 5, 6 */
    assert_int_equal(order.foreign, 1);
    scene_fini(&s);
}

/* A run that only consumes does not know how many have published what it finds. */
static void
test_order_of_many_unknown_producers(void **state)
{
    (void)state;
    enum { PRODUCERS = 1000, ROUNDS = 3 };
    struct perf_options o = options_default;
    struct scene s;
    uint64_t tag = 0;
    o.producers = 0;
    o.consumer_channels = 1;
    o.queue_to = 1;
    scene_init(&s, &o);
    for (uint64_t number = 0; number < ROUNDS; number++) {
        for (uint32_t producer = 0; producer < PRODUCERS; producer++) {
            if (number == 1 && producer == PRODUCERS - 1)
                continue;
            deliver(&s.stream, 1, "00000000", ++tag, false);
            header(&s.stream, 1, 100);
            body(&s.stream, 1, perf_stamp_source(9, producer) << PERF_STAMP_NUMBER_BITS | number,
                 100, 100);
        }
    }
    deliver(&s.stream, 1, "00000000", ++tag, false);
    header(&s.stream, 1, 100);
    body(&s.stream, 1,
         perf_stamp_source(9, PERF_STAMP_PRODUCER_UNWATCHED) << PERF_STAMP_NUMBER_BITS, 100, 100);
    scene_feed(&s, 100000);
    const struct perf_order_totals order = scene_order(&s);
    assert_int_equal(s.worker.counters.consumed, tag);
    assert_true(order.watched);
    assert_int_equal(order.lost, 1);
    assert_int_equal(order.unwatched, 1);
    assert_int_equal(order.duplicates + order.out_of_order + order.foreign, 0);
    scene_fini(&s);
}

static void
test_budget_stops_the_parse(void **state)
{
    (void)state;
    struct perf_options o = options_default;
    struct scene s;
    o.consumer_messages = 2; /* A channel: 4 in all. */
    scene_init(&s, &o);
    for (uint64_t i = 1; i <= 6; i++) {
        deliver(&s.stream, 1, "00000000", i, false);
        header(&s.stream, 1, 100);
        body(&s.stream, 1, word_of(&s, i - 1), 100, 100);
    }
    scene_feed(&s, SIZE_MAX / 2);
    assert_int_equal(s.worker.counters.consumed, 4);
    assert_true(s.rest.size > 200);
    scene_fini(&s);
}

enum nonsense {
    NO_FRAME_END,
    BODY_FIRST,
    HEADER_FIRST,
    DELIVER_TWICE,
    BODY_TOO_LONG,
    TAG_UNKNOWN,
    TAG_STRANGE,
    CHANNEL_UNKNOWN,
    FRAME_TOO_LARGE,
    FRAME_TYPE,
    METHOD_UNKNOWN,
    METHOD_EMPTY,
    NONSENSE_COUNT,
};

static void
nonsense_append(struct buf *out, enum nonsense which)
{
    static const uint8_t large[] = { AMQP_FRAME_METHOD, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF };
    const uint8_t octets[16] = { 0 };
    switch (which) {
    case NO_FRAME_END:
        deliver(out, 1, "00000000", 1, false);
        out->data[out->size - 1] = 0;
        break;
    case BODY_FIRST:
        frame(out, AMQP_FRAME_BODY, 1, octets, sizeof(octets));
        break;
    case HEADER_FIRST:
        header(out, 1, 0);
        break;
    case DELIVER_TWICE:
        deliver(out, 1, "00000000", 1, false);
        deliver(out, 1, "00000000", 2, false);
        break;
    case BODY_TOO_LONG:
        deliver(out, 1, "00000000", 1, false);
        header(out, 1, 15);
        frame(out, AMQP_FRAME_BODY, 1, octets, sizeof(octets));
        break;
    case TAG_UNKNOWN:
        deliver(out, 1, "00000002", 1, false);
        break;
    case TAG_STRANGE:
        deliver(out, 1, "0", 1, false);
        break;
    case CHANNEL_UNKNOWN:
        deliver(out, 3, "00000000", 1, false);
        break;
    case FRAME_TOO_LARGE:
        buf_append(out, large, sizeof(large));
        break;
    case FRAME_TYPE:
        frame(out, 9, 1, octets, sizeof(octets));
        break;
    case METHOD_UNKNOWN:
        frame(out, AMQP_FRAME_METHOD, 1, octets, sizeof(octets));
        break;
    case METHOD_EMPTY:
        frame(out, AMQP_FRAME_METHOD, 1, octets, 3);
        break;
    case NONSENSE_COUNT:
        break;
    }
}

static void
test_nonsense_fails_the_run(void **state)
{
    (void)state;
    for (int which = 0; which < NONSENSE_COUNT; which++) {
        struct scene s;
        scene_init(&s, &options_default);
        nonsense_append(&s.stream, (enum nonsense)which);
        scene_feed(&s, SIZE_MAX / 2);
        if (!s.shared.failed || s.shared.failure.text[0] == 0)
            fail_msg("nonsense %d was accepted", which);
        assert_true(s.connection.broken);
        scene_fini(&s);
    }
}

static void
test_close_by_the_broker_is_told(void **state)
{
    (void)state;
    struct scene s;
    scene_init(&s, &options_default);
    const union amqp_method close_it = { .channel_close = { .id = AMQP_ID_channel_close,
                                                            .reply_code = 404,
                                                            .reply_text =
                                                                BYTES_LITERAL("NOT_FOUND - x") } };
    method(&s.stream, 1, &close_it);
    scene_feed(&s, 1);
    assert_string_equal(s.shared.failure.text, "the broker closed the channel: 404 NOT_FOUND - x");
    scene_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deliveries_however_they_are_cut),
        cmocka_unit_test(test_acks_are_multiple_and_at_the_right_places),
        cmocka_unit_test(test_loss_and_disorder_are_noticed),
        cmocka_unit_test(test_order_of_many_unknown_producers),
        cmocka_unit_test(test_budget_stops_the_parse),
        cmocka_unit_test(test_nonsense_fails_the_run),
        cmocka_unit_test(test_close_by_the_broker_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
