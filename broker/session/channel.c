/* Life and death of a channel, its consumers and its unacked deliveries. */

#include "broker/session/channel.h"

#include "broker/auth/auth.h"

#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/core/stream.h"

#include <stdlib.h>

struct channel *
channel_create(struct connection *c, uint16_t number)
{
    struct channel *ch = mem_alloc_zeroed(sizeof(*ch));
    ch->connection = c;
    ch->number = number;
    list_init(&ch->consumers);
    list_init(&ch->in_confirming);
    map_insert(&c->channels, &ch->by_number, number);
    counter_add(&c->worker->counters.channels_opened, 1);
    return ch;
}

/* Unacked deliveries outlive their consumer; each now holds the queue itself. */
static void
orphan_unacked(struct channel *ch, const struct consumer *consumer)
{
    size_t place = 0;
    struct unacked_item *item;
    while ((item = unacked_next(&ch->unacked, &place)) != NULL) {
        if (item->settle.consumer != consumer)
            continue;
        item->settle.consumer = NULL;
        queue_ref(item->settle.queue);
    }
}

/* The end of an auto-delete queue whose last consumer has gone. */
static void
delete_unused(struct queue *q)
{
    struct amqp_exception ex;
    size_t ready;
    uint64_t ticket;
    /* Somebody may have come meanwhile: then it is in use, and stays. */
    (void)vhost_delete_queue(q->vhost, q, true, false, &ready, &ticket, &ex);
}

static void
consumer_destroy(struct consumer *consumer)
{
    struct channel *ch = consumer->channel;
    map_remove(&ch->consumers_by_tag, &consumer->by_tag);
    list_unlink(&consumer->in_channel);
    queue_unref(consumer->queue);
    stream_cursor_unref(consumer->cursor);
    mem_free_const(consumer->tag.data);
    mem_free(consumer);
}

void
channel_remove_consumer(struct channel *ch, struct consumer *consumer)
{
    batch_flush(ch->connection->worker); /* Settlements in the batch give credit to consumers. */
    struct departure departure = { .queue = consumer->queue, .leaver = consumer };
    const bool unused = queue_depart(consumer->queue, &departure, 1);
    orphan_unacked(ch, consumer);
    if (unused)
        delete_unused(consumer->queue);
    consumer_destroy(consumer);
    channel_retry_consumers(ch); /* What it gave back of shared credit is for the others. */
}

void
channel_settle(struct channel *ch, const struct unacked_item *item)
{
    if (item->from_consumer && ch->shares_credit)
        shared_credit_give(&ch->shared);
    batch_settle(ch->connection->worker, &item->settle);
}

void
channel_retry_consumers(struct channel *ch)
{
    if (!ch->shares_credit)
        return;
    LIST_FOREACH (link, &ch->consumers) {
        struct consumer *consumer = LIST_CONTAINER(link, struct consumer, in_channel);
        queue_retry(consumer->queue, consumer);
    }
}

/* Consumers first: what goes back must not come straight back to them. */
static int
departure_order(const void *a, const void *b)
{
    const struct departure *x = a;
    const struct departure *y = b;
    if (x->queue != y->queue)
        return (uintptr_t)x->queue < (uintptr_t)y->queue ? -1 : 1;
    return (y->leaver != NULL) - (x->leaver != NULL);
}

static void
departure_done(struct departure *d, bool unused)
{
    if (d->leaver != NULL) {
        if (unused)
            delete_unused(d->queue);
        return;
    }
    if (d->delivery.consumer == NULL)
        queue_unref(d->queue);
}

/* Hands departures to their queues, each queue's together. */
static void
depart(struct departure *departures, size_t count)
{
    if (count > 1)
        qsort(departures, count, sizeof(*departures), departure_order);
    for (size_t from = 0; from < count;) {
        size_t to = from + 1;
        while (to < count && departures[to].queue == departures[from].queue)
            to++;
        const bool unused = queue_depart(departures[from].queue, departures + from, to - from);
        for (size_t i = from; i < to; i++)
            departure_done(&departures[i], unused);
        from = to;
    }
}

static struct departure
departure_of(struct channel *ch, struct unacked_item *item)
{
    channel_shed_item(ch, item);
    if (item->from_consumer && ch->shares_credit)
        shared_credit_give(&ch->shared);
    return (struct departure){ .queue = item->settle.queue, .delivery = item->settle };
}

