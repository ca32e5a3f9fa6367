#ifndef BROKER_CORE_VHOSTS_H
#define BROKER_CORE_VHOSTS_H

/*
 * The virtual hosts of a broker. Each is a note in the store, put when it is made and deleted with
 * it; what is in it are rows that carry its name. A deleted one keeps its memory until the broker
 * ends, since connections and queues point to it. Any thread.
 */

#include "broker/core/broker.h"

void vhosts_init(struct broker *b);
void vhosts_fini(struct broker *b);

/* Makes it, or changes what is said about it. Returns a ticket. */
uint64_t broker_put_vhost(struct broker *b, const struct vhost_spec *spec);

/* Of the key of a note: whether it is that of a virtual host, and of which. */
bool vhosts_is_note(struct bytes key, struct bytes *name);

/* Keeps a note of a virtual host that has lost it: the next start deletes those without one. */
uint64_t vhosts_keep_note(struct door *door, struct bytes name);

/* It goes with all that is in it, and its connections are closed. Deleting what is not there is
 * fine. Returns a ticket. */
uint64_t broker_delete_vhost(struct broker *b, struct bytes name);

/* Calls back for each, in no particular order, with the lock of virtual hosts held for reading. */
void broker_each_vhost(struct broker *b,
                       void (*each)(void *context, struct vhost *v, const struct vhost_spec *spec),
                       void *context);

/* The process is about to end. From now on nobody gets anything: what connections give back when
 * they are closed, one after the other, stays in its queue. */
void broker_quiet(struct broker *b);

/* Policies have changed. */
void broker_apply_policies(struct broker *b);

/* Start-up: the one that a row of the store is about. */
struct vhost *vhosts_restore(struct broker *b, struct bytes name);

/* Start-up, when all rows have been read: what the notes say of each. One without a note was being
 * deleted: that is done to the end. A store that is new gets "/". False, with a line for people, if
 * a note cannot be understood; nothing is deleted then. */
bool vhosts_recovered(struct broker *b, bool *is_new, char *problem, size_t problem_size);

/* A new store has been given all it begins with, and is not new any more. */
void vhosts_have_begun(struct broker *b);

#endif
