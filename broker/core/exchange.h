#ifndef BROKER_CORE_EXCHANGE_H
#define BROKER_CORE_EXCHANGE_H

/*
 * An exchange: a name, its properties, and its routing table. Owner: its vhost; route caches hold
 * references. The routing table and what hangs on it are guarded by the vhost's topology lock;
 * the epoch is read without.
 */

#include "amqp/exception.h"
#include "broker/base/bytes.h"
#include "broker/base/map.h"
#include "routing/router.h"

#include <stdatomic.h>

struct queue;
struct vhost;

struct exchange {
    struct vhost *vhost;
    struct bytes name;
    struct bytes arguments; /* Canonical table. */
    struct bytes alternate; /* Name of the alternate exchange, in `arguments`. */
    bool has_alternate;
    struct bytes policy_alternate; /* What a policy says, where no argument does. Owned. */
    bool is_delayed; /* Of type x-delayed-message: the router is of the type that it names. */
    bool durable;
    bool auto_delete;
    bool internal;

    uint64_t ticket; /* Its definition is committed with this round. */
    struct map_node by_name;
    struct router router;
    struct queue *pending; /* Of a delayed one: messages whose time has not come. A reference. */

    /* Moves whenever a route from this exchange may have changed, and when it is deleted. */
    _Atomic uint64_t epoch;
    _Atomic uint32_t refs;
};

struct exchange_spec {
    struct bytes name;
    enum router_type type;
    struct bytes arguments; /* Canonical table. */
    bool is_delayed;
    bool durable;
    bool auto_delete;
    bool internal;
};

#define EXCHANGE_DELAYED_TYPE "x-delayed-message"

/* Type and delay of the spec, from the name of a type and the arguments, which it borrows. False
 * with an exception. */
bool exchange_spec_parse(struct exchange_spec *spec, struct bytes type, struct bytes vhost,
                         struct amqp_exception *ex);

/* A number of a name that is the same after every start: where hashing leads must not change. */
uint64_t name_number(struct bytes name);

/* The name of its type. */
const char *exchange_type_name(const struct exchange *x);

/* With one reference. Copies names. */
struct exchange *exchange_create(struct vhost *vhost, const struct exchange_spec *spec);

static inline void
exchange_ref(struct exchange *x)
{
    atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
}

void exchange_unref(struct exchange *x);

static inline struct exchange *
exchange_of_router(struct router *r)
{
    return LIST_CONTAINER(r, struct exchange, router);
}

#endif
