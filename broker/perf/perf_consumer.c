#include "broker/perf/perf_consumer.h"

#include "broker/base/clock.h"
#include "broker/base/mem.h"

#include <poll.h>

#define READS_A_PUMP 4
#define RATE_TICK_NS 1000000u
#define ACKS_UNSENT_MAX (1u << 20)
#define ACK_FRAME_SIZE 21u
/* Latencies above this are not ours: the message carries something else than a time. */
#define LATENCY_MAX_NS (3600u * 1000000000ull)
#define TAG_SIZE 8
/* basic.deliver with our tag and empty names. */
#define DELIVER_SIZE_MIN (4u + 1 + TAG_SIZE + 8 + 1 + 1 + 1)
#define RATED_READ_SIZE (16u << 10)
#define FINISH_TIMEOUT_MS 1000

enum delivery_state {
    DELIVERY_NONE,
    DELIVERY_WANT_HEADER,
    DELIVERY_WANT_BODY,
};

struct consumer_channel {
    uint16_t number;
    uint32_t first_queue; /* Its subscriptions: consumer tags count from 0 on each channel. */
    struct perf_share share;
    struct perf_order *orders; /* One a subscription; NULL if order is not watched. */
    uint64_t last_tag;
    uint32_t unacked; /* Since the last acknowledgement. */
    /* A delivery that is handled frame by frame. */
    enum delivery_state state;
    uint64_t body_left;
    uint64_t tag;
    uint32_t subscription;
    bool redelivered;
    uint8_t stamp[PERF_STAMP_SIZE];
    uint32_t stamp_size;
};

struct perf_consumer {
    struct perf_link link; /* First, so that a link is its consumer. */
    const struct perf_options *options;
    uint32_t channel_count;
    struct consumer_channel *channels;
    uint64_t now_stamp;  /* The time of the read, as stamps are written. */
    uint64_t stamp_unit; /* Nanoseconds. */
    uint64_t consumed;
    uint64_t redelivered;
    uint64_t limit;  /* Of consumed; UINT64_MAX: none. */
    uint64_t budget; /* Of consumed, for now. */
    double tokens;   /* With a rate. */
    uint64_t refilled_ns;
    bool held; /* Parsing stopped because the budget was used up. */
    uint32_t subscriptions_open;
    bool subscribed; /* Atomic. */
};

static struct perf_consumer *
consumer_of(struct perf_link *link)
{
    return (struct perf_consumer *)(void *)link;
}

static bool
consumer_open_channel(struct perf_consumer *c, struct consumer_channel *ch, uint32_t index,
                      struct perf_error *error)
{
    struct perf_shared *shared = c->link.worker->shared;
    const struct perf_topology *t = shared->topology;
    ch->share = perf_share_of(index, t->consumers, t->queue_count);
    c->subscriptions_open += ch->share.count;
    /* With several consumers a queue none of them sees a sequence, nor does one that gets what is
     * urgent first. */
    if (c->options->size >= PERF_STAMP_SIZE && t->consumers <= t->queue_count &&
        c->options->priorities == 0) {
        ch->orders = mem_alloc_zeroed(ch->share.count * sizeof(*ch->orders));
        for (uint32_t i = 0; i < ch->share.count; i++)
            perf_order_init(&ch->orders[i], shared, ch->share.first + i * ch->share.step);
    }
    if (!perf_connection_open_channel(c->link.connection, ch->number, error))
        return false;
    if (c->options->qos == 0)
        return true;
    const union amqp_method qos = { .basic_qos = { .id = AMQP_ID_basic_qos,
                                                   .prefetch_count = (uint16_t)c->options->qos } };
    return perf_connection_call(c->link.connection, ch->number, &qos, AMQP_ID_basic_qos_ok, NULL,
                                error);
}

