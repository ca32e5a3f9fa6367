#ifndef BROKER_CORE_MESSAGE_PROPERTIES_H
#define BROKER_CORE_MESSAGE_PROPERTIES_H

/*
 * Looking into the properties of a message, and making it anew with others: blocks do not change
 * once made. Properties of a message that was published decode: that was checked when it came in.
 * Pure; any thread.
 */

#include "amqp/properties.h"
#include "broker/base/buf.h"
#include "broker/core/message.h"

#define EXPIRATION_MAX_MS UINT64_C(315360000000) /* Ten years. */
#define DELAY_MAX_MS UINT64_C(3153600000000)     /* A hundred. */

/* The same message with other properties, which may point into it; with one reference. NULL if
 * there is no memory. */
struct message *message_with(const struct message *m, const struct properties *p);

/* With other encoded properties and another exchange and routing key. What its block tells of its
 * properties is left to the caller: message_note_properties. */
struct message *message_readdress(const struct message *m, struct bytes properties,
                                  struct bytes exchange, struct bytes key);

/* Appends them encoded. */
void properties_append(const struct properties *p, struct buf *out);

/* What the message's block tells of its properties without decoding them. */
void message_note_properties(struct message *m, const struct properties *p);

/* After how many milliseconds the publisher wants it to expire; UINT64_MAX: never. */
uint64_t message_expiration_ms(const struct message *m);

/* The header x-delay, in milliseconds; 0 if there is none that is positive. */
uint64_t message_delay_ms(const struct message *m);

/* The message when its delay is over: the header is negative, so that it is not delayed again. With
 * one reference; NULL if there is no memory. */
struct message *message_without_delay(const struct message *m);

/* A header that the broker gives a delivery, in place of one of that name. */
struct added_header {
    const char *name;
    int64_t value;
};

/* The properties as a consumer gets them: without BCC, and with a header more unless it is NULL.
 * Encoded, appended to `out`. */
void message_properties_for_delivery(const struct message *m, const struct added_header *added,
                                     struct buf *out);

/* Appends all fields of a table but those of that name. */
void headers_without(struct bytes headers, const char *name, struct buf *out);

#endif
