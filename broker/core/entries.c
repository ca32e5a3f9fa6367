#include "broker/core/entries.h"

#include "broker/base/mem.h"

void
entries_push(struct entries *l, const struct entry *e)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity == 0 ? 64 : l->capacity * 2;
        l->items = mem_resize(l->items, l->capacity * sizeof(*l->items));
    }
    l->items[l->count++] = *e;
    l->octets += message_cost(e->message);
}

void
entries_fini(struct entries *l, size_t from)
{
    for (size_t i = from; i < l->count; i++)
        message_unref(l->items[i].message);
    mem_free(l->items);
    *l = (struct entries){ 0 };
}