struct perf_consumer *
perf_consumer_create(struct perf_worker *w, struct perf_connection *connection, uint32_t first,
                     struct perf_error *error)
{
    const struct perf_options *o = w->shared->options;
    struct perf_consumer *c = mem_alloc_zeroed(sizeof(*c));
    c->options = o;
    c->link.connection = connection;
    c->link.worker = w;
    c->stamp_unit = o->use_millis ? 1000000u : 1;
    c->limit = o->consumer_messages > 0 ? o->consumer_messages * o->consumer_channels : UINT64_MAX;
    c->channel_count = o->consumer_channels;
    c->channels = mem_alloc_zeroed(c->channel_count * sizeof(*c->channels));
    for (uint32_t i = 0; i < c->channel_count; i++) {
        c->channels[i].number = (uint16_t)(i + 1);
        if (!consumer_open_channel(c, &c->channels[i], first + i, error)) {
            perf_consumer_destroy(c);
            return NULL;
        }
    }
    perf_link_init(&c->link, w, connection);
    /* What is read and may not be consumed yet is moved about, so do not read much. */
    if (o->consumer_rate > 0)
        c->link.read_size = RATED_READ_SIZE;
    return c;
}

void
perf_consumer_destroy(struct perf_consumer *c)
{
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->channel_count; i++) {
        struct consumer_channel *ch = &c->channels[i];
        for (uint32_t k = 0; ch->orders != NULL && k < ch->share.count; k++)
            perf_order_fini(&ch->orders[k]);
        mem_free(ch->orders);
    }
    mem_free(c->channels);
    mem_free(c);
}

bool
perf_consumer_is_subscribed(const struct perf_consumer *c)
{
    return __atomic_load_n(&c->subscribed, __ATOMIC_ACQUIRE);
}

void
perf_consumer_sum(const struct perf_consumer *c, struct perf_order_totals *totals)
{
    for (uint32_t i = 0; i < c->channel_count; i++) {
        const struct consumer_channel *ch = &c->channels[i];
        for (uint32_t k = 0; ch->orders != NULL && k < ch->share.count; k++) {
            const struct perf_order *o = &ch->orders[k];
            totals->watched |= o->count > 0;
            totals->inexact |= o->stats.inexact;
            totals->out_of_order += o->stats.out_of_order;
            totals->duplicates += o->stats.duplicates;
            totals->lost += perf_order_lost(o);
            totals->foreign += o->foreign;
            totals->unwatched += o->unwatched;
        }
    }
}

static void
consumer_subscribe(struct perf_consumer *c, const struct consumer_channel *ch, uint32_t index)
{
    const struct perf_topology *t = c->link.worker->shared->topology;
    const uint32_t queue = ch->share.first + index * ch->share.step;
    char tag[TAG_SIZE + 1];
    snprintf(tag, sizeof(tag), "%08x", index);
    const struct amqp_basic_consume m = { .queue = bytes_of_string(t->queues[queue]),
                                          .consumer_tag = bytes_of_string(tag),
                                          .no_ack = c->options->auto_ack };
    const size_t size = amqp_basic_consume_size(&m);
    uint8_t *at = buf_reserve(&c->link.out, size + AMQP_FRAME_OVERHEAD);
    amqp_frame_head_encode(at, AMQP_FRAME_METHOD, ch->number, (uint32_t)size);
    struct wire_writer w = wire_writer_of(at + AMQP_FRAME_HEAD_SIZE, size);
    amqp_basic_consume_encode(&w, &m);
    at[AMQP_FRAME_HEAD_SIZE + size] = AMQP_FRAME_END;
    c->link.out.size += size + AMQP_FRAME_OVERHEAD;
}

static void
consumer_start(struct perf_link *link)
{
    struct perf_consumer *c = consumer_of(link);
    c->refilled_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < c->channel_count; i++) {
        for (uint32_t k = 0; k < c->channels[i].share.count; k++)
            consumer_subscribe(c, &c->channels[i], k);
    }
}

static uint32_t
tag_decode(const uint8_t *tag)
{
    uint32_t value = 0;
    for (int i = 0; i < TAG_SIZE; i++)
        value = value << 4 | (uint32_t)(tag[i] <= '9' ? tag[i] - '0' : tag[i] - 'a' + 10);
    return value;
}

/* Which subscription of the channel a consumer tag names; the channel's own tags only. */
static inline uint32_t
channel_subscription(const struct consumer_channel *ch, const uint8_t *tag)
{
    return ch->share.count == 1 ? 0 : tag_decode(tag);
}

