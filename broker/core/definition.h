#ifndef BROKER_CORE_DEFINITION_H
#define BROKER_CORE_DEFINITION_H

/*
 * Durable definitions on their way through the door: each durable exchange, queue and binding is a
 * row, put when it is declared and deleted with it. The ticket says when that is committed; the
 * declaration is answered after that. Called with the topology lock held, so that rows change in
 * the order of the definitions.
 */

#include "broker/core/vhost.h"

uint64_t definition_keep_exchange(struct vhost *v, const struct exchange *x);
uint64_t definition_forget_exchange(struct vhost *v, const struct exchange *x);
uint64_t definition_keep_queue(struct vhost *v, const struct queue *q);
uint64_t definition_forget_queue(struct vhost *v, const struct queue *q);

/* `arguments` in canonical form. */
uint64_t definition_keep_binding(struct vhost *v, const struct bind_spec *spec,
                                 struct bytes arguments);
uint64_t definition_forget_binding(struct vhost *v, const struct bind_spec *spec,
                                   struct bytes arguments);

#endif
