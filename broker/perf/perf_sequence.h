#ifndef BROKER_PERF_PERF_SEQUENCE_H
#define BROKER_PERF_PERF_SEQUENCE_H

/*
 * Watches the numbers that one producer channel wrote into the messages of one queue, as one
 * consumer sees them: 0, 1, 2, ... The usual case is one compare. Otherwise the numbers that were
 * skipped are remembered as ranges, so that one that comes late (out of order), one that comes
 * twice (duplicate) and one that never comes (lost) are told apart exactly.
 *
 * A zeroed struct expects 0. Owner: the consumer's thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More holes than this are not remembered one by one; see perf_sequence_stats.inexact. */
#define PERF_SEQUENCE_HOLES_MAX 4096u

struct perf_sequence_hole {
    uint64_t first;
    uint64_t end; /* One past the last. */
};

struct perf_sequence {
    uint64_t next;                    /* One past the highest number seen. */
    struct perf_sequence_hole *holes; /* Ascending, none empty. */
    uint32_t hole_count;
    uint32_t hole_capacity;
    uint64_t forgotten; /* Numbers in holes there was no place for. */
};

struct perf_sequence_stats {
    uint64_t out_of_order;
    uint64_t duplicates;
    bool inexact; /* Holes were forgotten: late numbers may have been counted as duplicates. */
};

void perf_sequence_fini(struct perf_sequence *s);

/* Any number but the expected one. */
void perf_sequence_see_other(struct perf_sequence *s, uint64_t number,
                             struct perf_sequence_stats *stats);

static inline void
perf_sequence_see(struct perf_sequence *s, uint64_t number, struct perf_sequence_stats *stats)
{
    if (__builtin_expect(number == s->next, 1))
        s->next++;
    else
        perf_sequence_see_other(s, number, stats);
}

/* Numbers below the highest seen that have not come. */
uint64_t perf_sequence_lost(const struct perf_sequence *s);

#endif
