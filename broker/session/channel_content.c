/* Content coming in: header, body, and what of it must be kept where. */

#include "broker/base/mem.h"
#include "broker/session/channel.h"

void
channel_own_names(struct channel *ch)
{
    struct publish *p = &ch->publish;
    if (p->names != NULL)
        return;
    p->names = mem_alloc(p->exchange.size + p->key.size + 1);
    if (p->exchange.size > 0)
        memcpy(p->names, p->exchange.data, p->exchange.size);
    if (p->key.size > 0)
        memcpy(p->names + p->exchange.size, p->key.data, p->key.size);
    p->exchange.data = p->names;
    p->key.data = p->names + p->exchange.size;
}

bool
on_basic_publish(struct channel *ch, const struct amqp_basic_publish *m, struct amqp_exception *ex)
{
    (void)ex;
    struct connection *c = ch->connection;
    content_begin(&ch->content, m->id);
    ch->publish.exchange = m->exchange;
    ch->publish.key = m->routing_key;
    ch->publish.mandatory = m->mandatory;
    ch->publish.immediate = m->immediate;
    /* One channel at a time may keep its names in the read buffer. */
    if (c->borrower != NULL && c->borrower != ch)
        channel_own_names(c->borrower);
    c->borrower = ch;
    return true;
}

static void
publish_end(struct channel *ch)
{
    if (ch->publish.names != NULL)
        mem_free(ch->publish.names);
    ch->publish = (struct publish){ 0 };
}

/* All of the content has come. Soft exceptions close the channel, which swallows them. */
static bool
publish_complete(struct channel *ch, struct amqp_exception *ex)
{
    struct message *m = ch->publish.message;
    ex->method_id = AMQP_ID_basic_publish;
    bool ok = true;
    if (m != NULL) {
        ch->publish.message = NULL;
        ok = channel_publish(ch, m, ex);
    }
    publish_end(ch);
    if (ok || amqp_code_is_hard(ex->code))
        return ok;
    channel_raise(ch, ex);
    return true;
}

static bool
message_begin(struct channel *ch, const struct content_header *header, struct amqp_exception *ex)
{
    struct broker *b = ch->connection->worker->broker;
    struct publish *p = &ch->publish;
    const uint64_t limit = b->config->limits.max_message_size;
    ex->method_id = AMQP_ID_basic_publish;
    if (header->body_size > limit)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "message size %llu is larger than configured max size %llu",
                          (unsigned long long)header->body_size, (unsigned long long)limit);
    p->message = message_create(p->exchange, p->key, header->properties, header->body_size);
    if (p->message != NULL)
        return true;
    return amqp_raise(ex, AMQP_RESOURCE_ERROR, "no memory for a message of %llu octets",
                      (unsigned long long)header->body_size);
}

bool
channel_accept_header(struct channel *ch, struct bytes payload, struct amqp_exception *ex)
{
    struct content_header header;
    if (!content_accept_header(&ch->content, payload, &header, ex))
        return false;
    struct connection *c = ch->connection;
    ch->body_at = 0;
    if (ch->state == CHANNEL_OPEN && !message_begin(ch, &header, ex)) {
        if (amqp_code_is_hard(ex->code))
            return false;
        channel_raise(ch, ex); /* The body that follows is swallowed. */
    }
    if (c->borrower == ch)
        c->borrower = NULL; /* The message has copies of the names. */
    connection_check_pressure(c);
    return header.body_size > 0 || publish_complete(ch, ex);
}

bool
channel_begin_body(struct channel *ch, uint64_t size, struct amqp_exception *ex)
{
    ch->body_at = ch->content.body_received;
    return content_accept_body(&ch->content, size, ex);
}

void
channel_add_body(struct channel *ch, const uint8_t *data, size_t size)
{
    if (ch->publish.message != NULL) {
        memcpy(message_body(ch->publish.message) + ch->body_at, data, size);
        message_charge((int64_t)size);
    }
    ch->body_at += size;
}

uint8_t *
channel_body_space(struct channel *ch, size_t *space)
{
    if (ch->publish.message == NULL)
        return NULL;
    *space = (size_t)(ch->publish.message->body_size - ch->body_at);
    return message_body(ch->publish.message) + ch->body_at;
}

void
channel_body_received(struct channel *ch, size_t size)
{
    message_charge((int64_t)size);
    ch->body_at += size;
}

bool
channel_end_body(struct channel *ch, struct amqp_exception *ex)
{
    return ch->content.state != CONTENT_WANT_METHOD || publish_complete(ch, ex);
}
