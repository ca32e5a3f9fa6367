#include "broker/core/watermark.h"

#include "broker/core/definition.h"
#include "broker/core/queue.h"

/* Sequences reserved at a time: one small row for so many deliveries. */
#define RESERVE_STEP 4096u

bool
watermark_covers(struct queue *q, const struct entry *e)
{
    struct watermark *w = &q->watermark;
    if (!e->is_durable || e->sequence <= w->safe)
        return true;
    if (e->sequence > w->reserved)
        return false;
    if (e->sequence >= w->base)
        return true;
    if (door_committed(q->door) < w->ticket)
        return false;
    w->safe = w->reserved;
    return true;
}

void
watermark_reserve(struct queue *q, uint64_t sequence)
{
    struct watermark *w = &q->watermark;
    if (door_committed(q->door) >= w->ticket)
        w->safe = w->reserved;
    w->reserved = sequence + RESERVE_STEP;
    w->base = q->next_sequence;
    w->ticket = definition_keep_watermark(q->vhost, q->log, w->reserved);
}

void
watermark_settle(struct queue *q)
{
    const struct watermark *w = &q->watermark;
    const uint64_t sent = w->sent > w->recovered ? w->sent : w->recovered;
    if (sent < w->reserved)
        definition_keep_watermark(q->vhost, q->log, sent);
}
