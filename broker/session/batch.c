#include "broker/session/batch.h"

#include "broker/base/mem.h"
#include "broker/session/channel.h"
#include "broker/session/worker.h"

#define GROUP_BITS 11
#define GROUP_SLOTS (1u << GROUP_BITS)
#define GROUPED_BYTES                                                                              \
    (BATCH_APPENDS_MAX * sizeof(struct append) > BATCH_SETTLES_MAX * sizeof(struct settle)         \
         ? BATCH_APPENDS_MAX * sizeof(struct append)                                               \
         : BATCH_SETTLES_MAX * sizeof(struct settle))

/* The publish that tells of a batch: one that comes alone is with the committer as soon as word of
 * it would be. */
#define EXPECTED_FROM 1u

_Static_assert(offsetof(struct append, queue) == 0, "group_by_queue looks there");
_Static_assert(offsetof(struct settle, queue) == 0, "group_by_queue looks there");
_Static_assert(2 * BATCH_APPENDS_MAX <= GROUP_SLOTS, "a slot must always be free");
_Static_assert(2 * BATCH_SETTLES_MAX <= GROUP_SLOTS, "a slot must always be free");

void
batch_init(struct batch *b)
{
    *b = (struct batch){
        .appends = mem_alloc(BATCH_APPENDS_MAX * sizeof(*b->appends)),
        .publishes = mem_alloc(BATCH_PUBLISHES_MAX * sizeof(*b->publishes)),
        .settles = mem_alloc(BATCH_SETTLES_MAX * sizeof(*b->settles)),
        .grouped = mem_alloc(GROUPED_BYTES),
        .groups = mem_alloc_zeroed(GROUP_SLOTS * sizeof(*b->groups)),
    };
}

void
batch_fini(struct batch *b)
{
    ASSERT(b->append_count + b->publish_count + b->settle_count == 0);
    mem_free(b->appends);
    mem_free(b->publishes);
    mem_free(b->settles);
    mem_free(b->grouped);
    mem_free(b->groups);
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
    if (publish == EXPECTED_FROM && number > 0 && m->is_persistent)
        door_expect(w->broker->door);
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

void
batch_publish_to(struct worker *w, struct channel *ch, struct queue *q, struct message *m,
                 uint64_t number)
{
    struct batch *b = &w->batch;
    ASSERT(b->publish_count < BATCH_PUBLISHES_MAX);
    const uint32_t publish = b->publish_count++;
    b->publishes[publish] = (struct batch_publish){ .channel = ch, .number = number };
    if (b->append_count == BATCH_APPENDS_MAX)
        batch_apply_appends(w);
    batch_append(w, q, m, publish);
}

static struct queue *
queue_of(const void *item)
{
    return *(struct queue *const *)item; /* The first member of what is grouped. */
}

/* The group of a queue in this grouping; a new one if it has none yet. */
static struct batch_group *
group_find(struct batch *b, struct queue *q)
{
    size_t slot = ((uintptr_t)q >> 6) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - GROUP_BITS);
    struct batch_group *g = &b->groups[slot];
    while (g->grouping == b->grouping && g->queue != q) {
        slot = (slot + 1) % GROUP_SLOTS;
        g = &b->groups[slot];
    }
    if (g->grouping != b->grouping)
        *g = (struct batch_group){ .queue = q, .grouping = b->grouping };
    return g;
}

/* Brings items of one queue together, in order of arrival, queues in order of their first: so each
 * queue is locked once. There are never more queues than half of the slots. */
static void
group_by_queue(struct batch *b, void *items, size_t size, uint32_t count)
{
    uint8_t *from = items;
    uint32_t next = 0;
    b->grouping++;
    for (uint32_t i = 0; i < count; i++)
        group_find(b, queue_of(from + i * size))->count++;
    for (uint32_t i = 0; i < count; i++) {
        struct batch_group *g = group_find(b, queue_of(from + i * size));
        if (!g->is_placed) {
            g->is_placed = true;
            g->next = next;
            next += g->count;
        }
        memcpy(b->grouped + g->next++ * size, from + i * size, size);
    }
    memcpy(items, b->grouped, count * size);
}

/* Whether the items are of more than one queue. */
static bool
is_mixed(const void *items, size_t size, uint32_t count)
{
    const uint8_t *item = items;
    for (uint32_t i = 1; i < count; i++)
        if (queue_of(item + i * size) != queue_of(item))
            return true;
    return false;
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
    if (is_mixed(b->appends, sizeof(*b->appends), count))
        group_by_queue(b, b->appends, sizeof(*b->appends), count);
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
    if (is_mixed(b->settles, sizeof(*b->settles), count))
        group_by_queue(b, b->settles, sizeof(*b->settles), count);
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
