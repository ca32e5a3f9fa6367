/* Class basic: prefetch, consumers, basic.get. Settlements are in on_basic_settle.c. */

#include "amqp/table.h"
#include "broker/base/clock.h"
#include "broker/base/mem.h"
#include "broker/base/rand.h"
#include "broker/core/stream.h"
#include "broker/session/arguments.h"
#include "broker/session/channel.h"

/* From now on all consumers of the channel, those there are and those to come, share a limit. What
 * is under way counts: with the live consumers, and for those that have been cancelled. */
static void
share_credit(struct channel *ch)
{
    size_t place = 0;
    struct unacked_item *item;
    ch->shares_credit = true;
    while ((item = unacked_next(&ch->unacked, &place)) != NULL)
        if (item->from_consumer && item->settle.consumer == NULL)
            atomic_fetch_add(&ch->shared.used, 1);
    LIST_FOREACH (link, &ch->consumers) {
        struct consumer *consumer = LIST_CONTAINER(link, struct consumer, in_channel);
        if (!consumer->no_ack)
            queue_share_credit(consumer->queue, consumer, &ch->shared);
    }
}

bool
on_basic_qos(struct channel *ch, const struct amqp_basic_qos *m, struct amqp_exception *ex)
{
    if (m->prefetch_size != 0)
        return amqp_raise(ex, AMQP_NOT_IMPLEMENTED, "prefetch_size!=0 (%u)", m->prefetch_size);
    if (!m->global) {
        ch->prefetch = m->prefetch_count;
    } else {
        atomic_store(&ch->shared.limit, m->prefetch_count);
        if (!ch->shares_credit && m->prefetch_count > 0)
            share_credit(ch);
        channel_retry_consumers(ch);
    }
    channel_reply_empty(ch, false, 0, AMQP_ID_basic_qos_ok);
    return true;
}

static bool
tag_matches(const struct map_node *node, const void *key)
{
    const struct consumer *consumer =
        (const struct consumer *)((const char *)node - offsetof(struct consumer, by_tag));
    return bytes_equal(consumer->tag, *(const struct bytes *)key);
}

static struct consumer *
find_consumer(struct channel *ch, struct bytes tag)
{
    struct map_node *node = map_find(&ch->consumers_by_tag, bytes_hash(tag), tag_matches, &tag);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct consumer, by_tag);
}

static bool
tag_is_used(struct channel *ch, struct bytes tag)
{
    return find_consumer(ch, tag) != NULL || (ch->reply != NULL && bytes_equal(ch->reply_tag, tag));
}

static bool
read_priority(const struct queue *q, struct bytes arguments, int64_t *out,
              struct amqp_exception *ex)
{
    struct table_field f;
    *out = 0;
    if (!table_find(arguments, BYTES_LITERAL("x-priority"), &f) || table_field_integer(&f, out))
        return true;
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                      "invalid arg 'x-priority' for queue '%.*s' in vhost '%.*s': \"expected "
                      "integer, got %s\"",
                      BYTES_ARGS(q->name), BYTES_ARGS(q->vhost->name), table_tag_name(f.tag));
}

static void
reply_consume_ok(struct channel *ch, bool nowait, struct bytes tag)
{
    if (!nowait)
        CHANNEL_SEND(ch, basic_consume_ok, .consumer_tag = tag);
}

/* The channel is found from the consumer's mail: both are one block. */
struct channel_reply {
    struct reply_consumer consumer;
    struct channel *channel;
};

static void
reply_deliver(struct mail *mail)
{
    struct reply_consumer *consumer = LIST_CONTAINER(mail, struct reply_consumer, mail);
    struct channel *ch = LIST_CONTAINER(consumer, struct channel_reply, consumer)->channel;
    size_t count;
    struct message **messages =
        replies_take(&ch->connection->worker->broker->replies, consumer, &count);
    const uint64_t limit = ch->connection->worker->broker->config->limits.output_bytes_max;
    for (size_t i = 0; i < count; i++) {
        /* Replies are delivered at most once: for a requester that does not read, not at all. */
        if (ch->connection->output.size > limit) {
            message_unref(messages[i]);
            continue;
        }
        const union amqp_method method = { .basic_deliver = {
                                               .id = AMQP_ID_basic_deliver,
                                               .consumer_tag = ch->reply_tag,
                                               .delivery_tag = ++ch->delivery_tag,
                                               .exchange = message_exchange(messages[i]),
                                               .routing_key = message_key(messages[i]),
                                           } };
        channel_send_content(ch, &method, messages[i], NULL);
        message_unref(messages[i]);
    }
    mem_free(messages);
}

static bool
consume_replies(struct channel *ch, const struct amqp_basic_consume *m, struct bytes tag,
                struct amqp_exception *ex)
{
    if (ch->reply != NULL)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "reply consumer already set");
    if (!m->no_ack)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "reply consumer cannot acknowledge");
    struct channel_reply *reply = mem_alloc_zeroed(sizeof(*reply));
    struct worker *w = ch->connection->worker;
    reply->channel = ch;
    ch->reply = &reply->consumer;
    ch->reply_tag = bytes_copy(tag);
    replies_register(&w->broker->replies, ch->reply, &w->loop, reply_deliver);
    reply_consume_ok(ch, m->nowait, tag);
    return true;
}

