#ifndef BROKER_CORE_STREAM_SPEC_H
#define BROKER_CORE_STREAM_SPEC_H

/*
 * What a consumer of a stream asks for in the arguments of basic.consume: where to begin
 * (x-stream-offset), and which messages it wants (x-stream-filter, x-stream-match-unfiltered).
 * Pure.
 */

#include "amqp/exception.h"
#include "broker/base/bytes.h"
#include "broker/core/message.h"

enum stream_start {
    STREAM_NEXT, /* What comes from now on. */
    STREAM_FIRST,
    STREAM_LAST,
    STREAM_OFFSET,
    STREAM_TIME,
};

struct stream_spec {
    enum stream_start start;
    uint64_t offset;  /* With STREAM_OFFSET. */
    uint64_t wall_us; /* With STREAM_TIME: nothing older. */

    /* The value of x-stream-filter, a string or an array of them; tag 0: there is none. Points into
     * the arguments. */
    char filter_tag;
    struct bytes filter;
    bool takes_unfiltered; /* Messages without a value are wanted, too. */
};

/* `now_us` is the wall time. False with 406 in `ex`. */
bool stream_spec_parse(struct bytes arguments, struct bytes queue, struct bytes vhost,
                       uint64_t now_us, struct stream_spec *out, struct amqp_exception *ex);

/* Whether the filter lets a message pass: by its header x-stream-filter-value. */
bool stream_spec_takes(const struct stream_spec *spec, const struct message *m);

#endif
