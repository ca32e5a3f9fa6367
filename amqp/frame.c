#include "amqp/frame.h"

#include <stdio.h>

#define DESCRIBED_OCTETS_MAX 16u

static bool
is_printable_text(struct bytes b)
{
    for (size_t i = 0; i < b.size; i++)
        if (b.data[i] < 0x20 || b.data[i] > 0x7E)
            return false;
    return b.size > 0;
}

/* "type 1, all octets = <<0,20,0,10,0>>", the form that people grep RabbitMQ logs for. */
static void
frame_describe(char *out, size_t out_size, const struct amqp_frame_head *head, struct bytes payload)
{
    const bool cut = payload.size > DESCRIBED_OCTETS_MAX;
    if (cut)
        payload.size = DESCRIBED_OCTETS_MAX;
    int used =
        snprintf(out, out_size, "type %u, %s octets = <<", head->type, cut ? "first 16" : "all");
    if (is_printable_text(payload)) {
        used += snprintf(out + used, out_size - (size_t)used, "\"%.*s\"", BYTES_ARGS(payload));
    } else {
        for (size_t i = 0; i < payload.size; i++)
            used += snprintf(out + used, out_size - (size_t)used, "%s%u", i == 0 ? "" : ",",
                             payload.data[i]);
    }
    snprintf(out + used, out_size - (size_t)used, ">>");
}

bool
amqp_frame_raise_unexpected(const struct amqp_frame_head *head, struct bytes payload,
                            struct amqp_exception *ex)
{
    char description[160];
    frame_describe(description, sizeof(description), head, payload);
    ex->method_id = 0;
    return amqp_raise(ex, AMQP_UNEXPECTED_FRAME, "%s", description);
}

static bool
frame_raise_malformed(const struct amqp_frame_head *head, struct bytes payload, const char *reason,
                      struct amqp_exception *ex)
{
    char description[160];
    frame_describe(description, sizeof(description), head, payload);
    ex->method_id = 0;
    return amqp_raise(ex, AMQP_FRAME_ERROR, "%s: %s", description, reason);
}

bool
amqp_frame_raise_end(const struct amqp_frame_head *head, struct bytes payload, uint8_t end,
                     struct amqp_exception *ex)
{
    char reason[64];
    snprintf(reason, sizeof(reason), "{invalid_frame_end_marker,%u}", end);
    return frame_raise_malformed(head, payload, reason, ex);
}

static struct bytes
payload_arrived(const struct amqp_frame_head *head, struct bytes payload)
{
    if (payload.size > head->size)
        payload.size = head->size;
    return payload;
}

bool
amqp_frame_head_check(const struct amqp_frame_head *head, uint32_t frame_max, struct bytes payload,
                      struct amqp_exception *ex)
{
    payload = payload_arrived(head, payload);
    if (frame_max != 0 && head->size > frame_max) {
        char reason[64];
        snprintf(reason, sizeof(reason), "{frame_too_large,%u,%u}", head->size,
                 frame_max - AMQP_FRAME_OVERHEAD);
        return frame_raise_malformed(head, BYTES_NONE, reason, ex);
    }
    switch (head->type) {
    case AMQP_FRAME_METHOD:
        return true;
    case AMQP_FRAME_HEADER:
    case AMQP_FRAME_BODY:
        return head->channel != 0 || amqp_frame_raise_unexpected(head, payload, ex);
    case AMQP_FRAME_HEARTBEAT:
        if (head->channel != 0)
            return amqp_frame_raise_unexpected(head, payload, ex);
        return head->size == 0 || frame_raise_malformed(head, payload, "unknown_frame", ex);
    default:
        return frame_raise_malformed(head, payload, "unknown_frame", ex);
    }
}