void
channel_requeue(struct channel *ch, struct unacked_item *item)
{
    struct departure departure = departure_of(ch, item);
    depart(&departure, 1);
}

void
channel_requeue_up_to(struct channel *ch, uint64_t up_to)
{
    struct departure *departures = mem_alloc(ch->unacked.count * sizeof(*departures));
    struct unacked_item item;
    size_t count = 0;
    while (unacked_take_first(&ch->unacked, up_to, &item))
        departures[count++] = departure_of(ch, &item);
    depart(departures, count);
    mem_free(departures);
}

/* All consumers and all unacked deliveries at once. */
static void
leave_queues(struct channel *ch)
{
    size_t count = ch->unacked.count;
    LIST_FOREACH (link, &ch->consumers)
        count++;
    struct departure *departures = mem_alloc(count * sizeof(*departures));
    struct unacked_item item;
    count = 0;
    LIST_FOREACH (link, &ch->consumers) {
        struct consumer *consumer = LIST_CONTAINER(link, struct consumer, in_channel);
        departures[count++] = (struct departure){ .queue = consumer->queue, .leaver = consumer };
    }
    while (unacked_take_first(&ch->unacked, UINT64_MAX, &item))
        departures[count++] = departure_of(ch, &item);
    depart(departures, count);
    LIST_FOREACH (link, &ch->consumers)
        consumer_destroy(LIST_CONTAINER(link, struct consumer, in_channel));
    mem_free(departures);
}

static void
drop_publish(struct channel *ch)
{
    if (ch->connection->borrower == ch)
        ch->connection->borrower = NULL;
    mem_free(ch->publish.names);
    if (ch->publish.message != NULL)
        message_abandon(ch->publish.message, ch->publish.message->body_size - ch->body_at);
    ch->publish = (struct publish){ 0 };
}

void
channel_drop_replies(struct channel *ch)
{
    if (ch->reply == NULL)
        return;
    replies_unregister(&ch->connection->worker->broker->replies, ch->reply);
    mem_free(ch->reply);
    mem_free_const(ch->reply_tag.data);
    ch->reply = NULL;
    ch->reply_tag = BYTES_NONE;
}

void
channel_release(struct channel *ch)
{
    batch_flush(ch->connection->worker);
    drop_publish(ch);
    channel_drop_replies(ch);
    leave_queues(ch);
    unacked_fini(&ch->unacked);
    confirms_fini(&ch->confirms);
    list_unlink(&ch->in_confirming);
    if (ch->tx != NULL)
        tx_destroy(ch->tx);
    ch->tx = NULL;
    ch->mode = CHANNEL_PLAIN;
    mem_free_const(ch->last_queue.data);
    ch->last_queue = BYTES_NONE;
}

void
channel_destroy(struct channel *ch)
{
    struct connection *c = ch->connection;
    channel_release(ch);
    if (ch->is_open)
        atomic_fetch_sub(&c->account->channels, 1);
    if (c->last_channel == ch)
        c->last_channel = NULL;
    if (c->body_channel == ch)
        c->body_channel = NULL;
    map_remove(&c->channels, &ch->by_number);
    counter_add(&c->worker->counters.channels_closed, 1);
    mem_free(ch);
}

void
channel_raise(struct channel *ch, const struct amqp_exception *ex)
{
    char quoted[300];
    log_warning("channel.error", "conn=%llu chan=%u code=%u method=%u.%u err=\"%s\"",
                (unsigned long long)ch->connection->id, ch->number, ex->code, ex->method_id >> 16,
                ex->method_id & 0xFFFFu,
                log_quote(bytes_of_string(ex->text), quoted, sizeof(quoted)));
    channel_release(ch);
    ch->state = CHANNEL_CLOSING;
    CHANNEL_SEND(ch, channel_close, .reply_code = (uint16_t)ex->code,
                 .reply_text = bytes_of_string(ex->text),
                 .class_id = (uint16_t)(ex->method_id >> 16), .method_id = (uint16_t)ex->method_id);
}

/* The first delivery that has been out for too long: what a queue allows beats what the broker
 * does. `timeout_ms` becomes what it was allowed. */
