#include "broker/session/socket_name.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

void
socket_name(int fd, char *out, size_t size)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } a = { 0 };
    socklen_t a_size = sizeof(a);
    char host[INET6_ADDRSTRLEN] = "?";
    snprintf(out, size, "?");
    if (getsockname(fd, &a.any, &a_size) != 0)
        return;
    if (a.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof(host));
        snprintf(out, size, "[%s]:%u", host, ntohs(a.v6.sin6_port));
    } else if (a.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof(host));
        snprintf(out, size, "%s:%u", host, ntohs(a.v4.sin_port));
    }
}
