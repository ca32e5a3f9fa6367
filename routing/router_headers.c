/*
 * The binding arguments are conditions on the headers of the message; keys are ignored. There is
 * no index: each message is held against every binding.
 */

#include "routing/router_internal.h"

static enum bind_result
headers_add(struct router *r, struct binding *binding, const struct binding_request *request)
{
    (void)r;
    struct headers_match *match = headers_match_create(request->headers, request->header_count);
    if (match == NULL)
        return BIND_INVALID_MATCH;
    binding->index_entry = match;
    return BIND_ADDED;
}

static void
headers_remove(struct router *r, struct binding *binding)
{
    (void)r;
    headers_match_destroy(binding->index_entry);
}

static void
headers_route(const struct router *r, struct route_pass *pass)
{
    for (const struct binding *b = router_next_binding(r, NULL); b != NULL;
         b = router_next_binding(r, b))
        if (headers_match_test(b->index_entry, &pass->headers))
            route_pass_follow(pass, b);
}

const struct router_ops router_headers = {
    .name = "headers",
    .uses_headers = true,
    .add = headers_add,
    .remove = headers_remove,
    .route = headers_route,
};
