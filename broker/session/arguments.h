#ifndef BROKER_SESSION_ARGUMENTS_H
#define BROKER_SESSION_ARGUMENTS_H

/* Small things that handlers of several classes do with what a method brought. */

#include "broker/session/channel.h"

struct name_buffer {
    uint8_t octets[AMQP_SHORTSTR_MAX];
};

/* Names lose CR and LF, as in RabbitMQ; the result is in `name` or in the buffer. */
struct bytes name_without_line_ends(struct bytes name, struct name_buffer *buffer);

/* The queue a method names; the empty name stands for the one declared last on this channel.
 * False with 404 if there is none. */
bool channel_queue_name(struct channel *ch, struct bytes given, struct name_buffer *buffer,
                        struct bytes *out, struct amqp_exception *ex);

/* The same, and a reference to the queue, which the user may read from; NULL with an exception. */
struct queue *channel_read_queue(struct channel *ch, struct bytes given, struct amqp_exception *ex);

/* False with 540 if the queue is a stream: it does not know that operation. */
bool queue_is_no_stream(const struct queue *q, const char *operation, struct amqp_exception *ex);

/* Answers with a method without fields, unless nowait, once the ticket is committed. */
void channel_reply_empty(struct channel *ch, bool nowait, uint64_t ticket, uint32_t method_id);

#endif
