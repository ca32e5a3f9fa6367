#ifndef BROKER_SESSION_SOCKET_NAME_H
#define BROKER_SESSION_SOCKET_NAME_H

/* The local address of a socket, for people. Any thread. */

#include <stddef.h>

/* "127.0.0.1:5672" or "[::1]:5672"; "?" if the socket has none. Always terminated. */
void socket_name(int fd, char *out, size_t size);

#endif
