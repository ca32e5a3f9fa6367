/* basic.ack, nack, reject and recover. */

#include "broker/session/arguments.h"
#include "broker/session/channel.h"

void
channel_end_delivery(struct channel *ch, struct unacked_item *item, enum tx_fate fate)
{
    struct counters *counters = &ch->connection->worker->counters;
    item->settle.is_rejected = fate == TX_DISCARD;
    counter_add(&counters->acknowledged, fate == TX_ACK);
    counter_add(&counters->rejected, fate == TX_DISCARD);
    if (fate == TX_REQUEUE)
        channel_requeue(ch, item);
    else
        channel_settle(ch, item);
}

static bool
raise_unknown_tag(uint64_t tag, struct amqp_exception *ex)
{
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "unknown delivery tag %llu",
                      (unsigned long long)tag);
}

/* In a transaction a settlement only marks the deliveries. Those before the last such range are
 * marked already, and may be a million. */
static void
settle_in_tx(struct channel *ch, uint64_t up_to, enum tx_fate fate)
{
    size_t place = unacked_place(&ch->unacked, ch->tx->settled_up_to + 1);
    struct unacked_item *item;
    while ((item = unacked_next(&ch->unacked, &place)) != NULL && item->tag <= up_to) {
        ch->tx->settled_up_to = item->tag;
        if (!item->in_tx)
            tx_add_settle(ch->tx, item, fate);
    }
}

static void
settle_range(struct channel *ch, uint64_t up_to, enum tx_fate fate)
{
    struct unacked_item item;
    if (fate == TX_REQUEUE)
        channel_requeue_up_to(ch, up_to);
    else
        while (unacked_take_first(&ch->unacked, up_to, &item))
            channel_end_delivery(ch, &item, fate);
}

/* Deliveries up to `tag`, or just that one. Tag 0 with `multiple` means all there are. */
static bool
settle(struct channel *ch, uint64_t tag, bool multiple, enum tx_fate fate,
       struct amqp_exception *ex)
{
    const bool all = tag == 0 && multiple;
    struct unacked_item *item = all ? NULL : unacked_find(&ch->unacked, tag);
    if (!all && (item == NULL || item->in_tx))
        return raise_unknown_tag(tag, ex);
    const uint64_t up_to = all ? UINT64_MAX : tag;
    if (ch->mode == CHANNEL_TX) {
        if (multiple)
            settle_in_tx(ch, up_to, fate);
        else
            tx_add_settle(ch->tx, item, fate);
        return true;
    }
    if (fate == TX_REQUEUE)
        batch_flush(ch->connection->worker); /* What goes back must find the rest settled. */
    if (multiple) {
        settle_range(ch, up_to, fate);
    } else {
        struct unacked_item taken;
        unacked_take(&ch->unacked, tag, &taken);
        channel_end_delivery(ch, &taken, fate);
    }
    channel_retry_consumers(ch);
    return true;
}

bool
on_basic_ack(struct channel *ch, const struct amqp_basic_ack *m, struct amqp_exception *ex)
{
    return settle(ch, m->delivery_tag, m->multiple, TX_ACK, ex);
}

bool
on_basic_nack(struct channel *ch, const struct amqp_basic_nack *m, struct amqp_exception *ex)
{
    return settle(ch, m->delivery_tag, m->multiple, m->requeue ? TX_REQUEUE : TX_DISCARD, ex);
}

bool
on_basic_reject(struct channel *ch, const struct amqp_basic_reject *m, struct amqp_exception *ex)
{
    return settle(ch, m->delivery_tag, false, m->requeue ? TX_REQUEUE : TX_DISCARD, ex);
}

/* What a transaction has settled is not the client's any more, until a rollback. */
static void
requeue_outside_tx(struct channel *ch)
{
    size_t place = 0;
    const struct unacked_item *next;
    while ((next = unacked_next(&ch->unacked, &place)) != NULL) {
        struct unacked_item item;
        if (next->in_tx)
            continue;
        unacked_take(&ch->unacked, next->tag, &item);
        channel_end_delivery(ch, &item, TX_REQUEUE);
        place = unacked_place(&ch->unacked, item.tag); /* Places may have moved. */
    }
}

static bool
recover(struct channel *ch, bool requeue, struct amqp_exception *ex)
{
    if (!requeue)
        return amqp_raise(ex, AMQP_NOT_IMPLEMENTED, "requeue=false");
    if (ch->mode == CHANNEL_TX)
        requeue_outside_tx(ch);
    else
        channel_requeue_up_to(ch, UINT64_MAX);
    channel_retry_consumers(ch);
    return true;
}

bool
on_basic_recover(struct channel *ch, const struct amqp_basic_recover *m, struct amqp_exception *ex)
{
    if (!recover(ch, m->requeue, ex))
        return false;
    channel_reply_empty(ch, false, 0, AMQP_ID_basic_recover_ok);
    return true;
}

bool
on_basic_recover_async(struct channel *ch, const struct amqp_basic_recover_async *m,
                       struct amqp_exception *ex)
{
    return recover(ch, m->requeue, ex);
}
