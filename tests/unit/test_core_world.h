#ifndef TESTS_UNIT_TEST_CORE_WORLD_H
#define TESTS_UNIT_TEST_CORE_WORLD_H

/*
 * A broker without sockets and threads above a simulated disk, and a model of what it must do: what
 * is in each queue, in which order, what is out, and since which round the store knows of it. The
 * model is exact while a run lasts; after a crash it allows what the rounds that were not safe
 * allow, looks at what recovery has made of them, and is exact again.
 *
 * A copy is one message in one queue, for as long as the queue has that name and that log (its
 * incarnation). Include after cmocka.h.
 */

#include "amqp/table.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/core/broker.h"
#include "broker/core/dead_letters.h"
#include "broker/core/record.h"
#include "broker/core/recover.h"
#include "broker/core/vhosts.h"
#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"
#include "tests/unit/test_random.h"

#include <unistd.h>

enum {
    NAMES = 5,
    SINK = NAMES - 1, /* Where dead letters go; it has neither limits nor a time to live. */
    LEVELS = 3,
    COPIES_MAX = 8192,
    INCARNATIONS_MAX = 128,
    CONSUMERS = 3,
};

#define NEVER UINT64_MAX
#define NO_COPY UINT32_MAX

static const char *const world_names[NAMES] = { "q0", "q1", "q2", "q3", "q4" };

enum copy_state {
    COPY_READY,
    COPY_OUT,
    COPY_DYING, /* On its way to the dead-letter exchange. */
    COPY_GONE,
};

struct copy {
    uint32_t number;
    uint32_t home;
    uint32_t target; /* The copy that was made of it when it died, or NO_COPY. */
    uint8_t level;
    bool is_durable;
    bool was_sent;
    bool redelivered;
    bool is_redelivered_known;
    enum copy_state state;
    uint64_t sequence;
    uint64_t ticket;  /* Of its record. */
    uint64_t settled; /* That of its settlement; NEVER. */
    uint64_t due_ms;  /* 0: never. */
    uint32_t deliveries;
    uint32_t deliveries_min;  /* A crash may have left only this of it. */
    uint32_t safe_deliveries; /* The next one will leave this at least. */
    uint64_t counted;         /* The ticket of the count. */
    struct entry entry;       /* While it is out. */
    bool was_absent;
    struct consumer *consumer;
};

/* Copies by sequence. */
struct copy_list {
    uint32_t *items;
    size_t count;
    size_t capacity;
};

struct incarnation {
    size_t name;
    uint64_t log;
    struct queue *queue; /* NULL: not there now. A reference. */
    bool is_durable;
    bool is_quorum;
    bool rejects; /* Overflow. */
    bool has_dead_letters;
    bool is_gone;
    bool was_deleting; /* When the last crash came. */
    uint8_t levels;
    uint64_t max_length;
    uint64_t delivery_limit;
    uint64_t ttl_ms;
    struct buf arguments;
    uint64_t declared; /* Tickets. */
    uint64_t deleted;
    struct copy_list ready[LEVELS];
    size_t out_count;
};

struct world_consumer {
    bool is_active;
    uint32_t home;
    bool no_ack;
    uint32_t prefetch; /* 0: unlimited. */
    uint32_t out_count;
    struct consumer consumer;
};

struct world {
    struct random dice;
    struct config config;
    struct client client;
    char directory[64];

    struct sim_disk *disk;
    struct door *door;
    struct pager *pager;
    struct broker broker;
    struct vhost *vhost;
    uint64_t open_round;
    uint64_t now_ms;

    struct copy copies[COPIES_MAX];
    uint32_t copy_count;
    struct incarnation incarnations[INCARNATIONS_MAX];
    uint32_t incarnation_count;
    uint32_t current[NAMES]; /* Or INCARNATIONS_MAX. */
    struct world_consumer consumers[CONSUMERS];
    struct copy_list dying; /* In order of death. */
    uint32_t last_number;
    size_t size_max; /* Of bodies. */
    uint64_t crashes;
    uint64_t delivered;
    uint64_t parted; /* Deliveries that let go of their messages. */
    bool is_traced;
};

static struct world world;

