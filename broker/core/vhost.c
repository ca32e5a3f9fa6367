#include "broker/core/vhost.h"

#include "broker/base/mem.h"
#include "broker/core/vhost_internal.h"

#include <stdio.h>

struct predeclared {
    const char *name;
    enum router_type type;
    bool internal;
};

static const struct predeclared predeclared[] = {
    { "amq.direct", ROUTER_DIRECT, false }, { "amq.fanout", ROUTER_FANOUT, false },
    { "amq.topic", ROUTER_TOPIC, false },   { "amq.headers", ROUTER_HEADERS, false },
    { "amq.match", ROUTER_HEADERS, false }, { "amq.rabbitmq.trace", ROUTER_TOPIC, true },
};

struct vhost *
vhost_create(struct bytes name, struct door *door)
{
    struct vhost *v = mem_alloc_zeroed(sizeof(*v));
    v->name = bytes_copy(name);
    v->door = door;
    rwlock_init(&v->topology);
    list_init(&v->in_dead);
    atomic_init(&v->max_connections, -1);
    atomic_init(&v->max_queues, -1);
    for (size_t i = 0; i < sizeof(predeclared) / sizeof(predeclared[0]); i++) {
        struct exchange *x = exchange_create(v, &(struct exchange_spec){
                                                    .name = bytes_of_string(predeclared[i].name),
                                                    .type = predeclared[i].type,
                                                    .durable = true,
                                                    .internal = predeclared[i].internal,
                                                });
        map_insert(&v->exchanges, &x->by_name, bytes_hash(x->name));
    }
    return v;
}

void
vhost_destroy(struct vhost *v)
{
    struct map_node *node;
    v->is_closing = true;
    while ((node = map_any(&v->queues)) != NULL) {
        struct queue *q = MAP_CONTAINER(node, struct queue, by_name);
        size_t ready;
        uint64_t ticket;
        struct amqp_exception ex;
        const bool deleted = vhost_delete_queue(v, q, false, false, &ready, &ticket, &ex);
        ASSERT(deleted);
    }
    rwlock_write(&v->topology);
    while ((node = map_any(&v->exchanges)) != NULL)
        exchange_remove(v, MAP_CONTAINER(node, struct exchange, by_name));
    rwlock_write_end(&v->topology);
    rwlock_fini(&v->topology);
    mem_free_const(v->name.data);
    mem_free(v);
}

bool
vhost_is_up(const struct vhost *v, struct amqp_exception *ex)
{
    if (!atomic_load(&v->is_deleted))
        return true;
    ex->method_id = 0;
    return amqp_raise(ex, AMQP_CONNECTION_FORCED, "vhost '%.*s' is down", BYTES_ARGS(v->name));
}

/* Exchanges first: they take the queues along that are theirs. */
uint64_t
vhost_clear(struct vhost *v)
{
    struct map_node *node;
    uint64_t ticket = 0;
    rwlock_write(&v->topology);
    while ((node = map_any(&v->exchanges)) != NULL) {
        const uint64_t later = exchange_remove(v, MAP_CONTAINER(node, struct exchange, by_name));
        ticket = later > ticket ? later : ticket;
    }
    rwlock_write_end(&v->topology);
    for (;;) {
        size_t ready;
        uint64_t later;
        struct amqp_exception ex;
        rwlock_read(&v->topology);
        node = map_any(&v->queues);
        struct queue *q = node == NULL ? NULL : MAP_CONTAINER(node, struct queue, by_name);
        if (q != NULL)
            queue_ref(q);
        rwlock_read_end(&v->topology);
        if (q == NULL)
            return ticket;
        vhost_delete_queue(v, q, false, false, &ready, &later, &ex);
        ticket = later > ticket ? later : ticket;
        queue_unref(q);
    }
}

static bool
exchange_matches(const struct map_node *node, const void *name)
{
    const struct exchange *x =
        (const struct exchange *)((const char *)node - offsetof(struct exchange, by_name));
    return bytes_equal(x->name, *(const struct bytes *)name);
}

static bool
queue_matches(const struct map_node *node, const void *name)
{
    const struct queue *q =
        (const struct queue *)((const char *)node - offsetof(struct queue, by_name));
    return bytes_equal(q->name, *(const struct bytes *)name);
}

struct exchange *
vhost_find_exchange(struct vhost *v, struct bytes name)
{
    struct map_node *node = map_find(&v->exchanges, bytes_hash(name), exchange_matches, &name);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct exchange, by_name);
}

struct queue *
vhost_find_queue(struct vhost *v, struct bytes name)
{
    struct map_node *node = map_find(&v->queues, bytes_hash(name), queue_matches, &name);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct queue, by_name);
}

void
exchange_subject(char out[OBJECT_NAME_SIZE], const struct vhost *v, struct bytes name)
{
    snprintf(out, OBJECT_NAME_SIZE, "exchange '%.*s' in vhost '%.*s'", BYTES_ARGS(name),
             BYTES_ARGS(v->name));
}

void
queue_subject(char out[OBJECT_NAME_SIZE], const struct vhost *v, struct bytes name)
{
    snprintf(out, OBJECT_NAME_SIZE, "queue '%.*s' in vhost '%.*s'", BYTES_ARGS(name),
             BYTES_ARGS(v->name));
}

bool
vhost_raise_no_exchange(const struct vhost *v, struct bytes name, struct amqp_exception *ex)
{
    char subject[OBJECT_NAME_SIZE];
    exchange_subject(subject, v, name);
    return amqp_raise(ex, AMQP_NOT_FOUND, "no %s", subject);
}

bool
vhost_raise_no_queue(const struct vhost *v, struct bytes name, struct amqp_exception *ex)
{
    char subject[OBJECT_NAME_SIZE];
    queue_subject(subject, v, name);
    return amqp_raise(ex, AMQP_NOT_FOUND, "no %s", subject);
}

bool
bool_equivalent(const char *name, bool received, bool current, const char *subject,
                struct amqp_exception *ex)
{
    if (received == current)
        return true;
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                      "inequivalent arg '%s' for %s: received '%s' but current is '%s'", name,
                      subject, received ? "true" : "false", current ? "true" : "false");
}
