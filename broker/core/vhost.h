#ifndef BROKER_CORE_VHOST_H
#define BROKER_CORE_VHOST_H

/*
 * A virtual host: exchanges, queues and bindings by name. Definitions change under the topology
 * lock (first in lock order); publishers read under it only when their route cache misses.
 *
 * The functions here are what AMQP's exchange.* and queue.* methods do, with RabbitMQ's checks in
 * RabbitMQ's order; failures fill in a protocol exception and have no effect. What changes
 * something durable returns a ticket of the door: the change may be answered once it is committed.
 */

#include "broker/base/lock.h"
#include "broker/base/map.h"
#include "broker/core/exchange.h"
#include "broker/core/policy.h"
#include "broker/core/queue.h"

struct vhost_spec;

struct vhost {
    struct bytes name;
    struct list in_dead;     /* Of the broker, once it is deleted; its memory stays. */
    struct map_node by_name; /* Guarded by the broker's lock of virtual hosts. */
    struct vhost_spec *spec; /* Likewise: what operators say about it. */
    atomic_bool is_deleted;
    _Atomic int64_t max_connections; /* Negative: any number. */
    _Atomic int64_t max_queues;
    _Atomic unsigned default_type; /* Of queues that name none, if they can be of it. */
    _Atomic int64_t connections;   /* Open in it. */
    struct door *door;
    struct pager *pager;       /* Set before there are queues; NULL: messages stay in memory. */
    struct policies *policies; /* Like the pager; NULL: there are none. */
    struct dead_letters *dead_letters; /* Like the pager; NULL: what dies is dropped. */
    struct rwlock topology;
    struct map exchanges;   /* Guarded by topology. */
    struct map queues;      /* Guarded by topology. */
    atomic_bool is_quiet;   /* The process is about to end: nobody gets anything more. */
    bool is_closing;        /* What ends now ends in memory only: the store keeps it. */
    _Atomic uint64_t epoch; /* Moves with every change of exchanges and bindings. */
};

/* What operators say about a virtual host. */
struct vhost_spec {
    struct bytes name;
    struct bytes description;
    struct bytes tags;               /* A line end behind each. */
    struct bytes default_queue_type; /* For queues that name none; empty: classic. */
    int64_t max_connections;         /* Negative: any number. */
    int64_t max_queues;
};

/* One binding, as queue.bind or exchange.bind name it. */
struct bind_spec {
    struct bytes source;
    enum destination_kind destination_kind;
    struct bytes destination;
    struct bytes key;
    struct bytes arguments; /* Table as received. */
};

/* With the exchanges that AMQP and RabbitMQ predeclare. */
struct vhost *vhost_create(struct bytes name, struct door *door);

/* Drops everything from memory; what is durable stays in the store. */
void vhost_destroy(struct vhost *v);

/* Policies have changed: all queues and exchanges go by the new ones from now on. */
void vhost_apply_policies(struct vhost *v);

/* What a queue goes by: its arguments with the policies that are in force for it. Texts of the
 * arguments point into the queue and the policies. */
struct queue_rules {
    struct queue_arguments arguments;
    struct policy_in_force policies[POLICY_SORTS];
};

/* Says what vhost_apply_policies would make of the queue now; it is what that calls. False if
 * policies are not for such a queue. The caller has a reference. Call queue_rules_fini in any
 * case. */
bool queue_rules_find(const struct queue *q, struct queue_rules *out);
void queue_rules_fini(struct queue_rules *rules);

/* Everything in it goes, from the store too. Returns a ticket. */
uint64_t vhost_clear(struct vhost *v);

/* Start-up, before the door is open: what the store has kept. Bindings come after their ends; those
 * whose ends are missing are left out. */
void vhost_restore_exchange(struct vhost *v, const struct exchange_spec *spec);
struct queue *vhost_restore_queue(struct vhost *v, const struct queue_spec *spec);
bool vhost_restore_binding(struct vhost *v, const struct bind_spec *spec);

/* Borrowed, with the topology lock held; NULL if absent. */
struct exchange *vhost_find_exchange(struct vhost *v, struct bytes name)
    REQUIRES_SHARED(v->topology);
struct queue *vhost_find_queue(struct vhost *v, struct bytes name) REQUIRES_SHARED(v->topology);

/* A reference to the queue, for the connection `connection`: 404 if absent, 405 if it is exclusive
 * to another. NULL with `ex` filled in. */
struct queue *vhost_use_queue(struct vhost *v, struct bytes name, uint64_t connection,
                              struct amqp_exception *ex);

/* exchange.declare */
bool vhost_declare_exchange(struct vhost *v, const struct exchange_spec *spec, uint64_t *ticket,
                            struct amqp_exception *ex);
bool vhost_check_exchange(struct vhost *v, struct bytes name, struct amqp_exception *ex);

/* exchange.delete; deleting what is absent is fine. */
bool vhost_delete_exchange(struct vhost *v, struct bytes name, bool if_unused, uint64_t *ticket,
                           struct amqp_exception *ex);

/* queue.declare, active. `connection` declares. Gives a reference and whether it is new. */
bool vhost_declare_queue(struct vhost *v, const struct queue_spec *spec, uint64_t connection,
                         struct queue **out, bool *created, uint64_t *ticket,
                         struct amqp_exception *ex);

/* queue.delete, and the end of exclusive and auto-delete queues. Does nothing to a queue that is
 * deleted already. The caller's reference stays. */
bool vhost_delete_queue(struct vhost *v, struct queue *q, bool if_unused, bool if_empty,
                        size_t *ready, uint64_t *ticket, struct amqp_exception *ex);

bool vhost_bind(struct vhost *v, const struct bind_spec *spec, uint64_t connection,
                uint64_t *ticket, struct amqp_exception *ex);

/* Unbinding what is not bound, or does not exist, is fine. 405 for a binding of a queue that is
 * exclusive to another connection. */
bool vhost_unbind(struct vhost *v, const struct bind_spec *spec, uint64_t connection,
                  uint64_t *ticket, struct amqp_exception *ex);

/* Whether something may still be made in it: once it is deleted, nobody would take that away. False
 * with 320. */
bool vhost_is_up(const struct vhost *v, struct amqp_exception *ex) REQUIRES_SHARED(v->topology);

/* "no exchange 'x' in vhost '/'" and its like: always false. */
bool vhost_raise_no_exchange(const struct vhost *v, struct bytes name, struct amqp_exception *ex);
bool vhost_raise_no_queue(const struct vhost *v, struct bytes name, struct amqp_exception *ex);

#endif
