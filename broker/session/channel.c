/* Life and death of a channel, its consumers and its unacked deliveries. */

#include "broker/session/channel.h"

#include "broker/base/log.h"
#include "broker/base/mem.h"

struct channel *
channel_create(struct connection *c, uint16_t number)
{
    struct channel *ch = mem_alloc_zeroed(sizeof(*ch));
    ch->connection = c;
    ch->number = number;
    list_init(&ch->consumers);
    list_init(&ch->in_confirming);
    map_insert(&c->channels, &ch->by_number, number);
    return ch;
}

static bool
return_undelivered(void *context, struct delivery *d)
{
    struct channel *ch = context;
    if (d->entry.message == NULL)
        return true;
    struct settle back = { d->consumer->queue, d->consumer, d->entry };
    queue_requeue(d->consumer->queue, &back, 1, false);
    if (ch->shares_credit && !d->consumer->no_ack)
        shared_credit_give(&ch->shared);
    return true;
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
    const bool deleted = vhost_delete_queue(q->vhost, q, false, false, &ready, &ticket, &ex);
    ASSERT(deleted);
}

void
channel_remove_consumer(struct channel *ch, struct consumer *consumer)
{
    struct queue *q = consumer->queue;
    const bool unused = queue_cancel(q, consumer);
    /* After this nothing is pushed for it; what was pushed goes back. */
    outbox_visit(&ch->connection->outbox, consumer, return_undelivered, ch);
    orphan_unacked(ch, consumer);
    list_unlink(&consumer->in_channel);
    if (unused)
        delete_unused(q);
    queue_unref(q);
    mem_free_const(consumer->tag.data);
    mem_free(consumer);
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

void
channel_requeue_all(struct channel *ch)
{
    struct unacked_item item;
    while (unacked_take_first(&ch->unacked, UINT64_MAX, &item)) {
        if (item.from_consumer && ch->shares_credit)
            shared_credit_give(&ch->shared);
        queue_requeue(item.settle.queue, &item.settle, 1, true);
        if (item.settle.consumer == NULL)
            queue_unref(item.settle.queue);
    }
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
    /* Consumers first, so that what is requeued does not come straight back to them. */
    while (!list_is_empty(&ch->consumers))
        channel_remove_consumer(
            ch, LIST_CONTAINER(ch->consumers.next, struct consumer, in_channel));
    channel_requeue_all(ch);
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
    if (c->last_channel == ch)
        c->last_channel = NULL;
    if (c->body_channel == ch)
        c->body_channel = NULL;
    map_remove(&c->channels, &ch->by_number);
    mem_free(ch);
}

void
channel_raise(struct channel *ch, const struct amqp_exception *ex)
{
    char quoted[300];
    log_warning("channel.error", "conn=%llu channel=%u code=%u method=%u.%u text=\"%s\"",
                (unsigned long long)ch->connection->id, ch->number, ex->code, ex->method_id >> 16,
                ex->method_id & 0xFFFFu,
                log_quote(bytes_of_string(ex->text), quoted, sizeof(quoted)));
    channel_release(ch);
    ch->state = CHANNEL_CLOSING;
    CHANNEL_SEND(ch, channel_close, .reply_code = (uint16_t)ex->code,
                 .reply_text = bytes_of_string(ex->text), .class_id = (uint16_t)(ex->method_id >> 16),
                 .method_id = (uint16_t)ex->method_id);
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
    if (ch->content.state != CONTENT_WANT_METHOD)
        return content_raise_interrupted(&ch->content, ex);
    if (ch->state == CHANNEL_CLOSING)
        return closing_dispatch(ch, method_id, ex);
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