static inline void
channel_ack(struct perf_consumer *c, struct consumer_channel *ch, bool multiple)
{
    uint8_t *at = buf_reserve(&c->link.out, ACK_FRAME_SIZE);
    amqp_frame_head_encode(at, AMQP_FRAME_METHOD, ch->number, ACK_FRAME_SIZE - AMQP_FRAME_OVERHEAD);
    store_be32(at + 7, c->options->reject ? AMQP_ID_basic_nack : AMQP_ID_basic_ack);
    store_be64(at + 11, ch->last_tag);
    at[19] = multiple;
    at[20] = AMQP_FRAME_END;
    c->link.out.size += ACK_FRAME_SIZE;
    ch->unacked = 0;
}

/* A message is complete. `body` holds the first `size` octets, as many as a stamp has or all. */
static inline void
consumer_take(struct perf_consumer *c, struct consumer_channel *ch, uint32_t subscription,
              uint64_t tag, const uint8_t *body, size_t size)
{
    c->consumed++;
    c->budget--;
    if (size >= 8) {
        const int64_t age = (int64_t)(c->now_stamp - load_be64(body));
        const uint64_t latency = age > 0 ? (uint64_t)age * c->stamp_unit : 0;
        if (__builtin_expect(latency < LATENCY_MAX_NS, 1))
            histogram_record(&c->link.worker->latency, latency);
    }
    if (size >= PERF_STAMP_SIZE && ch->orders != NULL)
        perf_order_see(&ch->orders[subscription], load_be64(body + 8));
    ch->last_tag = tag;
    if (!c->options->auto_ack && ++ch->unacked >= c->options->ack_every)
        channel_ack(c, ch, c->options->ack_every > 1);
}

/* The fast path: a whole delivery with at most one body frame at `at`. Returns what follows it, or
 * NULL if it is not that simple or not all there yet; then nothing has happened. */
static inline const uint8_t *
consumer_take_simple(struct perf_consumer *c, const uint8_t *at, const uint8_t *end)
{
    /* Method frame: class, method, tag (ours: 8 octets), delivery tag, redelivered, names. */
    if ((size_t)(end - at) < 64 || at[0] != AMQP_FRAME_METHOD ||
        load_be32(at + 7) != AMQP_ID_basic_deliver || at[11] != TAG_SIZE)
        return NULL;
    const uint16_t number = load_be16(at + 1);
    const uint32_t method_size = load_be32(at + 3);
    if (number == 0 || number > c->channel_count || method_size < DELIVER_SIZE_MIN ||
        method_size > (size_t)(end - at) - AMQP_FRAME_OVERHEAD)
        return NULL;
    const uint8_t *header = at + method_size + AMQP_FRAME_OVERHEAD;
    if (header[-1] != AMQP_FRAME_END || (size_t)(end - header) < AMQP_FRAME_OVERHEAD + 14 ||
        header[0] != AMQP_FRAME_HEADER || load_be16(header + 1) != number)
        return NULL;
    const uint32_t header_size = load_be32(header + 3);
    if (header_size > (size_t)(end - header) - AMQP_FRAME_OVERHEAD || header_size < 14)
        return NULL;
    const uint8_t *body = header + header_size + AMQP_FRAME_OVERHEAD;
    const uint64_t body_size = load_be64(header + 11);
    const uint8_t *after = body;
    if (body[-1] != AMQP_FRAME_END)
        return NULL;
    if (body_size > 0) {
        if ((size_t)(end - body) < AMQP_FRAME_OVERHEAD ||
            body_size > (size_t)(end - body) - AMQP_FRAME_OVERHEAD || body[0] != AMQP_FRAME_BODY ||
            load_be16(body + 1) != number || load_be32(body + 3) != body_size)
            return NULL;
        after = body + body_size + AMQP_FRAME_OVERHEAD;
        if (after[-1] != AMQP_FRAME_END)
            return NULL;
    }
    struct consumer_channel *ch = &c->channels[number - 1];
    const uint32_t subscription = channel_subscription(ch, at + 12);
    if (ch->state != DELIVERY_NONE || subscription >= ch->share.count)
        return NULL;
    c->redelivered += at[28] & 1u;
    consumer_take(c, ch, subscription, load_be64(at + 20), body + AMQP_FRAME_HEAD_SIZE, body_size);
    return after;
}

