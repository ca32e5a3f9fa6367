/* What happens to deliveries afterwards: acknowledged, requeued, and credit given back. */

#include "broker/core/queue.h"

#include "broker/core/effects.h"
#include "broker/core/outbox.h"
#include "broker/core/queue_internal.h"

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
    struct effects settled;
    struct leaving leaving = { 0 };
    /* What is rejected somebody else may want. */
    const bool dead_letters = atomic_load_explicit(&q->limits.dead_letters, memory_order_relaxed);
    effects_init(&settled, q, EFFECT_SETTLE);
    for (size_t i = 0; i < count; i++) {
        if (dead_letters && items[i].is_rejected)
            leaving_add_dead(&leaving, &items[i].entry, DEATH_REJECTED);
        else if (q->log != 0)
            effects_add_settled(&settled, &items[i].entry);
    }

    lock_acquire(&q->lock);
    ASSERT(q->unacked_count >= count);
    q->unacked_count -= count;
    for (size_t i = 0; q->deliveries.count > 0 && i < count; i++)
        if (!dead_letters || !items[i].is_rejected)
            deliveries_forget(q, items[i].entry.sequence);
    const uint64_t ticket = effects_push(&settled, q, 0);
    for (size_t i = 0; i < count; i++)
        if (items[i].consumer != NULL)
            prefetch_give(q, items[i].consumer);
    if (q->ready_count > 0)
        queue_pump(q, &leaving);
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    effects_fini(&settled);
    for (size_t i = 0; i < count; i++)
        if (!dead_letters || !items[i].is_rejected)
            entry_unref(&items[i].entry);
    leaving_release(&leaving);
    return ticket;
}

/* A delivery that never left the broker: back it goes, as if it had not been assigned. A stream has
 * it still. */
struct unassign {
    struct queue *queue;
    struct leaving *leaving; /* Where messages go if the queue is deleted. */
    size_t count;
};

static void
put_back_or_drop(struct queue *q, const struct entry *e, struct leaving *leaving)
{
    if (q->stream != NULL || atomic_load_explicit(&q->deleted, memory_order_relaxed)) {
        leaving_add(leaving, e);
        return;
    }
    queue_put_back(q, e);
    if (e->due_ms == 0)
        return;
    dues_add(&q->dues, e->sequence, e->due_ms);
    queue_set_timer(q);
}

static bool
unassign(void *context, struct delivery *d)
{
    struct unassign *u = context;
    if (d->entry.message == NULL)
        return true;
    struct consumer *c = d->consumer;
    u->count++;
    c->window_used -= window_cost(&d->entry);
    if (c->shared != NULL)
        shared_credit_give(c->shared);
    put_back_or_drop(u->queue, &d->entry, u->leaving);
    return true;
}

static void
consumer_leaves(struct queue *q, struct consumer *c, struct leaving *leaving)
{
    struct unassign u = { q, leaving, 0 };
    queue_unlink_consumer(q, c);
    outbox_visit(c->outbox, c, unassign, &u);
    q->unacked_count -= u.count;
}

static void
delivery_leaves(struct queue *q, struct settle *s, struct effects *settled, struct leaving *leaving)
{
    struct entry *e = &s->entry;
    q->unacked_count--;
    e->redelivered = true;
    e->deliveries++;
    if (s->consumer != NULL)
        prefetch_give(q, s->consumer);
    if (q->stream == NULL && e->deliveries > atomic_load(&q->limits.delivery_limit)) {
        queue_die(q, e, DEATH_DELIVERY_LIMIT, settled, leaving);
        return;
    }
    if (q->counts_deliveries)
        deliveries_keep(q, e);
    put_back_or_drop(q, e, leaving);
}

bool
queue_depart(struct queue *q, struct departure *departures, size_t count)
{
    struct effects settled;
    struct leaving leaving = { 0 };
    effects_init(&settled, q, EFFECT_SETTLE);
    lock_acquire(&q->lock);
    const bool had_consumers = q->consumer_count > 0;
    for (size_t i = 0; i < count; i++) {
        if (departures[i].leaver != NULL)
            consumer_leaves(q, departures[i].leaver, &leaving);
        else
            delivery_leaves(q, &departures[i].delivery, &settled, &leaving);
    }
    const bool unused = q->auto_delete && had_consumers && q->consumer_count == 0;
    effects_push(&settled, q, 0);
    queue_pump(q, &leaving);
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    effects_fini(&settled);
    leaving_release(&leaving);
    return unused;
}

void
queue_refill(struct queue *q, struct consumer *c)
{
    struct leaving leaving = { 0 };
    lock_acquire(&q->lock);
    ASSERT(c->window_used >= c->encoded);
    c->window_used -= c->encoded;
    c->encoded = 0;
    if (!c->detached) {
        queue_let_wait(q, c);
        queue_pump(q, &leaving);
    }
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    leaving_release(&leaving);
}

void
queue_retry(struct queue *q, struct consumer *c)
{
    struct leaving leaving = { 0 };
    lock_acquire(&q->lock);
    if (!c->detached) {
        queue_let_wait(q, c);
        queue_pump(q, &leaving);
    }
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    leaving_release(&leaving);
}
