#ifndef BROKER_BASE_PATTERN_H
#define BROKER_BASE_PATTERN_H

/*
 * Regular expressions of operators (policies): Perl's, as RabbitMQ's are, searched for anywhere in
 * the text. What they may cost is bounded: a search that goes beyond finds nothing. A compiled one
 * does not change: any number of threads may search with it.
 */

#include "broker/base/bytes.h"

struct pattern;

/* NULL with a line for people in `problem` if it does not compile. */
struct pattern *pattern_create(struct bytes text, char *problem, size_t problem_size);

void pattern_destroy(struct pattern *p);

bool pattern_matches(const struct pattern *p, struct bytes text);

#endif
