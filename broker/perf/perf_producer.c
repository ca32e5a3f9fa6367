#include "broker/perf/perf_producer.h"

#include "broker/base/clock.h"
#include "broker/base/mem.h"
#include "broker/perf/perf_confirms.h"
#include "broker/perf/perf_publish.h"
#include "broker/perf/perf_stamp.h"

#define OUT_SIZE (128u << 10)
#define LARGE_SIZE (16u << 10)
#define FILLS_A_PUMP 4
#define GRID_NS 200000u

struct producer_route {
    struct buf image; /* The whole message, or its head if the message is large. */
    size_t stamp_at;  /* Where the body begins in the image. */
    size_t head_size; /* Of the method and header frames. */
    uint64_t word;    /* The second word of the next message: source and number. */
};

struct producer_channel {
    uint16_t number;
    struct producer_route *routes;
    uint32_t route_count;
    uint32_t turn; /* The route of the next message. */
    uint64_t published;
    uint64_t limit; /* UINT64_MAX: none. */
    struct perf_confirms confirms;
    uint64_t due_ns; /* Of the next message; only with a rate. */
    double phase_ns; /* Spreads the channels over the first period. */
};

struct perf_producer {
    struct perf_link link; /* First, so that a link is its producer. */
    const struct perf_options *options;
    struct perf_publish message; /* channel is the one `body` is set to. */
    struct buf body;             /* The body frames of a large message; else empty. */
    size_t image_size;           /* Of the largest message. */
    double period_ns;            /* 0: no rate. */
    uint64_t grid_ns;            /* 0: due times are exact. */
    uint32_t channel_count;
    uint32_t turn; /* The channel that publishes first next time. */
    struct producer_channel *channels;
};

static struct perf_producer *
producer_of(struct perf_link *link)
{
    return (struct perf_producer *)(void *)link;
}

static void
producer_encode(struct perf_producer *p, struct producer_channel *ch, uint32_t index,
                const struct perf_topology *t)
{
    const struct perf_share share = perf_topology_routes(t, index);
    const uint64_t source = perf_stamp_source(p->link.worker->shared->run_tag, index);
    ch->route_count = share.count;
    ch->routes = mem_alloc_zeroed(share.count * sizeof(*ch->routes));
    struct perf_publish message = p->message;
    message.channel = ch->number;
    for (uint32_t i = 0; i < share.count; i++) {
        struct producer_route *route = &ch->routes[i];
        message.key = perf_topology_key(t, p->options, share.first + i * share.step);
        perf_publish_append_head(&route->image, &message);
        route->head_size = route->image.size;
        route->stamp_at = route->head_size + AMQP_FRAME_HEAD_SIZE;
        if (message.body_size < LARGE_SIZE)
            perf_publish_append_body(&route->image, &message);
        if (route->image.size > p->image_size)
            p->image_size = route->image.size;
        route->word = source << PERF_STAMP_NUMBER_BITS;
    }
}

static bool
producer_open_channel(struct perf_producer *p, struct producer_channel *ch,
                      struct perf_error *error)
{
    struct perf_connection *c = p->link.connection;
    if (!perf_connection_open_channel(c, ch->number, error))
        return false;
    if (p->options->confirm == 0)
        return true;
    const union amqp_method select = { .confirm_select = { .id = AMQP_ID_confirm_select } };
    perf_confirms_init(&ch->confirms, p->options->confirm);
    return perf_connection_call(c, ch->number, &select, AMQP_ID_confirm_select_ok, NULL, error);
}

/* Due times: one channel's period, its place in it, and the grid if the thread is busy. */
static void
producer_set_rate(struct perf_producer *p, uint32_t first, uint32_t total)
{
    const double rate = p->options->rate;
    if (rate <= 0)
        return;
    const uint32_t threads =
        p->options->threads < p->options->producers ? p->options->threads : p->options->producers;
    p->period_ns = 1e9 / rate;
    p->grid_ns = rate * total / threads * GRID_NS > 1e9 ? GRID_NS : 0;
    for (uint32_t i = 0; i < p->channel_count; i++)
        p->channels[i].phase_ns = p->period_ns * (first + i) / total;
}

