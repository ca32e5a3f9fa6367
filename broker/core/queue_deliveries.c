/* How often messages came back, where a queue counts that: each count of a durable message is a row
 * behind the door, put when the message comes back and deleted no later than it is settled. */

#include "broker/core/queue.h"

#include "broker/base/mem.h"
#include "broker/core/definition.h"
#include "broker/core/queue_internal.h"

struct kept_count {
    struct map_node by_sequence;
    uint64_t sequence;
    uint32_t count;
    struct door_place place; /* Of the row that was put last. */
    bool is_paged;           /* So is the message, as part of a stretch; not one that came back. */
};

static bool
sequence_matches(const struct map_node *node, const void *key)
{
    (void)node; /* The hash is the sequence, spread, and tells them apart. */
    (void)key;
    return true;
}

static uint64_t
sequence_hash(uint64_t sequence)
{
    return sequence * UINT64_C(0x9E3779B97F4A7C15);
}

static struct kept_count *
find(const struct queue *q, uint64_t sequence)
{
    struct map_node *node =
        map_find(&q->deliveries, sequence_hash(sequence), sequence_matches, NULL);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct kept_count, by_sequence);
}

static struct kept_count *
find_or_add(struct queue *q, uint64_t sequence)
{
    struct kept_count *kept = find(q, sequence);
    if (kept != NULL)
        return kept;
    kept = mem_alloc_zeroed(sizeof(*kept));
    kept->sequence = sequence;
    map_insert(&q->deliveries, &kept->by_sequence, sequence_hash(sequence));
    return kept;
}

void
deliveries_keep(struct queue *q, const struct entry *e)
{
    if (!e->is_durable || atomic_load_explicit(&q->deleted, memory_order_relaxed))
        return;
    struct kept_count *kept = find_or_add(q, e->sequence);
    kept->count = e->deliveries;
    kept->is_paged = false;
    definition_keep_deliveries(q->vhost, q->log, e->sequence, e->deliveries, &kept->place);
}

void
queue_restore_deliveries(struct queue *q, uint64_t sequence, uint32_t count)
{
    struct kept_count *kept = find_or_add(q, sequence);
    kept->count = count;
    kept->is_paged = true;
}

static void
forget(struct queue *q, struct kept_count *kept)
{
    definition_forget_deliveries(q->vhost, q->log, kept->sequence);
    map_remove(&q->deliveries, &kept->by_sequence);
    mem_free(kept);
}

void
deliveries_forget(struct queue *q, uint64_t sequence)
{
    struct kept_count *kept = q->deliveries.count == 0 ? NULL : find(q, sequence);
    if (kept != NULL)
        forget(q, kept);
}

void
queue_forget_deliveries(struct queue *q, const struct dead *items, size_t count)
{
    for (size_t i = 0; q->deliveries.count > 0 && i < count; i++)
        deliveries_forget(q, items[i].entry.sequence);
}

uint32_t
deliveries_fetch(struct queue *q, uint64_t sequence)
{
    struct kept_count *kept = q->deliveries.count == 0 ? NULL : find(q, sequence);
    if (kept == NULL)
        return 0;
    kept->is_paged = false;
    return kept->count;
}

static void
forget_all(struct queue *q, bool only_paged)
{
    struct map_node *node = map_next(&q->deliveries, NULL);
    while (node != NULL) {
        struct kept_count *kept = MAP_CONTAINER(node, struct kept_count, by_sequence);
        node = map_next(&q->deliveries, node);
        if (kept->is_paged || !only_paged)
            forget(q, kept);
    }
}

void
deliveries_forget_paged(struct queue *q)
{
    forget_all(q, true);
}

void
deliveries_forget_all(struct queue *q)
{
    forget_all(q, false);
}

void
deliveries_fini(struct queue *q)
{
    struct map_node *node;
    while ((node = map_any(&q->deliveries)) != NULL) {
        map_remove(&q->deliveries, node);
        mem_free(MAP_CONTAINER(node, struct kept_count, by_sequence));
    }
    map_fini(&q->deliveries);
}
