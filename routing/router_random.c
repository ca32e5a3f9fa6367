/* Like direct, but of all bindings with the key one is taken, each as likely as the others. */

#include "broker/base/rand.h"
#include "routing/container.h"
#include "routing/router_internal.h"

static size_t
random_below(size_t limit)
{
    uint64_t number;
    rand_bytes(&number, sizeof(number));
    return (size_t)(number % limit); /* The limit is so small that the bias is nobody's concern. */
}

static void
random_route(const struct router *r, struct route_pass *pass)
{
    size_t count = 0;
    for (size_t i = 0; i < route_pass_key_count(pass); i++) {
        const struct list *bindings = direct_find(r, route_pass_key(pass, i));
        for (const struct list *l = bindings; l != NULL && l->next != bindings; l = l->next)
            count++;
    }
    if (count == 0)
        return;
    size_t left = random_below(count);
    for (size_t i = 0; i < route_pass_key_count(pass); i++) {
        const struct list *bindings = direct_find(r, route_pass_key(pass, i));
        for (const struct list *l = bindings; l != NULL && l->next != bindings; l = l->next) {
            if (left-- > 0)
                continue;
            route_pass_follow(pass, CONST_CONTAINER(l->next, struct binding, in_index));
            return;
        }
    }
}

const struct router_ops router_random = {
    .name = "x-random",
    .uses_headers = true, /* Nothing that could be remembered. */
    .index_create = direct_index_create,
    .index_destroy = direct_index_destroy,
    .add = direct_add,
    .remove = direct_remove,
    .route = random_route,
};
