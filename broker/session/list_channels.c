/* The listings of channels and consumers. */

#include "broker/session/channel.h"
#include "broker/session/list_connections.h"

#include <stdio.h>

#define CHANNEL(object) ((const struct channel *)(object))

static void
put_id_of(struct rows *r, const struct channel *ch)
{
    char id[32];
    snprintf(id, sizeof(id), "%llu.%u", (unsigned long long)ch->connection->id, ch->number);
    cell_put_string(r, id);
}

static void
put_id(struct rows *r, const void *object)
{
    put_id_of(r, object);
}

static void
put_connection(struct rows *r, const void *object)
{
    cell_put_number(r, CHANNEL(object)->connection->id);
}

static void
put_number(struct rows *r, const void *object)
{
    cell_put_number(r, CHANNEL(object)->number);
}

static void
put_user(struct rows *r, const void *object)
{
    cell_put_text(r, CHANNEL(object)->connection->user);
}

static void
put_vhost(struct rows *r, const void *object)
{
    const struct vhost *v = CHANNEL(object)->connection->vhost;
    if (v == NULL)
        cell_put_none(r);
    else
        cell_put_text(r, v->name);
}

static void
put_transactional(struct rows *r, const void *object)
{
    cell_put_bool(r, CHANNEL(object)->mode == CHANNEL_TX);
}

static void
put_confirm(struct rows *r, const void *object)
{
    cell_put_bool(r, CHANNEL(object)->mode == CHANNEL_CONFIRM);
}

static void
put_consumers(struct rows *r, const void *object)
{
    uint64_t count = 0;
    LIST_FOREACH (link, &CHANNEL(object)->consumers)
        count++;
    cell_put_number(r, count);
}

static void
put_unacked(struct rows *r, const void *object)
{
    cell_put_number(r, CHANNEL(object)->unacked.count);
}

static void
put_unconfirmed(struct rows *r, const void *object)
{
    const struct confirms *c = &CHANNEL(object)->confirms;
    uint64_t count = 0;
    if (!confirms_are_empty(c)) {
        const struct confirm_run *first = &c->runs[c->head & (c->capacity - 1)];
        count = CHANNEL(object)->publish_number - first->first + 1;
    }
    cell_put_number(r, count);
}

static void
put_uncommitted(struct rows *r, const void *object)
{
    const struct tx *tx = CHANNEL(object)->tx;
    cell_put_number(r, tx == NULL ? 0 : tx->publish_count);
}

static void
put_acks_uncommitted(struct rows *r, const void *object)
{
    const struct tx *tx = CHANNEL(object)->tx;
    cell_put_number(r, tx == NULL ? 0 : tx->settle_count);
}

static void
put_prefetch(struct rows *r, const void *object)
{
    cell_put_number(r, CHANNEL(object)->prefetch);
}

static void
put_global_prefetch(struct rows *r, const void *object)
{
    cell_put_number(r, atomic_load(&CHANNEL(object)->shared.limit));
}

static void
put_state(struct rows *r, const void *object)
{
    cell_put_string(r, CHANNEL(object)->state == CHANNEL_OPEN ? "running" : "closing");
}

const struct column channel_columns[] = {
    { "id", put_id, true, "Its connection's number, a dot, and its own." },
    { "connection", put_connection, false, "Number of its connection." },
    { "number", put_number, false, "Its number in the connection." },
    { "user", put_user, true, "Who has logged in." },
    { "vhost", put_vhost, true, "The virtual host of its connection." },
    { "consumer_count", put_consumers, true, "Its consumers." },
    { "messages_unacknowledged", put_unacked, true, "Deliveries that are not settled." },
    { "messages_unconfirmed", put_unconfirmed, true, "Publishes that wait for their confirm." },
    { "prefetch_count", put_prefetch, true, "Prefetch of consumers to come; 0: no limit." },
    { "global_prefetch_count", put_global_prefetch, false,
      "Prefetch that its consumers share; 0: no limit." },
    { "confirm", put_confirm, false, "Publishes are confirmed." },
    { "transactional", put_transactional, false, "It is in transaction mode." },
    { "messages_uncommitted", put_uncommitted, false, "Publishes of the open transaction." },
    { "acks_uncommitted", put_acks_uncommitted, false, "Settlements of the open transaction." },
    { "state", put_state, false, "running or closing." },
};
const size_t channel_column_count = sizeof(channel_columns) / sizeof(channel_columns[0]);

