#ifndef BROKER_SESSION_SERVER_STATUS_H
#define BROKER_SESSION_SERVER_STATUS_H

/*
 * How the broker is, as rows of three: a section, a name in it, a value. Names say the unit of
 * numbers that have one. A section with nothing in it is one row of its name and two empty cells.
 * Any thread but a worker's.
 */

#include "broker/admin/rows.h"

struct server;

void server_status(struct server *s, struct rows *r);

#endif
