#ifndef TESTS_UNIT_TEST_CORE_H
#define TESTS_UNIT_TEST_CORE_H

/*
 * What the tests of core share: messages that are told apart by a number, clients with consumers
 * whose outboxes are read without running a loop, an engine that writes down what it is given, and
 * a short way to say what ought to have been delivered. Include after cmocka.h.
 */

#include "broker/base/endian.h"
#include "broker/base/mem.h"
#include "broker/core/outbox.h"
#include "broker/core/queue.h"
#include "broker/core/vhost.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Messages. */

static inline struct message *
message_sized(uint32_t number, size_t body_size, bool is_persistent)
{
    struct message *m =
        message_create(BYTES_LITERAL("x"), BYTES_LITERAL("k"), BYTES_LITERAL("\0\0"), body_size);
    assert_non_null(m);
    assert_true(body_size >= 4);
    memset(message_body(m), 0, body_size);
    store_be32(message_body(m), number);
    message_charge((int64_t)body_size);
    m->is_persistent = is_persistent;
    return m;
}

static inline uint32_t
message_number(struct message *m)
{
    return load_be32(message_body(m));
}

/* Everything that messages were charged has been given back, but for what threads still owe. */
static inline void
assert_no_messages(void)
{
    assert_true(llabs((long long)message_memory()) <= 64 * 1024);
}

/* Queues. */

/* With the reference of whoever made it. */
static inline void
end_queue(struct queue *q)
{
    struct queue_remains remains = { 0 };
    struct amqp_exception ex;
    assert_true(queue_end(q, false, false, &remains, &ex));
    queue_release_remains(q, &remains);
    queue_unref(q);
}

static inline struct queue_spec
spec_named(const char *name)
{
    return (struct queue_spec){
        .name = bytes_of_string(name),
        .window = 1u << 20,
        .effective = QUEUE_ARGUMENTS_NONE,
    };
}

static inline enum append_outcome
queue_add_priority(struct queue *q, uint32_t number, uint8_t priority)
{
    struct append item = {
        .queue = q,
        .entry = { .message = message_sized(number, 10, q->durable), .priority = priority },
    };
    queue_append(q, &item, 1);
    if (item.outcome != APPEND_DONE)
        message_unref(item.entry.message);
    return item.outcome;
}

static inline enum append_outcome
queue_add(struct queue *q, uint32_t number)
{
    return queue_add_priority(q, number, 0);
}

/* Appends first..last, all at once. */
static inline void
queue_add_run(struct queue *q, uint32_t first, uint32_t last)
{
    const size_t count = last - first + 1;
    struct append *items = mem_alloc_zeroed(count * sizeof(*items));
    for (size_t i = 0; i < count; i++)
        items[i] = (struct append){
            .queue = q,
            .entry.message = message_sized(first + (uint32_t)i, 10, q->durable),
        };
    queue_append(q, items, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(items[i].outcome, APPEND_DONE);
    mem_free(items);
}

/* Takes what can be taken at once. */
static inline bool
queue_take_ready(struct queue *q, struct entry *out, size_t *left)
{
    return queue_get(q, NULL, out, left) == GET_DONE;
}

/* What waits, as "1 2 3", with a star behind what is marked as redelivered. Empties the queue. */
static inline void
assert_ready(struct queue *q, const char *expected)
{
    char text[512] = "";
    size_t used = 0;
    struct entry e;
    size_t left;
    while (queue_take_ready(q, &e, &left)) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u%s", used > 0 ? " " : "",
                                 message_number(e.message), e.redelivered ? "*" : "");
        const struct settle item = { .queue = q, .entry = e };
        queue_settle(q, &item, 1);
    }
    assert_string_equal(text, expected);
}

static inline void
assert_counts(struct queue *q, size_t ready, size_t unacked, size_t consumers)
{
    const struct queue_counts counts = queue_counts(q);
    assert_int_equal(counts.ready, ready);
    assert_int_equal(counts.unacked, unacked);
    assert_int_equal(counts.consumers, consumers);
}

/* Clients: a connection as queues see it. */

struct client {
    struct loop loop;
    struct outbox outbox;
    struct settle got[256]; /* Sent and not settled. */
    size_t got_count;
};

static inline void
client_no_deliver(struct mail *mail)
{
    (void)mail;
}

static inline void
client_init(struct client *c)
{
    *c = (struct client){ 0 };
    assert_true(loop_init(&c->loop));
    outbox_init(&c->outbox, &c->loop, client_no_deliver);
}

static inline void
client_fini(struct client *c)
{
    struct delivery d;
    assert_false(outbox_take(&c->outbox, &d));
    outbox_fini(&c->outbox);
    loop_fini(&c->loop);
}

