#include "broker/core/queue.h"

#include "broker/base/clock.h"
#include "broker/base/mem.h"
#include "broker/core/effects.h"
#include "broker/core/message_properties.h"
#include "broker/core/outbox.h"
#include "broker/core/queue_internal.h"
#include "broker/core/stream.h"
#include "broker/core/vhost.h"

/* The lock is held, or nobody else knows of the queue. */
static void
limits_set(struct queue *q, const struct queue_arguments *a)
{
    struct queue_limits *l = &q->limits;
    atomic_store(&l->max_length, a->max_length);
    atomic_store(&l->max_length_bytes, a->max_length_bytes);
    atomic_store(&l->message_ttl_ms, a->message_ttl_ms);
    atomic_store(&l->expires_ms, a->expires_ms);
    atomic_store(&l->delivery_limit, a->delivery_limit);
    atomic_store(&l->consumer_timeout_ms, a->consumer_timeout_ms);
    atomic_store(&l->max_age_ms, a->max_age_ms);
    atomic_store(&l->segment_bytes, a->segment_bytes);
    atomic_store(&l->overflow, (unsigned)a->overflow);
    mem_free_const(l->dead_letter_exchange.data);
    mem_free_const(l->dead_letter_key.data);
    l->dead_letter_exchange = bytes_copy(a->dead_letter_exchange);
    l->dead_letter_key = bytes_copy(a->dead_letter_key);
    l->has_dead_letter_key = queue_rule_is_set(a, RULE_DEAD_LETTER_KEY);
    l->at_least_once = a->dead_letters_at_least_once && a->overflow == OVERFLOW_REJECT_PUBLISH;
    atomic_store(&l->dead_letters, queue_rule_is_set(a, RULE_DEAD_LETTER_EXCHANGE));
}

struct queue *
queue_create(struct vhost *vhost, struct door *door, const struct queue_spec *spec)
{
    struct queue *q = mem_alloc_zeroed(sizeof(*q));
    q->vhost = vhost;
    q->name = bytes_copy(spec->name);
    q->arguments = bytes_copy(spec->arguments);
    q->effective = spec->effective;
    q->durable = spec->durable;
    q->auto_delete = spec->auto_delete;
    q->delays_for =
        bytes_of(q->name.data + (q->name.size - spec->delays_for.size), spec->delays_for.size);
    q->owner = spec->owner;
    q->door = door;
    q->pager = vhost->pager;
    q->log = spec->log;
    if (q->log == 0 && q->durable)
        q->log = door_new_logs(door, q->effective.max_priority + 1u);
    q->window = spec->window;
    q->counts_deliveries =
        spec->effective.type == QUEUE_QUORUM || spec->effective.delivery_limit != UINT64_MAX;
    limits_set(q, &spec->effective);
    atomic_init(&q->used_ms, clock_monotonic_ms());
    list_init(&q->in_connection);
    destination_init(&q->destination, DESTINATION_QUEUE);
    q->destination.number = name_number(q->name);
    atomic_init(&q->refs, 1);
    lock_init(&q->lock);
    q->levels = mem_alloc_zeroed((q->effective.max_priority + 1u) * sizeof(*q->levels));
    list_init(&q->consumers);
    list_init(&q->waiting);
    list_init(&q->getters);
    list_init(&q->in_asked);
    list_init(&q->in_awaiting);
    if (spec->effective.type == QUEUE_STREAM)
        q->stream = stream_create(); /* Its offsets begin with 0. */
    else
        q->next_sequence = door_first_sequence(door);
    q->fresh = UINT64_MAX;
    queue_set_timer(q);
    return q;
}

void
queue_unref(struct queue *q)
{
    const uint32_t before = atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    ASSERT(q->ready_count == 0);
    ASSERT(list_is_empty(&q->consumers));
    while (q->dead_pages.first != NULL)
        page_discard(page_list_pop(&q->dead_pages)); /* The pager is gone. */
    for (unsigned level = 0; level <= q->effective.max_priority; level++)
        ready_fini(&q->levels[level]);
    mem_free(q->levels);
    mem_free_const(q->name.data);
    mem_free_const(q->arguments.data);
    mem_free_const(q->limits.dead_letter_exchange.data);
    mem_free_const(q->limits.dead_letter_key.data);
    dues_fini(&q->dues);
    deliveries_fini(q);
    queue_fini_swept(q);
    stream_destroy(q->stream);
    lock_fini(&q->lock);
    mem_free(q);
}

