#ifndef BROKER_PERF_PERF_STAMP_H
#define BROKER_PERF_PERF_STAMP_H

/*
 * What a message carries in front of its body, in network byte order:
 *
 *     0  u64  when it was sent, or with --rate when it was due: monotonic nanoseconds, or wall
 *             clock milliseconds with --use-millis; bodies of 8 octets and more
 *     8  u64  run (10 bits), producer channel (14 bits), number (40 bits): bodies of 16 and more
 *
 * Numbers count from 0 for each producer channel and route, so that whoever consumes the queue sees
 * what is missing. Channels from 16383 on share the last number and are not watched.
 */

#include "broker/perf/perf_worker.h"

#define PERF_STAMP_SIZE 16u
#define PERF_STAMP_NUMBER_BITS 40
#define PERF_STAMP_PRODUCER_BITS 14
#define PERF_STAMP_PRODUCER_UNWATCHED ((1u << PERF_STAMP_PRODUCER_BITS) - 1)
#define PERF_STAMP_RUN_BITS 10

/* Run and producer channel: the upper 24 bits of the second word. */
static inline uint64_t
perf_stamp_source(uint64_t run_tag, uint32_t producer)
{
    if (producer > PERF_STAMP_PRODUCER_UNWATCHED)
        producer = PERF_STAMP_PRODUCER_UNWATCHED;
    return run_tag << PERF_STAMP_PRODUCER_BITS | producer;
}

static inline uint64_t
perf_stamp_source_run(uint64_t source)
{
    return source >> PERF_STAMP_PRODUCER_BITS;
}

static inline uint32_t
perf_stamp_source_producer(uint64_t source)
{
    return (uint32_t)source & PERF_STAMP_PRODUCER_UNWATCHED;
}

static inline uint64_t
perf_stamp_word_source(uint64_t word)
{
    return word >> PERF_STAMP_NUMBER_BITS;
}

static inline uint64_t
perf_stamp_word_number(uint64_t word)
{
    return word & ((1ull << PERF_STAMP_NUMBER_BITS) - 1);
}

/* The first word for a moment of the monotonic clock. */
static inline uint64_t
perf_stamp_time(const struct perf_shared *s, uint64_t monotonic_ns)
{
    if (s->options->use_millis)
        return (monotonic_ns + s->wall_minus_monotonic_ns) / 1000000u;
    return monotonic_ns;
}

#endif
