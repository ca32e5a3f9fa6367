/*
 * A stream of frames as a connection cuts it: heads are judged, methods decoded and encoded again,
 * content assembled per stream. The first octet of the input chooses frame_max.
 */

#include "amqp/content.h"
#include "amqp/frame.h"
#include "amqp/method.h"
#include "amqp/properties.h"
#include "tests/exact.h"
#include "tests/fuzz/fuzz.h"

static const uint32_t frame_maxima[] = { AMQP_FRAME_MAX_LEAST, 131072, 0 };

static void
check_exception(const struct amqp_exception *ex, enum amqp_reply_code code)
{
    ASSERT(ex->code == code);
    ASSERT(memchr(ex->text, 0, sizeof(ex->text)) != NULL);
    const struct bytes text = bytes_of_string(ex->text);
    ASSERT(bytes_start_with(text, bytes_of_string(amqp_reply_name(code))));
    ASSERT(bytes_are_utf8(text));
}

static struct exact
encode(const union amqp_method *m)
{
    const size_t size = amqp_method_size(m);
    struct exact e = { .block = mem_alloc(size + 1) };
    e.bytes = bytes_of(e.block + 1, size);
    struct wire_writer w = wire_writer_of(e.block + 1, size);
    amqp_method_encode(&w, m);
    ASSERT(w.at == w.end);
    return e;
}

/* The same but for bits that no field owns, which encode as zero. */
static void
check_same_but_spare_bits(struct bytes original, struct bytes again)
{
    ASSERT(original.size == again.size);
    for (size_t i = 0; i < original.size; i++) {
        const bool is_bits = again.data[i] < 0x20 && (again.data[i] & ~original.data[i]) == 0;
        ASSERT(original.data[i] == again.data[i] || is_bits);
    }
}

static void
check_method(const struct amqp_method_info *info, struct bytes payload)
{
    union amqp_method m;
    const struct bytes arguments = bytes_of(payload.data + 4, payload.size - 4);
    if (amqp_method_decode(info->id, arguments, &m) != WIRE_OK)
        return;
    ASSERT(m.id == info->id);
    struct exact once = encode(&m);
    check_same_but_spare_bits(payload, once.bytes);

    union amqp_method again;
    const struct bytes encoded = bytes_of(once.bytes.data + 4, once.bytes.size - 4);
    ASSERT(amqp_method_decode(info->id, encoded, &again) == WIRE_OK);
    struct exact twice = encode(&again);
    ASSERT(bytes_equal(once.bytes, twice.bytes));
    exact_free(&twice);
    exact_free(&once);
}

static bool
take_method(struct content *c, struct bytes payload)
{
    if (payload.size < 4)
        return true;
    const struct amqp_method_info *info = amqp_method_find(load_be32(payload.data));
    if (info == NULL)
        return true;
    check_method(info, payload);
    struct amqp_exception ex;
    if (c->state != CONTENT_WANT_METHOD) {
        ASSERT(!content_raise_interrupted(c, &ex));
        check_exception(&ex, AMQP_UNEXPECTED_FRAME);
        return false;
    }
    if (info->has_content)
        content_begin(c, info->id);
    return true;
}

static bool
take_header(struct content *c, struct bytes payload)
{
    struct amqp_exception ex;
    struct content_header header;
    if (!content_accept_header(c, payload, &header, &ex)) {
        check_exception(&ex, AMQP_UNEXPECTED_FRAME);
        return false;
    }
    ASSERT(header.properties.size == payload.size - 12);
    ASSERT((c->state == CONTENT_WANT_METHOD) == (header.body_size == 0));
    struct properties p;
    (void)properties_decode(header.properties, &p);
    return true;
}

static bool
take_body(struct content *c, struct bytes payload)
{
    struct amqp_exception ex;
    if (!content_accept_body(c, payload.size, &ex)) {
        check_exception(&ex, AMQP_UNEXPECTED_FRAME);
        return false;
    }
    ASSERT(c->body_received <= c->body_size);
    ASSERT((c->state == CONTENT_WANT_METHOD) == (c->body_received == c->body_size));
    return true;
}

/* False if the frame breaks the order of content. */
static bool
take_frame(struct content *c, const struct amqp_frame_head *head, struct bytes payload)
{
    struct amqp_exception ex;
    ASSERT(!amqp_frame_raise_unexpected(head, payload, &ex));
    check_exception(&ex, AMQP_UNEXPECTED_FRAME);
    switch (head->type) {
    case AMQP_FRAME_METHOD:
        return take_method(c, payload);
    case AMQP_FRAME_HEADER:
        return take_header(c, payload);
    case AMQP_FRAME_BODY:
        return take_body(c, payload);
    default:
        ASSERT(head->type == AMQP_FRAME_HEARTBEAT);
        return true;
    }
}

/* Takes one frame off the front of `stream`. False at the end or where a connection would end. */
static bool
next_frame(struct content *c, uint32_t frame_max, struct bytes *stream)
{
    if (stream->size < AMQP_FRAME_HEAD_SIZE)
        return false;
    const struct amqp_frame_head head = amqp_frame_head_decode(stream->data);
    const struct bytes arrived =
        bytes_of(stream->data + AMQP_FRAME_HEAD_SIZE, stream->size - AMQP_FRAME_HEAD_SIZE);
    struct amqp_exception ex;
    if (!amqp_frame_head_check(&head, frame_max, arrived, &ex)) {
        const bool unexpected = ex.code == AMQP_UNEXPECTED_FRAME;
        check_exception(&ex, unexpected ? AMQP_UNEXPECTED_FRAME : AMQP_FRAME_ERROR);
        return false;
    }
    ASSERT(frame_max == 0 || head.size <= frame_max);
    if (arrived.size <= head.size)
        return false;
    const uint8_t end = arrived.data[head.size];
    struct exact payload = exact_copy(bytes_of(arrived.data, head.size));
    bool more = end == AMQP_FRAME_END;
    if (!more) {
        ASSERT(!amqp_frame_raise_end(&head, payload.bytes, end, &ex));
        check_exception(&ex, AMQP_FRAME_ERROR);
    } else {
        more = take_frame(c, &head, payload.bytes);
    }
    exact_free(&payload);
    stream->data += AMQP_FRAME_OVERHEAD + head.size;
    stream->size -= AMQP_FRAME_OVERHEAD + head.size;
    return more;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const uint32_t frame_max = frame_maxima[data[0] % 3];
    struct bytes stream = bytes_of(data + 1, size - 1);
    struct content content = { 0 };
    while (next_frame(&content, frame_max, &stream))
        continue;
    return 0;
}