/* The level whose turn is next. */
static struct ready *
front_level(struct queue *q)
{
    ASSERT(q->ready_count > 0);
    unsigned level = q->effective.max_priority;
    while (ready_count(&q->levels[level]) == 0) {
        ASSERT(level > 0);
        level--;
    }
    return &q->levels[level];
}

static void
want_paged(struct queue *q, struct ready *r)
{
    if (r->paged.is_wanted || r->paged.is_broken)
        return;
    r->paged.is_wanted = true;
    queue_ask_pager(q);
}

static void
want_absent(struct queue *q, struct ready *r)
{
    if (r->absent.is_wanted || r->absent.is_broken)
        return;
    r->absent.is_wanted = true;
    queue_ask_pager(q);
}

/* The message whose turn is next, or NULL if it has to be read back first. */
static const struct entry *
front_in_memory(struct queue *q)
{
    struct ready *r = front_level(q);
    const struct entry *e = ready_front(r);
    if (e == NULL && ready_front_is_absent(r))
        want_absent(q, r);
    else if (e == NULL)
        want_paged(q, r);
    return e;
}

void
queue_die(struct queue *q, const struct entry *e, enum death_reason reason, struct effects *settled,
          struct leaving *leaving)
{
    const bool is_delayed = q->delays_for.size > 0;
    if ((is_delayed || atomic_load_explicit(&q->limits.dead_letters, memory_order_relaxed)) &&
        !atomic_load_explicit(&q->deleted, memory_order_relaxed)) {
        leaving_add_dead(leaving, e, is_delayed ? DEATH_DELAYED : reason);
        return;
    }
    deliveries_forget(q, e->sequence);
    effects_add_settled(settled, e);
    leaving_add(leaving, e);
}

void
queue_expire_front(struct queue *q, struct leaving *leaving)
{
    struct effects settled;
    const struct entry *e;
    const uint64_t now_ms = clock_monotonic_ms();
    effects_init(&settled, q, EFFECT_SETTLE);
    while (q->ready_count > 0 && (e = front_in_memory(q)) != NULL && e->due_ms != 0 &&
           e->due_ms <= now_ms) {
        const struct entry expired = queue_take(q);
        queue_die(q, &expired, DEATH_EXPIRED, &settled, leaving);
    }
    effects_push(&settled, q, 0);
    effects_fini(&settled);
}

static bool
has_expired(const struct queue *q, const struct entry *e)
{
    return e->due_ms != 0 && e->sequence < q->fresh && e->due_ms < clock_monotonic_ms();
}

bool
queue_front_is_ready(struct queue *q, struct leaving *leaving)
{
    const struct entry *e = front_in_memory(q);
    if (e != NULL && has_expired(q, e)) {
        queue_expire_front(q, leaving);
        e = q->ready_count == 0 ? NULL : front_in_memory(q);
    }
    if (e == NULL)
        return false;
    if (q->pager == NULL || watermark_covers(q, e))
        return true;
    if (e->sequence > q->watermark.reserved)
        watermark_reserve(q, e->sequence);
    queue_ask_pager(q);
    return false;
}

struct entry
queue_take(struct queue *q)
{
    struct ready *r = front_level(q);
    const struct entry e = ready_take(r);
    ASSERT(!e.is_absent);
    q->ready_count--;
    q->ready_octets -= entry_body_size(&e);
    if (ready_runs_low(r))
        want_paged(q, r);
    if (ready_absent_runs_low(r))
        want_absent(q, r);
    return e;
}

void
queue_put_back(struct queue *q, const struct entry *e)
{
    ready_return(queue_level_of(q, e), e);
    q->ready_count++;
    q->ready_octets += entry_body_size(e);
}

static bool
is_over(const struct queue *q)
{
    return q->ready_count > atomic_load(&q->limits.max_length) ||
           q->ready_octets > atomic_load(&q->limits.max_length_bytes);
}

void
queue_restore_dues(struct queue *q)
{
    q->keeps_dues = true;
}

void
queue_drop_overflow(struct queue *q, struct leaving *leaving)
{
    struct effects settled;
    if (queue_rejects_when_full(q) || !is_over(q))
        return; /* What comes back over the limit of a rejecting queue stays. */
    effects_init(&settled, q, EFFECT_SETTLE);
    /* What is dropped is not sent: nothing need be reserved for it. */
    while (q->ready_count > 0 && is_over(q) && front_in_memory(q) != NULL) {
        const struct entry e = queue_take(q);
        queue_die(q, &e, DEATH_MAXLEN, &settled, leaving);
    }
    effects_push(&settled, q, 0);
    effects_fini(&settled);
}

