#include "broker/perf/histogram.h"

#include "broker/base/panic.h"

void
histogram_add(struct histogram *to, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->counts[i] += __atomic_load_n(&from->counts[i], __ATOMIC_RELAXED);
    const uint64_t max = __atomic_load_n(&from->max, __ATOMIC_RELAXED);
    if (max > to->max)
        to->max = max;
}

void
histogram_subtract(struct histogram *h, const struct histogram *earlier)
{
    uint32_t highest = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        ASSERT(h->counts[i] >= earlier->counts[i]);
        h->counts[i] -= earlier->counts[i];
        if (h->counts[i] > 0)
            highest = i;
    }
    /* Where the overall maximum lies in the same bucket it is this one's too, or close enough. */
    if (histogram_bucket(h->max) != highest)
        h->max = histogram_bucket_value(highest);
}

uint64_t
histogram_count(const struct histogram *h)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += h->counts[i];
    return count;
}

uint64_t
histogram_bucket_value(uint32_t bucket)
{
    const uint32_t linear = 2u << HISTOGRAM_SUB_BITS;
    if (bucket < linear)
        return bucket;
    const uint32_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    const uint64_t lowest = (uint64_t)(bucket - (shift << HISTOGRAM_SUB_BITS)) << shift;
    return lowest + (1ull << shift) / 2;
}

uint64_t
histogram_quantile(const struct histogram *h, double fraction)
{
    const uint64_t count = histogram_count(h);
    if (count == 0)
        return 0;
    if (fraction >= 1.0)
        return h->max;
    const double exact = fraction * (double)count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0)
        rank++;
    uint64_t seen = 0;
    uint32_t i = 0;
    while (i < HISTOGRAM_BUCKETS - 1 && seen + h->counts[i] < rank)
        seen += h->counts[i++];
    const uint64_t value = histogram_bucket_value(i);
    return value < h->max ? value : h->max;
}
