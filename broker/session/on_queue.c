/* Class queue. */

#include "amqp/table.h"
#include "broker/base/mem.h"
#include "broker/base/rand.h"
#include "broker/session/arguments.h"
#include "broker/session/access.h"
#include "broker/session/channel.h"

static void
remember_queue(struct channel *ch, struct bytes name)
{
    const struct bytes copy = bytes_copy(name);
    mem_free_const(ch->last_queue.data);
    ch->last_queue = copy;
}

static void
reply_declare_ok(struct channel *ch, bool nowait, uint64_t ticket, struct bytes name,
                 struct queue_counts counts)
{
    remember_queue(ch, name);
    if (nowait)
        return;
    CHANNEL_SEND_AFTER(ch, ticket, queue_declare_ok, .queue = name,
                       .message_count = (uint32_t)counts.ready,
                       .consumer_count = (uint32_t)counts.consumers);
}

/* The pseudo-queues of direct reply-to: declaring one asks whether its requester is still there. */
static bool
declare_reply_address(struct channel *ch, const struct amqp_queue_declare *m, struct bytes name,
                      struct bytes token, struct amqp_exception *ex)
{
    if (!replies_exist(&ch->connection->worker->broker->replies, token))
        return vhost_raise_no_queue(ch->connection->vhost, name, ex);
    const struct queue_counts alive = { .consumers = 1 };
    reply_declare_ok(ch, m->nowait, 0, name, alive);
    return true;
}

static bool
declare_passive(struct channel *ch, const struct amqp_queue_declare *m, struct bytes name,
                struct amqp_exception *ex)
{
    struct queue *q = vhost_use_queue(ch->connection->vhost, name, ch->connection->id, ex);
    if (q == NULL)
        return false;
    queue_touch(q);
    reply_declare_ok(ch, m->nowait, 0, q->name, queue_counts(q));
    queue_unref(q);
    return true;
}

/* A new queue with a dead-letter exchange reads from the one and writes to the other. */
static bool
may_dead_letter(struct channel *ch, const struct amqp_queue_declare *m, struct bytes name,
                struct amqp_exception *ex)
{
    struct table_field f;
    struct amqp_exception other;
    struct connection *c = ch->connection;
    if (!table_find(m->arguments, BYTES_LITERAL("x-dead-letter-exchange"), &f) || f.tag != 'S')
        return true;
    struct queue *q = vhost_use_queue(c->vhost, name, c->id, &other);
    if (q != NULL)
        queue_unref(q);
    if (q != NULL || other.code != AMQP_NOT_FOUND)
        return true; /* There is one already: it is only compared. */
    return access_queue(c, ACCESS_READ, name, ex) && access_exchange(c, ACCESS_WRITE, f.value, ex);
}

static bool
declare_active(struct channel *ch, const struct amqp_queue_declare *m, struct bytes name,
               struct amqp_exception *ex)
{
    struct connection *c = ch->connection;
    struct buf arguments = { 0 };
    if (!access_queue(c, ACCESS_CONFIGURE, name, ex) || !may_dead_letter(ch, m, name, ex))
        return false;
    table_canonical(m->arguments, &arguments);
    const struct queue_spec spec = {
        .name = name,
        .arguments = buf_bytes(&arguments),
        /* An exclusive queue dies with its connection: durable means nothing. */
        .durable = m->durable && !m->exclusive,
        .auto_delete = m->auto_delete,
        .owner = m->exclusive ? c->id : 0,
        .window = c->worker->broker->config->limits.outbox_bytes,
    };
    struct queue *q = NULL;
    bool created;
    uint64_t ticket;
    const bool ok = vhost_declare_queue(c->vhost, &spec, c->id, &q, &created, &ticket, ex);
    buf_fini(&arguments);
    if (!ok)
        return false;
    if (created && q->owner != 0)
        list_push(&c->exclusive_queues, &q->in_connection);
    reply_declare_ok(ch, m->nowait, ticket, q->name, queue_counts(q));
    queue_unref(q);
    return true;
}

