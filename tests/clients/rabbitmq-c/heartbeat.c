/*
 * Heartbeats, seen from both sides: a connection that asks for one a second survives doing
 * nothing, because the broker sends them and takes ours, and one whose client falls silent is
 * closed by the broker.
 */
#include "support.h"

#include <poll.h>
#include <sys/socket.h>

enum { HEARTBEAT_S = 1, IDLE_MS = 3500 };

static amqp_connection_state_t
open_with_heartbeat(void)
{
    amqp_connection_state_t connection = connection_start();
    const char *password = setting("AMQP_PASSWORD", "guest");
    expect_normal(connection_login(connection, password, HEARTBEAT_S), "login");
    CHECK(amqp_get_heartbeat(connection) == HEARTBEAT_S);
    amqp_channel_open(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "channel.open");
    return connection;
}

/* The library sends heartbeats while it waits, and fails after two intervals without any. */
static void
check_idle(void)
{
    amqp_connection_state_t connection = open_with_heartbeat();
    const struct timeval idle = { .tv_sec = IDLE_MS / 1000, .tv_usec = IDLE_MS % 1000 * 1000 };
    amqp_frame_t frame;
    int status = amqp_simple_wait_frame_noblock(connection, &frame, &idle);
    CHECK(status == AMQP_STATUS_TIMEOUT);
    declare_private_queue(connection);
    connection_close(connection);
}

/* Without a call into the library nothing is sent; the broker's end of the stream follows. */
static void
check_silent_client_is_closed(void)
{
    amqp_connection_state_t connection = open_with_heartbeat();
    struct pollfd end = { .fd = amqp_get_sockfd(connection), .events = POLLIN };
    char heartbeats[256];
    ssize_t size;
    do {
        CHECK(poll(&end, 1, -1) == 1);
        size = recv(end.fd, heartbeats, sizeof heartbeats, 0);
    } while (size > 0);
    amqp_destroy_connection(connection);
}

int
main(void)
{
    watchdog_start();
    check_idle();
    check_silent_client_is_closed();
    return 0;
}
