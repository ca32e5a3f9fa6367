#include "broker/perf/perf_producer.h"

#include "amqp/properties.h"
#include "broker/base/clock.h"
#include "broker/perf/perf_stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define FRAME_MAX 4096u
#define CHANNELS 2

/* A producer on one end of a socket pair; the test plays the broker. */
struct scene {
    struct perf_options options;
    struct perf_topology topology;
    struct perf_shared shared;
    struct perf_worker worker;
    struct perf_connection connection;
    struct perf_producer *producer;
    int peer;
    struct buf received;
};

/* What the broker understood. */
struct seen {
    uint32_t priorities; /* A bit for each. */
    uint64_t messages;
    uint64_t by_channel[CHANNELS + 1];
    uint64_t next[CHANNELS + 1][8]; /* By channel and queue. */
    uint64_t first_time;
    uint64_t last_time;
};

static const struct perf_options options_default = {
    .queue_pattern = "q%d",
    .queue_from = 1,
    .queue_to = 1,
    .exchange = "",
    .type = "direct",
    .producers = 1,
    .producer_channels = 1,
    .threads = 1,
    .size = 100,
};

static void
method_append(struct buf *out, uint16_t channel, const union amqp_method *m)
{
    const size_t size = amqp_method_size(m);
    uint8_t *at = buf_reserve(out, size + AMQP_FRAME_OVERHEAD);
    amqp_frame_head_encode(at, AMQP_FRAME_METHOD, channel, (uint32_t)size);
    struct wire_writer w = wire_writer_of(at + AMQP_FRAME_HEAD_SIZE, size);
    amqp_method_encode(&w, m);
    at[AMQP_FRAME_HEAD_SIZE + size] = AMQP_FRAME_END;
    out->size += size + AMQP_FRAME_OVERHEAD;
}

static void
scene_say(struct scene *s, uint16_t channel, const union amqp_method *m)
{
    struct buf out = { 0 };
    method_append(&out, channel, m);
    assert_int_equal(write(s->peer, out.data, out.size), out.size);
    buf_fini(&out);
    s->worker.links[0]->readable = true;
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
    assert_true(perf_worker_init(&s->worker, &s->shared, &perf_role_producer, &error));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    s->peer = fds[1];
    s->connection = (struct perf_connection){ .fd = fds[0], .frame_max = FRAME_MAX };
    struct buf replies = { 0 };
    const union amqp_method open_ok = { .id = AMQP_ID_channel_open_ok };
    const union amqp_method select_ok = { .id = AMQP_ID_confirm_select_ok };
    for (uint16_t i = 1; i <= o->producer_channels; i++) {
        method_append(&replies, i, &open_ok);
        if (o->confirm > 0)
            method_append(&replies, i, &select_ok);
    }
    assert_int_equal(write(s->peer, replies.data, replies.size), replies.size);
    buf_fini(&replies);
    s->producer = perf_producer_create(&s->worker, &s->connection, 0, &error);
    assert_non_null(s->producer);
    uint8_t requests[4096];
    assert_true(read(s->peer, requests, sizeof(requests)) > 0);
    s->shared.start_ns = 1000000000u;
    perf_role_producer.start(s->worker.links[0]);
}

static void
scene_fini(struct scene *s)
{
    perf_link_release(s->worker.links[0]);
    perf_producer_destroy(s->producer);
    s->connection.broken = true;
    perf_connection_await_close(&s->connection);
    perf_worker_fini(&s->worker);
    perf_topology_fini(&s->topology);
    lock_fini(&s->shared.lock);
    close(s->peer);
    buf_fini(&s->received);
}

/* Pumps at `now_ns` until there is nothing more to send. */
static void
scene_pump(struct scene *s, uint64_t now_ns)
{
    struct perf_link *link = s->worker.links[0];
    bool more = true;
    while (more) {
        more = perf_role_producer.pump(link, now_ns);
        ssize_t got;
        do {
            got = recv(s->peer, buf_reserve(&s->received, 65536), 65536, MSG_DONTWAIT);
            s->received.size += got > 0 ? (size_t)got : 0;
            more |= got > 0;
        } while (got > 0);
        link->writable = true;
    }
}

static const uint8_t *
frame_take(const uint8_t **at, const uint8_t *end, uint8_t type, struct amqp_frame_head *head)
{
    assert_true(end - *at >= (ptrdiff_t)AMQP_FRAME_OVERHEAD);
    *head = amqp_frame_head_decode(*at);
    assert_int_equal(head->type, type);
    assert_true(head->size + AMQP_FRAME_OVERHEAD <= FRAME_MAX);
    const uint8_t *payload = *at + AMQP_FRAME_HEAD_SIZE;
    assert_true((size_t)(end - payload) > head->size);
    assert_int_equal(payload[head->size], AMQP_FRAME_END);
    *at = payload + head->size + 1;
    return payload;
}

