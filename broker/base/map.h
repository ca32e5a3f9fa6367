#ifndef BROKER_BASE_MAP_H
#define BROKER_BASE_MAP_H

/*
 * Intrusive chained hash map. The node lives in the element; the caller computes the hash (see
 * bytes_hash) and says what equality means. Grows with its content and shrinks to nothing when
 * emptied, so that an idle owner holds no buckets. A zeroed map is empty. Not thread-safe.
 */

#include "broker/base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets;
    size_t bucket_count; /* A power of two, or 0. */
    size_t count;
    size_t cursor; /* Where map_any looked last. */
};

typedef bool map_match(const struct map_node *node, const void *key);

/* NULL if there is none. */
struct map_node *map_find(const struct map *m, uint64_t hash, map_match *match, const void *key);

/* The caller has made sure that no equal element is in. */
void map_insert(struct map *m, struct map_node *node, uint64_t hash);

/* The node must be in the map. */
void map_remove(struct map *m, struct map_node *node);

/* Any node; NULL if the map is empty. Emptying a map with this and map_remove is linear. */
struct map_node *map_any(struct map *m);

/* Iteration in no particular order: start with NULL; the map must not change meanwhile. */
struct map_node *map_next(const struct map *m, const struct map_node *node);

/* Releases the buckets; the elements are their owner's business. */
void map_fini(struct map *m);

#define MAP_CONTAINER LIST_CONTAINER

#endif
