#include "broker/perf/perf_order.h"

#include "broker/base/mem.h"

/* A run without producers does not know how many there were: room for this many a queue at least,
 * and for as many as a stamp can tell apart if the queues are few. */
#define PRODUCERS_UNKNOWN_MIN 64u
#define SEQUENCES_UNKNOWN_MAX (1u << 20)
/* More pairs of producer and queue than this are not watched. */
#define SEQUENCES_MAX (16u << 20)

static uint32_t
producers_unknown(uint32_t queues)
{
    const uint32_t share = SEQUENCES_UNKNOWN_MAX / queues;
    if (share < PRODUCERS_UNKNOWN_MIN)
        return PRODUCERS_UNKNOWN_MIN;
    return share < PERF_STAMP_PRODUCER_UNWATCHED ? share : PERF_STAMP_PRODUCER_UNWATCHED;
}

void
perf_order_init(struct perf_order *o, const struct perf_shared *shared, uint32_t queue)
{
    const struct perf_topology *t = shared->topology;
    *o = (struct perf_order){ .shared = shared, .queue = queue };
    if (t->producers == 0) {
        o->count = producers_unknown(t->queue_count);
    } else {
        o->run_tag = shared->run_tag;
        o->count = perf_topology_writers(t, queue);
    }
    if ((uint64_t)o->count * t->queue_count > SEQUENCES_MAX)
        o->count = 0;
    o->sequences = mem_alloc_zeroed(o->count * sizeof(*o->sequences));
}

void
perf_order_fini(struct perf_order *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        perf_sequence_fini(&o->sequences[i]);
    mem_free(o->sequences);
    *o = (struct perf_order){ 0 };
}

struct perf_sequence *
perf_order_find(struct perf_order *o, uint64_t word)
{
    const struct perf_topology *t = o->shared->topology;
    const uint64_t source = perf_stamp_word_source(word);
    const uint32_t producer = perf_stamp_source_producer(source);
    if (o->run_tag == 0)
        o->run_tag = perf_stamp_source_run(source);
    o->found = NULL;
    if (perf_stamp_source_run(source) != o->run_tag) {
        o->foreign++;
        return NULL;
    }
    const uint32_t place =
        t->producers == 0 ? producer : perf_topology_writer_place(t, o->queue, producer);
    if (place >= o->count || producer == PERF_STAMP_PRODUCER_UNWATCHED) {
        o->unwatched++;
        return NULL;
    }
    o->source = source;
    o->found = &o->sequences[place];
    if (t->producers == 0 && o->found->next == 0)
        o->found->next = perf_stamp_word_number(word);
    return o->found;
}

uint64_t
perf_order_lost(const struct perf_order *o)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < o->count; i++)
        lost += perf_sequence_lost(&o->sequences[i]);
    return lost;
}
