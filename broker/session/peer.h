#ifndef BROKER_SESSION_PEER_H
#define BROKER_SESSION_PEER_H

/*
 * Who is at the other end of a socket, as a text that people read and that decides what the peer
 * may do: "192.0.2.1:5000", "[2001:db8::1]:5000", or something that begins with "unix:". Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Of an address of IPv4 or IPv6. IPv4 that came through a socket of IPv6 is told as IPv4. */
void peer_address_text(const struct sockaddr *address, char *out, size_t size);

/* Whether the peer is on this machine. */
bool peer_is_loopback(const char *peer);

/* What somebody has who wants to come back as somebody else: an address of IPv4, a network of IPv6,
 * or, at a socket in the file system, a user of this machine. */
void peer_network(const char *peer, char *out, size_t size);

#endif