/* What happens, with TEST_TRACE set. */
#define TRACE(...)                                                                                 \
    do {                                                                                           \
        if (world.is_traced)                                                                       \
            fprintf(stderr, __VA_ARGS__);                                                          \
    } while (0)

static inline size_t
dice_below(size_t bound)
{
    return random_below(&world.dice, bound);
}

static inline bool
dice_one_in(size_t bound)
{
    return dice_below(bound) == 0;
}

/* Lists of copies. */

static inline void
copy_list_insert(struct copy_list *l, size_t place, uint32_t copy)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity == 0 ? 16 : l->capacity * 2;
        l->items = mem_resize(l->items, l->capacity * sizeof(*l->items));
    }
    memmove(l->items + place + 1, l->items + place, (l->count - place) * sizeof(*l->items));
    l->items[place] = copy;
    l->count++;
}

static inline void
copy_list_remove(struct copy_list *l, size_t place)
{
    l->count--;
    memmove(l->items + place, l->items + place + 1, (l->count - place) * sizeof(*l->items));
}

static inline struct incarnation *
home_of(const struct copy *c)
{
    return &world.incarnations[c->home];
}

static inline void
ready_add(uint32_t copy)
{
    struct copy *c = &world.copies[copy];
    struct copy_list *l = &home_of(c)->ready[c->level];
    size_t place = l->count;
    while (place > 0 && world.copies[l->items[place - 1]].sequence > c->sequence)
        place--;
    copy_list_insert(l, place, copy);
    c->state = COPY_READY;
}

static inline size_t
ready_total(const struct incarnation *x)
{
    size_t count = 0;
    for (size_t level = 0; level < LEVELS; level++)
        count += x->ready[level].count;
    return count;
}

static inline struct copy_list *
ready_front_list(struct incarnation *x)
{
    for (size_t level = LEVELS; level-- > 0;)
        if (x->ready[level].count > 0)
            return &x->ready[level];
    return NULL;
}

static inline uint32_t
ready_pop(struct incarnation *x)
{
    struct copy_list *l = ready_front_list(x);
    ASSERT(l != NULL);
    const uint32_t copy = l->items[0];
    copy_list_remove(l, 0);
    return copy;
}

static inline uint32_t
copy_new(uint32_t number, uint32_t home, uint8_t level, bool is_persistent)
{
    struct incarnation *x = &world.incarnations[home];
    assert_true(world.copy_count < COPIES_MAX);
    world.copies[world.copy_count] = (struct copy){
        .number = number,
        .home = home,
        .target = NO_COPY,
        .level = level,
        .is_durable = x->is_durable && (is_persistent || x->is_quorum),
        .is_redelivered_known = true,
        .settled = NEVER,
        .ticket = world.open_round,
        .due_ms = x->ttl_ms == NEVER ? 0 : world.now_ms + x->ttl_ms,
    };
    return world.copy_count++;
}

/* It is done with, in this round. */
static inline void
copy_settle(struct copy *c)
{
    c->state = COPY_GONE;
    c->settled = world.open_round;
    /* Its count goes before it: a crash in between leaves it without. */
    c->safe_deliveries = 0;
    c->counted = NEVER;
}

static inline void
copy_dies(uint32_t copy)
{
    struct copy *c = &world.copies[copy];
    if (!home_of(c)->has_dead_letters) {
        TRACE("  %s: %u goes, due %" PRIu64 "\n", world_names[home_of(c)->name], c->number,
              c->due_ms);
        copy_settle(c);
        return;
    }
    c->state = COPY_DYING;
    TRACE("  %s: %u dies\n", world_names[home_of(c)->name], c->number);
    copy_list_insert(&world.dying, world.dying.count, copy);
}

/* Bodies follow from the number: size, octets, persistence and priority. */

static inline uint32_t
mix(uint32_t number)
{
    return number * UINT32_C(2654435761) >> 8;
}

static inline size_t
body_size_of(uint32_t number)
{
    return 4 + mix(number) % world.size_max;
}

static inline bool
is_persistent(uint32_t number)
{
    return mix(number + 7) % 4 != 0;
}

