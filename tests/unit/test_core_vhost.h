#ifndef TESTS_UNIT_TEST_CORE_VHOST_H
#define TESTS_UNIT_TEST_CORE_VHOST_H

/*
 * A virtual host with a door that commits at once, and short ways to declare, bind and delete in
 * it, all of which must succeed. Include after cmocka.h.
 */

#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"

struct host {
    struct door *door;
    struct vhost *vhost;
};

static struct host host;

static inline int
host_setup(void **state)
{
    (void)state;
    host.door = door_create(engine_sim_create(0), UINT64_MAX, recorder_no_notify, NULL);
    host.vhost = vhost_create(BYTES_LITERAL("/"), host.door);
    return 0;
}

static inline int
host_teardown(void **state)
{
    (void)state;
    vhost_destroy(host.vhost);
    door_destroy(host.door);
    assert_no_messages();
    return 0;
}

static inline struct exchange_spec
exchange_named(const char *name, enum router_type type)
{
    return (struct exchange_spec){ .name = bytes_of_string(name), .type = type };
}

static inline void
declare_exchange_as(const struct exchange_spec *spec)
{
    struct amqp_exception ex = { 0 };
    uint64_t ticket;
    if (!vhost_declare_exchange(host.vhost, spec, &ticket, &ex))
        fail_msg("%s", ex.text);
}

static inline void
declare_exchange(const char *name, enum router_type type)
{
    const struct exchange_spec spec = exchange_named(name, type);
    declare_exchange_as(&spec);
}

static inline void
declare_auto_delete(const char *name)
{
    struct exchange_spec spec = exchange_named(name, ROUTER_FANOUT);
    spec.auto_delete = true;
    declare_exchange_as(&spec);
}

/* Borrowed: the vhost's reference is enough. */
static inline struct queue *
declare_queue(const char *name)
{
    struct amqp_exception ex = { 0 };
    struct queue *q = NULL;
    uint64_t ticket;
    bool created;
    const struct queue_spec spec = spec_named(name);
    if (!vhost_declare_queue(host.vhost, &spec, 1, &q, &created, &ticket, &ex))
        fail_msg("%s", ex.text);
    queue_unref(q);
    return q;
}

static inline void
delete_queue(struct queue *q)
{
    struct amqp_exception ex;
    size_t ready;
    uint64_t ticket;
    assert_true(vhost_delete_queue(host.vhost, q, false, false, &ready, &ticket, &ex));
}

static inline void
delete_exchange(const char *name)
{
    struct amqp_exception ex;
    uint64_t ticket;
    assert_true(vhost_delete_exchange(host.vhost, bytes_of_string(name), false, &ticket, &ex));
}

static inline struct bind_spec
binding_of(const char *source, enum destination_kind kind, const char *destination, const char *key)
{
    return (struct bind_spec){
        .source = bytes_of_string(source),
        .destination_kind = kind,
        .destination = bytes_of_string(destination),
        .key = bytes_of_string(key),
    };
}

static inline void
bind_as(const struct bind_spec *spec)
{
    struct amqp_exception ex = { 0 };
    uint64_t ticket;
    if (!vhost_bind(host.vhost, spec, 1, &ticket, &ex))
        fail_msg("%s", ex.text);
}

static inline void
bind_queue(const char *source, const char *queue, const char *key)
{
    const struct bind_spec spec = binding_of(source, DESTINATION_QUEUE, queue, key);
    bind_as(&spec);
}

static inline void
bind_exchange(const char *source, const char *exchange, const char *key)
{
    const struct bind_spec spec = binding_of(source, DESTINATION_EXCHANGE, exchange, key);
    bind_as(&spec);
}

static inline void
unbind_as(const struct bind_spec *spec)
{
    struct amqp_exception ex = { 0 };
    uint64_t ticket;
    if (!vhost_unbind(host.vhost, spec, 1, &ticket, &ex))
        fail_msg("%s", ex.text);
}

static inline void
unbind_queue(const char *source, const char *queue, const char *key)
{
    const struct bind_spec spec = binding_of(source, DESTINATION_QUEUE, queue, key);
    unbind_as(&spec);
}

static inline bool
has_exchange(const char *name)
{
    struct amqp_exception ex;
    return vhost_check_exchange(host.vhost, bytes_of_string(name), &ex);
}

static inline bool
has_queue(const char *name)
{
    struct amqp_exception ex;
    struct queue *q = vhost_use_queue(host.vhost, bytes_of_string(name), 1, &ex);
    if (q != NULL)
        queue_unref(q);
    return q != NULL;
}

#endif