static void
properties_take(const struct scene *s, struct bytes octets, struct seen *seen)
{
    struct properties p;
    assert_int_equal(properties_decode(octets, &p), WIRE_OK);
    assert_int_equal(p.flags, (s->options.persistent ? PROPERTY_DELIVERY_MODE : 0) |
                                  (s->options.priorities > 0 ? PROPERTY_PRIORITY : 0) |
                                  (s->options.expiration_ms > 0 ? PROPERTY_EXPIRATION : 0));
    if (p.flags & PROPERTY_PRIORITY) {
        assert_true(p.priority <= s->options.priorities);
        seen->priorities |= 1u << p.priority;
    }
    if (p.flags & PROPERTY_EXPIRATION) {
        uint32_t ms = 0;
        for (size_t i = 0; i < p.expiration.size; i++)
            ms = ms * 10 + p.expiration.data[i] - '0';
        assert_in_range(ms, s->options.expiration_ms / 2, s->options.expiration_ms);
    }
}

/* Reads one publish and checks it against the options. */
static void
message_take(const struct scene *s, const uint8_t **at, const uint8_t *end, struct seen *seen)
{
    struct amqp_frame_head head;
    union amqp_method m;
    const uint8_t *payload = frame_take(at, end, AMQP_FRAME_METHOD, &head);
    const uint16_t channel = head.channel;
    assert_int_equal(load_be32(payload), AMQP_ID_basic_publish);
    assert_int_equal(
        amqp_method_decode(AMQP_ID_basic_publish, bytes_of(payload + 4, head.size - 4), &m),
        WIRE_OK);
    assert_int_equal(m.basic_publish.mandatory, s->options.mandatory);
    const uint32_t queue = (uint32_t)(m.basic_publish.routing_key.data[1] - '0');
    payload = frame_take(at, end, AMQP_FRAME_HEADER, &head);
    assert_int_equal(head.channel, channel);
    assert_int_equal(load_be64(payload + 4), s->options.size);
    properties_take(s, bytes_of(payload + 12, head.size - 12), seen);
    for (uint64_t left = s->options.size; left > 0; left -= head.size) {
        payload = frame_take(at, end, AMQP_FRAME_BODY, &head);
        assert_int_equal(head.channel, channel);
        assert_true(head.size <= left);
        if (left < s->options.size || left < PERF_STAMP_SIZE)
            continue;
        const uint64_t word = load_be64(payload + 8);
        assert_int_equal(perf_stamp_word_source(word), perf_stamp_source(7, channel - 1u));
        assert_int_equal(perf_stamp_word_number(word), seen->next[channel][queue]++);
        seen->last_time = load_be64(payload);
        if (seen->messages == 0)
            seen->first_time = seen->last_time;
    }
    seen->messages++;
    seen->by_channel[channel]++;
}

static struct seen
scene_see(const struct scene *s)
{
    struct seen seen = { 0 };
    const uint8_t *at = s->received.data;
    const uint8_t *end = at + s->received.size;
    while (at < end)
        message_take(s, &at, end, &seen);
    return seen;
}

static void
test_all_sizes_are_well_formed(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 0,    1,    7,    8,     15,    16,    100,   4087,  4088,
                                      4089, 8176, 8177, 16383, 16384, 16385, 40880, 40881, 300000 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct perf_options o = options_default;
        struct scene s;
        o.size = sizes[i];
        o.producer_channels = CHANNELS;
        o.producer_messages = 5;
        o.persistent = i % 2 == 0;
        o.mandatory = i % 3 == 0;
        scene_init(&s, &o);
        scene_pump(&s, 5);
        const struct seen seen = scene_see(&s);
        assert_int_equal(seen.by_channel[1], 5);
        assert_int_equal(seen.by_channel[2], 5);
        assert_int_equal(s.worker.counters.published, 10);
        assert_true(s.worker.links[0]->finished);
        scene_fini(&s);
    }
}

static void
test_priorities_and_expirations(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        struct perf_options o = options_default;
        struct scene s;
        o.producer_messages = 200;
        o.size = i % 2 == 0 ? 100 : 20000;
        o.persistent = i % 2 == 0;
        o.priorities = i & 2 ? 9 : 0;
        o.expiration_ms = i & 4 ? 4000000001u : 0;
        scene_init(&s, &o);
        scene_pump(&s, 5);
        const struct seen seen = scene_see(&s);
        assert_int_equal(seen.messages, 200);
        assert_int_equal(seen.priorities, i & 2 ? 0x3ff : 0);
        scene_fini(&s);
    }
}

