#ifndef BROKER_PERF_PERF_LINK_H
#define BROKER_PERF_PERF_LINK_H

/*
 * The non-blocking side of a connection while a run lasts: reads into its worker's buffer, parses
 * frames in place, keeps what is incomplete, and sends. An idle link owns no buffers. What the
 * methods mean is the role's business. Owner: one worker; everything runs on its thread.
 */

#include "broker/perf/perf_worker.h"

#include <sys/uio.h>

struct perf_link;

/* What producers, consumers and idle connections do differently. Each may be NULL but for pump and
 * parse; a link that failed is not called any more. */
struct perf_role {
    /* First thing on the worker's thread. */
    void (*start)(struct perf_link *link);
    /* Something may be possible now. True: more is, without waiting. */
    bool (*pump)(struct perf_link *link, uint64_t now_ns);
    /* Octets came. Returns the first one it did not use. */
    const uint8_t *(*parse)(struct perf_link *link, const uint8_t *at, const uint8_t *end,
                            uint64_t now_ns);
    /* A method that the link does not handle itself. False: not expected either. */
    bool (*on_method)(struct perf_link *link, uint16_t channel, uint32_t id, struct bytes arguments,
                      uint64_t now_ns);
    void (*on_header)(struct perf_link *link, uint16_t channel, uint64_t body_size,
                      uint64_t now_ns);
    /* A body frame begins: up to PERF_STAMP_SIZE of its `size` octets. */
    void (*on_body)(struct perf_link *link, uint16_t channel, struct bytes start, uint32_t size);
    void (*on_body_end)(struct perf_link *link, uint16_t channel, uint64_t now_ns);
    /* Last thing; may flush. */
    void (*finish)(struct perf_link *link);
};

struct perf_link {
    struct perf_connection *connection;
    struct perf_worker *worker;
    struct list active;
    bool readable;
    bool writable;
    bool failed;
    bool blocked;  /* The broker said connection.blocked. */
    bool finished; /* The role's work on this link is done. */
    bool counted;  /* The worker knows that. */
    bool wrote;    /* Since the last beat. */
    uint64_t received_ns;
    size_t read_size;   /* The most to read at once. */
    uint32_t body_left; /* Octets to the end of the body frame being read, the end included. */
    uint16_t body_channel;
    struct buf partial; /* Received, not used yet. */
    /* To be sent, in this order; control frames come last, unless one is begun already. */
    struct buf out;
    size_t out_sent;
    struct bytes large; /* Borrowed from the role. */
    struct buf control;
    size_t control_sent;
};

enum perf_frame {
    PERF_FRAME_DONE,
    PERF_FRAME_MORE, /* Incomplete. */
    PERF_FRAME_FAILED,
};

void perf_link_init(struct perf_link *link, struct perf_worker *w, struct perf_connection *c);

/* Gives the connection back to blocking use and releases all memory. */
void perf_link_release(struct perf_link *link);

/* Reads once if it can, and has the role parse. True if there is probably more to read. */
bool perf_link_read(struct perf_link *link);

/* Sends what is there to send. False if some is left, or the link failed. When the peer is gone the
 * link turns readable, and reading tells why. */
bool perf_link_flush(struct perf_link *link);

/* Handles one frame, or a part of a long body frame, and moves `at` behind it. */
enum perf_frame perf_link_frame(struct perf_link *link, const uint8_t **at, const uint8_t *end,
                                uint64_t now_ns);

/* A parse for roles without hurry: frame by frame. */
const uint8_t *perf_link_parse(struct perf_link *link, const uint8_t *at, const uint8_t *end,
                               uint64_t now_ns);

/* Sends a heartbeat if nothing else was sent lately, and fails a link whose peer is silent. */
void perf_link_beat(struct perf_link *link, uint64_t now_ns, uint64_t heartbeat_ns);

/* Ends the run with this text. */
void perf_link_fail(struct perf_link *link, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The role of idle connections. */
extern const struct perf_role perf_role_idle;

#endif
