#include "broker/session/arguments.h"

#include "broker/session/access.h"

struct bytes
name_without_line_ends(struct bytes name, struct name_buffer *buffer)
{
    size_t size = 0;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] != '\r' && name.data[i] != '\n')
            buffer->octets[size++] = name.data[i];
    return size == name.size ? name : bytes_of(buffer->octets, size);
}

bool
channel_queue_name(struct channel *ch, struct bytes given, struct name_buffer *buffer,
                   struct bytes *out, struct amqp_exception *ex)
{
    *out = name_without_line_ends(given, buffer);
    if (given.size > 0)
        return true;
    *out = ch->last_queue;
    return ch->last_queue.data != NULL ||
           amqp_raise(ex, AMQP_NOT_FOUND, "no previously declared queue");
}

struct queue *
channel_read_queue(struct channel *ch, struct bytes given, struct amqp_exception *ex)
{
    struct name_buffer buffer;
    struct bytes name;
    if (!channel_queue_name(ch, given, &buffer, &name, ex) ||
        !access_queue(ch->connection, ACCESS_READ, name, ex))
        return NULL;
    return vhost_use_queue(ch->connection->vhost, name, ch->connection->id, ex);
}

bool
queue_is_no_stream(const struct queue *q, const char *operation, struct amqp_exception *ex)
{
    return q->stream == NULL ||
           amqp_raise(ex, AMQP_NOT_IMPLEMENTED,
                      "%s not supported by stream queues queue '%.*s' in vhost '%.*s'", operation,
                      BYTES_ARGS(q->name), BYTES_ARGS(q->vhost->name));
}

void
channel_reply_empty(struct channel *ch, bool nowait, uint64_t ticket, uint32_t method_id)
{
    const union amqp_method m = { .id = method_id };
    if (!nowait)
        connection_send_after(ch->connection, ch->number, ticket, &m);
}
