/* From octets to frames to handlers. */

#include "broker/base/log.h"
#include "broker/session/channel.h"
#include "broker/session/connection.h"
#include "broker/session/share.h"

/* Somebody looks for why nothing works; the log is where. */
static void
log_wrong_protocol(const struct connection *c, struct bytes header)
{
    char octets[64];
    const char *advice = "this port speaks AMQP 0-9-1";
    if (header.data[0] == 0x16 && header.data[1] == 3)
        advice = "the client speaks TLS on a port that speaks plain AMQP: let it use amqp://, or "
                 "the port of an amqps listener";
    else if (bytes_start_with(header, BYTES_LITERAL("AMQP")))
        advice = "the client speaks another version of AMQP; this port speaks 0-9-1";
    else if (bytes_start_with(header, BYTES_LITERAL("GET ")) ||
             bytes_start_with(header, BYTES_LITERAL("POST ")) ||
             bytes_start_with(header, BYTES_LITERAL("HEAD ")))
        advice = "the client speaks HTTP; this port speaks AMQP 0-9-1";
    atomic_fetch_add_explicit(&c->worker->broker->counters.handshakes_failed, 1,
                              memory_order_relaxed);
    log_warning("connection.wrong_protocol", "conn=%llu peer=%s octets=\"%s\" msg=\"%s\"",
                (unsigned long long)c->id, c->peer, log_quote(header, octets, sizeof(octets)),
                advice);
}

/* Eight octets decide whether we talk at all. Returns the octets used. */
static size_t
feed_protocol_header(struct connection *c, const uint8_t *data, size_t size)
{
    if (size < AMQP_PROTOCOL_HEADER_SIZE)
        return 0;
    static const uint8_t header_0_9[] = { 'A', 'M', 'Q', 'P', 1, 1, 0, 9 };
    const struct bytes header = bytes_of(data, AMQP_PROTOCOL_HEADER_SIZE);
    if (bytes_equal(header, BYTES_LITERAL(AMQP_PROTOCOL_HEADER)) ||
        bytes_equal(header, bytes_of(header_0_9, sizeof(header_0_9)))) {
        connection_start_handshake(c);
        return AMQP_PROTOCOL_HEADER_SIZE;
    }
    log_wrong_protocol(c, header);
    memcpy(output_reserve(&c->output, AMQP_PROTOCOL_HEADER_SIZE), AMQP_PROTOCOL_HEADER,
           AMQP_PROTOCOL_HEADER_SIZE);
    output_commit(&c->output, AMQP_PROTOCOL_HEADER_SIZE);
    connection_linger(c);
    return size;
}

/* The hash of a channel is its number, so equal hashes are equal numbers. */
static bool
number_matches(const struct map_node *node, const void *key)
{
    (void)node;
    (void)key;
    return true;
}

struct channel *
connection_find_channel(struct connection *c, uint16_t number)
{
    struct channel *last = c->last_channel;
    if (last != NULL && last->number == number)
        return last;
    struct map_node *node = map_find(&c->channels, number, number_matches, NULL);
    if (node == NULL)
        return NULL;
    c->last_channel = MAP_CONTAINER(node, struct channel, by_number);
    return c->last_channel;
}

/* These are collected, or see to it themselves. Whatever else may depend on earlier publishes and
 * settlements must see them applied. */
static bool
is_batched(uint32_t method_id)
{
    return method_id == AMQP_ID_basic_publish || method_id == AMQP_ID_basic_ack ||
           method_id == AMQP_ID_basic_nack || method_id == AMQP_ID_basic_reject;
}

static bool
channel_method(struct connection *c, uint16_t number, uint32_t id, struct bytes arguments,
               struct amqp_exception *ex)
{
    struct channel *ch = connection_find_channel(c, number);
    ex->method_id = id;
    if (id >> 16 == 10 || amqp_method_find(id) == NULL ||
        amqp_method_find(id)->state == AMQP_STATE_NEVER)
        return amqp_raise(ex, AMQP_COMMAND_INVALID, "unimplemented method");
    if (!is_batched(id))
        batch_flush(c->worker);
    if (ch != NULL)
        return channel_dispatch(ch, id, arguments, ex);
    if (id != AMQP_ID_channel_open)
        return amqp_raise(ex, AMQP_CHANNEL_ERROR, "expected 'channel.open'");
    if (c->channels.count >= c->channel_max) {
        ex->method_id = 0;
        return amqp_raise(ex, AMQP_NOT_ALLOWED,
                          "number of channels opened (%zu) has reached the negotiated "
                          "channel_max (%u)",
                          c->channels.count, c->channel_max);
    }
    return channel_dispatch(channel_create(c, number), id, arguments, ex);
}