struct perf_producer *
perf_producer_create(struct perf_worker *w, struct perf_connection *c, uint32_t first,
                     struct perf_error *error)
{
    const struct perf_options *o = w->shared->options;
    const struct perf_topology *t = w->shared->topology;
    struct perf_producer *p = mem_alloc_zeroed(sizeof(*p));
    p->options = o;
    p->link.connection = c;
    p->link.worker = w;
    p->channel_count = o->producer_channels;
    p->channels = mem_alloc_zeroed(p->channel_count * sizeof(*p->channels));
    p->message = (struct perf_publish){ .frame_max = c->frame_max,
                                        .exchange = o->exchange,
                                        .mandatory = o->mandatory,
                                        .persistent = o->persistent,
                                        .has_priority = o->priorities > 0,
                                        .expires = o->expiration_ms > 0,
                                        .body_size = o->size };
    for (uint32_t i = 0; i < p->channel_count; i++) {
        struct producer_channel *ch = &p->channels[i];
        ch->number = (uint16_t)(i + 1);
        ch->limit = o->producer_messages > 0 ? o->producer_messages : UINT64_MAX;
        if (!producer_open_channel(p, ch, error)) {
            perf_producer_destroy(p);
            return NULL;
        }
        producer_encode(p, ch, first + i, t);
    }
    if (o->size >= LARGE_SIZE)
        perf_publish_append_body(&p->body, &p->message);
    producer_set_rate(p, first, t->producers);
    perf_link_init(&p->link, w, c);
    return p;
}

void
perf_producer_destroy(struct perf_producer *p)
{
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < p->channel_count; i++) {
        struct producer_channel *ch = &p->channels[i];
        for (uint32_t k = 0; k < ch->route_count; k++)
            buf_fini(&ch->routes[k].image);
        mem_free(ch->routes);
        perf_confirms_fini(&ch->confirms);
    }
    mem_free(p->channels);
    buf_fini(&p->body);
    mem_free(p);
}

/* When message number `n` of a channel is due. */
static uint64_t
producer_due(const struct perf_producer *p, const struct producer_channel *ch, uint64_t n)
{
    uint64_t offset = (uint64_t)(ch->phase_ns + (double)n * p->period_ns);
    if (p->grid_ns > 0)
        offset = (offset + p->grid_ns - 1) / p->grid_ns * p->grid_ns;
    return p->link.worker->shared->start_ns + offset;
}

static void
producer_start(struct perf_link *link)
{
    struct perf_producer *p = producer_of(link);
    if (p->body.size == 0)
        buf_reserve(&link->out, OUT_SIZE + p->image_size);
    if (p->period_ns > 0) {
        for (uint32_t i = 0; i < p->channel_count; i++)
            p->channels[i].due_ns = producer_due(p, &p->channels[i], 0);
    }
}

static inline void
stamp_write(uint8_t *body, uint32_t body_size, uint64_t time, uint64_t word)
{
    if (__builtin_expect(body_size >= PERF_STAMP_SIZE, 1)) {
        store_be64(body, time);
        store_be64(body + 8, word);
    } else if (body_size >= 8) {
        store_be64(body, time);
    }
}

/* Gives the message of which the head ends at `end` a priority and an expiration of its own: in no
 * order, but the same ones in every run. */
static void
vary_head(const struct perf_options *o, uint8_t *end, uint64_t number)
{
    const uint32_t chance = (uint32_t)((number * 0x9e3779b97f4a7c15u) >> 32);
    uint8_t *at = end - 1;
    if (o->expiration_ms > 0) {
        uint32_t rest = o->expiration_ms - chance % (o->expiration_ms / 2 + 1);
        for (size_t i = 0; i < PERF_EXPIRATION_SIZE; i++, rest /= 10)
            *--at = (uint8_t)('0' + rest % 10);
        at--; /* The length. */
    }
    if (o->priorities > 0)
        *--at = (uint8_t)(chance % (o->priorities + 1));
}

