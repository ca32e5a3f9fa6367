#include "amqp/content.h"

#include "amqp/wire.h"

void
content_begin(struct content *c, uint32_t method_id)
{
    ASSERT(c->state == CONTENT_WANT_METHOD);
    *c = (struct content){ .state = CONTENT_WANT_HEADER, .method_id = method_id };
}

static bool
raise_not_a_header(const struct content *c, struct amqp_exception *ex)
{
    ex->method_id = c->method_id;
    return amqp_raise(ex, AMQP_UNEXPECTED_FRAME,
                      "expected content header for class %u, got non content header frame instead",
                      c->method_id >> 16);
}

static bool
raise_not_a_body(const struct content *c, struct amqp_exception *ex)
{
    ex->method_id = c->method_id;
    return amqp_raise(ex, AMQP_UNEXPECTED_FRAME,
                      "expected content body, got non content body frame instead");
}

static bool
raise_not_a_method(struct amqp_exception *ex)
{
    ex->method_id = 0;
    return amqp_raise(ex, AMQP_UNEXPECTED_FRAME,
                      "expected method frame, got non method frame instead");
}

bool
content_raise_interrupted(const struct content *c, struct amqp_exception *ex)
{
    ASSERT(c->state != CONTENT_WANT_METHOD);
    return c->state == CONTENT_WANT_HEADER ? raise_not_a_header(c, ex) : raise_not_a_body(c, ex);
}

bool
content_accept_header(struct content *c, struct bytes payload, struct content_header *out,
                      struct amqp_exception *ex)
{
    if (c->state == CONTENT_WANT_METHOD)
        return raise_not_a_method(ex);
    if (c->state == CONTENT_WANT_BODY)
        return raise_not_a_body(c, ex);

    struct wire_reader r = wire_reader_of(payload);
    const uint16_t class_id = wire_read_short(&r);
    const uint16_t weight = wire_read_short(&r);
    out->body_size = wire_read_longlong(&r);
    out->properties = bytes_of(r.at, (size_t)(r.end - r.at));
    if (r.error != WIRE_OK || weight != 0)
        return raise_not_a_header(c, ex);
    if (class_id != c->method_id >> 16) {
        ex->method_id = c->method_id;
        return amqp_raise(ex, AMQP_UNEXPECTED_FRAME,
                          "expected content header for class %u, got one for class %u instead",
                          c->method_id >> 16, class_id);
    }
    c->body_size = out->body_size;
    c->body_received = 0;
    c->state = out->body_size == 0 ? CONTENT_WANT_METHOD : CONTENT_WANT_BODY;
    return true;
}

bool
content_accept_body(struct content *c, uint64_t size, struct amqp_exception *ex)
{
    if (c->state == CONTENT_WANT_METHOD)
        return raise_not_a_method(ex);
    if (c->state == CONTENT_WANT_HEADER)
        return raise_not_a_header(c, ex);
    if (size > c->body_size - c->body_received) {
        ex->method_id = c->method_id;
        return amqp_raise(ex, AMQP_UNEXPECTED_FRAME,
                          "content body of more than the %llu octets its header declares",
                          (unsigned long long)c->body_size);
    }
    c->body_received += size;
    if (c->body_received == c->body_size)
        c->state = CONTENT_WANT_METHOD;
    return true;
}
