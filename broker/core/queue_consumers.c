/* Consumers of a queue: who they are, who is next, and handing messages to them. */

#include "broker/core/outbox.h"
#include "broker/core/queue.h"
#include "broker/core/queue_internal.h"
#include "broker/core/stream.h"
#include "broker/core/vhost.h"

bool
queue_can_take(const struct queue *q, const struct consumer *c)
{
    if (c->prefetch_left == 0 || c->window_used >= q->window || c->detached)
        return false;
    return !q->effective.single_active_consumer || q->active == c;
}

void
queue_let_wait(struct queue *q, struct consumer *c)
{
    if (list_is_linked(&c->in_waiting) || !queue_can_take(q, c))
        return;
    /* Behind all of its priority and above; mostly that is the very end. */
    struct list *place = &q->waiting;
    while (place->prev != &q->waiting &&
           LIST_CONTAINER(place->prev, struct consumer, in_waiting)->priority < c->priority)
        place = place->prev;
    list_insert_before(place, &c->in_waiting);
}

/* Round robin: after its turn a consumer goes behind the others of its priority. */
static void
turn_over(struct queue *q, struct consumer *c)
{
    const bool is_alone = q->waiting.next == q->waiting.prev;
    if (is_alone && queue_can_take(q, c))
        return;
    list_unlink(&c->in_waiting);
    queue_let_wait(q, c);
}

/* The consumer whose turn it is, its credit for one message taken; NULL if nobody can. */
static struct consumer *
next_consumer(struct queue *q)
{
    for (;;) {
        struct list *first = list_first(&q->waiting);
        if (first == NULL)
            return NULL;
        struct consumer *c = LIST_CONTAINER(first, struct consumer, in_waiting);
        if (c->shared == NULL || shared_credit_take(c->shared))
            return c;
        /* Its worker calls queue_retry when shared credit has come back. */
        list_unlink(&c->in_waiting);
    }
}

bool
queue_is_quiet(const struct queue *q)
{
    return atomic_load_explicit(&q->vhost->is_quiet, memory_order_relaxed);
}

void
queue_assign(struct queue *q, struct consumer *c, const struct entry *e) UNCHECKED_LOCKING
{
    q->unacked_count++;
    c->window_used += message_cost(e->message);
    c->outstanding++;
    if (c->prefetch_left != PREFETCH_UNLIMITED)
        c->prefetch_left--;
    outbox_push(c->outbox, c, e);
}

/* Outboxes are opened for runs of messages to one connection, one at a time. */
void
queue_pump(struct queue *q, struct leaving *leaving) UNCHECKED_LOCKING
{
    struct outbox *open = NULL;
    if (q->stream != NULL) {
        stream_pump(q);
        return;
    }
    if (queue_is_quiet(q))
        return;
    while (q->ready_count > 0 && !list_is_empty(&q->waiting) && queue_front_is_ready(q, leaving)) {
        struct consumer *c = next_consumer(q);
        if (c == NULL)
            break;
        if (c->outbox != open) {
            if (open != NULL)
                outbox_close(open);
            open = c->outbox;
            outbox_open(open);
        }
        const struct entry e = queue_take(q);
        if (e.is_durable && e.sequence > q->watermark.sent)
            q->watermark.sent = e.sequence;
        queue_assign(q, c, &e);
        turn_over(q, c);
    }
    if (open != NULL)
        outbox_close(open);
}

enum consume_outcome
queue_consume(struct queue *q, struct consumer *c)
{
    enum consume_outcome outcome = CONSUME_DONE;
    struct leaving leaving = { 0 };
    queue_touch(q);
    lock_acquire(&q->lock);
    if (atomic_load_explicit(&q->deleted, memory_order_relaxed)) {
        outcome = CONSUME_GONE;
    } else if (q->has_exclusive_consumer || q->delays_for.size > 0 ||
               (c->exclusive && (q->consumer_count > 0 || q->effective.single_active_consumer))) {
        outcome = CONSUME_EXCLUSIVE;
    } else {
        list_push(&q->consumers, &c->in_queue);
        q->consumer_count++;
        q->had_consumer = true;
        q->has_exclusive_consumer = c->exclusive;
        if (q->active == NULL)
            q->active = c;
        if (c->cursor != NULL)
            stream_join(q, c->cursor);
        queue_let_wait(q, c);
        queue_pump(q, &leaving);
    }
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    leaving_release(&leaving);
    return outcome;
}

/* The next in line becomes the active consumer of a single-active-consumer queue. */
static void
activate_next(struct queue *q)
{
    struct list *next = list_first(&q->consumers);
    q->active = next == NULL ? NULL : LIST_CONTAINER(next, struct consumer, in_queue);
    if (q->active != NULL)
        queue_let_wait(q, q->active);
}

void
queue_unlink_consumer(struct queue *q, struct consumer *c)
{
    if (c->detached)
        return;
    c->detached = true;
    list_unlink(&c->in_queue);
    list_unlink(&c->in_waiting);
    if (c->cursor != NULL)
        stream_leave(c->cursor);
    q->consumer_count--;
    queue_touch(q);
    if (c->exclusive)
        q->has_exclusive_consumer = false;
    if (q->active == c)
        activate_next(q);
}

void
queue_share_credit(struct queue *q, struct consumer *c, struct shared_credit *shared)
{
    lock_acquire(&q->lock);
    if (c->shared == NULL) {
        c->shared = shared;
        atomic_fetch_add(&shared->used, c->outstanding);
    }
    lock_release(&q->lock);
}
