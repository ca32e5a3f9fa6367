#ifndef BROKER_ADMIN_QUEUE_RULES_H
#define BROKER_ADMIN_QUEUE_RULES_H

/*
 * What a queue goes by, and who has said so, as cells of a listing. Found again for each listing
 * with the function that puts policies into force, so that the two cannot disagree. Any thread.
 */

#include "broker/admin/rows.h"
#include "broker/core/vhost.h"

/* Rows in a cell: name and value of each argument in force, its source, and the policy's name. */
void cell_put_rules(struct rows *r, const struct queue *q, const struct queue_rules *rules);

/* The definitions of both policies as one table: of a number that is in both, the smaller. What an
 * operator policy says beside numbers has no effect, and is left out. */
void cell_put_policy_definition(struct rows *r, const struct queue_rules *rules);

/* Its name, or none. */
void cell_put_policy(struct rows *r, const struct policy_in_force *policy);

#endif