/* Appends one message to `out`, which has room. */
static inline uint8_t *
channel_write(struct perf_producer *p, struct producer_channel *ch, uint8_t *out, uint64_t sent_ns,
              uint64_t stamp)
{
    struct producer_route *route = &ch->routes[ch->turn];
    if (++ch->turn == ch->route_count)
        ch->turn = 0;
    const size_t size = route->image.size;
    memcpy(out, route->image.data, size);
    if (__builtin_expect(p->message.has_priority || p->message.expires, 0))
        vary_head(p->options, out + route->head_size, ch->published);
    uint8_t *body = p->body.size == 0 ? out + route->stamp_at : p->body.data + AMQP_FRAME_HEAD_SIZE;
    stamp_write(body, p->message.body_size, stamp, route->word);
    route->word++;
    ch->published++;
    if (p->options->confirm > 0)
        perf_confirms_add(&ch->confirms, sent_ns);
    return out + size;
}

/* How many messages a channel may publish now, due times aside. */
static uint64_t
channel_allowance(const struct perf_producer *p, const struct producer_channel *ch)
{
    const uint64_t left = ch->limit - ch->published;
    if (p->options->confirm == 0)
        return left;
    const uint64_t room = perf_confirms_room(&ch->confirms);
    return room < left ? room : left;
}

/* Writes up to `most` messages of a channel that are due. Returns where it stopped. */
static uint8_t *
channel_fill(struct perf_producer *p, struct producer_channel *ch, uint8_t *out, uint64_t most,
             uint64_t now_ns)
{
    const struct perf_shared *shared = p->link.worker->shared;
    const uint64_t allowance = channel_allowance(p, ch);
    if (most > allowance)
        most = allowance;
    if (p->period_ns > 0) {
        for (; most > 0 && ch->due_ns <= now_ns; most--) {
            out = channel_write(p, ch, out, ch->due_ns, perf_stamp_time(shared, ch->due_ns));
            ch->due_ns = producer_due(p, ch, ch->published);
        }
        /* Otherwise the window is closed, and its opening will wake us. */
        if (most > 0)
            perf_worker_tick(p->link.worker, ch->due_ns);
        return out;
    }
    const uint64_t stamp = perf_stamp_time(shared, now_ns);
    for (; most > 0; most--)
        out = channel_write(p, ch, out, now_ns, stamp);
    return out;
}

/* A large message: its head goes to the buffer, its body is sent from where it is. */
static bool
producer_fill_large(struct perf_producer *p, uint64_t now_ns)
{
    for (uint32_t i = 0; i < p->channel_count; i++) {
        struct producer_channel *ch = &p->channels[p->turn];
        if (++p->turn == p->channel_count)
            p->turn = 0;
        uint8_t *out = buf_reserve(&p->link.out, p->image_size);
        const uint8_t *end = channel_fill(p, ch, out, 1, now_ns);
        if (end == out)
            continue;
        p->link.out.size += (size_t)(end - out);
        if (ch->number != p->message.channel) {
            p->message.channel = ch->number;
            perf_publish_set_channel(p->body.data, &p->message);
        }
        p->link.large = buf_bytes(&p->body);
        return true;
    }
    return false;
}

/* A buffer of small messages, shared fairly by the channels. */
static bool
producer_fill_small(struct perf_producer *p, uint64_t now_ns)
{
    const uint64_t fitting = OUT_SIZE / p->image_size + 1;
    const uint64_t share = (fitting + p->channel_count - 1) / p->channel_count;
    uint8_t *const begin = p->link.out.data;
    uint8_t *out = begin;
    for (uint32_t i = 0; i < p->channel_count && out < begin + OUT_SIZE; i++) {
        const uint64_t left = (size_t)(begin + OUT_SIZE - out) / p->image_size + 1;
        out = channel_fill(p, &p->channels[p->turn], out, left < share ? left : share, now_ns);
        if (++p->turn == p->channel_count)
            p->turn = 0;
    }
    p->link.out.size = (size_t)(out - begin);
    return out > begin;
}