static const struct unacked_item *
find_overdue(struct channel *ch, uint64_t now_ms, uint64_t *timeout_ms)
{
    size_t place = 0;
    const struct unacked_item *item;
    const uint64_t general_ms = *timeout_ms == 0 ? UINT64_MAX : *timeout_ms;
    while ((item = unacked_next(&ch->unacked, &place)) != NULL) {
        const uint64_t own_ms = atomic_load(&item->settle.queue->limits.consumer_timeout_ms);
        *timeout_ms = own_ms != UINT64_MAX ? own_ms : general_ms;
        if (now_ms - item->sent_ms >= *timeout_ms)
            return item;
    }
    return NULL;
}

void
channel_check_timeout(struct channel *ch, uint64_t now_ms, uint64_t timeout_ms)
{
    const struct unacked_item *oldest =
        ch->state == CHANNEL_OPEN ? find_overdue(ch, now_ms, &timeout_ms) : NULL;
    if (oldest == NULL)
        return;
    char queue[300];
    char tag[300];
    const struct consumer *consumer = oldest->settle.consumer;
    log_warning("consumer.timeout",
                "conn=%llu chan=%u queue=\"%s\" consumer=\"%s\" delivery_tag=%llu age_ms=%llu",
                (unsigned long long)ch->connection->id, ch->number,
                log_quote(oldest->settle.queue->name, queue, sizeof(queue)),
                log_quote(consumer != NULL ? consumer->tag : BYTES_NONE, tag, sizeof(tag)),
                (unsigned long long)oldest->tag, (unsigned long long)(now_ms - oldest->sent_ms));
    struct amqp_exception ex = { 0 };
    amqp_raise(
        &ex, AMQP_PRECONDITION_FAILED,
        "delivery acknowledgement on channel %u timed out. Timeout value used: %llu ms. This "
        "timeout value can be configured, see consumers doc guide to learn more",
        ch->number, (unsigned long long)timeout_ms);
    channel_raise(ch, &ex);
}

static bool
call_handler(struct channel *ch, const union amqp_method *m, struct amqp_exception *ex)
{
    switch (m->id) {
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state) ROW_##state(symbol)
#define ROW_CHANNEL(symbol)                                                                        \
    case AMQP_ID_##symbol:                                                                         \
        return on_##symbol(ch, &m->symbol, ex);
#define ROW_NEVER(symbol)
#define ROW_STARTING(symbol)
#define ROW_SECURING(symbol)
#define ROW_TUNING(symbol)
#define ROW_OPENING(symbol)
#define ROW_RUNNING(symbol)
#define ROW_ALWAYS(symbol)
#include "amqp/methods.def"
    default:
        UNREACHABLE();
    }
}

/* While closing only the end of the closing is heard; contents still have to be swallowed. */
static bool
closing_dispatch(struct channel *ch, uint32_t method_id, struct amqp_exception *ex)
{
    switch (method_id) {
    case AMQP_ID_channel_close_ok:
        channel_destroy(ch);
        return true;
    case AMQP_ID_channel_close:
        connection_send_empty(ch->connection, ch->number, AMQP_ID_channel_close_ok);
        return true;
    case AMQP_ID_channel_open:
        return amqp_raise(ex, AMQP_CHANNEL_ERROR, "second 'channel.open' seen");
    case AMQP_ID_basic_publish:
        content_begin(&ch->content, method_id);
        return true;
    default:
        return true;
    }
}

bool
channel_dispatch(struct channel *ch, uint32_t method_id, struct bytes arguments,
                 struct amqp_exception *ex)
{
    if (ch->state == CHANNEL_CLOSING) {
        ch->content = (struct content){ 0 }; /* A client may stop in the middle of what we drop. */
        return closing_dispatch(ch, method_id, ex);
    }
    if (ch->content.state != CONTENT_WANT_METHOD)
        return content_raise_interrupted(&ch->content, ex);
    union amqp_method m;
    const enum wire_error error = amqp_method_decode(method_id, arguments, &m);
    if (error != WIRE_OK)
        return connection_raise_wire(method_id, error, arguments, ex);
    if (call_handler(ch, &m, ex))
        return true;
    if (amqp_code_is_hard(ex->code))
        return false;
    channel_raise(ch, ex);
    return true;
}
