#ifndef BROKER_TOPOLOGY_CURRENT_H
#define BROKER_TOPOLOGY_CURRENT_H

/*
 * What exists in this broker, as a topology. Queues that belong to a connection, and those that the
 * server has named, are nobody's plan and left out. And who made what: an object that a
 * configuration has made is remembered in the store under the name of the configuration, its
 * origin, until the object goes. Any thread, but one at a time.
 */

#include "broker/core/broker.h"
#include "broker/topology/topology.h"

/* Fills and sorts `t`, which the caller has initialised. What `origin` made is marked as owned. */
void current_read(struct broker *b, struct bytes origin, struct topology *t);

/* The object has been made by the origin; or it has been deleted. Return tickets. */
uint64_t current_note_made(struct broker *b, const struct topology_item *item, struct bytes origin);
uint64_t current_note_gone(struct broker *b, const struct topology_item *item);

/* Forgets who made what is no more there. `t` is everything that is. */
void current_tidy_notes(struct broker *b, const struct topology *t);

#endif
