#include "broker/core/route.h"

#include "amqp/properties.h"
#include "broker/base/mem.h"
#include "broker/core/headers.h"

void
route_cache_init(struct route_cache *c)
{
    c->slots = mem_alloc_zeroed(ROUTE_CACHE_SLOTS * sizeof(struct route *));
    c->retired = NULL;
    route_set_init(&c->found);
}

static void
route_destroy(struct route *r)
{
    for (uint32_t i = 0; i < r->queue_count; i++)
        queue_unref(r->queues[i]);
    if (r->exchange != NULL)
        exchange_unref(r->exchange);
    mem_free(r);
}

static void
route_retire(struct route_cache *c, struct route *r)
{
    r->next_retired = c->retired;
    c->retired = r;
}

void
route_cache_release(struct route_cache *c)
{
    while (c->retired != NULL) {
        struct route *r = c->retired;
        c->retired = r->next_retired;
        route_destroy(r);
    }
}

void
route_cache_fini(struct route_cache *c)
{
    for (size_t i = 0; i < ROUTE_CACHE_SLOTS; i++)
        if (c->slots[i] != NULL)
            route_retire(c, c->slots[i]);
    route_cache_release(c);
    mem_free(c->slots);
    route_set_fini(&c->found);
}

static bool
route_is_valid(const struct route *r)
{
    if (r->epoch != NULL)
        return atomic_load_explicit(r->epoch, memory_order_acquire) == r->epoch_seen;
    return !atomic_load_explicit(&r->queues[0]->deleted, memory_order_relaxed);
}

static bool
route_is_for(const struct route *r, const struct vhost *v, const struct route_address *a)
{
    const struct bytes exchange = r->exchange == NULL ? BYTES_NONE : r->exchange->name;
    return r->vhost == v && bytes_equal(r->key, a->key) && bytes_equal(exchange, a->exchange);
}

/* The route takes over nothing: it makes references of its own. */
static struct route *
route_create(struct vhost *v, struct exchange *x, struct bytes key,
             struct destination *const *destinations, size_t count)
{
    struct route *r = mem_alloc_zeroed(sizeof(*r) + count * sizeof(struct queue *) + key.size);
    r->vhost = v;
    r->exchange = x;
    r->queue_count = (uint32_t)count;
    if (x != NULL)
        exchange_ref(x);
    for (size_t i = 0; i < count; i++) {
        r->queues[i] = LIST_CONTAINER(destinations[i], struct queue, destination);
        queue_ref(r->queues[i]);
    }
    uint8_t *copy = (uint8_t *)(r->queues + count);
    if (key.size > 0)
        memcpy(copy, key.data, key.size);
    r->key = bytes_of(copy, key.size);
    return r;
}

static struct router *
alternate_of(void *context, const struct router *r) UNCHECKED_LOCKING
{
    struct vhost *v = context;
    const struct exchange *x =
        (const struct exchange *)((const char *)r - offsetof(struct exchange, router));
    const bool by_policy = !x->has_alternate && x->policy_alternate.data != NULL;
    struct exchange *alternate = x->has_alternate ? vhost_find_exchange(v, x->alternate)
                                 : by_policy      ? vhost_find_exchange(v, x->policy_alternate)
                                                  : NULL;
    return alternate == NULL ? NULL : &alternate->router;
}

static void
add_named_queue(struct vhost *v, struct bytes name, struct route_set *found)
    REQUIRES_SHARED(v->topology)
{
    struct queue *q = vhost_find_queue(v, name);
    if (q != NULL)
        route_set_add(found, &q->destination);
}

/* The default exchange: every queue is bound under its name. */
static struct route *
route_by_name(struct route_cache *c, struct vhost *v, const struct route_address *a,
              bool *cacheable)
{
    rwlock_read(&v->topology);
    add_named_queue(v, a->key, &c->found);
    for (size_t i = 0; i < a->more_key_count; i++)
        add_named_queue(v, a->more_keys[i], &c->found);
    struct route *r = route_create(v, NULL, a->key, c->found.items, c->found.count);
    rwlock_read_end(&v->topology);
    *cacheable = a->more_key_count == 0 && r->queue_count == 1;
    return r;
}

