#ifndef AMQP_EXCEPTION_H
#define AMQP_EXCEPTION_H

/*
 * A protocol exception as a value: reply code, text and the method that caused it. Whoever detects
 * one fills it in and returns false; one place in the session turns it into channel.close or
 * connection.close. The code alone decides which (AMQP 0-9-1, 1.5.2.5).
 */

#include "amqp/types.h"

#include <stdbool.h>
#include <stdint.h>

struct amqp_exception {
    enum amqp_reply_code code;
    uint32_t method_id; /* Class in the upper half; 0 for errors below the method level. */
    char text[256];     /* "NOT_FOUND - no queue 'q' in vhost '/'", at most 255 octets. */
};

/* Fills in code and text ("NAME - " is put in front, long text is cut to 252 octets and "...").
 * method_id is left alone. Returns false, so that a handler can `return amqp_raise(...)`. */
bool amqp_raise(struct amqp_exception *ex, enum amqp_reply_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "NOT_FOUND" for 404; "ERROR" for a code nobody defined. */
const char *amqp_reply_name(enum amqp_reply_code code);

/* True if the code closes the connection, false if only the channel. */
bool amqp_code_is_hard(enum amqp_reply_code code);

#endif
