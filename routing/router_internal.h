#ifndef ROUTING_ROUTER_INTERNAL_H
#define ROUTING_ROUTER_INTERNAL_H

/*
 * What a type of exchange has to provide, and what it gets to route with. Included by router.c
 * and router_<type>.c only.
 */

#include "routing/headers_match.h"
#include "routing/router.h"

/* One call of router_resolve. Lives on its stack. */
struct route_pass {
    const struct route_query *query;
    struct headers_index headers; /* Of the query. */
    struct route_set routers;     /* All that were met, by destination: the visited and the next. */
    struct route_set *queues;     /* The result. */
    bool led_somewhere;           /* The router at hand found at least one binding. */
};

/* A binding of the router at hand matches: follow it. */
void route_pass_follow(struct route_pass *pass, const struct binding *binding);

/* The same for a list of bindings linked by in_index. */
void route_pass_follow_index(struct route_pass *pass, const struct list *bindings);

/* The i-th of the query's keys, of which there is at least one. */
static inline struct bytes
route_pass_key(const struct route_pass *pass, size_t i)
{
    return i == 0 ? pass->query->key : pass->query->more_keys[i - 1];
}

static inline size_t
route_pass_key_count(const struct route_pass *pass)
{
    return 1 + pass->query->more_key_count;
}

struct router_ops {
    const char *name;
    bool uses_headers; /* Or anything but the key. */

    /* Makes and frees router->index. Both NULL if the type needs none. The index exists while
     * there are bindings, so that idle exchanges cost nothing. */
    void *(*index_create)(void);
    void (*index_destroy)(void *index);

    /* Files a binding under its key, and takes it out again. add may refuse, without effect.
     * Both NULL if router->bindings is all the type needs. */
    enum bind_result (*add)(struct router *r, struct binding *binding,
                            const struct binding_request *request);
    void (*remove)(struct router *r, struct binding *binding);

    /* Follows every binding that matches; there is at least one binding. Many threads at once. */
    void (*route)(const struct router *r, struct route_pass *pass);
};

extern const struct router_ops router_direct;
extern const struct router_ops router_fanout;
extern const struct router_ops router_topic;
extern const struct router_ops router_headers;
extern const struct router_ops router_hash;
extern const struct router_ops router_random;

/* What router_direct does, for types that look keys up like it. */
void *direct_index_create(void);
void direct_index_destroy(void *index);
enum bind_result direct_add(struct router *r, struct binding *binding,
                            const struct binding_request *request);
void direct_remove(struct router *r, struct binding *binding);

/* Bindings of one key, by in_index; NULL if there are none. */
const struct list *direct_find(const struct router *r, struct bytes key);

#endif