static inline struct message *
message_make(uint32_t number)
{
    struct message *m = message_sized(number, body_size_of(number), is_persistent(number));
    uint8_t *body = message_body(m);
    for (size_t i = 4; i < m->body_size; i++)
        body[i] = (uint8_t)(number * 31 + i);
    return m;
}

static inline void
message_check(struct message *m, uint32_t number)
{
    const uint8_t *body = message_body(m);
    assert_int_equal(message_number(m), number);
    assert_int_equal(m->body_size, body_size_of(number));
    assert_int_equal(m->is_persistent, is_persistent(number));
    for (size_t i = 4; i < m->body_size; i++)
        if (body[i] != (uint8_t)(number * 31 + i))
            fail_msg("octet %zu of message %u has changed", i, number);
}

/* What the broker has done, against the model. */

static inline bool
copy_has_expired(const struct copy *c)
{
    return c->due_ms != 0 && c->due_ms <= world.now_ms;
}

/* Dead letters that died together may come in any order: the one that came is the one of that
 * number. */
static inline void
copy_identify(struct copy *c, uint32_t number)
{
    for (uint32_t i = 0; c->number != number && i < world.copy_count; i++) {
        struct copy *other = &world.copies[i];
        if (other->home != c->home || other->number != number || other->ticket != c->ticket ||
            c->home != world.current[SINK])
            continue;
        other->number = c->number;
        c->number = number;
        c->is_durable = home_of(c)->is_durable && is_persistent(c->number);
        other->is_durable = home_of(c)->is_durable && is_persistent(other->number);
        for (uint32_t k = 0; k < world.copy_count; k++) {
            struct copy *source = &world.copies[k];
            const uint32_t here = (uint32_t)(c - world.copies);
            if (source->target == here)
                source->target = i;
            else if (source->target == i)
                source->target = here;
        }
    }
    assert_int_equal(c->number, number);
}

/* The copy that is sent: the front of its queue, or, if those before it may have died, one behind
 * them. */
static inline struct copy *
model_take(struct incarnation *x, const struct entry *e)
{
    for (;;) {
        struct copy_list *l = ready_front_list(x);
        if (l == NULL)
            fail_msg("%s sends message %u, which it does not have", world_names[x->name],
                     message_number(e->message));
        const uint32_t copy = ready_pop(x);
        struct copy *c = &world.copies[copy];
        if (c->sequence == e->sequence && c->level == e->priority)
            return c;
        if (!copy_has_expired(c) && (x->max_length == NEVER || x->rejects))
            fail_msg("%s sends message %u and not %u", world_names[x->name],
                     message_number(e->message), c->number);
        copy_dies(copy);
    }
}

static inline struct copy *
model_send(struct incarnation *x, const struct entry *e)
{
    struct copy *c = model_take(x, e);
    copy_identify(c, message_number(e->message));
    TRACE("  %s: sends %u (%" PRIx64 ")\n", world_names[x->name], c->number, c->sequence);
    message_check(e->message, c->number);
    assert_int_equal(e->is_durable, c->is_durable);
    if (c->is_redelivered_known && e->redelivered != c->redelivered)
        fail_msg("message %u of %s (%s, %" PRIx64
                 ", durable %d, deliveries %u, quorum %d, run %" PRIu64 ") is marked %d",
                 c->number, world_names[x->name], c->was_sent ? "sent" : "not sent", c->sequence,
                 c->is_durable, c->deliveries, x->is_quorum, world.crashes, e->redelivered);
    if (e->deliveries < c->deliveries_min || e->deliveries > c->deliveries)
        fail_msg("message %u of %s (%" PRIx64 ", durable %d, quorum %d, run %" PRIu64
                 ") has come back %u times, not %u to %u",
                 c->number, world_names[x->name], c->sequence, c->is_durable, x->is_quorum,
                 world.crashes, e->deliveries, c->deliveries_min, c->deliveries);
    c->deliveries = c->deliveries_min = e->deliveries;
    if (c->counted == NEVER) {
        c->safe_deliveries = e->deliveries;
        c->counted = 0;
    }
    c->redelivered = e->redelivered;
    c->is_redelivered_known = true;
    c->was_sent = true;
    c->state = COPY_OUT;
    c->entry = *e;
    c->consumer = NULL;
    x->out_count++;
    world.delivered++;
    return c;
}

