#ifndef AMQP_PROPERTIES_H
#define AMQP_PROPERTIES_H

/*
 * Basic properties (class 60): a flag word and the values of the flags that are set. A broker
 * relays the octets it got and decodes them only to look inside; when it must change something
 * (reply-to, BCC) it decodes, changes and encodes again. Strings point into the decoded octets.
 * Pure.
 */

#include "amqp/wire.h"

enum properties_flag {
    PROPERTY_CONTENT_TYPE = 1u << 15,
    PROPERTY_CONTENT_ENCODING = 1u << 14,
    PROPERTY_HEADERS = 1u << 13,
    PROPERTY_DELIVERY_MODE = 1u << 12,
    PROPERTY_PRIORITY = 1u << 11,
    PROPERTY_CORRELATION_ID = 1u << 10,
    PROPERTY_REPLY_TO = 1u << 9,
    PROPERTY_EXPIRATION = 1u << 8,
    PROPERTY_MESSAGE_ID = 1u << 7,
    PROPERTY_TIMESTAMP = 1u << 6,
    PROPERTY_TYPE = 1u << 5,
    PROPERTY_USER_ID = 1u << 4,
    PROPERTY_APP_ID = 1u << 3,
    PROPERTY_CLUSTER_ID = 1u << 2,
};

#define PROPERTIES_FLAGS_ALL 0xFFFCu

struct properties {
    uint16_t flags; /* PROPERTY_* of those present. */
    uint8_t delivery_mode;
    uint8_t priority;
    uint64_t timestamp;
    struct bytes content_type;
    struct bytes content_encoding;
    struct bytes headers; /* A valid table. */
    struct bytes correlation_id;
    struct bytes reply_to;
    struct bytes expiration;
    struct bytes message_id;
    struct bytes type;
    struct bytes user_id;
    struct bytes app_id;
    struct bytes cluster_id;
};

/* Decodes flags and values. Only the members whose flag is set are written. Flag bits 1 and 0 are
 * ignored, as RabbitMQ does. */
enum wire_error properties_decode(struct bytes encoded, struct properties *out);

size_t properties_size(const struct properties *p);

/* The writer must have properties_size() octets left. */
void properties_encode(struct wire_writer *w, const struct properties *p);

#endif
