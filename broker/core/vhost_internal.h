#ifndef BROKER_CORE_VHOST_INTERNAL_H
#define BROKER_CORE_VHOST_INTERNAL_H

/* What the vhost_*.c files share. */

#include "broker/core/vhost.h"

#define OBJECT_NAME_SIZE 600

/* "exchange 'x' in vhost '/'" */
void exchange_subject(char out[OBJECT_NAME_SIZE], const struct vhost *v, struct bytes name);
void queue_subject(char out[OBJECT_NAME_SIZE], const struct vhost *v, struct bytes name);

/* 405 if the queue is exclusive to another connection. */
bool queue_check_owner(const struct queue *q, uint64_t connection, struct amqp_exception *ex);

/* The queue that holds what a delayed exchange holds back, under the exchange's name behind a
 * prefix that no client may use. With a reference; made if it is not there. */
#define PENDING_QUEUE_PREFIX "amq.delayed."
struct queue *pending_queue_get(struct vhost *v, const struct exchange *x) REQUIRES(v->topology);

/* It goes with its exchange, and with what it holds. Returns a ticket, or 0. */
uint64_t pending_queue_end(struct vhost *v, struct queue *q) REQUIRES(v->topology);

/* The queue goes by the policies as they are now. */
void queue_apply_policies(struct queue *q);

/* Routes from x may have changed. */
void exchange_changed(struct exchange *x);

/* Removes the exchange and all its bindings, and auto-delete exchanges that lose their last one,
 * however long the chain. Returns the last ticket of what was durable, or 0. */
uint64_t exchange_remove(struct vhost *v, struct exchange *x) REQUIRES(v->topology);

/* Removes all bindings to the destination, and auto-delete exchanges that lose their last one.
 * Returns a ticket like exchange_remove. */
uint64_t destination_remove_bindings(struct vhost *v, struct destination *d) REQUIRES(v->topology);

/* 406 "inequivalent arg" for a property that is a bool. True if equal. */
bool bool_equivalent(const char *name, bool received, bool current, const char *subject,
                     struct amqp_exception *ex);

#endif
