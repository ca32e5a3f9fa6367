#ifndef BROKER_AUTH_SETUP_H
#define BROKER_AUTH_SETUP_H

/* Users and logins of a broker, from its start to its end. */

#include "broker/core/broker.h"

/* Once the store has told what it keeps, and before connections come: virtual hosts, users, the
 * login thread. A new store gets the virtual host "/" and the user guest, who may log in from this
 * machine only. False with a line for people. */
bool auth_setup(struct broker *b, char *problem, size_t problem_size);

/* No login is looked at any more; those that wait are not answered yes or no. Workers still run. */
void auth_stop(struct broker *b);

/* After broker_fini. */
void auth_teardown(struct broker *b);

#endif
