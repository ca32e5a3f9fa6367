/* Class exchange. */

#include "amqp/table.h"
#include "broker/session/access.h"
#include "broker/session/arguments.h"
#include "broker/session/channel.h"

static bool
refuse_default(struct bytes name, struct amqp_exception *ex)
{
    return name.size > 0 ||
           amqp_raise(ex, AMQP_ACCESS_REFUSED, "operation not permitted on the default exchange");
}

static bool
check_alternate(const struct vhost *v, struct bytes exchange, struct bytes arguments,
                struct amqp_exception *ex)
{
    struct table_field f;
    if (!table_find(arguments, BYTES_LITERAL("alternate-exchange"), &f) || f.tag == 'S')
        return true;
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                      "invalid type '%s' for arg 'alternate-exchange' in exchange '%.*s' in vhost "
                      "'%.*s'",
                      table_tag_name(f.tag), BYTES_ARGS(exchange), BYTES_ARGS(v->name));
}

/* A new exchange with an alternate reads from the one and writes to the other. */
static bool
may_use_alternate(struct channel *ch, struct bytes name, const struct amqp_exchange_declare *m,
                  struct amqp_exception *ex)
{
    struct table_field f;
    struct amqp_exception absent;
    struct connection *c = ch->connection;
    if (!table_find(m->arguments, BYTES_LITERAL("alternate-exchange"), &f) || f.tag != 'S' ||
        vhost_check_exchange(c->vhost, name, &absent))
        return true;
    return access_exchange(c, ACCESS_READ, name, ex) &&
           access_exchange(c, ACCESS_WRITE, f.value, ex);
}

static bool
declare(struct channel *ch, const struct amqp_exchange_declare *m, struct bytes name,
        uint64_t *ticket, struct amqp_exception *ex)
{
    struct vhost *v = ch->connection->vhost;
    struct exchange_spec spec = {
        .name = name,
        .arguments = m->arguments,
        .durable = m->durable,
        .auto_delete = m->auto_delete,
        .internal = m->internal,
    };
    if (!exchange_spec_parse(&spec, m->type, v->name, ex) || !refuse_default(name, ex) ||
        !access_exchange(ch->connection, ACCESS_CONFIGURE, name, ex) ||
        !check_alternate(v, name, m->arguments, ex) || !may_use_alternate(ch, name, m, ex))
        return false;
    struct buf arguments = { 0 };
    table_canonical(m->arguments, &arguments);
    spec.arguments = buf_bytes(&arguments);
    const bool ok = vhost_declare_exchange(v, &spec, ticket, ex);
    buf_fini(&arguments);
    return ok;
}

bool
on_exchange_declare(struct channel *ch, const struct amqp_exchange_declare *m,
                    struct amqp_exception *ex)
{
    struct name_buffer buffer;
    const struct bytes name = name_without_line_ends(m->exchange, &buffer);
    uint64_t ticket = 0;
    const bool ok = m->passive ? refuse_default(name, ex) &&
                                     vhost_check_exchange(ch->connection->vhost, name, ex)
                               : declare(ch, m, name, &ticket, ex);
    if (ok)
        channel_reply_empty(ch, m->nowait, ticket, AMQP_ID_exchange_declare_ok);
    return ok;
}

bool
on_exchange_delete(struct channel *ch, const struct amqp_exchange_delete *m,
                   struct amqp_exception *ex)
{
    struct name_buffer buffer;
    struct vhost *v = ch->connection->vhost;
    const struct bytes name = name_without_line_ends(m->exchange, &buffer);
    uint64_t ticket = 0;
    if (!refuse_default(name, ex))
        return false;
    if (bytes_start_with(name, BYTES_LITERAL("amq.")))
        return amqp_raise(ex, AMQP_ACCESS_REFUSED,
                          "deletion of system exchange '%.*s' in vhost '%.*s' not allowed",
                          BYTES_ARGS(name), BYTES_ARGS(v->name));
    if (!access_exchange(ch->connection, ACCESS_CONFIGURE, name, ex) ||
        !vhost_delete_exchange(v, name, m->if_unused, &ticket, ex))
        return false;
    channel_reply_empty(ch, m->nowait, ticket, AMQP_ID_exchange_delete_ok);
    return true;
}

/* Names of both ends without line ends; neither may be the default exchange. */
static bool
bind_ends(struct connection *c, struct bytes destination, struct bytes source,
          struct name_buffer buffers[2], struct bind_spec *out, struct amqp_exception *ex)
{
    out->destination_kind = DESTINATION_EXCHANGE;
    out->destination = name_without_line_ends(destination, &buffers[0]);
    out->source = name_without_line_ends(source, &buffers[1]);
    return access_exchange(c, ACCESS_WRITE, out->destination, ex) &&
           refuse_default(out->destination, ex) && refuse_default(out->source, ex) &&
           access_exchange(c, ACCESS_READ, out->source, ex) &&
           access_topic_source(c, out->source, out->key, ex);
}

bool
on_exchange_bind(struct channel *ch, const struct amqp_exchange_bind *m, struct amqp_exception *ex)
{
    struct connection *c = ch->connection;
    struct name_buffer buffers[2];
    struct bind_spec spec = { .key = m->routing_key, .arguments = m->arguments };
    uint64_t ticket;
    if (!bind_ends(c, m->destination, m->source, buffers, &spec, ex) ||
        !vhost_bind(c->vhost, &spec, c->id, &ticket, ex))
        return false;
    channel_reply_empty(ch, m->nowait, ticket, AMQP_ID_exchange_bind_ok);
    return true;
}

bool
on_exchange_unbind(struct channel *ch, const struct amqp_exchange_unbind *m,
                   struct amqp_exception *ex)
{
    struct name_buffer buffers[2];
    struct bind_spec spec = { .key = m->routing_key, .arguments = m->arguments };
    uint64_t ticket;
    if (!bind_ends(ch->connection, m->destination, m->source, buffers, &spec, ex) ||
        !vhost_unbind(ch->connection->vhost, &spec, ch->connection->id, &ticket, ex))
        return false;
    channel_reply_empty(ch, m->nowait, ticket, AMQP_ID_exchange_unbind_ok);
    return true;
}
