#ifndef AMQP_TYPES_H
#define AMQP_TYPES_H

/*
 * Numbers of AMQP 0-9-1 that everybody needs: frame types, sizes, reply codes. Where RabbitMQ and
 * the published specification differ, RabbitMQ's observed behaviour is what clients rely on.
 */

#include <stdint.h>

#define AMQP_PORT_DEFAULT 5672

#define AMQP_FRAME_METHOD 1u
#define AMQP_FRAME_HEADER 2u
#define AMQP_FRAME_BODY 3u
#define AMQP_FRAME_HEARTBEAT 8u
#define AMQP_FRAME_END 0xCEu

/* type:u8 channel:u16 size:u32 payload end:u8 */
#define AMQP_FRAME_HEAD_SIZE 7u
#define AMQP_FRAME_OVERHEAD 8u
#define AMQP_FRAME_MAX_LEAST 4096u /* No side may negotiate less. */

#define AMQP_SHORTSTR_MAX 255u

/* Field tables of a peer deeper or longer than this are refused, unless table_set_limits says
 * otherwise. */
#define AMQP_TABLE_DEPTH_MAX 32u
#define AMQP_TABLE_FIELDS_MAX 65536u

#define AMQP_PROTOCOL_HEADER "AMQP\x00\x00\x09\x01"
#define AMQP_PROTOCOL_HEADER_SIZE 8u

enum amqp_reply_code {
    AMQP_REPLY_SUCCESS = 200,
    AMQP_CONTENT_TOO_LARGE = 311,
    AMQP_NO_ROUTE = 312,
    AMQP_NO_CONSUMERS = 313,
    AMQP_CONNECTION_FORCED = 320,
    AMQP_INVALID_PATH = 402,
    AMQP_ACCESS_REFUSED = 403,
    AMQP_NOT_FOUND = 404,
    AMQP_RESOURCE_LOCKED = 405,
    AMQP_PRECONDITION_FAILED = 406,
    AMQP_FRAME_ERROR = 501,
    AMQP_SYNTAX_ERROR = 502,
    AMQP_COMMAND_INVALID = 503,
    AMQP_CHANNEL_ERROR = 504,
    AMQP_UNEXPECTED_FRAME = 505,
    AMQP_RESOURCE_ERROR = 506,
    AMQP_NOT_ALLOWED = 530,
    AMQP_NOT_IMPLEMENTED = 540,
    AMQP_INTERNAL_ERROR = 541,
};

#define AMQP_CLASS_BASIC 60u

#endif
