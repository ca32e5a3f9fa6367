#include "broker/session/listener.h"

#include "broker/base/log.h"
#include "broker/session/peer.h"
#include "broker/session/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096
#define ACCEPTS_A_TURN 64
#define COMPLAINT_INTERVAL_MS 5000

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
};

static socklen_t
address_fill(union socket_address *out, const struct config_address *a)
{
    memset(out, 0, sizeof(*out));
    if (a->is_path) {
        _Static_assert(sizeof(a->host) <= sizeof(out->path.sun_path), "paths fit");
        out->path.sun_family = AF_UNIX;
        memcpy(out->path.sun_path, a->host, sizeof(a->host));
        return sizeof(out->path);
    }
    if (inet_pton(AF_INET, a->host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(a->port);
        return sizeof(out->v4);
    }
    if (inet_pton(AF_INET6, a->host, &out->v6.sin6_addr) != 1)
        return 0;
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(a->port);
    return sizeof(out->v6);
}

/* Who is at the other end of a socket of this machine. */
static void
credentials_text(int fd, char *out, size_t size)
{
    struct ucred peer = { 0 };
    socklen_t peer_size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0)
        snprintf(out, size, "unix:pid=%ld,uid=%lu", (long)peer.pid, (unsigned long)peer.uid);
    else
        snprintf(out, size, "unix:");
}

static void
prepare_socket(int fd)
{
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static bool
may_complain(struct listener *l)
{
    const uint64_t now = l->server->workers[0].loop.now_ms;
    if (l->complained_ms != 0 && now < l->complained_ms + COMPLAINT_INTERVAL_MS)
        return false;
    l->complained_ms = now;
    return true;
}

static void
count_refusal(struct listener *l)
{
    atomic_fetch_add_explicit(&l->server->broker.counters.connections_refused, 1,
                              memory_order_relaxed);
}

/* Out of descriptors: with the reserve given up there is one to accept with, only to hang up. The
 * peer learns at once, and the socket does not stay readable for ever. */
static void
refuse_for_descriptors(struct listener *l)
{
    close(l->reserve_fd);
    const int fd = accept4(l->source.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    count_refusal(l);
    if (may_complain(l))
        log_error("connection.refused", "reason=descriptors msg=\"no file descriptors left; raise "
                                        "LimitNOFILE or ulimit -n\"");
}

static void
refuse_for_limit(struct listener *l, int fd, const char *peer)
{
    close(fd);
    count_refusal(l);
    if (may_complain(l))
        log_error("connection.refused",
                  "reason=limit peer=%s max_connections=%u msg=\"raise "
                  "limits.max_connections\"",
                  peer, l->server->broker.config->limits.max_connections);
}

static void
adopt(struct listener *l, int fd, const union socket_address *address)
{
    struct broker *b = &l->server->broker;
    char peer[CONNECTION_PEER_SIZE];
    if (l->config->bind.is_path)
        credentials_text(fd, peer, sizeof(peer));
    else
        peer_address_text(&address->any, peer, sizeof(peer));
    if (atomic_load(&b->connection_count) >= b->config->limits.max_connections) {
        refuse_for_limit(l, fd, peer);
        return;
    }
    if (!l->config->bind.is_path)
        prepare_socket(fd);
    atomic_fetch_add_explicit(&b->counters.connections_accepted, 1, memory_order_relaxed);
    worker_adopt(server_least_loaded(l->server), fd, l->tls, peer);
}

static void
listener_ready(struct loop_source *source, uint32_t events)
{
    (void)events;
    struct listener *l = LIST_CONTAINER(source, struct listener, source);
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        union socket_address address;
        socklen_t size = sizeof(address);
        const int fd = accept4(source->fd, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            adopt(l, fd, &address);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            refuse_for_descriptors(l);
        else if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

/* A socket that nobody listens on any more is in the way of the next one. */
static void
remove_stale_path(const union socket_address *address, socklen_t size)
{
    struct stat status;
    const char *path = address->path.sun_path;
    if (lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, &address->any, size) != 0 && errno == ECONNREFUSED)
        unlink(path);
    if (fd >= 0)
        close(fd);
}

/* The mode counts before anybody can be let in: until listen() nobody is. */
static bool
bind_path(int fd, const union socket_address *address, socklen_t size, uint32_t mode)
{
    remove_stale_path(address, size);
    return bind(fd, &address->any, size) == 0 && chmod(address->path.sun_path, mode) == 0;
}

static bool
bind_port(int fd, const union socket_address *address, socklen_t size)
{
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return bind(fd, &address->any, size) == 0;
}

static void
describe_failure(const struct config_address *a, char *problem, size_t problem_size)
{
    const int why = errno;
    char port[16] = "";
    const char *advice = "";
    if (!a->is_path)
        snprintf(port, sizeof(port), " port %u", a->port);
    if (why == EADDRINUSE)
        advice = "; is another broker running? choose another port with --listen HOST:PORT";
    if (why == EADDRINUSE && a->is_path)
        advice = "; another process listens there, or it is no socket";
    snprintf(problem, problem_size, "cannot listen on %s%s: %s%s", a->host, port, strerror(why),
             advice);
}

int
listener_bind(const struct config_listener *config, char *problem, size_t problem_size)
{
    union socket_address address;
    const struct config_address *where = &config->bind;
    const socklen_t size = address_fill(&address, where);
    if (size == 0) {
        snprintf(problem, problem_size, "cannot listen on %s: not a numeric IPv4 or IPv6 address",
                 where->host);
        return -1;
    }
    const int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const bool is_bound = fd >= 0 && (where->is_path ? bind_path(fd, &address, size, config->mode)
                                                     : bind_port(fd, &address, size));
    if (is_bound && listen(fd, BACKLOG) == 0)
        return fd;
    describe_failure(where, problem, problem_size);
    if (fd >= 0)
        close(fd);
    return -1;
}

bool
listener_open(struct listener *l, struct server *server, const struct config_listener *config,
              struct tls_profile *tls, char *problem, size_t problem_size)
{
    const int fd = listener_bind(config, problem, problem_size);
    if (fd < 0)
        return false;
    *l = (struct listener){ .server = server, .tls = tls, .config = config };
    l->source = (struct loop_source){ .fd = fd, .ready = listener_ready };
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return true;
}

uint16_t
socket_port(int fd)
{
    union socket_address address = { 0 };
    socklen_t size = sizeof(address);
    if (getsockname(fd, &address.any, &size) != 0)
        return 0;
    if (address.any.sa_family == AF_UNIX)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

uint16_t
listener_port(const struct listener *l)
{
    return socket_port(l->source.fd);
}

void
listener_close(struct listener *l)
{
    close(l->source.fd);
    if (l->config->bind.is_path)
        unlink(l->config->bind.host);
    if (l->reserve_fd >= 0)
        close(l->reserve_fd);
}
