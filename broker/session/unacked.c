#include "broker/session/unacked.h"

#include "broker/base/mem.h"

#define CAPACITY_FIRST 16
#define CAPACITY_KEPT 64

static struct unacked_item *
item_at(const struct unacked *u, size_t place)
{
    return &u->items[place & (u->capacity - 1)];
}

static void
squeeze_out_holes(struct unacked *u)
{
    size_t kept = u->head;
    for (size_t place = u->head; place != u->tail; place++)
        if (!item_at(u, place)->is_hole)
            *item_at(u, kept++) = *item_at(u, place);
    u->tail = kept;
}

static void
grow(struct unacked *u)
{
    const size_t capacity = u->capacity == 0 ? CAPACITY_FIRST : u->capacity * 2;
    struct unacked_item *items = mem_alloc(capacity * sizeof(*items));
    size_t count = 0;
    for (size_t place = u->head; place != u->tail; place++)
        if (!item_at(u, place)->is_hole)
            items[count++] = *item_at(u, place);
    mem_free(u->items);
    u->items = items;
    u->capacity = capacity;
    u->head = 0;
    u->tail = count;
}

void
unacked_push(struct unacked *u, const struct unacked_item *item)
{
    if (u->tail - u->head == u->capacity) {
        if (u->capacity > 0 && u->count <= u->capacity / 2)
            squeeze_out_holes(u);
        else
            grow(u);
    }
    *item_at(u, u->tail++) = *item;
    u->count++;
}

/* The place of the first item with a tag not below `tag`; u->tail if there is none. */
static size_t
place_of(const struct unacked *u, uint64_t tag)
{
    size_t low = u->head;
    size_t high = u->tail;
    if (low == high || item_at(u, low)->tag >= tag)
        return low;
    /* Tags ascend, mostly by one: it is no further away than this, and mostly just there. */
    const uint64_t distance = tag - item_at(u, low)->tag;
    if (distance < high - low) {
        high = low + distance;
        if (item_at(u, high)->tag == tag)
            return high;
    }
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (item_at(u, middle)->tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void
drop_front_holes(struct unacked *u)
{
    while (u->head != u->tail && item_at(u, u->head)->is_hole)
        u->head++;
    if (u->head == u->tail && u->capacity > CAPACITY_KEPT)
        unacked_fini(u);
}

struct unacked_item *
unacked_find(const struct unacked *u, uint64_t tag)
{
    const size_t place = place_of(u, tag);
    if (place == u->tail)
        return NULL;
    struct unacked_item *item = item_at(u, place);
    return item->tag == tag && !item->is_hole ? item : NULL;
}

bool
unacked_take(struct unacked *u, uint64_t tag, struct unacked_item *out)
{
    struct unacked_item *item = unacked_find(u, tag);
    if (item == NULL)
        return false;
    *out = *item;
    item->is_hole = true;
    u->count--;
    drop_front_holes(u);
    return true;
}

bool
unacked_take_first(struct unacked *u, uint64_t up_to, struct unacked_item *out)
{
    if (u->count == 0 || item_at(u, u->head)->tag > up_to)
        return false;
    *out = *item_at(u, u->head++);
    u->count--;
    drop_front_holes(u);
    return true;
}

const struct unacked_item *
unacked_oldest(const struct unacked *u)
{
    return u->count == 0 ? NULL : item_at(u, u->head);
}

struct unacked_item *
unacked_next(struct unacked *u, size_t *place)
{
    while (u->head + *place != u->tail) {
        struct unacked_item *item = item_at(u, u->head + (*place)++);
        if (!item->is_hole)
            return item;
    }
    return NULL;
}

size_t
unacked_place(const struct unacked *u, uint64_t tag)
{
    return place_of(u, tag) - u->head;
}

void
unacked_fini(struct unacked *u)
{
    mem_free(u->items);
    *u = (struct unacked){ 0 };
}
