/*
 * The routing key equals the binding key, octet by octet. The index maps each key to the bindings
 * that have it: bindings with one key, as of a queue per client, and many bindings with one key,
 * as of a group, are both found in one step.
 */

#include "broker/base/mem.h"
#include "routing/container.h"
#include "routing/router_internal.h"

struct direct_key {
    struct map_node in_index;
    struct list bindings; /* By in_index, never empty. */
    size_t size;
    uint8_t octets[];
};

static struct bytes
direct_key_bytes(const struct direct_key *key)
{
    return bytes_of(key->octets, key->size);
}

static bool
direct_key_matches(const struct map_node *node, const void *wanted)
{
    const struct direct_key *key = CONST_CONTAINER(node, struct direct_key, in_index);
    return bytes_equal(direct_key_bytes(key), *(const struct bytes *)wanted);
}

static struct direct_key *
direct_key_find(const struct map *index, struct bytes wanted, uint64_t hash)
{
    struct map_node *node = map_find(index, hash, direct_key_matches, &wanted);
    return node == NULL ? NULL : LIST_CONTAINER(node, struct direct_key, in_index);
}

static struct direct_key *
direct_key_create(struct map *index, struct bytes octets, uint64_t hash)
{
    struct direct_key *key = mem_alloc(sizeof(*key) + octets.size);
    list_init(&key->bindings);
    key->size = octets.size;
    if (octets.size > 0)
        memcpy(key->octets, octets.data, octets.size);
    map_insert(index, &key->in_index, hash);
    return key;
}

void *
direct_index_create(void)
{
    return mem_alloc_zeroed(sizeof(struct map));
}

void
direct_index_destroy(void *index)
{
    map_fini(index);
    mem_free(index);
}

enum bind_result
direct_add(struct router *r, struct binding *binding, const struct binding_request *request)
{
    (void)request;
    const uint64_t hash = bytes_hash(binding->key);
    struct direct_key *key = direct_key_find(r->index, binding->key, hash);
    if (key == NULL)
        key = direct_key_create(r->index, binding->key, hash);
    list_push(&key->bindings, &binding->in_index);
    binding->index_entry = key;
    return BIND_ADDED;
}

void
direct_remove(struct router *r, struct binding *binding)
{
    struct direct_key *key = binding->index_entry;
    list_unlink(&binding->in_index);
    if (!list_is_empty(&key->bindings))
        return;
    map_remove(r->index, &key->in_index);
    mem_free(key);
}

const struct list *
direct_find(const struct router *r, struct bytes key)
{
    const struct direct_key *found = direct_key_find(r->index, key, bytes_hash(key));
    return found == NULL ? NULL : &found->bindings;
}

static void
direct_route(const struct router *r, struct route_pass *pass)
{
    for (size_t i = 0; i < route_pass_key_count(pass); i++) {
        const struct list *bindings = direct_find(r, route_pass_key(pass, i));
        if (bindings != NULL)
            route_pass_follow_index(pass, bindings);
    }
}

const struct router_ops router_direct = {
    .name = "direct",
    .index_create = direct_index_create,
    .index_destroy = direct_index_destroy,
    .add = direct_add,
    .remove = direct_remove,
    .route = direct_route,
};