static void
test_routes_take_turns_and_count_apart(void **state)
{
    (void)state;
    struct perf_options o = options_default;
    struct scene s;
    o.queue_to = 5;
    o.producer_messages = 5000;
    scene_init(&s, &o);
    scene_pump(&s, 5);
    const struct seen seen = scene_see(&s);
    assert_int_equal(seen.messages, 5000);
    for (uint32_t q = 1; q <= 5; q++)
        assert_int_equal(seen.next[1][q], 1000);
    scene_fini(&s);
}

static void
test_window_and_the_end_of_confirms(void **state)
{
    (void)state;
    struct perf_options o = options_default;
    struct scene s;
    o.confirm = 10;
    o.producer_messages = 15;
    scene_init(&s, &o);
    scene_pump(&s, 5);
    assert_int_equal(scene_see(&s).messages, 10);
    const union amqp_method ack = {
        .basic_ack = { .id = AMQP_ID_basic_ack, .delivery_tag = 7, .multiple = true }
    };
    scene_say(&s, 1, &ack);
    scene_pump(&s, 6);
    assert_int_equal(scene_see(&s).messages, 15);
    assert_false(s.worker.links[0]->finished);
    const union amqp_method nack = {
        .basic_nack = { .id = AMQP_ID_basic_nack, .delivery_tag = 0, .multiple = true }
    };
    scene_say(&s, 1, &ack); /* Once more: unexpected, and without effect. */
    scene_say(&s, 1, &nack);
    scene_pump(&s, 7);
    assert_true(s.worker.links[0]->finished);
    assert_int_equal(s.worker.counters.confirmed, 7);
    assert_int_equal(s.worker.counters.nacked, 8);
    assert_int_equal(s.worker.counters.unexpected, 1);
    assert_int_equal(histogram_count(&s.worker.latency), 15);
    scene_fini(&s);
}

static void
test_blocked_and_flow_hold_back(void **state)
{
    (void)state;
    struct perf_options o = options_default;
    struct scene s;
    o.producer_messages = 3;
    scene_init(&s, &o);
    const union amqp_method blocked = { .id = AMQP_ID_connection_blocked };
    const union amqp_method unblocked = { .id = AMQP_ID_connection_unblocked };
    scene_say(&s, 0, &blocked);
    scene_pump(&s, 5);
    assert_int_equal(s.worker.counters.published, 0);
    scene_say(&s, 0, &unblocked);
    scene_pump(&s, 6);
    assert_int_equal(scene_see(&s).messages, 3);
    scene_fini(&s);
}

static void
test_rate_sends_what_is_due_with_its_due_time(void **state)
{
    (void)state;
    struct perf_options o = options_default;
    struct scene s;
    o.rate = 1000; /* Every millisecond, from 1 s on. */
    scene_init(&s, &o);
    scene_pump(&s, 999999999u);
    assert_int_equal(s.received.size, 0);
    assert_int_equal(s.worker.tick_at_ns, 1000000000u);
    scene_pump(&s, 1005500000u);
    const struct seen seen = scene_see(&s);
    assert_int_equal(seen.messages, 6);
    assert_int_equal(seen.first_time, 1000000000u);
    assert_int_equal(seen.last_time, 1005000000u);
    assert_int_equal(s.worker.tick_at_ns, 1000000000u);
    s.worker.tick_at_ns = PERF_NEVER;
    scene_pump(&s, 1005500001u);
    assert_int_equal(s.worker.tick_at_ns, 1006000000u);
    scene_fini(&s);
}

static void
test_high_rates_are_due_on_a_grid(void **state)
{
    (void)state;
    struct perf_options o = options_default;
    struct scene s;
    o.rate = 100000;
    scene_init(&s, &o);
    scene_pump(&s, 1000000000u);
    assert_int_equal(scene_see(&s).messages, 1);
    scene_pump(&s, 1000199999u);
    assert_int_equal(scene_see(&s).messages, 1);
    scene_pump(&s, 1000200000u);
    const struct seen seen = scene_see(&s);
    assert_int_equal(seen.messages, 21);
    assert_int_equal(seen.last_time, 1000200000u);
    scene_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_sizes_are_well_formed),
        cmocka_unit_test(test_priorities_and_expirations),
        cmocka_unit_test(test_routes_take_turns_and_count_apart),
        cmocka_unit_test(test_window_and_the_end_of_confirms),
        cmocka_unit_test(test_blocked_and_flow_hold_back),
        cmocka_unit_test(test_rate_sends_what_is_due_with_its_due_time),
        cmocka_unit_test(test_high_rates_are_due_on_a_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