static inline void
settle_ticket_check(uint64_t ticket, bool any)
{
    assert_int_equal(ticket, any ? world.open_round : 0);
}

static inline void
copy_ack(struct copy *c, bool is_rejected)
{
    struct incarnation *x = home_of(c);
    struct queue *q = c->entry.message == NULL ? NULL : x->queue;
    const struct settle item = {
        .queue = q, .consumer = c->consumer, .is_rejected = is_rejected, .entry = c->entry
    };
    assert_non_null(q);
    const bool dies = is_rejected && x->has_dead_letters;
    TRACE("  %s: %s %u\n", world_names[x->name], is_rejected ? "reject" : "ack", c->number);
    x->out_count--;
    for (size_t i = 0; i < CONSUMERS; i++)
        world.consumers[i].out_count -=
            &world.consumers[i].consumer == c->consumer && world.consumers[i].is_active;
    if (dies)
        copy_dies((uint32_t)(c - world.copies));
    else
        copy_settle(c);
    settle_ticket_check(queue_settle(q, &item, 1), c->is_durable && !dies && x->deleted == NEVER);
}

static inline struct world_consumer *
consumer_find(const struct consumer *consumer)
{
    for (size_t i = 0; i < CONSUMERS; i++)
        if (&world.consumers[i].consumer == consumer)
            return &world.consumers[i];
    PANIC("a delivery for nobody");
}

/* The consumer is no more; what it has not settled stays out. */
static inline void
consumer_forget(struct world_consumer *w)
{
    for (uint32_t i = 0; i < world.copy_count; i++)
        if (world.copies[i].state == COPY_OUT && world.copies[i].consumer == &w->consumer)
            world.copies[i].consumer = NULL;
    w->is_active = false;
    w->out_count = 0;
    queue_unref(w->consumer.queue);
}

static inline bool
world_take_one(void)
{
    struct delivery d;
    if (!outbox_take(&world.client.outbox, &d))
        return false;
    struct world_consumer *w = consumer_find(d.consumer);
    assert_true(w->is_active);
    if (d.entry.message == NULL) {
        consumer_forget(w);
        return true;
    }
    struct copy *c = model_send(&world.incarnations[w->home], &d.entry);
    c->consumer = d.consumer;
    w->out_count++;
    assert_true(w->prefetch == 0 || w->out_count <= w->prefetch);
    w->consumer.encoded += message_cost(d.entry.message);
    queue_refill(w->consumer.queue, &w->consumer);
    if (w->no_ack)
        copy_ack(c, false);
    return true;
}

static inline bool
front_has_expired(struct incarnation *x)
{
    const struct copy_list *front = ready_front_list(x);
    return front != NULL && copy_has_expired(&world.copies[front->items[0]]);
}

/* What must have died if so many are left. */
static inline void
model_catch_up(struct incarnation *x, size_t ready)
{
    for (size_t level = LEVELS; x->ttl_ms != NEVER && level-- > 0;)
        for (size_t i = 0; ready_total(x) > ready && i < x->ready[level].count;) {
            const uint32_t copy = x->ready[level].items[i];
            if (!copy_has_expired(&world.copies[copy])) {
                i++;
                continue;
            }
            copy_list_remove(&x->ready[level], i);
            copy_dies(copy);
        }
    while (ready_total(x) > ready &&
           ((x->max_length != NEVER && !x->rejects) || front_has_expired(x)))
        copy_dies(ready_pop(x));
    assert_int_equal(ready_total(x), ready);
}

/* Takes what has been sent, and compares what is left. */
static inline void
world_look(void)
{
    while (world_take_one())
        ;
    for (size_t name = 0; name < NAMES; name++) {
        if (world.current[name] == INCARNATIONS_MAX)
            continue;
        struct incarnation *x = &world.incarnations[world.current[name]];
        const struct queue_counts counts = queue_counts(x->queue);
        model_catch_up(x, counts.ready);
        assert_int_equal(counts.unacked, x->out_count);
    }
}

#endif
