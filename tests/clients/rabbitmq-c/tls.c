/* TLS: the broker proves who it is, and messages get through. */

#include "support.h"

#include <amqp_ssl_socket.h>
#include <stdio.h>

enum { PATH_SIZE = 512 };

struct path {
    char text[PATH_SIZE];
};

static struct path
file(const char *name)
{
    struct path path;
    snprintf(path.text, sizeof path.text, "%s/%s", setting("AMQPS_DIRECTORY", "."), name);
    return path;
}

/* The status of connecting; the connection goes to its place. */
static int
open_with(amqp_connection_state_t *connection, const char *ca, bool shows_certificate)
{
    *connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_ssl_socket_new(*connection);
    CHECK(socket != NULL);
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 1);
    CHECK(amqp_ssl_socket_set_cacert(socket, file(ca).text) == AMQP_STATUS_OK);
    if (shows_certificate)
        CHECK(amqp_ssl_socket_set_key(socket, file("client.pem").text,
                                      file("client-key.pem").text) == AMQP_STATUS_OK);
    return amqp_socket_open(socket, "localhost", atoi(setting("AMQPS_PORT", "5671")));
}

static void
check_messages(bool shows_certificate)
{
    static const char *const bodies[] = { "one", "two", "three", NULL };
    amqp_connection_state_t connection;
    CHECK(open_with(&connection, "ca.pem", shows_certificate) == AMQP_STATUS_OK);
    expect_normal(connection_login(connection, setting("AMQP_PASSWORD", "guest"), 0), "login");
    amqp_channel_open(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "channel.open");
    const struct name queue = declare_private_queue(connection);
    for (size_t i = 0; bodies[i] != NULL; i++)
        publish(connection, "", queue.text, NULL, bodies[i]);
    publish(connection, "", queue.text, NULL, "end");
    expect_bodies_then_end(connection, queue.text, bodies);
    connection_close(connection);
}

int
main(void)
{
    amqp_connection_state_t connection;
    watchdog_start();
    check_messages(false);
    check_messages(true);
    /* The client's own certificate is no authority for the broker's. */
    CHECK(open_with(&connection, "client.pem", false) != AMQP_STATUS_OK);
    amqp_destroy_connection(connection);
    return 0;
}
