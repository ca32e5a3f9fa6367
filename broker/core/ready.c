#include "broker/core/ready.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

#define RETURNED_CAPACITY_KEPT 64

void
ready_append(struct ready *r, const struct entry *e)
{
    if (r->tail == NULL || r->tail_index == READY_BLOCK_ENTRIES) {
        struct ready_block *block = mem_alloc(sizeof(*block));
        block->next = NULL;
        if (r->tail == NULL) {
            r->head = block;
            r->head_index = 0;
        } else {
            r->tail->next = block;
        }
        r->tail = block;
        r->tail_index = 0;
    }
    r->tail->entries[r->tail_index++] = *e;
    r->appended++;
}

void
ready_return(struct ready *r, const struct entry *e)
{
    if (r->returned_count == r->returned_capacity) {
        r->returned_capacity = r->returned_capacity == 0 ? 16 : r->returned_capacity * 2;
        r->returned = mem_resize(r->returned, r->returned_capacity * sizeof(*r->returned));
    }
    size_t at = r->returned_count++;
    while (at > 0 && r->returned[(at - 1) / 2].sequence > e->sequence) {
        r->returned[at] = r->returned[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    r->returned[at] = *e;
}

const struct entry *
ready_front(const struct ready *r)
{
    if (r->returned_count > 0)
        return &r->returned[0];
    return r->appended > 0 ? &r->head->entries[r->head_index] : NULL;
}

static struct entry
returned_take(struct ready *r)
{
    const struct entry front = r->returned[0];
    const struct entry last = r->returned[--r->returned_count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= r->returned_count)
            break;
        if (child + 1 < r->returned_count &&
            r->returned[child + 1].sequence < r->returned[child].sequence)
            child++;
        if (r->returned[child].sequence >= last.sequence)
            break;
        r->returned[at] = r->returned[child];
        at = child;
    }
    r->returned[at] = last;
    if (r->returned_count == 0 && r->returned_capacity > RETURNED_CAPACITY_KEPT) {
        mem_free(r->returned);
        r->returned = NULL;
        r->returned_capacity = 0;
    }
    return front;
}

struct entry
ready_take(struct ready *r)
{
    ASSERT(ready_count(r) > 0);
    if (r->returned_count > 0)
        return returned_take(r);
    const struct entry front = r->head->entries[r->head_index++];
    r->appended--;
    if (r->appended == 0 || r->head_index == READY_BLOCK_ENTRIES) {
        struct ready_block *spent = r->head;
        r->head = spent->next;
        r->head_index = 0;
        if (r->head == NULL)
            r->tail = NULL;
        mem_free(spent);
    }
    return front;
}

void
ready_fini(struct ready *r)
{
    while (r->head != NULL) {
        struct ready_block *next = r->head->next;
        mem_free(r->head);
        r->head = next;
    }
    mem_free(r->returned);
    *r = (struct ready){ 0 };
}