/* A consumer of a stream has credit that acknowledgements give back, and a place of its own. */
static bool
open_cursor(struct channel *ch, const struct amqp_basic_consume *m, struct queue *q,
            struct stream_cursor **out, struct amqp_exception *ex)
{
    struct stream_spec spec;
    if (q->stream == NULL)
        return true;
    if (m->no_ack)
        return queue_is_no_stream(q, "automatic acknowledgement", ex);
    if (ch->prefetch == 0)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "consumer prefetch count is not set for 'queue '%.*s' in vhost '%.*s''",
                          BYTES_ARGS(q->name), BYTES_ARGS(q->vhost->name));
    if (!stream_spec_parse(m->arguments, q->name, q->vhost->name, clock_wall_us(), &spec, ex))
        return false;
    *out = stream_cursor_create(&spec);
    return true;
}

static struct consumer *
consumer_create(struct channel *ch, const struct amqp_basic_consume *m, struct queue *q,
                struct bytes tag, int64_t priority)
{
    struct consumer *consumer = mem_alloc_zeroed(sizeof(*consumer));
    consumer->queue = q;
    consumer->outbox = &ch->connection->outbox;
    consumer->channel = ch;
    consumer->tag = bytes_copy(tag);
    consumer->no_ack = m->no_ack;
    consumer->exclusive = m->exclusive;
    consumer->priority = priority;
    consumer->prefetch_left = m->no_ack || ch->prefetch == 0 ? PREFETCH_UNLIMITED : ch->prefetch;
    consumer->shared = ch->shares_credit && !m->no_ack ? &ch->shared : NULL;
    list_init(&consumer->in_queue);
    list_init(&consumer->in_waiting);
    list_init(&consumer->in_channel);
    return consumer;
}

static bool
consume_queue(struct channel *ch, const struct amqp_basic_consume *m, struct queue *q,
              struct bytes tag, struct amqp_exception *ex)
{
    int64_t priority;
    struct stream_cursor *cursor = NULL;
    if (!read_priority(q, m->arguments, &priority, ex) || !open_cursor(ch, m, q, &cursor, ex))
        return false;
    struct consumer *consumer = consumer_create(ch, m, q, tag, priority);
    consumer->cursor = cursor;
    queue_ref(q);
    const enum consume_outcome outcome = queue_consume(q, consumer);
    if (outcome == CONSUME_DONE) {
        list_push(&ch->consumers, &consumer->in_channel);
        map_insert(&ch->consumers_by_tag, &consumer->by_tag, bytes_hash(consumer->tag));
        reply_consume_ok(ch, m->nowait, tag); /* Before any delivery: those wait for their mail. */
        return true;
    }
    queue_unref(q);
    stream_cursor_unref(cursor);
    mem_free_const(consumer->tag.data);
    mem_free(consumer);
    if (outcome == CONSUME_GONE)
        return vhost_raise_no_queue(q->vhost, q->name, ex);
    return amqp_raise(ex, AMQP_ACCESS_REFUSED, "queue '%.*s' in vhost '%.*s' in exclusive use",
                      BYTES_ARGS(q->name), BYTES_ARGS(q->vhost->name));
}

static bool
may_consume(const struct channel *ch, const struct queue *q, struct amqp_exception *ex)
{
    return q->effective.type == QUEUE_CLASSIC || atomic_load(&ch->shared.limit) == 0 ||
           amqp_raise(ex, AMQP_NOT_IMPLEMENTED,
                      "queue '%.*s' in vhost '%.*s' does not support global qos",
                      BYTES_ARGS(q->name), BYTES_ARGS(q->vhost->name));
}

bool
on_basic_consume(struct channel *ch, const struct amqp_basic_consume *m, struct amqp_exception *ex)
{
    char generated[9 + 23] = "amq.ctag-";
    struct bytes tag = m->consumer_tag;
    if (tag.size == 0) {
        rand_name(generated + 9);
        tag = bytes_of_string(generated);
    }
    if (tag_is_used(ch, tag))
        return amqp_raise(ex, AMQP_NOT_ALLOWED, "attempt to reuse consumer tag '%.*s'",
                          BYTES_ARGS(tag));
    if (bytes_equal(m->queue, BYTES_LITERAL(REPLIES_QUEUE)))
        return consume_replies(ch, m, tag, ex);
    struct queue *q = channel_read_queue(ch, m->queue, ex);
    if (q == NULL)
        return false;
    const bool ok = may_consume(ch, q, ex) && consume_queue(ch, m, q, tag, ex);
    queue_unref(q);
    return ok;
}

bool
on_basic_cancel(struct channel *ch, const struct amqp_basic_cancel *m, struct amqp_exception *ex)
{
    (void)ex;
    struct consumer *consumer = find_consumer(ch, m->consumer_tag);
    if (consumer != NULL)
        channel_remove_consumer(ch, consumer);
    else if (ch->reply != NULL && bytes_equal(ch->reply_tag, m->consumer_tag))
        channel_drop_replies(ch);
    if (!m->nowait)
        CHANNEL_SEND(ch, basic_cancel_ok, .consumer_tag = m->consumer_tag);
    return true;
}

bool
on_basic_cancel_ok(struct channel *ch, const struct amqp_basic_cancel_ok *m,
                   struct amqp_exception *ex)
{
    (void)ch; /* Our cancels say nowait; some clients answer all the same. */
    (void)m;
    (void)ex;
    return true;
}
