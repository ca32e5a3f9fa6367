#ifndef BROKER_BASE_FAULT_H
#define BROKER_BASE_FAULT_H

/*
 * Named places at which a test can have a process killed, as `kill -9` would, the n-th time that
 * it comes there. They are compiled into every build and cost one relaxed load while nothing is
 * armed; only the configuration arms one (testing.fault). The names stand in fault.def.
 *
 *     FAULT_POINT("commit.written");
 *
 * Arming comes before other threads; the points may be anywhere, on any thread.
 */

#include "broker/base/bytes.h"

#include <stdatomic.h>

extern atomic_bool fault_is_armed;

/* All names, for messages. */
extern const char fault_names[];

/* A name and a number from 1 on: "commit.written:3". The name is static. */
struct fault {
    const char *name;
    uint32_t count;
};

/* False if the text is not of this form, or no point has that name. */
bool fault_parse(struct bytes text, struct fault *out);

/* Kills the process when it comes to the point for the count-th time. */
void fault_arm(const struct fault *fault);

/* Somebody came to the point; behind FAULT_POINT only. */
void fault_reach(const char *name);

#define FAULT_POINT(name)                                                                          \
    do {                                                                                           \
        if (atomic_load_explicit(&fault_is_armed, memory_order_relaxed))                           \
            fault_reach(name);                                                                     \
    } while (0)

#endif
