/* Classes channel and access. */

#include "broker/session/access.h"
#include "broker/session/channel.h"

bool
on_channel_open(struct channel *ch, const struct amqp_channel_open *m, struct amqp_exception *ex)
{
    (void)m;
    if (ch->is_open)
        return amqp_raise(ex, AMQP_CHANNEL_ERROR, "second 'channel.open' seen");
    struct account *a = ch->connection->account;
    if (!limit_take(&a->channels, &a->max_channels)) {
        ex->method_id = 0;
        return amqp_raise(ex, AMQP_NOT_ALLOWED,
                          "number of channels opened for user '%.*s' has reached the maximum "
                          "allowed user limit of (%lld)",
                          BYTES_ARGS(a->name), (long long)atomic_load(&a->max_channels));
    }
    ch->is_open = true;
    CHANNEL_SEND(ch, channel_open_ok, .reserved_channel_id = BYTES_NONE);
    return true;
}

bool
on_channel_flow(struct channel *ch, const struct amqp_channel_flow *m, struct amqp_exception *ex)
{
    if (!m->active)
        return amqp_raise(ex, AMQP_NOT_IMPLEMENTED, "active=false");
    CHANNEL_SEND(ch, channel_flow_ok, .active = true);
    return true;
}

bool
on_channel_flow_ok(struct channel *ch, const struct amqp_channel_flow_ok *m,
                   struct amqp_exception *ex)
{
    (void)ch; /* We never send channel.flow; an answer to it does no harm. */
    (void)m;
    (void)ex;
    return true;
}

bool
on_channel_close(struct channel *ch, const struct amqp_channel_close *m, struct amqp_exception *ex)
{
    (void)m;
    (void)ex;
    struct connection *c = ch->connection;
    const uint16_t number = ch->number;
    channel_destroy(ch);
    connection_send_empty(c, number, AMQP_ID_channel_close_ok);
    return true;
}

bool
on_channel_close_ok(struct channel *ch, const struct amqp_channel_close_ok *m,
                    struct amqp_exception *ex)
{
    (void)ch;
    (void)m;
    return amqp_raise(ex, AMQP_COMMAND_INVALID, "unimplemented method");
}

bool
on_access_request(struct channel *ch, const struct amqp_access_request *m,
                  struct amqp_exception *ex)
{
    (void)m; /* Realms are of AMQP 0-8; every ticket is good. */
    (void)ex;
    CHANNEL_SEND(ch, access_request_ok, .ticket = 1);
    return true;
}
