/* Every binding matches, whatever the key. */

#include "routing/router_internal.h"

static void
fanout_route(const struct router *r, struct route_pass *pass)
{
    for (const struct binding *b = router_next_binding(r, NULL); b != NULL;
         b = router_next_binding(r, b))
        route_pass_follow(pass, b);
}

const struct router_ops router_fanout = {
    .name = "fanout",
    .route = fanout_route,
};
