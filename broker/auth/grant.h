#ifndef BROKER_AUTH_GRANT_H
#define BROKER_AUTH_GRANT_H

/* How a grant is made: for auth.c. It does not change once it is made. */

#include "broker/auth/auth.h"

/* With one reference. NULL, with a line for people, if a pattern does not compile. */
struct grant *grant_create(const struct permission_spec *spec, char *problem, size_t problem_size);

void grant_ref(struct grant *g);

/* Before anybody else has it. False if a pattern does not compile. */
bool grant_add_topic(struct grant *g, const struct topic_permission_spec *spec, char *problem,
                     size_t problem_size);

/* Whether the pattern of a topic permission compiles, its variables aside. */
bool topic_pattern_is_sound(struct bytes text, char *problem, size_t problem_size);

#endif
