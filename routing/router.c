#include "routing/router.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "routing/container.h"
#include "routing/octets.h"
#include "routing/router_internal.h"

static const struct router_ops *const router_types[] = {
    [ROUTER_DIRECT] = &router_direct, [ROUTER_FANOUT] = &router_fanout,
    [ROUTER_TOPIC] = &router_topic,   [ROUTER_HEADERS] = &router_headers,
    [ROUTER_HASH] = &router_hash,     [ROUTER_RANDOM] = &router_random,
};

#define ROUTER_TYPE_COUNT (sizeof(router_types) / sizeof(router_types[0]))

static const struct router_ops *
router_ops(const struct router *r)
{
    return router_types[r->type];
}

const char *
router_type_name(enum router_type type)
{
    ASSERT(type < ROUTER_TYPE_COUNT);
    return router_types[type]->name;
}

bool
router_type_find(struct bytes name, enum router_type *out)
{
    for (size_t i = 0; i < ROUTER_TYPE_COUNT; i++) {
        if (bytes_equal(name, bytes_of_string(router_types[i]->name))) {
            *out = (enum router_type)i;
            return true;
        }
    }
    return false;
}

void
destination_init(struct destination *d, enum destination_kind kind)
{
    d->kind = kind;
    d->number = 0;
    list_init(&d->bindings);
}

void
router_init(struct router *r, enum router_type type)
{
    ASSERT(type < ROUTER_TYPE_COUNT);
    r->type = type;
    r->hash_source = HASH_KEY;
    r->hash_header = BYTES_NONE;
    list_init(&r->bindings);
    r->identities = (struct map){ 0 };
    r->index = NULL;
    destination_init(&r->destination, DESTINATION_EXCHANGE);
}

size_t
router_binding_count(const struct router *r)
{
    return r->identities.count;
}

/* Identity. */

static uint64_t
binding_request_hash(const struct binding_request *request)
{
    /* Without the destination, all bindings of a fanout exchange would share one bucket. */
    return pointer_hash(request->destination, bytes_hash2(request->key, request->arguments));
}

static bool
binding_has_identity(const struct map_node *node, const void *key)
{
    const struct binding *b = CONST_CONTAINER(node, struct binding, in_identities);
    const struct binding_request *request = key;
    return b->destination == request->destination && bytes_equal(b->key, request->key) &&
           bytes_equal(b->arguments, request->arguments);
}

static struct binding *
router_find_binding(const struct router *r, const struct binding_request *request, uint64_t hash)
{
    struct map_node *node = map_find(&r->identities, hash, binding_has_identity, request);
    return node == NULL ? NULL : LIST_CONTAINER(node, struct binding, in_identities);
}

/* Bindings. */

/* Linked nowhere yet. */
static struct binding *
binding_create(struct router *source, const struct binding_request *request)
{
    struct binding *b = mem_alloc(sizeof(*b) + request->key.size + request->arguments.size);
    uint8_t *octets = (uint8_t *)(b + 1);
    *b = (struct binding){ .source = source, .destination = request->destination };
    b->key = octets_append(&octets, request->key);
    b->arguments = octets_append(&octets, request->arguments);
    list_init(&b->in_source);
    list_init(&b->in_destination);
    list_init(&b->in_index);
    return b;
}

static enum bind_result
router_index_add(struct router *r, struct binding *b, const struct binding_request *request)
{
    const struct router_ops *ops = router_ops(r);
    if (r->index == NULL && ops->index_create != NULL)
        r->index = ops->index_create();
    return ops->add == NULL ? BIND_ADDED : ops->add(r, b, request);
}

static void
router_index_destroy_if_idle(struct router *r)
{
    if (r->index == NULL || r->identities.count > 0)
        return;
    router_ops(r)->index_destroy(r->index);
    r->index = NULL;
}

enum bind_result
router_bind(struct router *r, const struct binding_request *request)
{
    const uint64_t hash = binding_request_hash(request);
    if (router_find_binding(r, request, hash) != NULL)
        return BIND_EXISTS;
    struct binding *b = binding_create(r, request);
    const enum bind_result result = router_index_add(r, b, request);
    if (result != BIND_ADDED) {
        router_index_destroy_if_idle(r);
        mem_free(b);
        return result;
    }
    map_insert(&r->identities, &b->in_identities, hash);
    list_push(&r->bindings, &b->in_source);
    list_push(&b->destination->bindings, &b->in_destination);
    return BIND_ADDED;
}

