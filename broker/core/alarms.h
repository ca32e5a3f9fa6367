#ifndef BROKER_CORE_ALARMS_H
#define BROKER_CORE_ALARMS_H

/*
 * The alarms that block publishers, as a set: which are on, and how that is put to a client.
 * Whoever watches a resource sets its alarm; connections that publish ask whether any is on.
 * Owner: the broker. Any thread; advisory, it orders nothing.
 */

#include <stdatomic.h>
#include <stdbool.h>

enum alarm {
    ALARM_MEMORY = 1,
    ALARM_DISK = 2,
};

struct alarms {
    _Atomic unsigned on; /* Set of enum alarm. */
};

/* Returns true for the one caller who changed it. */
bool alarms_set(struct alarms *alarms, enum alarm alarm, bool on);

/* The set of those that are on; 0: nobody is blocked. Cheap enough to ask for each publish. */
static inline unsigned
alarms_on(const struct alarms *alarms)
{
    return atomic_load_explicit(&alarms->on, memory_order_relaxed);
}

/* The reason for connection.blocked: "low on memory", "low on disk" or "low on memory & disk".
 * Static. */
const char *alarms_reason(unsigned on);

#endif
