#ifndef BROKER_CONTROL_SOCKET_PATH_H
#define BROKER_CONTROL_SOCKET_PATH_H

/*
 * The address of the control socket. An address holds 107 octets of a path and a directory's may be
 * longer, so the address goes through a descriptor of the directory. Any thread.
 */

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A descriptor of the directory that serves for nothing but naming what lies in it; -1 with errno.
 * The caller closes it. */
int socket_directory_open(const char *directory);

/* Valid while the descriptor is open. */
struct sockaddr_un socket_address(int directory);

#endif