static const uint8_t *
consumer_parse(struct perf_link *link, const uint8_t *at, const uint8_t *end, uint64_t now_ns)
{
    struct perf_consumer *c = consumer_of(link);
    struct perf_counters *counters = &link->worker->counters;
    const uint64_t consumed = c->consumed;
    const uint64_t redelivered = c->redelivered;
    c->now_stamp = perf_stamp_time(link->worker->shared, now_ns);
    while (c->budget > 0) {
        const uint8_t *after = link->body_left == 0 ? consumer_take_simple(c, at, end) : NULL;
        if (after != NULL)
            at = after;
        else if (perf_link_frame(link, &at, end, now_ns) != PERF_FRAME_DONE)
            break;
    }
    c->held = c->budget == 0;
    if (c->consumed == consumed)
        return at;
    if (counters->first_ns == 0)
        perf_counter_set(&counters->first_ns, now_ns);
    perf_counter_set(&counters->last_ns, now_ns);
    perf_counter_add(&counters->redelivered, c->redelivered - redelivered);
    perf_counter_add(&counters->consumed, c->consumed - consumed);
    return at;
}

static struct consumer_channel *
consumer_channel_find(struct perf_consumer *c, uint16_t number)
{
    if (number >= 1 && number <= c->channel_count)
        return &c->channels[number - 1];
    perf_link_fail(&c->link, "the broker sent something on channel %u, which is not open", number);
    return NULL;
}

static void
consumer_on_deliver(struct perf_consumer *c, struct consumer_channel *ch, struct bytes arguments)
{
    union amqp_method m;
    if (amqp_method_decode(AMQP_ID_basic_deliver, arguments, &m) != WIRE_OK ||
        m.basic_deliver.consumer_tag.size != TAG_SIZE || ch->state != DELIVERY_NONE) {
        perf_link_fail(&c->link, "the broker sent a basic.deliver that is malformed or not due");
        return;
    }
    ch->subscription = channel_subscription(ch, m.basic_deliver.consumer_tag.data);
    if (ch->subscription >= ch->share.count) {
        perf_link_fail(&c->link, "the broker sent a basic.deliver for an unknown consumer tag");
        return;
    }
    ch->tag = m.basic_deliver.delivery_tag;
    ch->redelivered = m.basic_deliver.redelivered;
    ch->stamp_size = 0;
    ch->state = DELIVERY_WANT_HEADER;
}

static bool
consumer_on_method(struct perf_link *link, uint16_t channel, uint32_t id, struct bytes arguments,
                   uint64_t now_ns)
{
    (void)now_ns;
    struct perf_consumer *c = consumer_of(link);
    struct consumer_channel *ch = consumer_channel_find(c, channel);
    if (ch == NULL)
        return false;
    if (id == AMQP_ID_basic_deliver) {
        consumer_on_deliver(c, ch, arguments);
    } else if (id == AMQP_ID_basic_consume_ok && c->subscriptions_open > 0) {
        if (--c->subscriptions_open == 0) {
            __atomic_store_n(&c->subscribed, true, __ATOMIC_RELEASE);
            perf_shared_wake(link->worker->shared);
        }
    } else if (id == AMQP_ID_basic_cancel) {
        perf_link_fail(link, "the broker cancelled a consumer: its queue is gone");
    } else {
        return false;
    }
    return true;
}

static void
consumer_complete(struct perf_consumer *c, struct consumer_channel *ch)
{
    ch->state = DELIVERY_NONE;
    c->redelivered += ch->redelivered;
    consumer_take(c, ch, ch->subscription, ch->tag, ch->stamp, ch->stamp_size);
}

static void
consumer_on_header(struct perf_link *link, uint16_t channel, uint64_t body_size, uint64_t now_ns)
{
    (void)now_ns;
    struct perf_consumer *c = consumer_of(link);
    struct consumer_channel *ch = consumer_channel_find(c, channel);
    if (ch == NULL)
        return;
    if (ch->state != DELIVERY_WANT_HEADER) {
        perf_link_fail(link, "the broker sent a content header that is not due");
        return;
    }
    ch->body_left = body_size;
    ch->state = DELIVERY_WANT_BODY;
    if (body_size == 0)
        consumer_complete(c, ch);
}