void
queue_set_limits(struct queue *q, const struct queue_arguments *a)
{
    struct leaving leaving = { 0 };
    lock_acquire(&q->lock);
    limits_set(q, a);
    if (q->stream != NULL)
        stream_retain(q);
    else
        queue_drop_overflow(q, &leaving);
    queue_set_timer(q);
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    leaving_release(&leaving);
}

void
queue_touch(struct queue *q)
{
    atomic_store_explicit(&q->used_ms, clock_monotonic_ms(), memory_order_relaxed);
}

bool
queue_restore(struct queue *q, const struct log_summary *summary)
{
    if (summary->log < q->log || summary->log - q->log > q->effective.max_priority)
        return false;
    if (q->stream != NULL) {
        stream_restore(q, summary);
        return true;
    }
    lock_acquire(&q->lock);
    ASSERT(summary->last < q->next_sequence); /* Each start begins above all earlier ones. */
    struct paged *p = &q->levels[summary->log - q->log].paged;
    p->first = summary->first;
    p->last = summary->last;
    p->records = summary->count;
    q->ready_count += summary->count;
    q->ready_octets += summary->weight;
    if (q->keeps_dues) {
        dues_add_range(&q->dues, &(struct due_range){ 1, summary->first, summary->last });
        queue_set_timer(q);
    }
    lock_release(&q->lock);
    return true;
}

void
queue_restore_watermark(struct queue *q, uint64_t sequence)
{
    q->watermark = (struct watermark){
        .recovered = sequence, .safe = sequence, .reserved = sequence, .sent = sequence
    };
}

/* What is next is not in memory, and cannot be read. */
static bool
front_is_broken(struct queue *q)
{
    const struct ready *r = front_level(q);
    if (ready_front(r) != NULL)
        return false;
    return ready_front_is_absent(r) ? r->absent.is_broken : r->paged.is_broken;
}

const struct added_header *
queue_added_header(const struct queue *q, const struct entry *e, struct added_header *space)
{
    if (q->stream != NULL)
        *space = (struct added_header){ "x-stream-offset", (int64_t)e->sequence };
    else if (q->counts_deliveries)
        *space = (struct added_header){ "x-delivery-count", (int64_t)e->deliveries };
    else
        return NULL;
    return space;
}

enum get_outcome
queue_get(struct queue *q, struct getter *getter, struct entry *out, size_t *left)
{
    enum get_outcome outcome = GET_EMPTY;
    struct leaving leaving = { 0 };
    queue_touch(q);
    lock_acquire(&q->lock);
    if (q->delays_for.size > 0)
        outcome = GET_EMPTY; /* Nothing in it is for anybody yet. */
    else if (q->ready_count > 0 && queue_is_quiet(q))
        outcome = GET_LATER; /* Never: the connection is about to be closed. */
    else if (q->ready_count > 0 && queue_front_is_ready(q, &leaving))
        outcome = GET_DONE;
    else if (q->ready_count > 0)
        outcome = front_is_broken(q) ? GET_BROKEN : GET_LATER;
    if (outcome == GET_DONE) {
        *out = queue_take(q);
        q->unacked_count++;
        if (out->is_durable && out->sequence > q->watermark.sent)
            q->watermark.sent = out->sequence;
    } else if (outcome == GET_LATER && getter != NULL && !list_is_linked(&getter->in_queue)) {
        list_push(&q->getters, &getter->in_queue);
    }
    *left = q->ready_count;
    leaving_post(&leaving, q);
    lock_release(&q->lock);
    leaving_release(&leaving);
    return outcome;
}

void
queue_forget_getter(struct queue *q, struct getter *getter)
{
    lock_acquire(&q->lock);
    list_unlink(&getter->in_queue);
    lock_release(&q->lock);
}

static void
wake_getters(struct queue *q)
{
    while (!list_is_empty(&q->getters)) {
        struct getter *getter = LIST_CONTAINER(q->getters.next, struct getter, in_queue);
        list_unlink(&getter->in_queue);
        loop_post(getter->loop, &getter->mail);
    }
}

void
queue_resume(struct queue *q, struct leaving *leaving)
{
    queue_drop_overflow(q, leaving);
    queue_pump(q, leaving);
    wake_getters(q);
}

