#ifndef BROKER_NET_OUTPUT_H
#define BROKER_NET_OUTPUT_H

/*
 * What waits to be written to one socket: a chain of chunks, each either octets copied into it or a
 * reference to somebody else's (a large body). Written with writev, many chunks at once. An empty
 * output holds no memory. Owner: one connection, on its worker.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct output_chunk;

struct output {
    struct output_chunk *head;
    struct output_chunk *tail;
    size_t size; /* Octets waiting. */
};

enum output_result {
    OUTPUT_DONE,   /* Nothing waits any more. */
    OUTPUT_FULL,   /* The socket takes no more for now. */
    OUTPUT_FAILED, /* The connection is broken; errno says how. */
};

/* Room for `size` octets in one piece; output_commit says how many were filled in. */
uint8_t *output_reserve(struct output *o, size_t size);
void output_commit(struct output *o, size_t size);

/* Appends octets that stay where they are; `release(owner)` is called when they are written or
 * dropped. */
void output_refer(struct output *o, const uint8_t *data, size_t size, void (*release)(void *owner),
                  void *owner);

/* Writes until all is gone or the socket is full. */
enum output_result output_write(struct output *o, int fd);

/* The same through somebody who does more than send: `send` answers as sendmsg does. */
enum output_result output_write_through(struct output *o,
                                        ssize_t (*send)(void *context, const struct iovec *vectors,
                                                        int count),
                                        void *context);

/* Drops everything. */
void output_fini(struct output *o);

/* Releases the chunks that this thread keeps for reuse. Call before the thread ends. */
void output_thread_fini(void);

#endif
