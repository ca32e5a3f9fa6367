#include "broker/session/batch.h"

#include "broker/base/mem.h"
#include "broker/session/channel.h"
#include "broker/session/worker.h"

#include <stdlib.h>

void
batch_init(struct batch *b)
{
    *b = (struct batch){
        .appends = mem_alloc(BATCH_APPENDS_MAX * sizeof(*b->appends)),
        .publishes = mem_alloc(BATCH_PUBLISHES_MAX * sizeof(*b->publishes)),
        .settles = mem_alloc(BATCH_SETTLES_MAX * sizeof(*b->settles)),
    };
}

void
batch_fini(struct batch *b)
{
    ASSERT(b->append_count + b->publish_count + b->settle_count == 0);
    mem_free(b->appends);
    mem_free(b->publishes);
    mem_free(b->settles);
}

static void batch_apply_appends(struct worker *w);

static void
batch_append(struct worker *w, struct queue *q, struct message *m, uint32_t publish)
{
    struct batch *b = &w->batch;
    b->appends[b->append_count++] = (struct append){
        .queue = q,
        .entry = { .message = m, .priority = m->priority },
        .publish = publish,
    };
}

void
batch_publish(struct worker *w, struct channel *ch, const struct route *route, struct message *m,
              uint64_t number)
{
    struct batch *b = &w->batch;
    const uint32_t count = route->queue_count;
    ASSERT(b->publish_count < BATCH_PUBLISHES_MAX);
    const uint32_t publish = b->publish_count++;
    b->publishes[publish] = (struct batch_publish){ .channel = ch, .number = number };
    if (count == 0) {
        message_unref(m);
        return;
    }
    if (count > 1)
        message_ref_many(m, count - 1);
    for (uint32_t i = 0; i < count; i++) {
        /* A fan-out larger than the batch is applied in parts; its number is answered at the end,
         * since publishes are only closed by a flush from outside. */
        if (b->append_count == BATCH_APPENDS_MAX)
            batch_apply_appends(w);
        batch_append(w, route->queues[i], m, publish);
    }
}

/* By queue, and within one in order of arrival, which is the order in the array. */
static int
append_order(const void *a, const void *b)
{
    const struct append *x = a;
    const struct append *y = b;
    if (x->queue != y->queue)
        return (uintptr_t)x->queue < (uintptr_t)y->queue ? -1 : 1;
    return (x->publish > y->publish) - (x->publish < y->publish);
}

static int
settle_order(const void *a, const void *b)
{
    const struct settle *x = a;
    const struct settle *y = b;
    if (x->queue != y->queue)
        return (uintptr_t)x->queue < (uintptr_t)y->queue ? -1 : 1;
    return (x->entry.sequence > y->entry.sequence) - (x->entry.sequence < y->entry.sequence);
}

/* What became of each message in one queue. Those that are in may be delivered and gone by now. */
static void
note_outcomes(struct batch *b, const struct append *items, size_t count, uint64_t ticket)
{
    for (size_t i = 0; i < count; i++) {
        struct batch_publish *p = &b->publishes[items[i].publish];
        if (ticket > p->ticket && items[i].entry.is_durable)
            p->ticket = ticket;
        if (items[i].outcome == APPEND_DONE)
            continue;
        /* A queue deleted since we routed counts as done: its messages would be gone as well. */
        if (items[i].outcome == APPEND_REJECTED)
            p->rejected = true;
        message_unref(items[i].entry.message);
    }
}

static void
batch_apply_appends(struct worker *w)
{
    struct batch *b = &w->batch;
    const uint32_t count = b->append_count;
    bool mixed = false;
    for (uint32_t i = 1; i < count && !mixed; i++)
        mixed = b->appends[i].queue != b->appends[0].queue;
    if (mixed)
        qsort(b->appends, count, sizeof(*b->appends), append_order);
    for (uint32_t from = 0; from < count;) {
        uint32_t to = from + 1;
        while (to < count && b->appends[to].queue == b->appends[from].queue)
            to++;
        const uint64_t ticket = queue_append(b->appends[from].queue, b->appends + from, to - from);
        note_outcomes(b, b->appends + from, to - from, ticket);
        from = to;
    }
    b->append_count = 0;
}

static void
batch_apply_settles(struct worker *w, uint64_t *ticket)
{
    struct batch *b = &w->batch;
    const uint32_t count = b->settle_count;
    bool mixed = false;
    for (uint32_t i = 1; i < count && !mixed; i++)
        mixed = b->settles[i].queue != b->settles[0].queue;
    if (mixed)
        qsort(b->settles, count, sizeof(*b->settles), settle_order);
    for (uint32_t from = 0; from < count;) {
        uint32_t to = from + 1;
        while (to < count && b->settles[to].queue == b->settles[from].queue)
            to++;
        const uint64_t settled = queue_settle(b->settles[from].queue, b->settles + from, to - from);
        *ticket = settled > *ticket ? settled : *ticket;
        from = to;
    }
    for (uint32_t i = 0; i < count; i++)
        if (b->settles[i].consumer == NULL)
            queue_unref(b->settles[i].queue);
    b->settle_count = 0;
}

void
batch_settle(struct worker *w, const struct settle *item)
{
    if (w->batch.settle_count == BATCH_SETTLES_MAX)
        batch_flush(w);
    w->batch.settles[w->batch.settle_count++] = *item;
}

uint64_t
batch_flush(struct worker *w)
{
    struct batch *b = &w->batch;
    uint64_t ticket = 0;
    if (b->append_count > 0)
        batch_apply_appends(w);
    if (b->settle_count > 0)
        batch_apply_settles(w, &ticket);
    for (uint32_t i = 0; i < b->publish_count; i++) {
        const struct batch_publish *p = &b->publishes[i];
        ticket = p->ticket > ticket ? p->ticket : ticket;
        channel_publish_done(p->channel, p->number, p->ticket, p->rejected);
    }
    b->publish_count = 0;
    route_cache_release(&w->routes);
    return ticket;
}
