#include "broker/base/mem.h"

#include "broker/base/panic.h"

#include <stdint.h>
#include <stdlib.h>

void *
mem_alloc(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);
    if (memory == NULL)
        PANIC("out of memory: %zu bytes asked for; raise the memory limit of this process", size);
    return memory;
}

void *
mem_alloc_zeroed(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);
    if (memory == NULL)
        PANIC("out of memory: %zu bytes asked for; raise the memory limit of this process", size);
    return memory;
}

void *
mem_resize(void *memory, size_t size)
{
    void *resized = realloc(memory, size > 0 ? size : 1);
    if (resized == NULL)
        PANIC("out of memory: %zu bytes asked for; raise the memory limit of this process", size);
    return resized;
}

void *
mem_try_alloc(size_t size)
{
    return malloc(size > 0 ? size : 1);
}

void
mem_free(void *memory)
{
    free(memory);
}

void
mem_free_const(const void *memory)
{
    free((void *)(uintptr_t)memory);
}
