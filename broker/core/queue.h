#ifndef BROKER_CORE_QUEUE_H
#define BROKER_CORE_QUEUE_H

/*
 * A queue: a log with a cursor that forgets. It belongs to no thread; everything that changes is
 * guarded by its one lock, taken once for a batch. Nobody holds two queue locks.
 *
 * References are counted: vhost, consumers, route caches and batches hold them. A deleted queue
 * lives on without messages until the last lets go, refuses appends, and says so to publishers, who
 * route again.
 *
 * A message is assigned to a consumer under the lock and pushed to that connection's outbox in the
 * same step, so a queue never has both ready messages and a consumer that could take one.
 */

#include "amqp/exception.h"
#include "broker/base/lock.h"
#include "broker/core/consumer.h"
#include "broker/core/dues.h"
#include "broker/core/entry.h"
#include "broker/core/leaving.h"
#include "broker/core/queue_arguments.h"
#include "broker/core/ready.h"
#include "broker/core/watermark.h"
#include "broker/net/loop.h"
#include "persistence/door.h"
#include "routing/router.h"

struct added_header;
struct pager;
struct stream;
struct vhost;

/* What arguments and policies allow the queue. The numbers may be read without the lock, by those
 * who can bear with what stood there a moment ago. */
struct queue_limits {
    _Atomic uint64_t max_length;
    _Atomic uint64_t max_length_bytes;
    _Atomic uint64_t message_ttl_ms;
    _Atomic uint64_t expires_ms;
    _Atomic uint64_t delivery_limit;
    _Atomic uint64_t consumer_timeout_ms;
    _Atomic uint64_t max_age_ms;    /* Of a stream. */
    _Atomic uint64_t segment_bytes; /* Likewise. */
    _Atomic unsigned overflow;      /* Of enum queue_overflow. */
    atomic_bool dead_letters;       /* It has a dead-letter exchange. */

    /* Guarded by the queue's lock. */
    bool has_dead_letter_key;
    bool at_least_once;
    struct bytes dead_letter_exchange; /* Owned. */
    struct bytes dead_letter_key;
};

struct queue {
    /* Fixed at creation. */
    struct vhost *vhost;
    struct bytes name;
    struct bytes arguments;           /* Canonical table. */
    struct queue_arguments effective; /* Of it, only what policies do not change. */
    bool durable;
    bool auto_delete;
    bool counts_deliveries;  /* It keeps how often each came back, and tells consumers. */
    struct bytes delays_for; /* The delayed exchange it holds messages for; in `name`. */
    uint64_t owner;          /* Id of the connection it is exclusive to; 0: not exclusive. */
    struct door *door;
    struct pager *pager;   /* NULL: messages never leave memory, and it has no watermark. */
    uint64_t log;          /* The log of priority 0; the others follow. 0 if not durable. */
    uint64_t window;       /* Dispatch window of each consumer, in octets. */
    struct stream *stream; /* What is in it, guarded by the lock; NULL unless it is a stream. */

    /* Guarded by the vhost's topology lock. */
    uint64_t ticket; /* Its definition is committed with this round. */
    struct map_node by_name;
    struct list in_connection; /* Exclusive queues of one owner. */
    struct destination destination;

    _Atomic uint32_t refs;
    atomic_bool deleted; /* Set under the lock; read by route caches without. */
    struct queue_limits limits;
    _Atomic uint64_t used_ms; /* When somebody last declared it, or read from it. */

    struct lock lock;
    /* Guarded by lock. */
    struct ready *levels; /* One a priority, 0 lowest; effective.max_priority + 1 of them. */
    size_t ready_count;
    uint64_t ready_octets; /* Of bodies. */
    size_t unacked_count;
    uint64_t next_sequence;
    struct list consumers; /* All, by in_queue. */
    size_t consumer_count;
    struct list waiting;     /* By in_waiting: highest priority first, then longest waiting. */
    struct consumer *active; /* The one of a single-active-consumer queue. */
    bool has_exclusive_consumer;
    bool had_consumer;
    struct watermark watermark;
    struct dues dues;
    bool keeps_dues; /* The store knows that there are records with a moment in it. */
    uint64_t fresh;  /* The first that is just being appended; it has had no time to expire. */
    struct map deliveries;       /* Of struct kept_count: rows behind the door. */
    struct list getters;         /* Of struct getter: they wait for the front. */
    struct page_list dead_pages; /* For the pager to free. */
    bool is_asked;               /* The pager has been asked to look at it. */

    struct list in_asked;      /* Guarded by the pager's lock. */
    uint64_t wake_ms;          /* Likewise: the pager looks at it then; 0: not by itself. */
    struct list in_awaiting;   /* The pager's. */
    struct swept_batch *swept; /* Likewise: expired records whose settlement may be under way. */
};

struct queue_spec {
    struct bytes name;
    struct bytes arguments; /* Canonical table. */
    struct queue_arguments effective;
    bool durable;
    bool auto_delete;
    struct bytes delays_for; /* Empty for what clients declare. */
    uint64_t owner;
    uint64_t window;
    uint64_t log; /* That the store knows it by; 0 for a queue that is new. */
};

/* With one reference. Copies names. */
struct queue *queue_create(struct vhost *vhost, struct door *door, const struct queue_spec *spec);

static inline void
queue_ref(struct queue *q)
{
    atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
}

void queue_unref(struct queue *q);

enum append_outcome {
    APPEND_DONE,
    APPEND_REJECTED, /* Over its length limit with overflow reject-publish. */
    APPEND_GONE,     /* The queue was deleted: route again. */
};

/* One message for one queue. Its entry's reference passes to the queue if the outcome is DONE. */
struct append {
    struct queue *queue;
    struct entry entry;
    uint32_t publish; /* The caller's own number for the message. */
    enum append_outcome outcome;
};

