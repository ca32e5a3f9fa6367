#ifndef AMQP_FRAME_H
#define AMQP_FRAME_H

/*
 * The frame boundary: type:u8 channel:u16 size:u32 payload 0xCE. Nothing here waits or allocates;
 * a caller with too few octets is told so and comes back. Size is judged from the head, before a
 * single octet of payload is buffered. Pure; any thread.
 */

#include "amqp/exception.h"
#include "amqp/types.h"
#include "amqp/wire.h"

struct amqp_frame_head {
    uint8_t type;
    uint16_t channel;
    uint32_t size; /* Of the payload. */
};

/* `at` holds at least AMQP_FRAME_HEAD_SIZE octets. */
static inline struct amqp_frame_head
amqp_frame_head_decode(const uint8_t *at)
{
    return (struct amqp_frame_head){ at[0], load_be16(at + 1), load_be32(at + 3) };
}

/* Checks type, channel and size of a frame; frame_max 0 means no limit. As RabbitMQ, eight octets
 * more than frame_max allows are tolerated. `payload` is what has arrived of it, for the text.
 * False with `ex` filled in: the stream is out of step and nothing more may be read. */
bool amqp_frame_head_check(const struct amqp_frame_head *head, uint32_t frame_max,
                           struct bytes payload, struct amqp_exception *ex);

/* 501 for a frame that does not end in 0xCE. Always false. */
bool amqp_frame_raise_end(const struct amqp_frame_head *head, struct bytes payload, uint8_t end,
                          struct amqp_exception *ex);

/* 505 for a frame that is well-formed but makes no sense on its channel. Always false. */
bool amqp_frame_raise_unexpected(const struct amqp_frame_head *head, struct bytes payload,
                                 struct amqp_exception *ex);

/* Writes a frame's first seven octets; the caller writes payload and AMQP_FRAME_END. */
static inline void
amqp_frame_head_encode(uint8_t *at, uint8_t type, uint16_t channel, uint32_t size)
{
    at[0] = type;
    store_be16(at + 1, channel);
    store_be32(at + 3, size);
}

#endif
