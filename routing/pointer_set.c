#include "routing/pointer_set.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

#include <string.h>

#define SLOTS_MIN 64
#define SLOTS_IDLE_FACTOR 8

void
pointer_set_init(struct pointer_set *s)
{
    s->count = 0;
    s->slots = NULL;
    s->slot_count = 0;
}

void
pointer_set_fini(struct pointer_set *s)
{
    mem_free(s->slots);
    pointer_set_init(s);
}

void
pointer_set_clear(struct pointer_set *s)
{
    if (s->slot_count > SLOTS_MIN && s->count < s->slot_count / SLOTS_IDLE_FACTOR)
        pointer_set_fini(s);
    else if (s->count > POINTER_SET_FEW)
        memset(s->slots, 0, s->slot_count * sizeof(*s->slots));
    s->count = 0;
}

/* The slot that holds the pointer, or the empty one where it belongs. */
static const void **
pointer_set_slot(const struct pointer_set *s, const void *pointer)
{
    size_t i = pointer_hash(pointer, 0) & (s->slot_count - 1);
    while (s->slots[i] != NULL && s->slots[i] != pointer)
        i = (i + 1) & (s->slot_count - 1);
    return &s->slots[i];
}

static void
pointer_set_grow(struct pointer_set *s)
{
    const struct pointer_set old = *s;
    s->slot_count = old.slot_count == 0 ? SLOTS_MIN : old.slot_count * 2;
    s->slots = mem_alloc_zeroed(s->slot_count * sizeof(*s->slots));
    for (size_t i = 0; i < old.slot_count; i++)
        if (old.slots[i] != NULL)
            *pointer_set_slot(s, old.slots[i]) = old.slots[i];
    mem_free(old.slots);
}

static bool
pointer_set_is_among_few(const struct pointer_set *s, const void *pointer)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->few[i] == pointer)
            return true;
    return false;
}

static void
pointer_set_hash_few(struct pointer_set *s)
{
    if (s->slot_count == 0)
        pointer_set_grow(s);
    for (size_t i = 0; i < POINTER_SET_FEW; i++)
        *pointer_set_slot(s, s->few[i]) = s->few[i];
}

static bool
pointer_set_add_to_slots(struct pointer_set *s, const void *pointer)
{
    if (s->count >= s->slot_count / 2)
        pointer_set_grow(s);
    const void **slot = pointer_set_slot(s, pointer);
    if (*slot != NULL)
        return false;
    *slot = pointer;
    s->count++;
    return true;
}

bool
pointer_set_add(struct pointer_set *s, const void *pointer)
{
    ASSERT(pointer != NULL);
    if (s->count > POINTER_SET_FEW)
        return pointer_set_add_to_slots(s, pointer);
    if (pointer_set_is_among_few(s, pointer))
        return false;
    if (s->count < POINTER_SET_FEW) {
        s->few[s->count++] = pointer;
        return true;
    }
    pointer_set_hash_few(s);
    return pointer_set_add_to_slots(s, pointer);
}