static void
consumer_on_body(struct perf_link *link, uint16_t channel, struct bytes start, uint32_t size)
{
    struct consumer_channel *ch = consumer_channel_find(consumer_of(link), channel);
    if (ch == NULL)
        return;
    if (ch->state != DELIVERY_WANT_BODY || size > ch->body_left) {
        perf_link_fail(link, "the broker sent a body frame that is not due or too long");
        return;
    }
    if (ch->stamp_size == 0 && start.size > 0) {
        ch->stamp_size = (uint32_t)start.size;
        memcpy(ch->stamp, start.data, start.size);
    }
    ch->body_left -= size;
}

static void
consumer_on_body_end(struct perf_link *link, uint16_t channel, uint64_t now_ns)
{
    (void)now_ns;
    struct perf_consumer *c = consumer_of(link);
    struct consumer_channel *ch = &c->channels[channel - 1];
    if (ch->body_left == 0)
        consumer_complete(c, ch);
}

/* How many messages may be consumed now. With a rate: what has become due, at most 10 ms' worth. */
static void
consumer_set_budget(struct perf_consumer *c, uint64_t now_ns)
{
    const double rate = c->options->consumer_rate * c->channel_count;
    c->budget = c->limit - c->consumed;
    if (rate <= 0 || !c->subscribed)
        return;
    const double most = rate / 100 > 1 ? rate / 100 : 1;
    c->tokens += (double)(now_ns - c->refilled_ns) * rate / 1e9;
    c->refilled_ns = now_ns;
    if (c->tokens > most)
        c->tokens = most;
    if (c->tokens < (double)c->budget)
        c->budget = (uint64_t)c->tokens;
    const double wait_ns = c->tokens < 1 ? (1 - c->tokens) * 1e9 / rate : 0;
    perf_worker_tick(c->link.worker,
                     now_ns + (wait_ns > RATE_TICK_NS ? (uint64_t)wait_ns + 1 : RATE_TICK_NS));
}

static void
consumer_ack_rest(struct perf_consumer *c)
{
    for (uint32_t i = 0; i < c->channel_count; i++) {
        if (c->channels[i].unacked > 0)
            channel_ack(c, &c->channels[i], true);
    }
}

static bool
consumer_pump(struct perf_link *link, uint64_t now_ns)
{
    struct perf_consumer *c = consumer_of(link);
    const uint64_t consumed = c->consumed;
    perf_link_flush(link);
    consumer_set_budget(c, now_ns);
    for (int i = 0; i < READS_A_PUMP; i++) {
        const bool congested = link->out.size > ACKS_UNSENT_MAX;
        if (c->budget == 0 || congested || link->failed || !(link->readable || c->held))
            break;
        perf_link_read(link);
        perf_link_flush(link);
    }
    c->tokens -= (double)(c->consumed - consumed);
    if (c->consumed == c->limit && !link->finished) {
        consumer_ack_rest(c);
        perf_link_flush(link);
        link->finished = true;
    }
    return (link->readable || c->held) && c->budget > 0 && link->out.size <= ACKS_UNSENT_MAX &&
           !link->failed;
}

/* Acknowledges what is left and waits a little for it to go out. */
static void
consumer_finish(struct perf_link *link)
{
    struct perf_consumer *c = consumer_of(link);
    const uint64_t until = clock_monotonic_ms() + FINISH_TIMEOUT_MS;
    consumer_ack_rest(c);
    while (!perf_link_flush(link) && !link->failed && clock_monotonic_ms() < until) {
        struct pollfd p = { .fd = link->connection->fd, .events = POLLOUT };
        poll(&p, 1, 10);
        link->writable = true;
    }
}

const struct perf_role perf_role_consumer = {
    .start = consumer_start,
    .pump = consumer_pump,
    .parse = consumer_parse,
    .on_method = consumer_on_method,
    .on_header = consumer_on_header,
    .on_body = consumer_on_body,
    .on_body_end = consumer_on_body_end,
    .finish = consumer_finish,
};
