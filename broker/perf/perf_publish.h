#ifndef BROKER_PERF_PERF_PUBLISH_H
#define BROKER_PERF_PERF_PUBLISH_H

/* The octets of a publish: method, header and body frames. Pure. */

#include "broker/perf/perf_connection.h"

struct perf_publish {
    uint16_t channel;
    uint32_t frame_max;
    const char *exchange;
    const char *key;
    bool mandatory;
    bool persistent;
    bool has_priority;
    bool expires;
    uint32_t body_size;
};

/* Digits of an expiration. */
#define PERF_EXPIRATION_SIZE 10u

/* Appends the method and the header frame. That one ends with the octet of the priority and the
 * digits of the expiration, if the message has them, and the end of the frame. */
void perf_publish_append_head(struct buf *out, const struct perf_publish *m);

/* Appends the body frames; the body is filled with 'x'. */
void perf_publish_append_body(struct buf *out, const struct perf_publish *m);

/* Octets of the body frames. */
size_t perf_publish_body_size(const struct perf_publish *m);

/* Writes another channel number into the body frames at `at`. */
void perf_publish_set_channel(uint8_t *at, const struct perf_publish *m);

#endif