static void
binding_remove(struct binding *b)
{
    struct router *r = b->source;
    if (router_ops(r)->remove != NULL)
        router_ops(r)->remove(r, b);
    map_remove(&r->identities, &b->in_identities);
    list_unlink(&b->in_source);
    list_unlink(&b->in_destination);
    mem_free(b);
    router_index_destroy_if_idle(r);
}

bool
router_has(const struct router *r, const struct binding_request *request)
{
    return router_find_binding(r, request, binding_request_hash(request)) != NULL;
}

bool
router_unbind(struct router *r, const struct binding_request *request)
{
    struct binding *b = router_find_binding(r, request, binding_request_hash(request));
    if (b == NULL)
        return false;
    binding_remove(b);
    return true;
}

void
destination_unbind_all(struct destination *d, void (*removed)(void *context, struct router *source),
                       void *context)
{
    /* From the front each time: `removed` may have taken the next one away. */
    while (!list_is_empty(&d->bindings)) {
        struct binding *b = LIST_CONTAINER(d->bindings.next, struct binding, in_destination);
        struct router *source = b->source;
        binding_remove(b);
        if (removed != NULL)
            removed(context, source);
    }
}

void
router_fini(struct router *r)
{
    destination_unbind_all(&r->destination, NULL, NULL);
    while (!list_is_empty(&r->bindings))
        binding_remove(LIST_CONTAINER(r->bindings.next, struct binding, in_source));
    ASSERT(r->identities.count == 0);
    ASSERT(r->index == NULL);
}

const struct binding *
router_next_binding(const struct router *r, const struct binding *previous)
{
    const struct list *next = previous == NULL ? r->bindings.next : previous->in_source.next;
    return next == &r->bindings ? NULL : CONST_CONTAINER(next, struct binding, in_source);
}

const struct binding *
destination_next_binding(const struct destination *d, const struct binding *previous)
{
    const struct list *next = previous == NULL ? d->bindings.next : previous->in_destination.next;
    return next == &d->bindings ? NULL : CONST_CONTAINER(next, struct binding, in_destination);
}

/* Routing. */

void
route_pass_follow(struct route_pass *pass, const struct binding *binding)
{
    struct destination *d = binding->destination;
    pass->led_somewhere = true;
    route_set_add(d->kind == DESTINATION_QUEUE ? pass->queues : &pass->routers, d);
}

void
route_pass_follow_index(struct route_pass *pass, const struct list *bindings)
{
    for (const struct list *link = bindings->next; link != bindings; link = link->next)
        route_pass_follow(pass, CONST_CONTAINER(link, struct binding, in_index));
}

static void
route_pass_use_alternate(struct route_pass *pass, const struct router *r,
                         const struct route_context *context, struct route_trace *trace)
{
    struct router *alternate = NULL;
    if (context != NULL && context->alternate != NULL)
        alternate = context->alternate(context->context, r);
    if (alternate == NULL)
        trace->alternate_missing = true;
    else
        route_set_add(&pass->routers, &alternate->destination);
}

struct route_trace
router_resolve(struct router *start, const struct route_query *query,
               const struct route_context *context, struct route_set *out)
{
    struct route_trace trace = { 0 };
    struct route_pass pass;
    pass.query = query;
    pass.queues = out;
    headers_index_init(&pass.headers, query->headers, query->header_count);
    route_set_init(&pass.routers);
    route_set_add(&pass.routers, &start->destination);
    /* The set of routers grows at its end while it is walked, and takes none twice. */
    for (size_t i = 0; i < pass.routers.count; i++) {
        const struct router *r = router_of_destination(pass.routers.items[i]);
        trace.depends_on_headers |= router_ops(r)->uses_headers || r->hash_source != HASH_KEY;
        pass.led_somewhere = false;
        if (r->identities.count > 0)
            router_ops(r)->route(r, &pass);
        if (!pass.led_somewhere)
            route_pass_use_alternate(&pass, r, context, &trace);
    }
    trace.through_others = pass.routers.count > 1;
    route_set_fini(&pass.routers);
    headers_index_fini(&pass.headers);
    return trace;
}
