#ifndef BROKER_SESSION_CONNECTION_TLS_H
#define BROKER_SESSION_CONNECTION_TLS_H

/*
 * The part of a connection that only those over TLS have: the handshake, a few of which are worked
 * on in each turn of the loop, and writing. Owner: the connection's worker.
 */

#include "broker/net/output.h"

#include <stdbool.h>

struct connection;
struct tls_profile;

/* A new connection shakes hands first. */
void connection_begin_tls(struct connection *c, struct tls_profile *tls);

/* Goes on with the handshake. True if it is over, and there may be octets to read at once; false if
 * it waits, or has failed and the connection is dropped. */
bool connection_shake_hands(struct connection *c);

/* output_write for these. */
enum output_result connection_write_tls(struct connection *c);

#endif
