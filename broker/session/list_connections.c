#include "broker/session/list_connections.h"

#include "broker/base/clock.h"
#include "broker/session/channel.h"
#include "broker/session/socket_name.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECTION(object) ((const struct connection *)(object))

static size_t
unacked_of(const struct connection *c)
{
    size_t count = 0;
    for (struct map_node *n = NULL; (n = map_next(&c->channels, n)) != NULL;)
        count += MAP_CONTAINER(n, struct channel, by_number)->unacked.count;
    return count;
}

static size_t
consumers_of_channel(const struct channel *ch)
{
    size_t count = 0;
    LIST_FOREACH (link, &ch->consumers)
        count++;
    return count;
}

static void
put_id(struct rows *r, const void *object)
{
    cell_put_number(r, CONNECTION(object)->id);
}

static void
put_name(struct rows *r, const void *object)
{
    char name[2 * CONNECTION_PEER_SIZE + 8];
    char host[CONNECTION_PEER_SIZE];
    socket_name(CONNECTION(object)->source.fd, host, sizeof(host));
    snprintf(name, sizeof(name), "%s -> %s", CONNECTION(object)->peer, host);
    cell_put_string(r, name);
}

static void
put_client_name(struct rows *r, const void *object)
{
    cell_put_text(r, CONNECTION(object)->name);
}

static void
put_user(struct rows *r, const void *object)
{
    cell_put_text(r, CONNECTION(object)->user);
}

static void
put_vhost(struct rows *r, const void *object)
{
    const struct vhost *v = CONNECTION(object)->vhost;
    if (v == NULL)
        cell_put_none(r);
    else
        cell_put_text(r, v->name);
}

static struct bytes
address_host(const char *address)
{
    const char *colon = strrchr(address, ':');
    size_t size = colon == NULL ? strlen(address) : (size_t)(colon - address);
    if (size >= 2 && address[0] == '[')
        return bytes_of(address + 1, size - 2);
    return bytes_of(address, size);
}

static void
put_port_of(struct rows *r, const char *address)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL)
        cell_put_none(r);
    else
        cell_put_number(r, strtoull(colon + 1, NULL, 10));
}

static void
put_peer_host(struct rows *r, const void *object)
{
    cell_put_text(r, address_host(CONNECTION(object)->peer));
}

static void
put_peer_port(struct rows *r, const void *object)
{
    put_port_of(r, CONNECTION(object)->peer);
}

static void
put_host(struct rows *r, const void *object)
{
    char host[CONNECTION_PEER_SIZE];
    socket_name(CONNECTION(object)->source.fd, host, sizeof(host));
    cell_put_text(r, address_host(host));
}

static void
put_port(struct rows *r, const void *object)
{
    char host[CONNECTION_PEER_SIZE];
    socket_name(CONNECTION(object)->source.fd, host, sizeof(host));
    put_port_of(r, host);
}

/* What a running one waits for is said in its place: "blocked" by an alarm, in "flow" behind the
 * store, as RabbitMQ puts it. */
static void
put_state(struct rows *r, const void *object)
{
    const struct connection *c = object;
    if (c->state != CONNECTION_RUNNING)
        cell_put_string(r, connection_state_name(c->state));
    else if (c->pauses & PAUSE_ALARM)
        cell_put_string(r, "blocked");
    else if (c->pauses & (PAUSE_STORE | PAUSE_OUTPUT))
        cell_put_string(r, "flow");
    else
        cell_put_string(r, "running");
}

static void
put_channels(struct rows *r, const void *object)
{
    cell_put_number(r, CONNECTION(object)->channels.count);
}

static void
put_channel_max(struct rows *r, const void *object)
{
    cell_put_number(r, CONNECTION(object)->channel_max);
}

static void
put_frame_max(struct rows *r, const void *object)
{
    cell_put_number(r, CONNECTION(object)->frame_max);
}

static void
put_heartbeat(struct rows *r, const void *object)
{
    cell_put_number(r, CONNECTION(object)->heartbeat_s);
}

static void
put_protocol(struct rows *r, const void *object)
{
    (void)object;
    cell_put_string(r, "AMQP 0-9-1");
}

static void
put_unacked(struct rows *r, const void *object)
{
    cell_put_number(r, unacked_of(object));
}

static void
put_consumers(struct rows *r, const void *object)
{
    uint64_t count = 0;
    for (struct map_node *n = NULL; (n = map_next(&CONNECTION(object)->channels, n)) != NULL;)
        count += consumers_of_channel(MAP_CONTAINER(n, struct channel, by_number));
    cell_put_number(r, count);
}

static void
put_output(struct rows *r, const void *object)
{
    cell_put_number(r, CONNECTION(object)->output.size);
}

static void
put_worker(struct rows *r, const void *object)
{
    cell_put_number(r, CONNECTION(object)->worker->index);
}

static void
put_connected_at(struct rows *r, const void *object)
{
    cell_put_number(r, clock_wall_of_ms(CONNECTION(object)->created_ms));
}

const struct column connection_columns[] = {
    { "id", put_id, true, "Its number; log lines have it as conn." },
    { "user", put_user, true, "Who has logged in." },
    { "peer_host", put_peer_host, true, "Address of the client." },
    { "peer_port", put_peer_port, true, "Port of the client." },
    { "state", put_state, true,
      "running, blocked (by an alarm), flow, or a step of the handshake." },
    { "vhost", put_vhost, true, "The virtual host it works in." },
    { "channels", put_channels, true, "Open channels." },
    { "name", put_name, false, "Both addresses, as RabbitMQ names connections." },
    { "user_provided_name", put_client_name, false, "What the client calls it." },
    { "host", put_host, false, "Our address." },
    { "port", put_port, false, "Our port." },
    { "protocol", put_protocol, false, "What it speaks." },
    { "connected_at", put_connected_at, false, "Milliseconds since 1970." },
    { "channel_max", put_channel_max, false, "Channels it may open, as negotiated." },
    { "frame_max", put_frame_max, false, "Octets of its frames, as negotiated." },
    { "timeout", put_heartbeat, false, "Heartbeat in seconds, as negotiated; 0: none." },
    { "consumers", put_consumers, false, "Consumers on all its channels." },
    { "messages_unacknowledged", put_unacked, false, "Deliveries it has not settled." },
    { "output_bytes", put_output, false, "Octets that wait for it to read." },
    { "worker", put_worker, false, "The thread that serves it." },
};
const size_t connection_column_count = sizeof(connection_columns) / sizeof(connection_columns[0]);

static bool
is_of_vhost(const struct connection *c, struct bytes vhost)
{
    return vhost.size == 0 || (c->vhost != NULL && bytes_equal(c->vhost->name, vhost));
}

void
visit_connections(struct worker *w, const struct selection *s, struct bytes vhost, struct rows *r)
{
    LIST_FOREACH (link, &w->connections) {
        const struct connection *c = LIST_CONTAINER(link, struct connection, in_worker);
        if (is_of_vhost(c, vhost))
            selection_put(s, r, c);
    }
}
