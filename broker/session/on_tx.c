/* Class tx: publishes and settlements are kept and applied together; not atomic across queues. */

#include "broker/session/arguments.h"
#include "broker/session/channel.h"

bool
on_tx_select(struct channel *ch, const struct amqp_tx_select *m, struct amqp_exception *ex)
{
    (void)m;
    if (ch->mode == CHANNEL_CONFIRM)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "cannot switch from confirm to tx mode");
    if (ch->mode != CHANNEL_TX)
        ch->tx = tx_create();
    ch->mode = CHANNEL_TX;
    channel_reply_empty(ch, false, 0, AMQP_ID_tx_select_ok);
    return true;
}

static bool
check_transactional(const struct channel *ch, struct amqp_exception *ex)
{
    return ch->mode == CHANNEL_TX ||
           amqp_raise(ex, AMQP_PRECONDITION_FAILED, "channel is not transactional");
}

/* Mandatory messages that reach nobody are returned on the way, before commit-ok. */
static bool
commit_publishes(struct channel *ch, struct amqp_exception *ex)
{
    bool ok = true;
    for (size_t i = 0; i < ch->tx->publish_count; i++) {
        struct tx_publish *p = &ch->tx->publishes[i];
        message_ref(p->message);
        /* Its exchange existed when it was published; if it has gone, so has the message. */
        struct amqp_exception lost;
        if (!channel_route(ch, p->message, p->mandatory, &lost))
            ok = ok && lost.code == AMQP_NOT_FOUND;
    }
    return ok || amqp_raise(ex, AMQP_PRECONDITION_FAILED, "partial tx completion");
}

static void
commit_settles(struct channel *ch)
{
    for (size_t i = 0; i < ch->tx->settle_count; i++) {
        const struct tx_settle *s = &ch->tx->settles[i];
        struct unacked_item item;
        const bool found = unacked_take(&ch->unacked, s->tag, &item);
        ASSERT(found);
        channel_end_delivery(ch, &item, s->fate);
    }
    channel_retry_consumers(ch);
}

bool
on_tx_commit(struct channel *ch, const struct amqp_tx_commit *m, struct amqp_exception *ex)
{
    (void)m;
    if (!check_transactional(ch, ex))
        return false;
    ch->partial_commit = false;
    const bool routed = commit_publishes(ch, ex);
    const uint64_t published = batch_flush(ch->connection->worker);
    commit_settles(ch);
    const bool settled = batch_flush(ch->connection->worker) > 0;
    tx_clear(ch->tx);
    /* Settlements are synced at leisure unless somebody waits. */
    const uint64_t ticket = settled ? door_hurry(ch->connection->worker->broker->door) : published;
    if (!routed)
        return false;
    if (ch->partial_commit)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "partial tx completion");
    channel_reply_empty(ch, false, ticket, AMQP_ID_tx_commit_ok);
    return true;
}

bool
on_tx_rollback(struct channel *ch, const struct amqp_tx_rollback *m, struct amqp_exception *ex)
{
    (void)m;
    if (!check_transactional(ch, ex))
        return false;
    for (size_t i = 0; i < ch->tx->settle_count; i++)
        unacked_find(&ch->unacked, ch->tx->settles[i].tag)->in_tx = false;
    tx_clear(ch->tx);
    channel_reply_empty(ch, false, 0, AMQP_ID_tx_rollback_ok);
    return true;
}
