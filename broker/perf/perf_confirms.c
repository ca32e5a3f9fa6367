#include "broker/perf/perf_confirms.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

void
perf_confirms_init(struct perf_confirms *c, uint32_t limit)
{
    ASSERT(limit >= 1);
    uint64_t places = 64;
    while (places < (uint64_t)limit * 2)
        places *= 2;
    *c = (struct perf_confirms){ .mask = places - 1, .lowest = 1, .next = 1, .limit = limit };
    c->sent_ns = mem_alloc_zeroed(places * sizeof(*c->sent_ns));
}

void
perf_confirms_fini(struct perf_confirms *c)
{
    mem_free(c->sent_ns);
    *c = (struct perf_confirms){ 0 };
}

static uint64_t
confirms_settle_one(struct perf_confirms *c, uint64_t number, uint64_t now_ns,
                    struct histogram *latency)
{
    uint64_t *sent = &c->sent_ns[number & c->mask];
    if (*sent == 0)
        return 0;
    /* A message that went out late in its tick may be stamped ahead of a clock read before. */
    histogram_record(latency, now_ns > *sent ? now_ns - *sent : 0);
    *sent = 0;
    return 1;
}

uint64_t
perf_confirms_settle(struct perf_confirms *c, uint64_t number, bool multiple, uint64_t now_ns,
                     struct histogram *latency)
{
    if (multiple && number == 0)
        number = c->next - 1;
    if (number < c->lowest || number >= c->next)
        return 0;
    uint64_t settled = 0;
    for (uint64_t i = multiple ? c->lowest : number; i <= number; i++)
        settled += confirms_settle_one(c, i, now_ns, latency);
    while (c->lowest < c->next && c->sent_ns[c->lowest & c->mask] == 0)
        c->lowest++;
    ASSERT(settled <= c->open);
    c->open -= settled;
    return settled;
}
