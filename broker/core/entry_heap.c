#include "broker/core/entry_heap.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

#define CAPACITY_KEPT 64

void
entry_heap_add(struct entry_heap *h, const struct entry *e)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity == 0 ? 16 : h->capacity * 2;
        h->items = mem_resize(h->items, h->capacity * sizeof(*h->items));
    }
    size_t at = h->count++;
    while (at > 0 && h->items[(at - 1) / 2].sequence > e->sequence) {
        h->items[at] = h->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    h->items[at] = *e;
}

/* Lets the entry find its place, which is `at` or below. */
static void
sift_down(struct entry_heap *h, size_t at, const struct entry *e)
{
    const struct entry moved = *e;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->items[child + 1].sequence < h->items[child].sequence)
            child++;
        if (h->items[child].sequence >= moved.sequence)
            break;
        h->items[at] = h->items[child];
        at = child;
    }
    h->items[at] = moved;
}

static void
shrink(struct entry_heap *h)
{
    if (h->count == 0 && h->capacity > CAPACITY_KEPT)
        entry_heap_fini(h);
}

struct entry
entry_heap_take(struct entry_heap *h)
{
    ASSERT(h->count > 0);
    const struct entry first = h->items[0];
    h->count--;
    if (h->count > 0)
        sift_down(h, 0, &h->items[h->count]);
    shrink(h);
    return first;
}

void
entry_heap_mend(struct entry_heap *h, size_t count)
{
    h->count = count;
    for (size_t i = count / 2; i > 0; i--)
        sift_down(h, i - 1, &h->items[i - 1]);
    shrink(h);
}

void
entry_heap_fini(struct entry_heap *h)
{
    mem_free(h->items);
    *h = (struct entry_heap){ 0 };
}
