/* What happens to deliveries afterwards: acknowledged, requeued, and credit given back. */

#include "broker/core/queue.h"

#include "broker/base/endian.h"
#include "broker/core/queue_internal.h"

void
settled_records_add(struct settled_records *s, const struct entry *e)
{
    if (!e->is_durable)
        return;
    store_be64(buf_reserve(&s->sequences, 8), e->sequence);
    s->sequences.size += 8;
    s->count++;
}

uint64_t
settled_records_push(struct settled_records *s, struct queue *q)
{
    if (s->count == 0 || atomic_load_explicit(&q->deleted, memory_order_relaxed)) {
        buf_fini(&s->sequences); /* A deleted queue's log is gone as a whole. */
        return 0;
    }
    return door_push(q->door, &(struct effect){
                                  .kind = EFFECT_SETTLE,
                                  .log = q->log,
                                  .count = s->count,
                                  .payload = s->sequences,
                              });
}

static uint64_t
window_cost(const struct entry *e)
{
    return message_cost(e->message);
}

/* The client's side of credit: a delivery is over, so its consumer may have another. */
static void
prefetch_give(struct queue *q, struct consumer *c)
{
    c->outstanding--;
    if (c->prefetch_left == PREFETCH_UNLIMITED)
        return;
    c->prefetch_left++;
    queue_let_wait(q, c);
}

uint64_t
queue_settle(struct queue *q, const struct settle *items, size_t count)
{
    struct settled_records settled = { 0 };
    if (q->log != 0)
        for (size_t i = 0; i < count; i++)
            settled_records_add(&settled, &items[i].entry);

    lock_acquire(&q->lock);
    ASSERT(q->unacked_count >= count);
    q->unacked_count -= count;
    const uint64_t ticket = settled_records_push(&settled, q);
    for (size_t i = 0; i < count; i++)
        if (items[i].consumer != NULL)
            prefetch_give(q, items[i].consumer);
    if (q->ready_count > 0)
        queue_pump(q);
    lock_release(&q->lock);

    for (size_t i = 0; i < count; i++)
        message_unref(items[i].entry.message);
    return ticket;
}

/* In a deleted queue there is no place to go back to. */
static void
requeue_into_nothing(struct settle *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        message_unref(items[i].entry.message);
}

void
queue_requeue(struct queue *q, struct settle *items, size_t count, bool redelivered)
{
    lock_acquire(&q->lock);
    const bool deleted = atomic_load_explicit(&q->deleted, memory_order_relaxed);
    ASSERT(q->unacked_count >= count);
    q->unacked_count -= count;
    for (size_t i = 0; i < count && !deleted; i++) {
        struct settle *s = &items[i];
        if (redelivered) {
            s->entry.redelivered = true;
            s->entry.deliveries++;
        } else if (s->consumer != NULL) {
            s->consumer->window_used -= window_cost(&s->entry);
        }
        queue_put_back(q, &s->entry);
        if (s->consumer != NULL)
            prefetch_give(q, s->consumer);
    }
    if (!deleted)
        queue_pump(q);
    lock_release(&q->lock);
    if (deleted)
        requeue_into_nothing(items, count);
}

void
queue_refill(struct queue *q, struct consumer *c)
{
    lock_acquire(&q->lock);
    ASSERT(c->window_used >= c->encoded);
    c->window_used -= c->encoded;
    c->encoded = 0;
    if (!c->detached) {
        queue_let_wait(q, c);
        queue_pump(q);
    }
    lock_release(&q->lock);
}

void
queue_retry(struct queue *q, struct consumer *c)
{
    lock_acquire(&q->lock);
    if (!c->detached) {
        queue_let_wait(q, c);
        queue_pump(q);
    }
    lock_release(&q->lock);
}