/* What exchanges of type x-consistent-hash may look at. */
static void
hash_properties(const struct route_address *a, struct bytes out[HASH_SOURCE_COUNT])
{
    const struct properties *p = a->properties;
    memset(out, 0, HASH_SOURCE_COUNT * sizeof(out[0]));
    if (p == NULL)
        return;
    if (p->flags & PROPERTY_MESSAGE_ID)
        out[HASH_MESSAGE_ID] = p->message_id;
    if (p->flags & PROPERTY_CORRELATION_ID)
        out[HASH_CORRELATION_ID] = p->correlation_id;
    if (p->flags & PROPERTY_TIMESTAMP)
        out[HASH_TIMESTAMP] = bytes_of(&p->timestamp, sizeof(p->timestamp));
}

static struct route *
route_resolve_locked(struct route_cache *c, struct vhost *v, struct exchange *x,
                     const struct route_address *a, bool *cacheable) REQUIRES_SHARED(v->topology)
{
    struct headers headers = { 0 };
    if (a->headers.size > 0)
        headers_init(&headers, a->headers);
    struct route_query query = {
        .key = a->key,
        .more_keys = a->more_keys,
        .more_key_count = a->more_key_count,
        .headers = headers.items,
        .header_count = headers.count,
    };
    struct bytes properties[HASH_SOURCE_COUNT];
    hash_properties(a, properties);
    query.properties = properties;
    const struct route_context context = { alternate_of, v };
    /* The epochs stand still while we hold the lock. */
    const struct route_trace trace = router_resolve(&x->router, &query, &context, &c->found);
    struct route *r = route_create(v, x, a->key, c->found.items, c->found.count);
    r->epoch = trace.through_others || trace.alternate_missing ? &v->epoch : &x->epoch;
    r->epoch_seen = atomic_load(r->epoch);
    *cacheable = !trace.depends_on_headers && a->more_key_count == 0;
    headers_fini(&headers);
    return r;
}

static struct route *
route_by_exchange(struct route_cache *c, struct vhost *v, const struct route_address *a,
                  bool *cacheable, struct amqp_exception *ex)
{
    struct route *r = NULL;
    rwlock_read(&v->topology);
    struct exchange *x = vhost_find_exchange(v, a->exchange);
    if (x == NULL)
        vhost_raise_no_exchange(v, a->exchange, ex);
    else if (x->internal && !a->is_ours)
        amqp_raise(ex, AMQP_ACCESS_REFUSED,
                   "cannot publish to internal exchange '%.*s' in vhost '%.*s'",
                   BYTES_ARGS(x->name), BYTES_ARGS(v->name));
    else
        r = route_resolve_locked(c, v, x, a, cacheable);
    rwlock_read_end(&v->topology);
    return r;
}

const struct route *
route_find(struct route_cache *c, struct vhost *v, const struct route_address *a,
           struct amqp_exception *ex)
{
    const uint64_t hash = bytes_hash2(a->exchange, a->key);
    struct route **slot = &c->slots[hash & (ROUTE_CACHE_SLOTS - 1)];
    struct route *r = *slot;
    if (r != NULL && r->hash == hash && a->more_key_count == 0 && route_is_for(r, v, a) &&
        route_is_valid(r))
        return r;

    bool cacheable = false;
    route_set_clear(&c->found);
    r = a->exchange.size == 0 ? route_by_name(c, v, a, &cacheable)
                              : route_by_exchange(c, v, a, &cacheable, ex);
    if (r == NULL)
        return NULL;
    r->hash = hash;
    if (!cacheable) {
        route_retire(c, r);
        return r;
    }
    if (*slot != NULL)
        route_retire(c, *slot);
    *slot = r;
    return r;
}
