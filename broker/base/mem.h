#ifndef BROKER_BASE_MEM_H
#define BROKER_BASE_MEM_H

/*
 * Memory. Small structures come from mem_alloc, which does not return without memory: a broker
 * that cannot allocate a hundred octets has nothing left to decide, and stops with a clear line.
 * What a peer makes large (message bodies) comes from mem_try_alloc, and its failure is handled.
 * Any thread.
 */

#include <stddef.h>

/* Not zeroed. Never NULL; size 0 is fine. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1)));

/* Zeroed. Never NULL. */
void *mem_alloc_zeroed(size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1)));

/* Like realloc; never NULL. */
void *mem_resize(void *memory, size_t size) __attribute__((returns_nonnull, alloc_size(2)));

/* Not zeroed; NULL when there is no memory. */
void *mem_try_alloc(size_t size) __attribute__((malloc, alloc_size(1)));

/* NULL is fine. */
void mem_free(void *memory);

/* Frees what bytes_copy and its like made; the const of struct bytes is about borrowers. */
void mem_free_const(const void *memory);

#endif