struct queue_counts
queue_counts(struct queue *q)
{
    lock_acquire(&q->lock);
    const struct queue_counts counts = { q->ready_count, q->unacked_count, q->consumer_count };
    lock_release(&q->lock);
    return counts;
}

/* Moves all ready messages out, however many, in one step. What is paged goes unread. */
static struct ready *
take_levels(struct queue *q)
{
    if (!atomic_load_explicit(&q->deleted, memory_order_relaxed))
        deliveries_forget_paged(q);
    for (unsigned level = 0; level <= q->effective.max_priority; level++)
        queue_discard_paged(q, level);
    struct ready *levels = q->levels;
    q->levels = mem_alloc_zeroed((q->effective.max_priority + 1u) * sizeof(*q->levels));
    for (unsigned level = 0; level <= q->effective.max_priority; level++)
        q->levels[level].paged.version = levels[level].paged.version;
    q->ready_count = 0;
    q->ready_octets = 0;
    dues_trim(&q->dues, UINT64_MAX);
    return levels;
}

/* Lets go of messages that were moved out, without the lock: there may be millions. */
static void
release_levels(struct queue *q, struct ready *levels, struct effects *settled)
{
    for (unsigned level = 0; level <= q->effective.max_priority; level++) {
        ready_join(&levels[level]);
        while (ready_count(&levels[level]) > 0) {
            const struct entry e = ready_take(&levels[level]);
            if (settled != NULL)
                effects_add_settled(settled, &e);
            if (e.deliveries > 0 && q->counts_deliveries) {
                lock_acquire(&q->lock);
                deliveries_forget(q, e.sequence);
                lock_release(&q->lock);
            }
            entry_unref(&e);
        }
        ready_fini(&levels[level]);
    }
    mem_free(levels);
}

size_t
queue_purge(struct queue *q)
{
    struct effects settled;
    lock_acquire(&q->lock);
    const size_t count = q->ready_count;
    struct ready *levels = take_levels(q);
    wake_getters(q); /* If the front could not be read, nothing else tells them. */
    lock_release(&q->lock);
    effects_init(&settled, q, EFFECT_SETTLE);
    release_levels(q, levels, &settled);
    lock_acquire(&q->lock);
    effects_push(&settled, q, 0);
    lock_release(&q->lock);
    effects_fini(&settled);
    return count;
}

static void
detach_all_consumers(struct queue *q)
{
    LIST_FOREACH (link, &q->consumers) {
        struct consumer *c = LIST_CONTAINER(link, struct consumer, in_queue);
        const struct entry queue_is_gone = { 0 };
        list_unlink(&c->in_queue);
        list_unlink(&c->in_waiting);
        c->detached = true;
        if (c->cursor != NULL)
            stream_leave(c->cursor);
        outbox_open(c->outbox);
        outbox_push(c->outbox, c, &queue_is_gone);
        outbox_close(c->outbox);
    }
    q->consumer_count = 0;
    q->active = NULL;
}

static void
end_logs(struct queue *q)
{
    if (q->log == 0)
        return;
    if (q->vhost->is_closing) {
        watermark_settle(q); /* The store keeps the rest as it is. */
        return;
    }
    deliveries_forget_all(q);
    for (unsigned level = 0; level <= q->effective.max_priority; level++)
        door_push(q->door, &(struct effect){ .kind = EFFECT_LOG_END, .log = q->log + level });
}

bool
queue_end(struct queue *q, bool if_unused, bool if_empty, struct queue_remains *remains,
          struct amqp_exception *ex)
{
    struct leaving leaving = { 0 };
    lock_acquire(&q->lock);
    const char *obstacle = if_unused && q->consumer_count > 0 ? "in use"
                           : if_empty && q->ready_count > 0   ? "not empty"
                                                              : NULL;
    if (obstacle == NULL) {
        atomic_store_explicit(&q->deleted, true, memory_order_relaxed);
        detach_all_consumers(q);
        remains->count = q->ready_count;
        if (q->stream != NULL)
            stream_end(q, q->vhost->is_closing, &leaving);
        remains->levels = take_levels(q);
        end_logs(q);
        wake_getters(q);
    }
    lock_release(&q->lock);
    leaving_release(&leaving);
    if (obstacle == NULL)
        return true;
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "queue '%.*s' in vhost '%.*s' %s",
                      BYTES_ARGS(q->name), BYTES_ARGS(q->vhost->name), obstacle);
}

void
queue_release_remains(struct queue *q, struct queue_remains *remains)
{
    release_levels(q, remains->levels, NULL); /* The logs have ended as a whole. */
}
