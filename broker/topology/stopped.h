#ifndef BROKER_TOPOLOGY_STOPPED_H
#define BROKER_TOPOLOGY_STOPPED_H

/*
 * A broker that is not running, as its store tells of it: set up by the same code that a start goes
 * through, so that plans and exports of it are what they will be once it runs. What is not durable
 * is not there, as after a start. Nothing on disk changes, and no broker can open the store
 * meanwhile. Owner: the caller; one thread.
 */

#include "broker/core/broker.h"

struct stopped_broker {
    struct config config;
    struct broker broker;
    int lock;
};

/* Of the store in the data directory. False with a line for people; otherwise release it with
 * stopped_broker_close. */
bool stopped_broker_open(struct stopped_broker *s, const char *data_dir, char *problem,
                         size_t problem_size);

void stopped_broker_close(struct stopped_broker *s);

#endif