/* Appends in order, all under one lock, and hands out what consumers can take. Sets the outcomes.
 * Returns the ticket of the round that makes the durable ones durable, or 0. Any thread. */
uint64_t queue_append(struct queue *q, struct append *items, size_t count);

/* Start-up: what the store has kept of one of its logs, all of it paged; and up to where it may
 * have been sent. False if the log is not one of the queue's. */
bool queue_restore(struct queue *q, const struct log_summary *summary);
void queue_restore_watermark(struct queue *q, uint64_t sequence);

/* Arguments, or policies, have new limits for it; what goes beyond them goes at once. Copies
 * texts. */
void queue_set_limits(struct queue *q, const struct queue_arguments *a);

/* Somebody has declared it or asked for a message: the time to x-expires begins again. */
void queue_touch(struct queue *q);

/* Start-up: some of what the store has kept of it is due at a moment. Before queue_restore. */
void queue_restore_dues(struct queue *q);

/* Start-up: how often a message of it had come back. */
void queue_restore_deliveries(struct queue *q, uint64_t sequence, uint32_t count);

/* What consumers are told of a delivery beside its own headers: how often it came back, or where it
 * is in its stream. In `space`; NULL if nothing. */
const struct added_header *queue_added_header(const struct queue *q, const struct entry *e,
                                              struct added_header *space);

/* Dead messages have been moved, and are settled with that ticket. The queue's lock is held. */
void queue_forget_deliveries(struct queue *q, const struct dead *items, size_t count);
void queue_note_moved(struct queue *q, const struct dead *items, size_t count, uint64_t ticket);

/* Whether an entry with a committed record may be absent: somebody would read it again. */
bool queue_can_recall(const struct queue *q);

/* One delivery that is over. */
struct settle {
    struct queue *queue;
    struct consumer *consumer; /* NULL if cancelled meanwhile, or for basic.get. */
    bool is_rejected;          /* Not wanted, rather than done with. */
    struct entry entry;        /* May be absent. */
};

/* Acknowledged, or rejected without requeue, or sent without need for either: the entries are
 * done with, their references released, and credit goes back. Returns a ticket if durable records
 * were settled, else 0. Any thread. */
uint64_t queue_settle(struct queue *q, const struct settle *items, size_t count);

/*
 * Something that leaves a channel and touches the queue: a consumer that is cancelled, or a
 * delivery that goes back to its place. What leaves together is given back together, so that nobody
 * else is served out of turn in between.
 */
struct departure {
    struct queue *queue;
    struct consumer *leaver; /* NULL: a delivery. */
    struct settle delivery;  /* It had been sent: it will be marked as redelivered. */
};

/* All departures are of this queue. Consumers are unlinked: nothing is pushed for them after this,
 * and what waits for them in their outbox goes back unmarked. Credit for deliveries returns to
 * consumers that stay. Consumers' own thread only. Returns true if the queue is auto-delete and has
 * lost its last consumer, so that the caller must delete it. */
bool queue_depart(struct queue *q, struct departure *departures, size_t count);

enum get_outcome {
    GET_DONE,
    GET_EMPTY,  /* Or deleted. */
    GET_LATER,  /* There is a message, but it cannot be sent yet. */
    GET_BROKEN, /* There is one, but the store cannot give it back: only a purge helps. */
};

/* Somebody who was told GET_LATER: gets mail when it is worth while to try again. */
struct getter {
    struct list in_queue; /* Guarded by the queue's lock. */
    struct loop *loop;
    struct mail mail;
};

/* Takes one message for basic.get; it counts as unacked until settled. The number of messages left
 * goes to `left`. `getter` gets mail after GET_LATER; NULL for those who do not wait. */
enum get_outcome queue_get(struct queue *q, struct getter *getter, struct entry *out, size_t *left);

/* The getter waits no more. Its mail may still be posted. */
void queue_forget_getter(struct queue *q, struct getter *getter);

enum consume_outcome {
    CONSUME_DONE,
    CONSUME_EXCLUSIVE, /* In exclusive use, or exclusive use asked for and impossible. */
    CONSUME_GONE,
};

/* Registers the consumer; messages may be assigned at once. */
enum consume_outcome queue_consume(struct queue *q, struct consumer *c);

/* Gives octets that have been encoded back to the consumer's window. */
void queue_refill(struct queue *q, struct consumer *c);

/* Retries a consumer whose shared credit may have come back. */
void queue_retry(struct queue *q, struct consumer *c);

/* Puts the consumer under the channel's shared limit. */
void queue_share_credit(struct queue *q, struct consumer *c, struct shared_credit *shared);

/* Drops all ready messages and returns how many. */
size_t queue_purge(struct queue *q);

struct queue_counts {
    size_t ready;
    size_t unacked;
    size_t consumers;
};

struct queue_counts queue_counts(struct queue *q);

/* What was ready in a queue that ended. */
struct queue_remains {
    struct ready *levels;
    size_t count;
};

/* Marks it deleted, moves its messages out, detaches its consumers and tells their connections.
 * Fails without effect if a condition is set and not met (`ex` gets 406). The vhost does the rest,
 * and calls queue_release_remains once it holds no lock. */
bool queue_end(struct queue *q, bool if_unused, bool if_empty, struct queue_remains *remains,
               struct amqp_exception *ex);
void queue_release_remains(struct queue *q, struct queue_remains *remains);

/* The pager's part, on its thread: writes what is to leave memory, reads back what is wanted, frees
 * what is dead, and goes on with what waited for a commit. Returns a ticket that it waits for now,
 * or 0. */
uint64_t queue_page(struct queue *q);

#endif
