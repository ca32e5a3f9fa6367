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
    find_or_add(q, e->sequence)->count = e->deliveries;
    definition_keep_deliveries(q->vhost, q->log, e->sequence, e->deliveries);
}

void
queue_restore_deliveries(struct queue *q, uint64_t sequence, uint32_t count)
{
    find_or_add(q, sequence)->count = count;
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
deliveries_find(const struct queue *q, uint64_t sequence)
{
    const struct kept_count *kept = q->deliveries.count == 0 ? NULL : find(q, sequence);
    return kept == NULL ? 0 : kept->count;
}

void
deliveries_forget_range(struct queue *q, uint64_t first, uint64_t last)
{
    struct map_node *node = map_next(&q->deliveries, NULL);
    while (node != NULL) {
        struct kept_count *kept = MAP_CONTAINER(node, struct kept_count, by_sequence);
        node = map_next(&q->deliveries, node);
        if (kept->sequence >= first && kept->sequence <= last)
            forget(q, kept);
    }
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
