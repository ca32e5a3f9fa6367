#include "routing/route_set.h"

#include "broker/base/mem.h"

#include <string.h>

void
route_set_init(struct route_set *s)
{
    s->items = s->few;
    s->count = 0;
    s->capacity = ROUTE_SET_FEW;
    pointer_set_init(&s->members);
}

void
route_set_fini(struct route_set *s)
{
    if (s->items != s->few)
        mem_free(s->items);
    pointer_set_fini(&s->members);
    route_set_init(s);
}

void
route_set_clear(struct route_set *s)
{
    s->count = 0;
    pointer_set_clear(&s->members);
}

static void
route_set_grow(struct route_set *s)
{
    const size_t capacity = s->capacity * 2;
    if (s->items == s->few) {
        s->items = mem_alloc(capacity * sizeof(struct destination *));
        memcpy(s->items, s->few, sizeof(s->few));
    } else {
        s->items = mem_resize(s->items, capacity * sizeof(struct destination *));
    }
    s->capacity = capacity;
}

bool
route_set_add(struct route_set *s, struct destination *d)
{
    if (!pointer_set_add(&s->members, d))
        return false;
    if (s->count == s->capacity)
        route_set_grow(s);
    s->items[s->count++] = d;
    return true;
}
