/* basic.get. */

#include "broker/base/mem.h"
#include "broker/core/message_properties.h"
#include "broker/session/arguments.h"
#include "broker/session/channel.h"
#include "broker/session/pending_get.h"

static void
reply_get_ok(struct channel *ch, struct queue *q, const struct entry *e, size_t left, bool no_ack)
{
    const uint64_t tag = ++ch->delivery_tag;
    const union amqp_method method = { .basic_get_ok = {
                                           .id = AMQP_ID_basic_get_ok,
                                           .delivery_tag = tag,
                                           .redelivered = e->redelivered,
                                           .exchange = message_exchange(e->message),
                                           .routing_key = message_key(e->message),
                                           .message_count = (uint32_t)left,
                                       } };
    struct counters *counters = &ch->connection->worker->counters;
    counter_add(no_ack ? &counters->got_auto : &counters->got_manual, 1);
    counter_add(&counters->redelivered, e->redelivered);
    struct added_header added;
    channel_send_content(ch, &method, e->message, queue_added_header(q, e, &added));
    queue_ref(q); /* The item's, since it has no consumer. */
    const struct settle settle = { .queue = q, .entry = *e };
    if (no_ack)
        batch_settle(ch->connection->worker, &settle);
    else
        channel_add_unacked(ch, &(struct unacked_item){
                                    .tag = tag,
                                    .settle = settle,
                                    .sent_ms = ch->connection->worker->loop.now_ms,
                                });
}

/* Sends the answer, or raises the exception; false if it has to wait, and the getter will hear
 * when. */
static bool
try_get(struct channel *ch, struct queue *q, bool no_ack, struct getter *getter,
        struct amqp_exception *ex)
{
    struct entry e;
    size_t left;
    switch (queue_get(q, getter, &e, &left)) {
    case GET_DONE:
        reply_get_ok(ch, q, &e, left, no_ack);
        return true;
    case GET_EMPTY:
        counter_add(&ch->connection->worker->counters.got_empty, 1);
        CHANNEL_SEND(ch, basic_get_empty, .reserved_cluster_id = BYTES_NONE);
        return true;
    case GET_BROKEN:
        amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                   "queue '%.*s' in vhost '%.*s' cannot be read: its store is damaged, see the "
                   "broker's log; purging it gives up what is in it",
                   BYTES_ARGS(q->name), BYTES_ARGS(q->vhost->name));
        return true;
    case GET_LATER:
        return false;
    }
    return true;
}

static void
retry_get(struct mail *mail)
{
    struct pending_get *g = LIST_CONTAINER(mail, struct pending_get, getter.mail);
    struct connection *c = g->connection;
    struct channel *ch = connection_find_channel(c, g->channel);
    struct amqp_exception ex = { .method_id = AMQP_ID_basic_get };
    if (ch != NULL && !try_get(ch, g->queue, g->no_ack, &g->getter, &ex))
        return;
    if (ch != NULL && ex.code != 0)
        channel_raise(ch, &ex);
    batch_flush(c->worker);
    pending_get_drop(c);
    connection_resume(c, PAUSE_GET);
}

void
pending_get_drop(struct connection *c)
{
    struct pending_get *g = c->pending_get;
    if (g == NULL)
        return;
    c->pending_get = NULL;
    queue_forget_getter(g->queue, &g->getter);
    loop_unpost(&c->worker->loop, &g->getter.mail);
    queue_unref(g->queue);
    mem_free(g);
}

/* The mail may come before this returns to the loop, never before it returns to the caller. */
static void
wait_for_front(struct channel *ch, struct queue *q, bool no_ack)
{
    struct connection *c = ch->connection;
    struct pending_get *g = mem_alloc_zeroed(sizeof(*g));
    list_init(&g->getter.in_queue);
    mail_init(&g->getter.mail, retry_get);
    g->getter.loop = &c->worker->loop;
    g->connection = c;
    g->channel = ch->number;
    g->no_ack = no_ack;
    g->queue = q;
    queue_ref(q);
    c->pending_get = g;
    connection_pause(c, PAUSE_GET);
    loop_post(g->getter.loop, &g->getter.mail); /* It may be ready by now. */
}

/* As RabbitMQ's quorum queues have it: the one active consumer is not passed over. */
static bool
may_get(const struct queue *q, struct amqp_exception *ex)
{
    if (!queue_is_no_stream(q, "basic.get", ex))
        return false;
    return q->effective.type != QUEUE_QUORUM || !q->effective.single_active_consumer ||
           amqp_raise(ex, AMQP_RESOURCE_LOCKED,
                      "cannot obtain access to locked queue '%.*s' in vhost '%.*s'. basic.get "
                      "operations are not supported by quorum queues with single active consumer",
                      BYTES_ARGS(q->name), BYTES_ARGS(q->vhost->name));
}

bool
on_basic_get(struct channel *ch, const struct amqp_basic_get *m, struct amqp_exception *ex)
{
    struct queue *q = channel_read_queue(ch, m->queue, ex);
    if (q == NULL)
        return false;
    const uint32_t before = ex->code;
    bool ok = may_get(q, ex);
    if (ok && !try_get(ch, q, m->no_ack, NULL, ex))
        wait_for_front(ch, q, m->no_ack);
    ok = ok && ex->code == before;
    queue_unref(q);
    return ok;
}
