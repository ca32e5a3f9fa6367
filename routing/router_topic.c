/* The binding key is a pattern of words; see topic_trie.h. */

#include "broker/base/mem.h"
#include "routing/router_internal.h"
#include "routing/topic_trie.h"

static void *
topic_index_create(void)
{
    struct topic_trie *trie = mem_alloc(sizeof(*trie));
    topic_trie_init(trie);
    return trie;
}

static void
topic_index_destroy(void *index)
{
    topic_trie_fini(index);
    mem_free(index);
}

static enum bind_result
topic_add(struct router *r, struct binding *binding, const struct binding_request *request)
{
    (void)request;
    binding->index_entry = topic_trie_insert(r->index, binding->key, &binding->in_index);
    return BIND_ADDED;
}

static void
topic_remove(struct router *r, struct binding *binding)
{
    topic_trie_remove(r->index, binding->index_entry, &binding->in_index);
}

static void
topic_visit(void *context, const struct list *values)
{
    route_pass_follow_index(context, values);
}

static void
topic_route(const struct router *r, struct route_pass *pass)
{
    for (size_t i = 0; i < route_pass_key_count(pass); i++)
        topic_trie_match(r->index, route_pass_key(pass, i), topic_visit, pass);
}

const struct router_ops router_topic = {
    .name = "topic",
    .index_create = topic_index_create,
    .index_destroy = topic_index_destroy,
    .add = topic_add,
    .remove = topic_remove,
    .route = topic_route,
};