static bool
method_frame(struct connection *c, const struct amqp_frame_head *head, struct bytes payload,
             struct amqp_exception *ex)
{
    if (head->channel != 0 && c->state < CONNECTION_RUNNING)
        return amqp_frame_raise_unexpected(head, payload, ex);
    if (payload.size < 4) {
        ex->method_id = 0;
        return amqp_raise(ex, AMQP_FRAME_ERROR, "method frame of %zu octets", payload.size);
    }
    const uint32_t id = load_be32(payload.data);
    const struct bytes arguments = bytes_of(payload.data + 4, payload.size - 4);
    if (head->channel == 0)
        return connection_dispatch(c, id, arguments, ex);
    return channel_method(c, head->channel, id, arguments, ex);
}

static bool
content_channel(struct connection *c, const struct amqp_frame_head *head, struct bytes payload,
                struct channel **out, struct amqp_exception *ex)
{
    if (c->state < CONNECTION_RUNNING)
        return amqp_frame_raise_unexpected(head, payload, ex);
    *out = connection_find_channel(c, head->channel);
    if (*out != NULL)
        return true;
    ex->method_id = 0;
    return amqp_raise(ex, AMQP_CHANNEL_ERROR, "expected 'channel.open'");
}

static bool
header_frame(struct connection *c, const struct amqp_frame_head *head, struct bytes payload,
             struct amqp_exception *ex)
{
    struct channel *ch = NULL;
    return content_channel(c, head, payload, &ch, ex) && channel_accept_header(ch, payload, ex);
}

/* A whole frame that is not a body. False: an exception for the connection. */
static bool
frame_accept(struct connection *c, const struct amqp_frame_head *head, struct bytes payload,
             struct amqp_exception *ex)
{
    switch (head->type) {
    case AMQP_FRAME_METHOD:
        return method_frame(c, head, payload, ex);
    case AMQP_FRAME_HEADER:
        return header_frame(c, head, payload, ex);
    default:
        return true; /* A heartbeat: having come is all it means. */
    }
}

/* The head of a body frame: its payload is taken as it comes, however large the frame. */
static bool
body_frame_begin(struct connection *c, const struct amqp_frame_head *head, struct bytes arrived,
                 struct amqp_exception *ex)
{
    struct channel *ch;
    if (!content_channel(c, head, arrived, &ch, ex) || !channel_begin_body(ch, head->size, ex))
        return false;
    c->body_channel = ch;
    c->body_left = head->size;
    c->body_end_due = true;
    return true;
}

static size_t
body_continue(struct connection *c, const uint8_t *data, size_t size)
{
    const size_t take = size < c->body_left ? size : c->body_left;
    if (c->body_channel != NULL)
        channel_add_body(c->body_channel, data, take);
    c->body_left -= (uint32_t)take;
    return take;
}

/* The octet behind a body. False: out of step. */
static bool
body_frame_end(struct connection *c, uint8_t end, struct amqp_exception *ex, bool *in_step)
{
    struct channel *ch = c->body_channel;
    c->body_channel = NULL;
    c->body_end_due = false;
    *in_step = end == AMQP_FRAME_END;
    if (ch == NULL)
        return *in_step;
    if (!*in_step) {
        const struct amqp_frame_head head = { AMQP_FRAME_BODY, ch->number, 0 };
        return amqp_frame_raise_end(&head, BYTES_NONE, end, ex);
    }
    return channel_end_body(ch, ex);
}

enum step {
    STEP_DONE, /* Something was used. */
    STEP_MORE, /* Too few octets for the next step. */
    STEP_STOP, /* The connection has ended or changed its mind about input. */
};

static enum step
step_failed(struct connection *c, const struct amqp_exception *ex, bool in_step)
{
    if (c->state != CONNECTION_CLOSING)
        connection_raise(c, ex);
    if (in_step)
        return STEP_DONE;
    /* The stream is out of step: nothing that follows can be understood, not even close-ok. */
    connection_linger(c);
    return STEP_STOP;
}

static enum step
step_body(struct connection *c, const uint8_t *data, size_t size, size_t *used)
{
    if (size == 0)
        return STEP_MORE;
    if (c->body_left > 0) {
        *used = body_continue(c, data, size);
        return STEP_DONE;
    }
    struct amqp_exception ex; /* Not cleared whole: this runs for every frame. */
    ex.code = 0;
    ex.method_id = 0;
    bool in_step = true;
    *used = 1;
    return body_frame_end(c, data[0], &ex, &in_step) ? STEP_DONE : step_failed(c, &ex, in_step);
}