/* Puts messages into the empty send buffer. False if none may be sent now. */
static bool
producer_fill(struct perf_producer *p, uint64_t now_ns)
{
    struct perf_counters *counters = &p->link.worker->counters;
    uint64_t before = 0;
    uint64_t after = 0;
    if (perf_worker_commanded(p->link.worker) != PERF_COMMAND_RUN || p->link.blocked)
        return false;
    for (uint32_t i = 0; i < p->channel_count; i++)
        before += p->channels[i].published;
    const bool filled =
        p->body.size > 0 ? producer_fill_large(p, now_ns) : producer_fill_small(p, now_ns);
    if (!filled)
        return false;
    for (uint32_t i = 0; i < p->channel_count; i++)
        after += p->channels[i].published;
    if (counters->first_ns == 0)
        perf_counter_set(&counters->first_ns, now_ns);
    perf_counter_set(&counters->last_ns, now_ns);
    perf_counter_add(&counters->published, after - before);
    return true;
}

static bool
producer_is_done(const struct perf_producer *p)
{
    const bool stopped = perf_worker_commanded(p->link.worker) != PERF_COMMAND_RUN;
    for (uint32_t i = 0; i < p->channel_count; i++) {
        const struct producer_channel *ch = &p->channels[i];
        if (ch->confirms.open > 0 || (!stopped && ch->published < ch->limit))
            return false;
    }
    return true;
}

static bool
producer_pump(struct perf_link *link, uint64_t now_ns)
{
    struct perf_producer *p = producer_of(link);
    bool more = link->readable && perf_link_read(link);
    for (int i = 0; i < FILLS_A_PUMP; i++) {
        if (!perf_link_flush(link))
            return more || link->readable;
        if (!producer_fill(p, now_ns)) {
            link->finished = producer_is_done(p);
            return more;
        }
        if (p->period_ns <= 0)
            now_ns = clock_monotonic_ns();
    }
    return true;
}

static struct producer_channel *
producer_channel_find(struct perf_producer *p, uint16_t number)
{
    if (number >= 1 && number <= p->channel_count)
        return &p->channels[number - 1];
    perf_link_fail(&p->link, "the broker sent something on channel %u, which is not open", number);
    return NULL;
}

static void
producer_on_confirm(struct perf_producer *p, struct producer_channel *ch, uint64_t *counter,
                    struct bytes arguments, uint64_t now_ns)
{
    struct perf_worker *w = p->link.worker;
    if (arguments.size != 9) {
        perf_link_fail(&p->link, "the broker sent a malformed ack or nack");
        return;
    }
    const uint64_t number = load_be64(arguments.data);
    const bool multiple = arguments.data[8] & 1u;
    const uint64_t settled =
        perf_confirms_settle(&ch->confirms, number, multiple, now_ns, &w->latency);
    perf_counter_add(counter, settled);
    perf_counter_set(&w->counters.settled_ns, now_ns);
    if (settled == 0)
        perf_counter_add(&w->counters.unexpected, 1);
}

static bool
producer_on_method(struct perf_link *link, uint16_t channel, uint32_t id, struct bytes arguments,
                   uint64_t now_ns)
{
    struct perf_producer *p = producer_of(link);
    struct perf_counters *counters = &link->worker->counters;
    struct producer_channel *ch = producer_channel_find(p, channel);
    if (ch == NULL)
        return false;
    const bool confirms = p->options->confirm > 0;
    if (id == AMQP_ID_basic_ack && confirms)
        producer_on_confirm(p, ch, &counters->confirmed, arguments, now_ns);
    else if (id == AMQP_ID_basic_nack && confirms)
        producer_on_confirm(p, ch, &counters->nacked, arguments, now_ns);
    else if (id == AMQP_ID_basic_return && p->options->mandatory)
        perf_counter_add(&counters->returned, 1);
    else
        return false;
    return true;
}

const struct perf_role perf_role_producer = {
    .start = producer_start,
    .pump = producer_pump,
    .parse = perf_link_parse,
    .on_method = producer_on_method,
};
