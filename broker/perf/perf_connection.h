#ifndef BROKER_PERF_PERF_CONNECTION_H
#define BROKER_PERF_PERF_CONNECTION_H

/*
 * A connection to the broker, blocking: login, the calls that prepare a run, and the orderly close
 * at its end. In between a perf_link drives the same socket without blocking. Of a plain one
 * nothing is read ahead of the frame that is waited for; with TLS a rest may be handed over. Owner:
 * the main thread, except while a worker runs the link.
 */

#include "amqp/frame.h"
#include "amqp/method.h"
#include "broker/base/buf.h"
#include "broker/perf/perf_error.h"
#include "broker/perf/perf_options.h"
#include "certs/transport.h"

struct addrinfo;

/* Where and how to connect, worked out once for all connections. */
struct perf_broker {
    const struct perf_options *options;
    struct addrinfo *addresses;
    struct tls_profile *tls;           /* NULL: plain. */
    struct transport_scratch *scratch; /* Of the main thread. */
};

struct perf_connection {
    int fd;                /* -1 when closed. */
    struct transport *tls; /* NULL: plain. */
    struct transport_scratch *scratch;
    uint32_t frame_max;
    uint32_t heartbeat_s;
    bool broken;   /* No orderly close is possible: out of step, or the peer is gone. */
    struct buf in; /* The payload of the last frame read. */
    /* While closing, and with TLS: octets received but not looked at, from rest_used on; and how
     * many of those to come end the frame that the link was reading. */
    struct buf rest;
    size_t rest_used;
    uint32_t skip;
    uint64_t close_by_ns; /* 0 unless closing. */
};

/* Resolves the host. */
bool perf_broker_init(struct perf_broker *b, const struct perf_options *o,
                      struct perf_error *error);
void perf_broker_fini(struct perf_broker *b);

/* Connects and logs in; `name` is shown to the broker's operator. On failure the connection is
 * closed. */
bool perf_connection_open(struct perf_connection *c, const struct perf_broker *b, const char *name,
                          struct perf_error *error);

/* Sends a method and waits for `reply_id` on the same channel. Strings in `reply` (NULL is fine)
 * are valid until the next call. A close by the broker is the error. */
bool perf_connection_call(struct perf_connection *c, uint16_t channel,
                          const union amqp_method *request, uint32_t reply_id,
                          union amqp_method *reply, struct perf_error *error);

bool perf_connection_open_channel(struct perf_connection *c, uint16_t channel,
                                  struct perf_error *error);

/* From now on a perf_link drives the socket, on the thread of `scratch`; releases what only
 * blocking use needs. What has been received already is appended to `rest`. */
void perf_connection_unblock(struct perf_connection *c, struct transport_scratch *scratch,
                             struct buf *rest);

/* The link is done: `rest` was received and not used, after `skip` more octets of a frame. */
void perf_connection_return(struct perf_connection *c, struct bytes rest, uint32_t skip);

/* The orderly close in two steps, so that many connections close at once: say goodbye to all, then
 * wait for each. Both do nothing on a closed or broken one; the second always closes the socket. */
void perf_connection_say_close(struct perf_connection *c);
void perf_connection_await_close(struct perf_connection *c);

/* Describes a connection.close or channel.close by the broker. Always false. */
bool perf_close_describe(uint32_t method_id, struct bytes arguments, struct perf_error *error);

#endif