/* While our connection.close is unanswered only its answer and its like matter. */
static bool
closing_frame(struct connection *c, const struct amqp_frame_head *head, struct bytes payload,
              struct amqp_exception *ex)
{
    if (head->type != AMQP_FRAME_METHOD || head->channel != 0 || payload.size < 4)
        return true;
    const uint32_t id = load_be32(payload.data);
    if (id != AMQP_ID_connection_close && id != AMQP_ID_connection_close_ok)
        return true;
    return connection_dispatch(c, id, bytes_of(payload.data + 4, payload.size - 4), ex);
}

static enum step
step_frame(struct connection *c, const uint8_t *data, size_t size, size_t *used)
{
    if (size < AMQP_FRAME_HEAD_SIZE)
        return STEP_MORE;
    struct amqp_exception ex; /* Not cleared whole: this runs for every frame. */
    ex.code = 0;
    ex.method_id = 0;
    const struct amqp_frame_head head = amqp_frame_head_decode(data);
    const uint8_t *payload = data + AMQP_FRAME_HEAD_SIZE;
    const size_t arrived = size - AMQP_FRAME_HEAD_SIZE;
    const bool complete = arrived > head.size;
    if (head.type == AMQP_FRAME_BODY && head.channel != 0 && c->state == CONNECTION_RUNNING &&
        head.size <= c->frame_max) {
        *used = AMQP_FRAME_HEAD_SIZE;
        if (body_frame_begin(c, &head, bytes_of(payload, arrived), &ex))
            return STEP_DONE;
        c->body_left = head.size; /* Nobody's: skipped, so that we stay in step. */
        c->body_end_due = true;
        return step_failed(c, &ex, true);
    }
    if (!complete && head.size <= c->frame_max && arrived < 16 && arrived < head.size + 1)
        return STEP_MORE; /* The text of an error shows up to 16 octets. */
    const bool makes_sense =
        amqp_frame_head_check(&head, c->frame_max, bytes_of(payload, arrived), &ex);
    const bool ends_well = complete && payload[head.size] == AMQP_FRAME_END;
    if (!makes_sense && ex.code == AMQP_FRAME_ERROR && !ends_well)
        return step_failed(c, &ex, false);
    if (!complete)
        return STEP_MORE;
    const struct bytes whole = bytes_of(payload, head.size);
    *used = AMQP_FRAME_OVERHEAD + head.size;
    if (!ends_well) {
        amqp_frame_raise_end(&head, whole, payload[head.size], &ex);
        return step_failed(c, &ex, false);
    }
    if (!makes_sense)
        return step_failed(c, &ex, true);
    const bool ok = c->state == CONNECTION_CLOSING ? closing_frame(c, &head, whole, &ex)
                                                   : frame_accept(c, &head, whole, &ex);
    return ok ? STEP_DONE : step_failed(c, &ex, true);
}

static bool
is_listening(const struct connection *c)
{
    return c->pauses == 0 && c->state != CONNECTION_CLOSED && c->state != CONNECTION_LINGERING &&
           c->state != CONNECTION_CONDEMNED;
}

/* The flush at the end of the turn sees to it that the next one goes on. */
static void
rest(struct connection *c)
{
    c->turn_ms = c->worker->loop.now_ms;
    connection_pause(c, PAUSE_TURN);
    connection_touch(c);
}

size_t
connection_feed(struct connection *c, const uint8_t *data, size_t size)
{
    struct share share = { 0 };
    const uint64_t output_max = c->worker->broker->config->limits.output_bytes_max;
    size_t at = 0;
    enum step step = STEP_DONE;
    if (c->state == CONNECTION_AWAITING_HEADER)
        at = feed_protocol_header(c, data, size);
    while (step == STEP_DONE && is_listening(c) && c->state != CONNECTION_AWAITING_HEADER) {
        size_t used = 0;
        const bool is_method = at < size && !c->body_end_due && data[at] == AMQP_FRAME_METHOD;
        step = c->body_end_due ? step_body(c, data + at, size - at, &used)
                               : step_frame(c, data + at, size - at, &used);
        at += used;
        if (c->output.size > output_max && c->state == CONNECTION_RUNNING)
            connection_pause(c, PAUSE_OUTPUT); /* The flush lets it go on. */
        if (share_is_used_up(&share, is_method ? SHARE_HEAVY : SHARE_LIGHT) && at < size &&
            is_listening(c))
            rest(c);
    }
    if (c->borrower != NULL) {
        channel_own_names(c->borrower);
        c->borrower = NULL;
    }
    batch_flush(c->worker);
    if (c->state == CONNECTION_LINGERING || c->state == CONNECTION_CONDEMNED)
        return size; /* Nobody listens any more. */
    return at;
}
