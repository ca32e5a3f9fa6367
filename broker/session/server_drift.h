#ifndef BROKER_SESSION_SERVER_DRIFT_H
#define BROKER_SESSION_SERVER_DRIFT_H

/*
 * Whether what exists is still what the configuration file says: programs and `railmq apply` change
 * things beside it. Compared when somebody asks, but so that comparing takes a small share of the
 * time, however much there is. Kept and asked by any thread.
 */

#include "broker/base/lock.h"
#include "broker/topology/topology.h"

struct server;

struct drift {
    struct lock lock; /* Above that of the virtual hosts. */
    struct topology wanted;
    bool is_known; /* There is a file. */
    bool differs;
    uint64_t looked_ns; /* At the last comparison; 0: there was none. */
    uint64_t took_ns;
};

void server_drift_init(struct server *s);
void server_drift_fini(struct server *s);

/* The file has been read, and says this; copied. `is_applied`: everything is so now, passwords
 * included. Otherwise passwords that the file gives in clear are not compared. */
void server_drift_keep(struct server *s, const struct topology *wanted, bool is_applied);

/* False if there is no file. */
bool server_drift_look(struct server *s, bool *differs);

#endif
