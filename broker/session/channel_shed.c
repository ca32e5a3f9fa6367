/* Unacked deliveries while memory is short: their messages go, and are read again if they are
 * wanted.
 *
 * A record is pushed before its message is delivered. So once what has been pushed up to some
 * moment is committed, so are the records of everything that was delivered before: a channel
 * remembers such a moment, and need not know the rounds of its deliveries. */

#include "broker/session/channel.h"

/* Delivered between two such moments, if memory allows as much. */
#define MARK_OCTETS (64u * 1024u)
#define MARK_SHARE 16u

/* Returns what its message cost. */
static uint64_t
item_part(struct unacked_item *item)
{
    struct entry *e = &item->settle.entry;
    if (!e->is_durable || e->is_absent || !queue_can_recall(item->settle.queue))
        return 0;
    const uint64_t cost = message_cost(e->message);
    message_unref(entry_part(e));
    return cost;
}

static void
move_marks(struct channel *ch)
{
    struct shed_state *s = &ch->shed;
    struct door *door = ch->connection->worker->broker->door;
    if (door_committed(door) < s->ticket)
        return;
    s->safe = s->next;
    s->next = ch->delivery_tag;
    s->ticket = door_last_ticket(door);
    s->octets = 0;
}

size_t
channel_shed(struct channel *ch, size_t items_max)
{
    struct shed_state *s = &ch->shed;
    uint64_t excess = message_over_budget();
    size_t count = 0;
    if (ch->unacked.count == 0 || excess == 0)
        return 0;
    if (s->done == s->safe && s->safe < ch->delivery_tag)
        move_marks(ch);
    if (s->done == s->safe)
        return 0;
    size_t place = unacked_place(&ch->unacked, s->done + 1);
    while (s->done < s->safe && excess > 0 && count < items_max) {
        struct unacked_item *item = unacked_next(&ch->unacked, &place);
        if (item == NULL || item->tag > s->safe) {
            s->done = s->safe;
            break;
        }
        const uint64_t cost = item_part(item);
        excess -= cost < excess ? cost : excess;
        s->done = item->tag;
        count++;
    }
    return count;
}

void
channel_add_unacked(struct channel *ch, const struct unacked_item *item)
{
    const uint64_t share = message_budget() / MARK_SHARE;
    unacked_push(&ch->unacked, item);
    if (!message_is_over_budget())
        return;
    ch->shed.octets += message_cost(item->settle.entry.message);
    if (ch->shed.octets >= (share < MARK_OCTETS ? share : MARK_OCTETS))
        channel_shed(ch, SIZE_MAX);
}

void
channel_shed_item(const struct channel *ch, struct unacked_item *item)
{
    if (item->tag <= ch->shed.safe && message_is_over_budget())
        item_part(item);
}