bool
on_queue_declare(struct channel *ch, const struct amqp_queue_declare *m, struct amqp_exception *ex)
{
    struct name_buffer buffer;
    struct bytes name = name_without_line_ends(m->queue, &buffer);
    struct bytes token;
    if (replies_parse(name, &token))
        return declare_reply_address(ch, m, name, token, ex);
    if (m->passive)
        return declare_passive(ch, m, name, ex);
    if (bytes_start_with(name, BYTES_LITERAL("amq.")))
        return amqp_raise(ex, AMQP_ACCESS_REFUSED,
                          "queue name '%.*s' contains reserved prefix 'amq.*'", BYTES_ARGS(name));
    char generated[8 + 23] = "amq.gen-";
    struct table_field f;
    enum queue_type type;
    if (name.size == 0 && table_find(m->arguments, BYTES_LITERAL("x-queue-type"), &f) &&
        queue_type_find(f.value, &type) && type != QUEUE_CLASSIC)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "Cannot declare a server-named queue for type %s",
                          queue_type_internal_name(type));
    if (name.size == 0) {
        rand_name(generated + 8);
        name = bytes_of_string(generated);
    }
    return declare_active(ch, m, name, ex);
}

/* If neither queue nor key is named, the queue declared last is meant, and its name is the key. */
static bool
bind_ends(struct channel *ch, struct bytes queue, struct bytes exchange, struct bytes key,
          struct name_buffer buffers[2], struct bind_spec *out, struct amqp_exception *ex)
{
    out->destination_kind = DESTINATION_QUEUE;
    if (!channel_queue_name(ch, queue, &buffers[0], &out->destination, ex))
        return false;
    out->source = name_without_line_ends(exchange, &buffers[1]);
    out->key = queue.size == 0 && key.size == 0 ? out->destination : key;
    if (!access_queue(ch->connection, ACCESS_WRITE, out->destination, ex))
        return false;
    if (out->source.size == 0)
        return amqp_raise(ex, AMQP_ACCESS_REFUSED,
                          "operation not permitted on the default exchange");
    return access_exchange(ch->connection, ACCESS_READ, out->source, ex) &&
           access_topic_source(ch->connection, out->source, out->key, ex);
}

bool
on_queue_bind(struct channel *ch, const struct amqp_queue_bind *m, struct amqp_exception *ex)
{
    struct name_buffer buffers[2];
    struct bind_spec spec = { .arguments = m->arguments };
    uint64_t ticket;
    if (!bind_ends(ch, m->queue, m->exchange, m->routing_key, buffers, &spec, ex) ||
        !vhost_bind(ch->connection->vhost, &spec, ch->connection->id, &ticket, ex))
        return false;
    channel_reply_empty(ch, m->nowait, ticket, AMQP_ID_queue_bind_ok);
    return true;
}

bool
on_queue_unbind(struct channel *ch, const struct amqp_queue_unbind *m, struct amqp_exception *ex)
{
    struct name_buffer buffers[2];
    struct bind_spec spec = { .arguments = m->arguments };
    uint64_t ticket;
    if (!bind_ends(ch, m->queue, m->exchange, m->routing_key, buffers, &spec, ex) ||
        !vhost_unbind(ch->connection->vhost, &spec, ch->connection->id, &ticket, ex))
        return false;
    channel_reply_empty(ch, false, ticket, AMQP_ID_queue_unbind_ok);
    return true;
}

bool
on_queue_purge(struct channel *ch, const struct amqp_queue_purge *m, struct amqp_exception *ex)
{
    struct queue *q = channel_read_queue(ch, m->queue, ex);
    if (q == NULL)
        return false;
    const bool ok = queue_is_no_stream(q, "queue.purge", ex);
    const size_t count = ok ? queue_purge(q) : 0;
    queue_unref(q);
    if (ok && !m->nowait)
        CHANNEL_SEND(ch, queue_purge_ok, .message_count = (uint32_t)count);
    return ok;
}

bool
on_queue_delete(struct channel *ch, const struct amqp_queue_delete *m, struct amqp_exception *ex)
{
    size_t count = 0;
    uint64_t ticket = 0;
    struct name_buffer buffer;
    struct bytes name;
    if (!channel_queue_name(ch, m->queue, &buffer, &name, ex))
        return false;
    struct vhost *v = ch->connection->vhost;
    if (!access_queue(ch->connection, ACCESS_CONFIGURE, name, ex))
        return false;
    struct queue *q = vhost_use_queue(v, name, ch->connection->id, ex);
    if (q == NULL && ex->code != AMQP_NOT_FOUND)
        return false;
    if (q != NULL) {
        const bool ok = vhost_delete_queue(v, q, m->if_unused, m->if_empty, &count, &ticket, ex);
        queue_unref(q);
        if (!ok)
            return false;
    }
    if (!m->nowait)
        CHANNEL_SEND_AFTER(ch, ticket, queue_delete_ok, .message_count = (uint32_t)count);
    return true;
}
