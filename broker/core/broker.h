#ifndef BROKER_CORE_BROKER_H
#define BROKER_CORE_BROKER_H

/*
 * What all connections share: configuration, virtual hosts, the door, the registry of direct
 * reply-to consumers, alarms and counters. Created before and destroyed after the workers.
 */

#include "broker/core/alarms.h"
#include "broker/core/config.h"
#include "broker/core/notes.h"
#include "broker/core/policy.h"
#include "broker/core/replies.h"
#include "broker/core/vhost.h"
#include "broker/core/pager.h"
#include "persistence/door.h"

/* Things that happened, for logs and metrics. Relaxed: they order nothing. */
struct broker_counters {
    _Atomic uint64_t connections_accepted;
    _Atomic uint64_t connections_refused;
    _Atomic uint64_t handshakes_failed;
    _Atomic uint64_t logins_refused;
    _Atomic uint64_t tls_handshakes;
    _Atomic uint64_t tls_handshakes_failed;
    _Atomic uint64_t heartbeats_missed;
    _Atomic uint64_t protocol_errors;
};

struct auth;
struct logins;

struct broker {
    const struct config *config;
    struct door *door;
    struct pager *pager; /* May be NULL. */
    struct dead_letters *dead_letters;
    struct auth *auth;     /* Whoever starts the broker puts it here, */
    struct logins *logins; /* and this. */
    struct rwlock vhosts_lock;
    struct map vhosts;       /* Guarded by vhosts_lock. By name. */
    struct list dead_vhosts; /* Likewise. Deleted ones. */
    /* Told before what is in it goes; returns a ticket; must not block. May be NULL. Set before
     * threads start. */
    uint64_t (*vhost_deleted)(void *context, const struct vhost *v);
    void *vhost_deleted_context;
    struct notes notes;
    struct policies policies;
    struct replies replies;
    struct broker_counters counters;
    _Atomic uint64_t next_connection_id; /* From 1: 0 means "nobody's". */
    _Atomic uint32_t connection_count;
    struct alarms alarms;
};

/* Door and pager stay the caller's; without a pager messages stay in memory. Starts the thread that
 * moves dead letters. */
void broker_init(struct broker *b, const struct config *config, struct door *door,
                 struct pager *pager);

/* The workers have ended: dead letters are moved, and no more are taken. */
void broker_stop(struct broker *b);

/* No connection is left, and it has been stopped. */
void broker_fini(struct broker *b);

/* NULL if there is none of that name. What it returns stays where it is as long as the broker. */
struct vhost *broker_find_vhost(struct broker *b, struct bytes name);

/* Publishers must pause: what they have published waits for a disk. Whoever waits looks again when
 * workers are told that rounds have been committed. Any thread. */
bool broker_is_behind(const struct broker *b);

/* Compares memory and disk with their watermarks, and returns the set of alarms that are on. Any
 * thread; cheap enough for each publish. */
unsigned broker_check_alarms(struct broker *b);

#endif
