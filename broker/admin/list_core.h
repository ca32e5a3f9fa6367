#ifndef BROKER_ADMIN_LIST_CORE_H
#define BROKER_ADMIN_LIST_CORE_H

/*
 * Listings of what virtual hosts hold: queues, exchanges, bindings and policies, and the
 * virtual hosts themselves. They take the locks of what they show, one after another and for a
 * moment each, so that a listing of very many queues holds nobody up; it is not the state of one
 * moment. Any thread.
 */

#include "broker/admin/columns.h"
#include "broker/core/broker.h"

#define QUEUE_DETAIL "effective_arguments"
extern const struct column queue_columns[];
extern const size_t queue_column_count;
extern const struct column exchange_columns[];
extern const size_t exchange_column_count;
extern const struct column binding_columns[];
extern const size_t binding_column_count;
extern const struct column policy_columns[];
extern const size_t policy_column_count;
extern const struct column vhost_columns[];
extern const size_t vhost_column_count;

/* Append a row for each. */
void list_queues(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r);
void list_exchanges(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r);
void list_bindings(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r);
void list_policies(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r);
void list_operator_policies(struct broker *b, struct vhost *v, const struct selection *s,
                            struct rows *r);
void list_vhosts(struct broker *b, const struct selection *s, struct rows *r);

/* All queues of the virtual host, each with a reference, in no particular order. Free the array
 * with admin_queues_release. */
struct queue **admin_queues(struct vhost *v, size_t *count);
void admin_queues_release(struct queue **queues, size_t count);

/* Calls `each` for every virtual host, without a lock; one of them may be deleted meanwhile. */
void admin_each_vhost(struct broker *b, void (*each)(void *context, struct vhost *v),
                      void *context);

/* Sums over all queues of a virtual host, or of all if `v` is NULL. */
struct queue_totals {
    uint64_t queues;
    uint64_t exchanges;
    uint64_t ready;
    uint64_t unacked;
    uint64_t consumers;
    uint64_t ready_octets;
};

void admin_totals(struct broker *b, struct vhost *v, struct queue_totals *out);

#endif
