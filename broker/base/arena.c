#include "broker/base/arena.h"

#include "broker/base/mem.h"

#include <stdalign.h>

#define BLOCK_BYTES 4096u

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) uint8_t data[];
};

static struct arena_block *
block_add(struct arena *a, size_t at_least)
{
    const size_t size = at_least > BLOCK_BYTES ? at_least : BLOCK_BYTES;
    struct arena_block *block = mem_alloc_zeroed(sizeof(*block) + size);
    block->next = a->blocks;
    block->size = size;
    a->blocks = block;
    return block;
}

void *
arena_alloc(struct arena *a, size_t size)
{
    const size_t unit = alignof(max_align_t);
    const size_t wanted = (size + unit - 1) / unit * unit;
    struct arena_block *block = a->blocks;
    if (block == NULL || block->size - block->used < wanted)
        block = block_add(a, wanted);
    void *memory = block->data + block->used;
    block->used += wanted;
    return memory;
}

struct bytes
arena_copy(struct arena *a, struct bytes b)
{
    uint8_t *copy = arena_alloc(a, b.size + 1);
    if (b.size > 0)
        memcpy(copy, b.data, b.size);
    return bytes_of(copy, b.size);
}

void
arena_fini(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *block = a->blocks;
        a->blocks = block->next;
        mem_free(block);
    }
}
