#include "broker/base/map.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

#define MAP_BUCKETS_MIN 8

static struct map_node **
map_bucket(const struct map *m, uint64_t hash)
{
    return &m->buckets[hash & (m->bucket_count - 1)];
}

static void
map_rehash(struct map *m, size_t bucket_count)
{
    struct map old = *m;
    m->buckets = mem_alloc_zeroed(bucket_count * sizeof(*m->buckets));
    m->bucket_count = bucket_count;
    for (size_t i = 0; i < old.bucket_count; i++) {
        struct map_node *node = old.buckets[i];
        while (node != NULL) {
            struct map_node *next = node->next;
            struct map_node **bucket = map_bucket(m, node->hash);
            node->next = *bucket;
            *bucket = node;
            node = next;
        }
    }
    mem_free(old.buckets);
}

struct map_node *
map_find(const struct map *m, uint64_t hash, map_match *match, const void *key)
{
    if (m->bucket_count == 0)
        return NULL;
    for (struct map_node *node = *map_bucket(m, hash); node != NULL; node = node->next)
        if (node->hash == hash && match(node, key))
            return node;
    return NULL;
}

void
map_insert(struct map *m, struct map_node *node, uint64_t hash)
{
    if (m->count >= m->bucket_count)
        map_rehash(m, m->bucket_count == 0 ? MAP_BUCKETS_MIN : m->bucket_count * 2);
    struct map_node **bucket = map_bucket(m, hash);
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    m->count++;
}

void
map_remove(struct map *m, struct map_node *node)
{
    struct map_node **slot = map_bucket(m, node->hash);
    while (*slot != node) {
        ASSERT(*slot != NULL);
        slot = &(*slot)->next;
    }
    *slot = node->next;
    node->next = NULL;
    m->count--;
    if (m->count == 0)
        map_fini(m);
    else if (m->bucket_count > MAP_BUCKETS_MIN && m->count < m->bucket_count / 8)
        map_rehash(m, m->bucket_count / 4);
}

struct map_node *
map_any(struct map *m)
{
    if (m->count == 0)
        return NULL;
    if (m->cursor >= m->bucket_count)
        m->cursor = 0;
    while (m->buckets[m->cursor] == NULL)
        m->cursor = (m->cursor + 1) & (m->bucket_count - 1);
    return m->buckets[m->cursor];
}

struct map_node *
map_next(const struct map *m, const struct map_node *node)
{
    if (node != NULL && node->next != NULL)
        return node->next;
    size_t i = node == NULL ? 0 : (node->hash & (m->bucket_count - 1)) + 1;
    for (; i < m->bucket_count; i++)
        if (m->buckets[i] != NULL)
            return m->buckets[i];
    return NULL;
}

void
map_fini(struct map *m)
{
    mem_free(m->buckets);
    *m = (struct map){ 0 };
}
