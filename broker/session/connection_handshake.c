/* Class connection: from connection.start to connection.close-ok, and the timers of all states. */

#include "amqp/table.h"
#include "broker/base/log.h"
#include "broker/session/access.h"
#include "broker/session/channel.h"
#include "broker/session/connection_login.h"

#include <stdio.h>

#define CONNECTION_SEND(c, symbol, ...)                                                            \
    connection_send(                                                                               \
        (c), 0, &(const union amqp_method){ .symbol = { .id = AMQP_ID_##symbol, __VA_ARGS__ } })

static void
put_capabilities(struct buf *table)
{
    static const char *const names[] = {
        "publisher_confirms",           "exchange_exchange_bindings", "basic.nack",
        "consumer_cancel_notify",       "connection.blocked",         "consumer_priorities",
        "authentication_failure_close", "per_consumer_qos",           "direct_reply_to",
    };
    struct buf capabilities = { 0 };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        table_put_bool(&capabilities, names[i], true);
    table_put_table(table, "capabilities", buf_bytes(&capabilities));
    buf_fini(&capabilities);
}

void
connection_start_handshake(struct connection *c)
{
    struct buf mechanisms = { 0 };
    connection_mechanisms(c, &mechanisms);
    const struct config_server *server = &c->worker->broker->config->server;
    struct buf properties = { 0 };
    put_capabilities(&properties);
    table_put_string(&properties, "cluster_name", bytes_of_string(server->name));
    table_put_string(&properties, "copyright", BYTES_LITERAL("The Rail authors"));
    table_put_string(&properties, "information", BYTES_LITERAL("Licensed under Apache-2.0"));
    table_put_string(&properties, "platform", BYTES_LITERAL("Linux"));
    table_put_string(&properties, "product", bytes_of_string(server->product));
    table_put_string(&properties, "version", bytes_of_string(server->version));
    CONNECTION_SEND(c, connection_start, .version_major = 0, .version_minor = 9,
                    .server_properties = buf_bytes(&properties),
                    .mechanisms = buf_bytes(&mechanisms), .locales = BYTES_LITERAL("en_US"));
    buf_fini(&mechanisms);
    buf_fini(&properties);
    connection_move(c, CONNECTION_STARTING);
    /* Not before it has spoken: probes of the port leave no line. */
    log_info("connection.accept", "conn=%llu peer=%s msg=\"accepting AMQP connection\"",
             (unsigned long long)c->id, c->peer);
}

void
connection_tune(struct connection *c)
{
    const struct config_limits *limits = &c->worker->broker->config->limits;
    CONNECTION_SEND(c, connection_tune, .channel_max = limits->channel_max,
                    .frame_max = limits->frame_max, .heartbeat = limits->heartbeat_s);
    connection_move(c, CONNECTION_TUNING);
}

static bool
check_tuning(const struct config_limits *limits, const struct amqp_connection_tune_ok *m,
             struct amqp_exception *ex)
{
    if (m->frame_max != 0 && m->frame_max < AMQP_FRAME_MAX_LEAST)
        return amqp_raise(ex, AMQP_NOT_ALLOWED,
                          "negotiated frame_max = %u is lower than the minimum allowed value (%u)",
                          m->frame_max, AMQP_FRAME_MAX_LEAST);
    if (m->frame_max == 0 || m->frame_max > limits->frame_max)
        return amqp_raise(ex, AMQP_NOT_ALLOWED,
                          "negotiated frame_max = %u is higher than the maximum allowed value (%u)",
                          m->frame_max, limits->frame_max);
    if (m->channel_max == 0 || m->channel_max > limits->channel_max)
        return amqp_raise(ex, AMQP_NOT_ALLOWED,
                          "negotiated channel_max = %u%s is higher than the maximum allowed value "
                          "(%u)",
                          m->channel_max, m->channel_max == 0 ? " (no limit)" : "",
                          limits->channel_max);
    return true;
}

bool
on_connection_tune_ok(struct connection *c, const struct amqp_connection_tune_ok *m,
                      struct amqp_exception *ex)
{
    if (!check_tuning(&c->worker->broker->config->limits, m, ex))
        return false;
    c->frame_max = m->frame_max;
    c->channel_max = m->channel_max;
    c->heartbeat_s = m->heartbeat;
    connection_move(c, CONNECTION_OPENING);
    return true;
}

static void
start_heartbeat(struct connection *c)
{
    /* What was written before does not count: the first beat comes at half the interval. */
    connection_flush(c);
    if (c->state == CONNECTION_CLOSED)
        return;
    c->sent = false;
    c->received = true;
    if (c->heartbeat_s == 0)
        timer_stop(&c->worker->loop, &c->timer);
    else
        connection_start_timer(c, c->heartbeat_s * UINT64_C(500));
}

static bool
raise_refused(const struct connection *c, struct bytes vhost, struct amqp_exception *ex)
{
    return amqp_raise(ex, AMQP_NOT_ALLOWED, "access to vhost '%.*s' refused for user '%.*s'",
                      BYTES_ARGS(vhost), BYTES_ARGS(c->user));
}

bool
on_connection_open(struct connection *c, const struct amqp_connection_open *m,
                   struct amqp_exception *ex)
{
    c->vhost = broker_find_vhost(c->worker->broker, m->virtual_host);
    if (c->vhost == NULL)
        return amqp_raise(ex, AMQP_NOT_ALLOWED, "vhost %.*s not found",
                          BYTES_ARGS(m->virtual_host));
    if (!connection_take_place(c, ex))
        return false;
    if (!access_open(c) || atomic_load(&c->account->is_deleted))
        return raise_refused(c, m->virtual_host, ex);
    CONNECTION_SEND(c, connection_open_ok, .known_hosts = BYTES_NONE);
    connection_move(c, CONNECTION_RUNNING);
    start_heartbeat(c);
    char name[128];
    char user[128];
    char vhost[300];
    log_info(
        "connection.open",
        "conn=%llu peer=%s user=\"%s\" vhost=\"%s\" name=\"%s\" msg=\"authenticated and granted "
        "access\"",
        (unsigned long long)c->id, c->peer, log_quote(c->user, user, sizeof(user)),
        log_quote(c->vhost->name, vhost, sizeof(vhost)), log_quote(c->name, name, sizeof(name)));
    return true;
}

bool
on_connection_close(struct connection *c, const struct amqp_connection_close *m,
                    struct amqp_exception *ex)
{
    (void)m;
    (void)ex;
    if (c->state != CONNECTION_CLOSING)
        connection_release(c); /* Exclusive queues are gone when close-ok arrives. */
    connection_send_empty(c, 0, AMQP_ID_connection_close_ok);
    log_info("connection.close", "conn=%llu peer=%s msg=\"closing AMQP connection\"",
             (unsigned long long)c->id, c->peer);
    if (c->state != CONNECTION_CLOSING)
        connection_linger(c);
    return true;
}

bool
on_connection_close_ok(struct connection *c, const struct amqp_connection_close_ok *m,
                       struct amqp_exception *ex)
{
    (void)m;
    if (c->state != CONNECTION_CLOSING)
        return amqp_raise(ex, AMQP_COMMAND_INVALID, "unimplemented method");
    connection_linger(c);
    return true;
}

bool
on_connection_update_secret(struct connection *c, const struct amqp_connection_update_secret *m,
                            struct amqp_exception *ex)
{
    (void)m; /* Secrets of internal users do not expire. */
    (void)ex;
    connection_send_empty(c, 0, AMQP_ID_connection_update_secret_ok);
    return true;
}

static void
fire_heartbeat(struct connection *c)
{
    c->half_interval++;
    if (c->half_interval % 2 == 0) {
        /* While we do not read, silence is ours; unless we wait for the peer to read. */
        const bool alive = c->received || (c->pauses & ~(unsigned)PAUSE_OUTPUT) != 0;
        c->received = false;
        c->silent_intervals = alive ? 0 : (uint8_t)(c->silent_intervals + 1);
        if (c->silent_intervals >= 2) {
            atomic_fetch_add_explicit(&c->worker->broker->counters.heartbeats_missed, 1,
                                      memory_order_relaxed);
            connection_drop(c, "missed heartbeats from client");
            return;
        }
    }
    if (!c->sent) {
        uint8_t *at = output_reserve(&c->output, AMQP_FRAME_OVERHEAD);
        amqp_frame_head_encode(at, AMQP_FRAME_HEARTBEAT, 0, 0);
        at[AMQP_FRAME_HEAD_SIZE] = AMQP_FRAME_END;
        output_commit(&c->output, AMQP_FRAME_OVERHEAD);
        connection_flush(c);
        if (c->state == CONNECTION_CLOSED)
            return;
    }
    c->sent = false;
    connection_start_timer(c, c->heartbeat_s * UINT64_C(500));
}

void
connection_timer_fire(struct timer *timer)
{
    struct connection *c = LIST_CONTAINER(timer, struct connection, timer);
    switch (c->state) {
    case CONNECTION_AWAITING_HEADER:
    case CONNECTION_SECURING:
    case CONNECTION_STARTING:
    case CONNECTION_TUNING:
    case CONNECTION_OPENING:
        connection_drop(c, "handshake timeout");
        return;
    case CONNECTION_LOGGING_IN:
        connection_login_timeout(c);
        return;
    case CONNECTION_RUNNING:
        fire_heartbeat(c);
        return;
    case CONNECTION_CLOSING:
        connection_drop(c, "no close-ok from the client");
        return;
    case CONNECTION_CONDEMNED:
    case CONNECTION_LINGERING:
        connection_drop(c, NULL);
        return;
    case CONNECTION_CLOSED:
    case CONNECTION_STATE_COUNT:
        UNREACHABLE();
    }
}

/* methods.def says in which state a method is due. */
static bool
is_due(const struct connection *c, enum amqp_method_state due)
{
    switch (due) {
    case AMQP_STATE_STARTING:
        return c->state == CONNECTION_STARTING;
    case AMQP_STATE_TUNING:
        return c->state == CONNECTION_TUNING;
    case AMQP_STATE_OPENING:
        return c->state == CONNECTION_OPENING;
    case AMQP_STATE_RUNNING:
        return c->state == CONNECTION_RUNNING;
    case AMQP_STATE_ALWAYS:
        return true;
    case AMQP_STATE_NEVER:
    case AMQP_STATE_SECURING:
    case AMQP_STATE_CHANNEL:
        return false;
    }
    UNREACHABLE();
}

static bool
call_handler(struct connection *c, const union amqp_method *m, struct amqp_exception *ex)
{
    switch (m->id) {
#define HANDLE(symbol)                                                                             \
    case AMQP_ID_##symbol:                                                                         \
        return on_##symbol(c, &m->symbol, ex);
        HANDLE(connection_start_ok)
        HANDLE(connection_tune_ok)
        HANDLE(connection_open)
        HANDLE(connection_close)
        HANDLE(connection_close_ok)
        HANDLE(connection_update_secret)
#undef HANDLE
    default:
        UNREACHABLE();
    }
}

bool
connection_raise_wire(uint32_t method_id, enum wire_error error, struct bytes arguments,
                      struct amqp_exception *ex)
{
    ex->method_id = method_id;
    switch (error) {
    case WIRE_NOT_UTF8:
        ex->method_id = 0;
        return amqp_raise(ex, AMQP_FRAME_ERROR, "Malformed UTF-8 in shortstr");
    case WIRE_BAD_TABLE:
        return amqp_raise(ex, AMQP_SYNTAX_ERROR, "malformed field table in %s",
                          amqp_method_find(method_id)->name);
    case WIRE_OK:
    case WIRE_TRUNCATED:
    case WIRE_TRAILING:
        break;
    }
    char octets[80] = "";
    size_t used = 0;
    for (size_t i = 0; i < arguments.size && i < 16; i++)
        used += (size_t)snprintf(octets + used, sizeof(octets) - used, "%s%u", i == 0 ? "" : ",",
                                 arguments.data[i]);
    return amqp_raise(ex, AMQP_FRAME_ERROR, "cannot decode <<%s>>", octets);
}

bool
connection_dispatch(struct connection *c, uint32_t method_id, struct bytes arguments,
                    struct amqp_exception *ex)
{
    const struct amqp_method_info *info = amqp_method_find(method_id);
    ex->method_id = method_id;
    if (info == NULL)
        return amqp_raise(ex, AMQP_COMMAND_INVALID, "unimplemented method");
    if (method_id >> 16 == 10 && info->state == AMQP_STATE_NEVER)
        return amqp_raise(ex, AMQP_COMMAND_INVALID, "unimplemented method");
    if (!is_due(c, info->state))
        return amqp_raise(ex, AMQP_CHANNEL_ERROR, "unexpected method in connection state %s",
                          connection_state_name(c->state));
    union amqp_method m;
    const enum wire_error error = amqp_method_decode(method_id, arguments, &m);
    if (error != WIRE_OK)
        return connection_raise_wire(method_id, error, arguments, ex);
    return call_handler(c, &m, ex);
}