static bool
is_of_vhost(const struct connection *c, struct bytes vhost)
{
    return vhost.size == 0 || (c->vhost != NULL && bytes_equal(c->vhost->name, vhost));
}

static void
each_channel(struct worker *w, struct bytes vhost, const struct selection *s, struct rows *r,
             void (*each)(const struct channel *ch, const struct selection *s, struct rows *r))
{
    LIST_FOREACH (link, &w->connections) {
        const struct connection *c = LIST_CONTAINER(link, struct connection, in_worker);
        if (!is_of_vhost(c, vhost))
            continue;
        for (struct map_node *n = NULL; (n = map_next(&c->channels, n)) != NULL;)
            each(MAP_CONTAINER(n, struct channel, by_number), s, r);
    }
}

static void
list_channel(const struct channel *ch, const struct selection *s, struct rows *r)
{
    selection_put(s, r, ch);
}

void
visit_channels(struct worker *w, const struct selection *s, struct bytes vhost, struct rows *r)
{
    each_channel(w, vhost, s, r, list_channel);
}

/* A consumer, with what of it the queue's lock guards. */
struct consumer_view {
    const struct consumer *consumer;
    const struct channel *channel;
    uint32_t prefetch; /* 0: no limit. */
    uint32_t outstanding;
    bool is_active;
};

#define VIEW(object) ((const struct consumer_view *)(object))

static void
put_queue(struct rows *r, const void *object)
{
    cell_put_text(r, VIEW(object)->consumer->queue->name);
}

static void
put_channel(struct rows *r, const void *object)
{
    put_id_of(r, VIEW(object)->channel);
}

static void
put_tag(struct rows *r, const void *object)
{
    cell_put_text(r, VIEW(object)->consumer->tag);
}

static void
put_ack_required(struct rows *r, const void *object)
{
    cell_put_bool(r, !VIEW(object)->consumer->no_ack);
}

static void
put_consumer_prefetch(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->prefetch);
}

static void
put_outstanding(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->outstanding);
}

static void
put_active(struct rows *r, const void *object)
{
    cell_put_bool(r, VIEW(object)->is_active);
}

static void
put_exclusive(struct rows *r, const void *object)
{
    cell_put_bool(r, VIEW(object)->consumer->exclusive);
}

static void
put_priority(struct rows *r, const void *object)
{
    cell_put_signed(r, VIEW(object)->consumer->priority);
}

static void
put_consumer_user(struct rows *r, const void *object)
{
    cell_put_text(r, VIEW(object)->channel->connection->user);
}

static void
put_peer(struct rows *r, const void *object)
{
    cell_put_string(r, VIEW(object)->channel->connection->peer);
}

const struct column consumer_columns[] = {
    { "queue_name", put_queue, true, "The queue it consumes from." },
    { "channel", put_channel, true, "Its channel: number of the connection, a dot, its own." },
    { "consumer_tag", put_tag, true, "Its tag." },
    { "ack_required", put_ack_required, true, "Deliveries must be settled." },
    { "prefetch_count", put_consumer_prefetch, true, "Deliveries it may have; 0: no limit." },
    { "messages_unacknowledged", put_outstanding, true, "Deliveries it has." },
    { "active", put_active, true, "It is served; only with a single active consumer is one not." },
    { "exclusive", put_exclusive, false, "It has the queue for itself." },
    { "priority", put_priority, false, "Its priority." },
    { "user", put_consumer_user, false, "Who has logged in." },
    { "peer", put_peer, false, "Address of the client." },
};
const size_t consumer_column_count = sizeof(consumer_columns) / sizeof(consumer_columns[0]);

static void
list_channel_consumers(const struct channel *ch, const struct selection *s, struct rows *r)
{
    LIST_FOREACH (link, &ch->consumers) {
        const struct consumer *c = LIST_CONTAINER(link, struct consumer, in_channel);
        struct queue *q = c->queue;
        lock_acquire(&q->lock);
        const struct consumer_view view = {
            .consumer = c,
            .channel = ch,
            .outstanding = c->outstanding,
            .prefetch =
                c->prefetch_left == PREFETCH_UNLIMITED ? 0 : c->prefetch_left + c->outstanding,
            .is_active = !q->effective.single_active_consumer || q->active == c,
        };
        lock_release(&q->lock);
        selection_put(s, r, &view);
    }
}

void
visit_consumers(struct worker *w, const struct selection *s, struct bytes vhost, struct rows *r)
{
    each_channel(w, vhost, s, r, list_channel_consumers);
}
