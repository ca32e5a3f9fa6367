#ifndef BROKER_PERF_PERF_ORDER_H
#define BROKER_PERF_PERF_ORDER_H

/*
 * What one consumer of one queue should see: the numbers of each producer channel that writes to
 * it, in order and complete. Only meaningful if it is the queue's only consumer. A run without
 * producers takes the first run it meets for its own, and the first number of each producer for the
 * beginning. Owner: the consumer's thread while it runs.
 */

#include "broker/perf/perf_sequence.h"
#include "broker/perf/perf_stamp.h"

struct perf_order {
    const struct perf_shared *shared;
    uint32_t queue;
    uint64_t run_tag; /* 0: not known yet; see above. */
    uint64_t source;  /* The last one looked up, and what was found. */
    struct perf_sequence *found;
    struct perf_sequence *sequences;
    uint32_t count;
    uint64_t foreign;   /* Messages of other runs. */
    uint64_t unwatched; /* Of this one, but of a producer there is no place for. */
    struct perf_sequence_stats stats;
};

void perf_order_init(struct perf_order *o, const struct perf_shared *shared, uint32_t queue);
void perf_order_fini(struct perf_order *o);

/* NULL if nobody watches that source. */
struct perf_sequence *perf_order_find(struct perf_order *o, uint64_t word);

/* A message came with this second word. */
static inline void
perf_order_see(struct perf_order *o, uint64_t word)
{
    struct perf_sequence *s = o->found;
    if (__builtin_expect(s == NULL || perf_stamp_word_source(word) != o->source, 0))
        s = perf_order_find(o, word);
    if (s != NULL)
        perf_sequence_see(s, perf_stamp_word_number(word), &o->stats);
}

/* Numbers that were skipped and never came. */
uint64_t perf_order_lost(const struct perf_order *o);

#endif
