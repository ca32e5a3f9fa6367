#include "broker/core/dues.h"

#include "broker/base/mem.h"

#define CAPACITY_KEPT 64u
/* So many ranges are kept without asking whether they are of any use. */
#define TRIM_LEAST 1024u

static void
sift_down(struct dues *d, size_t at)
{
    const struct due_range moved = d->heap[at];
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= d->count)
            break;
        if (child + 1 < d->count && d->heap[child + 1].due_ms < d->heap[child].due_ms)
            child++;
        if (d->heap[child].due_ms >= moved.due_ms)
            break;
        d->heap[at] = d->heap[child];
        at = child;
    }
    d->heap[at] = moved;
}

void
dues_add_range(struct dues *d, const struct due_range *r)
{
    if (d->count == d->capacity) {
        d->capacity = d->capacity == 0 ? 8 : d->capacity * 2;
        d->heap = mem_resize(d->heap, d->capacity * sizeof(*d->heap));
    }
    size_t at = d->count++;
    for (; at > 0 && d->heap[(at - 1) / 2].due_ms > r->due_ms; at = (at - 1) / 2)
        d->heap[at] = d->heap[(at - 1) / 2];
    d->heap[at] = *r;
}

void
dues_add(struct dues *d, uint64_t sequence, uint64_t due_ms)
{
    struct due_range *open = &d->open;
    if (open->due_ms != 0 && sequence > open->last && sequence - open->first < DUE_RANGE_SPAN) {
        open->last = sequence;
        if (due_ms < open->due_ms)
            open->due_ms = due_ms;
        return;
    }
    const struct due_range alone = { due_ms, sequence, sequence };
    if (open->due_ms != 0 && sequence <= open->last) {
        dues_add_range(d, &alone); /* It has come back; those that follow go on. */
        return;
    }
    if (open->due_ms != 0)
        dues_add_range(d, open);
    *open = alone;
}

uint64_t
dues_earliest(const struct dues *d)
{
    uint64_t earliest = d->count == 0 ? UINT64_MAX : d->heap[0].due_ms;
    if (d->open.due_ms != 0 && d->open.due_ms < earliest)
        earliest = d->open.due_ms;
    return earliest;
}

bool
dues_take(struct dues *d, uint64_t now_ms, struct due_range *out)
{
    if (d->open.due_ms != 0 && d->open.due_ms <= now_ms) {
        *out = d->open;
        d->open.due_ms = 0;
        return true;
    }
    if (d->count == 0 || d->heap[0].due_ms > now_ms)
        return false;
    *out = d->heap[0];
    d->heap[0] = d->heap[--d->count];
    if (d->count > 0)
        sift_down(d, 0);
    else if (d->capacity > CAPACITY_KEPT)
        dues_fini(d);
    return true;
}

void
dues_trim(struct dues *d, uint64_t lowest)
{
    size_t kept = 0;
    if (d->open.due_ms != 0 && d->open.last < lowest)
        d->open.due_ms = 0;
    if (d->count < TRIM_LEAST && lowest != UINT64_MAX)
        return;
    for (size_t i = 0; i < d->count; i++)
        if (d->heap[i].last >= lowest)
            d->heap[kept++] = d->heap[i];
    d->count = kept;
    for (size_t i = kept / 2; i > 0; i--)
        sift_down(d, i - 1);
    if (kept == 0) {
        mem_free(d->heap);
        d->heap = NULL;
        d->capacity = 0;
    }
}

void
dues_fini(struct dues *d)
{
    const struct due_range open = d->open;
    mem_free(d->heap);
    *d = (struct dues){ .open = open };
}