/* A consumer whose tag is one letter, not registered yet. */
static inline struct consumer
consumer_of(struct client *client, struct queue *q, const char *tag)
{
    return (struct consumer){
        .queue = q,
        .outbox = &client->outbox,
        .tag = bytes_of_string(tag),
        .prefetch_left = PREFETCH_UNLIMITED,
    };
}

/* Registers it. It must not move after this. */
static inline void
consumer_start(struct consumer *c)
{
    list_init(&c->in_queue);
    list_init(&c->in_waiting);
    list_init(&c->in_channel);
    assert_int_equal(queue_consume(c->queue, c), CONSUME_DONE);
}

/* What has come since the last look, as "a1 b2 a3*"; "a!" says that a's queue is gone. */
static inline void
assert_deliveries(struct client *c, const char *expected)
{
    char text[1024] = "";
    size_t used = 0;
    struct delivery d;
    while (outbox_take(&c->outbox, &d)) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s", used > 0 ? " " : "",
                                 BYTES_ARGS(d.consumer->tag));
        if (d.entry.message == NULL) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, "!");
            continue;
        }
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%u%s",
                                 message_number(d.entry.message), d.entry.redelivered ? "*" : "");
        d.consumer->encoded += message_cost(d.entry.message);
        assert_true(c->got_count < sizeof(c->got) / sizeof(c->got[0]));
        c->got[c->got_count++] =
            (struct settle){ .queue = d.consumer->queue, .consumer = d.consumer, .entry = d.entry };
    }
    assert_string_equal(text, expected);
}

/* Takes the delivery of that message out of those that were got. */
static inline struct settle
client_find(struct client *c, uint32_t number)
{
    for (size_t i = 0; i < c->got_count; i++) {
        const struct settle item = c->got[i];
        if (message_number(item.entry.message) != number)
            continue;
        c->got[i] = c->got[--c->got_count];
        return item;
    }
    fail_msg("message %u was not delivered", number);
    return (struct settle){ 0 };
}

static inline uint64_t
client_ack(struct client *c, uint32_t number)
{
    const struct settle item = client_find(c, number);
    return queue_settle(item.queue, &item, 1);
}

static inline void
client_requeue(struct client *c, uint32_t number)
{
    const struct settle item = client_find(c, number);
    struct departure departure = { .queue = item.queue, .delivery = item };
    assert_false(queue_depart(item.queue, &departure, 1));
}

/* Cancels; what it was sent and has not settled stays, without a consumer. True if the queue wants
 * to be deleted. */
static inline bool
client_cancel(struct client *client, struct consumer *c)
{
    struct departure departure = { .queue = c->queue, .leaver = c };
    const bool unused = queue_depart(c->queue, &departure, 1);
    for (size_t i = 0; i < client->got_count; i++)
        if (client->got[i].consumer == c)
            client->got[i].consumer = NULL;
    return unused;
}

/* An engine that commits at once and writes down all effects, for one door. */

struct written {
    struct effect effect; /* Owns key and payload. */
    uint64_t round;
};

struct recorder {
    struct engine engine;
    struct lock lock;
    struct written *items;
    size_t count;
};

static inline void
recorder_submit(struct engine *engine, const struct round *round)
{
    struct recorder *r = (struct recorder *)engine;
    lock_acquire(&r->lock);
    for (size_t i = 0; i < round->effect_count; i++) {
        const struct effect *e = &round->effects[i];
        r->items = mem_resize(r->items, (r->count + 1) * sizeof(*r->items));
        struct written *w = &r->items[r->count++];
        *w = (struct written){ .effect = *e, .round = round->number };
        w->effect.key = (struct buf){ 0 };
        w->effect.payload = (struct buf){ 0 };
        buf_append_bytes(&w->effect.key, buf_bytes(&e->key));
        buf_append_bytes(&w->effect.payload, buf_bytes(&e->payload));
        buf_append_bytes(&w->effect.payload, e->tail.octets);
        w->effect.tail = (struct effect_tail){ 0 };
    }
    lock_release(&r->lock);
    engine->done(engine->done_context, round->number, ROUND_COMMITTED);
}

static inline void
recorder_destroy(struct engine *engine)
{
    (void)engine; /* The test still looks at it. */
}

static inline void
recorder_no_notify(void *context)
{
    (void)context;
}

/* Look at the items after door_destroy only. */
static inline struct door *
recorder_open(struct recorder *r)
{
    static const struct engine_ops ops = { .submit = recorder_submit, .destroy = recorder_destroy };
    *r = (struct recorder){ .engine = { .ops = &ops, .first_round = 1, .first_log = 1 } };
    lock_init(&r->lock);
    return door_create(&r->engine, UINT64_MAX, recorder_no_notify, NULL);
}

static inline void
recorder_fini(struct recorder *r)
{
    for (size_t i = 0; i < r->count; i++) {
        buf_fini(&r->items[i].effect.key);
        buf_fini(&r->items[i].effect.payload);
    }
    mem_free(r->items);
    lock_fini(&r->lock);
}

#endif
