#include "broker/session/peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* The last octets of an address of IPv6 are its owner's to choose. */
#define OWN_OCTETS 8

void
peer_address_text(const struct sockaddr *address, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;
    if (address->sa_family != AF_INET6) {
        memcpy(&v4, address, sizeof(v4));
        inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
        snprintf(out, size, "%s:%u", host, ntohs(v4.sin_port));
        return;
    }
    memcpy(&v6, address, sizeof(v6));
    const bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
    if (is_mapped)
        inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], host, sizeof(host));
    else
        inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
    snprintf(out, size, is_mapped ? "%s:%u" : "[%s]:%u", host, ntohs(v6.sin6_port));
}

bool
peer_is_loopback(const char *peer)
{
    return strncmp(peer, "127.", 4) == 0 || strncmp(peer, "[::1]", 5) == 0 ||
           strncmp(peer, "unix:", 5) == 0;
}

void
peer_network(const char *peer, char *out, size_t size)
{
    struct in6_addr address;
    const bool is_v6 = peer[0] == '[';
    const char *user = strncmp(peer, "unix:", 5) == 0 ? strstr(peer, "uid=") : NULL;
    if (user != NULL) {
        snprintf(out, size, "%s", user);
        return;
    }
    snprintf(out, size, "%s", is_v6 ? peer + 1 : peer);
    char *end = strchr(out, is_v6 ? ']' : ':');
    if (end != NULL)
        *end = 0;
    if (!is_v6 || inet_pton(AF_INET6, out, &address) != 1)
        return;
    memset(&address.s6_addr[sizeof(address) - OWN_OCTETS], 0, OWN_OCTETS);
    inet_ntop(AF_INET6, &address, out, (socklen_t)size);
}
