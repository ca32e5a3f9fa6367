#ifndef AMQP_CONTENT_H
#define AMQP_CONTENT_H

/*
 * Content assembly of one channel: method, then header, then body frames until body-size octets
 * have come (AMQP 0-9-1, 4.2.6). Only the order and the sizes are kept here; where the octets go is
 * the caller's business. Owner: the channel. A zeroed struct waits for a method. Pure.
 */

#include "amqp/exception.h"
#include "broker/base/bytes.h"

enum content_state {
    CONTENT_WANT_METHOD,
    CONTENT_WANT_HEADER,
    CONTENT_WANT_BODY,
};

struct content {
    enum content_state state;
    uint32_t method_id; /* The method this content belongs to. */
    uint64_t body_size;
    uint64_t body_received;
};

struct content_header {
    uint64_t body_size;
    struct bytes properties; /* Flags and values; see properties.h. */
};

/* A method with content came. The channel must be waiting for a method. */
void content_begin(struct content *c, uint32_t method_id);

/* A header frame came. Moves on to the body, or back to waiting for a method if the body is empty.
 * False with 505 in `ex` if no header is due or it is not this content's. */
bool content_accept_header(struct content *c, struct bytes payload, struct content_header *out,
                           struct amqp_exception *ex);

/* A body frame of `size` octets came. False with 505 if none is due or it overflows body-size.
 * After success `state` says whether the content is complete. */
bool content_accept_body(struct content *c, uint64_t size, struct amqp_exception *ex);

/* A method frame came while content is due: 505 in `ex`, always false. */
bool content_raise_interrupted(const struct content *c, struct amqp_exception *ex);

#endif
