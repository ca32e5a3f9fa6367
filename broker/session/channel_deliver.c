/* Content going out: deliveries, basic.get-ok, basic.return. */

#include "broker/base/log.h"
#include "broker/core/message_properties.h"
#include "broker/session/channel.h"
#include "broker/session/share.h"

/* Bodies from this size on are written from where they lie instead of being copied. */
#define BODY_REFER_MIN 16384u

static void
message_release(void *owner)
{
    message_unref(owner);
}

/* One body frame, its head and end copied around the octets or a reference to them. */
static void
send_body_frame(struct output *o, uint16_t channel, struct message *m, uint64_t at, uint32_t size)
{
    const uint8_t *data = message_body(m) + at;
    if (size < BODY_REFER_MIN) {
        uint8_t *out = output_reserve(o, size + AMQP_FRAME_OVERHEAD);
        amqp_frame_head_encode(out, AMQP_FRAME_BODY, channel, size);
        memcpy(out + AMQP_FRAME_HEAD_SIZE, data, size);
        out[AMQP_FRAME_HEAD_SIZE + size] = AMQP_FRAME_END;
        output_commit(o, size + AMQP_FRAME_OVERHEAD);
        return;
    }
    uint8_t *head = output_reserve(o, AMQP_FRAME_HEAD_SIZE);
    amqp_frame_head_encode(head, AMQP_FRAME_BODY, channel, size);
    output_commit(o, AMQP_FRAME_HEAD_SIZE);
    message_ref(m);
    output_refer(o, data, size, message_release, m);
    *output_reserve(o, 1) = AMQP_FRAME_END;
    output_commit(o, 1);
}

/* Method and header frames in one piece, then the body in frames as large as agreed. */
static void
send_content(struct channel *ch, const union amqp_method *method, struct message *m,
             struct bytes properties)
{
    struct connection *c = ch->connection;
    const size_t method_size = amqp_method_frame_size(method);
    const size_t header_size = 12 + properties.size;
    const size_t size = method_size + header_size + AMQP_FRAME_OVERHEAD;
    uint8_t *at = output_reserve(&c->output, size);
    amqp_method_frame_encode(at, method_size, ch->number, method);
    at += method_size;

    amqp_frame_head_encode(at, AMQP_FRAME_HEADER, ch->number, (uint32_t)header_size);
    at += AMQP_FRAME_HEAD_SIZE;
    store_be16(at, AMQP_CLASS_BASIC);
    store_be16(at + 2, 0);
    store_be64(at + 4, m->body_size);
    memcpy(at + 12, properties.data, properties.size);
    /* Flag bits 1 and 0 mean nothing and are not passed on. */
    at[13] &= 0xFCu;
    at += header_size;
    *at++ = AMQP_FRAME_END;
    output_commit(&c->output, size);

    const uint32_t payload_max = c->frame_max - AMQP_FRAME_OVERHEAD;
    for (uint64_t sent = 0; sent < m->body_size;) {
        const uint64_t left = m->body_size - sent;
        const uint32_t piece = left < payload_max ? (uint32_t)left : payload_max;
        send_body_frame(&c->output, ch->number, m, sent, piece);
        sent += piece;
    }
    connection_touch(c);
}

void
channel_send_content(struct channel *ch, const union amqp_method *method, struct message *m,
                     const struct added_header *added)
{
    struct buf changed = { 0 };
    if (added == NULL && !m->has_bcc) {
        send_content(ch, method, m, message_properties(m));
        return;
    }
    message_properties_for_delivery(m, added, &changed);
    send_content(ch, method, m, buf_bytes(&changed));
    buf_fini(&changed);
}

/* The queue is gone: so is its consumer, and the client is told if it wants to know. */
static void
cancel_consumer(struct channel *ch, struct consumer *consumer)
{
    if (ch->connection->can_cancel_notify)
        CHANNEL_SEND(ch, basic_cancel, .consumer_tag = consumer->tag, .nowait = true);
    channel_remove_consumer(ch, consumer);
}

void
channel_deliver(struct channel *ch, struct consumer *consumer, const struct entry *e)
{
    if (e->message == NULL) {
        cancel_consumer(ch, consumer);
        return;
    }
    const uint64_t tag = ++ch->delivery_tag;
    const union amqp_method method = { .basic_deliver = {
                                           .id = AMQP_ID_basic_deliver,
                                           .consumer_tag = consumer->tag,
                                           .delivery_tag = tag,
                                           .redelivered = e->redelivered,
                                           .exchange = message_exchange(e->message),
                                           .routing_key = message_key(e->message),
                                       } };
    struct counters *counters = &ch->connection->worker->counters;
    counter_add(consumer->no_ack ? &counters->delivered_auto : &counters->delivered_manual, 1);
    counter_add(&counters->redelivered, e->redelivered);
    struct added_header added;
    channel_send_content(ch, &method, e->message, queue_added_header(consumer->queue, e, &added));
    consumer->encoded += message_cost(e->message);
    const struct settle settle = { .queue = consumer->queue, .consumer = consumer, .entry = *e };
    if (consumer->no_ack)
        batch_settle(ch->connection->worker, &settle);
    else
        channel_add_unacked(ch, &(struct unacked_item){
                                    .tag = tag,
                                    .settle = settle,
                                    .sent_ms = ch->connection->worker->loop.now_ms,
                                    .from_consumer = true,
                                });
    if (consumer->encoded >= consumer->queue->window / 2) {
        if (consumer->no_ack)
            batch_flush(ch->connection->worker); /* The settlement must not come after this. */
        queue_refill(consumer->queue, consumer);
    }
}

void
connection_deliver(struct connection *c)
{
    struct delivery d;
    struct share share = { 0 };
    while (c->state == CONNECTION_RUNNING && c->output.size < OUTPUT_ENOUGH &&
           !share_is_used_up(&share, SHARE_LIGHT)) {
        if (!outbox_take(&c->outbox, &d)) {
            batch_flush(c->worker);
            return;
        }
        channel_deliver(d.consumer->channel, d.consumer, &d.entry);
    }
    batch_flush(c->worker);
    if (c->state != CONNECTION_RUNNING)
        return;
    c->deliveries_wait = true;
    connection_touch(c); /* The flush says when they go on. */
}
