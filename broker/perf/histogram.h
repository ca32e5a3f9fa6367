#ifndef BROKER_PERF_HISTOGRAM_H
#define BROKER_PERF_HISTOGRAM_H

/*
 * A log-linear histogram of durations in nanoseconds: every power of two is cut into 64 buckets, so
 * a reported value is within 0.8 % of a recorded one, from 0 to 137 s; what is longer counts as
 * 137 s. Recording touches one counter.
 *
 * One thread records. Others may take a snapshot at any time; it lacks at most what was recorded
 * while it was taken. A zeroed struct is empty.
 */

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_VALUE_BITS 37
#define HISTOGRAM_VALUE_MAX ((1ull << HISTOGRAM_VALUE_BITS) - 1)
#define HISTOGRAM_BUCKETS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t max; /* The largest value recorded, exact. */
};

static inline uint32_t
histogram_bucket(uint64_t value)
{
    if (value < 1u << HISTOGRAM_SUB_BITS)
        return (uint32_t)value;
    if (value > HISTOGRAM_VALUE_MAX)
        value = HISTOGRAM_VALUE_MAX;
    const uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift);
}

/* Plain loads and stores on every machine we know; atomic so that snapshots are well defined. */
static inline void
histogram_record(struct histogram *h, uint64_t value)
{
    uint64_t *count = &h->counts[histogram_bucket(value)];
    __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
    if (value > h->max)
        __atomic_store_n(&h->max, value, __ATOMIC_RELAXED);
}

/* Adds a snapshot of `from`, which another thread may be recording into, to `to`. */
void histogram_add(struct histogram *to, const struct histogram *from);

/* Takes away what `earlier`, an older snapshot of the same recordings, holds. `max` becomes the
 * largest value of what is left, within the accuracy of a bucket. */
void histogram_subtract(struct histogram *h, const struct histogram *earlier);

uint64_t histogram_count(const struct histogram *h);

/* The value below or at which `fraction` (0..1) of the recordings lie, by nearest rank; 0 gives the
 * smallest, 1 the largest. 0 for an empty histogram. */
uint64_t histogram_quantile(const struct histogram *h, double fraction);

/* The middle of a bucket. */
uint64_t histogram_bucket_value(uint32_t bucket);

#endif
