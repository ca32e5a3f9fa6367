#include "broker/perf/perf_sequence.h"

#include "broker/base/mem.h"

#include <string.h>

void
perf_sequence_fini(struct perf_sequence *s)
{
    mem_free(s->holes);
    *s = (struct perf_sequence){ 0 };
}

/* False if there are too many already. */
static bool
sequence_insert_hole(struct perf_sequence *s, uint32_t at, uint64_t first, uint64_t end)
{
    if (s->hole_count == PERF_SEQUENCE_HOLES_MAX)
        return false;
    if (s->hole_count == s->hole_capacity) {
        s->hole_capacity = s->hole_capacity == 0 ? 16 : s->hole_capacity * 2;
        s->holes = mem_resize(s->holes, s->hole_capacity * sizeof(*s->holes));
    }
    memmove(&s->holes[at + 1], &s->holes[at], (s->hole_count - at) * sizeof(*s->holes));
    s->holes[at] = (struct perf_sequence_hole){ first, end };
    s->hole_count++;
    return true;
}

static void
sequence_remove_hole(struct perf_sequence *s, uint32_t at)
{
    s->hole_count--;
    memmove(&s->holes[at], &s->holes[at + 1], (s->hole_count - at) * sizeof(*s->holes));
}

/* The first hole that ends above `number`, or hole_count. */
static uint32_t
sequence_find_hole(const struct perf_sequence *s, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = s->hole_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (s->holes[middle].end > number)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* A late number fills its place in hole `at`, which shrinks, splits or goes. */
static void
sequence_fill(struct perf_sequence *s, uint32_t at, uint64_t number,
              struct perf_sequence_stats *stats)
{
    struct perf_sequence_hole *hole = &s->holes[at];
    if (hole->first == number) {
        hole->first++;
    } else {
        const uint64_t end = hole->end;
        hole->end = number;
        if (number + 1 < end && !sequence_insert_hole(s, at + 1, number + 1, end)) {
            s->forgotten += end - (number + 1);
            stats->inexact = true;
        }
    }
    if (s->holes[at].first == s->holes[at].end)
        sequence_remove_hole(s, at);
}

void
perf_sequence_see_other(struct perf_sequence *s, uint64_t number, struct perf_sequence_stats *stats)
{
    if (number >= s->next) {
        if (number > s->next && !sequence_insert_hole(s, s->hole_count, s->next, number)) {
            s->forgotten += number - s->next;
            stats->inexact = true;
        }
        s->next = number + 1;
        return;
    }
    const uint32_t at = sequence_find_hole(s, number);
    if (at == s->hole_count || number < s->holes[at].first) {
        stats->duplicates++;
        return;
    }
    stats->out_of_order++;
    sequence_fill(s, at, number, stats);
}

uint64_t
perf_sequence_lost(const struct perf_sequence *s)
{
    uint64_t lost = s->forgotten;
    for (uint32_t i = 0; i < s->hole_count; i++)
        lost += s->holes[i].end - s->holes[i].first;
    return lost;
}
