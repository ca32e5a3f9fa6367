#include "broker/net/output.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A quiet connection needs little, a busy one wants few system calls. */
#define CHUNK_SIZE_FIRST (4u * 1024u)
#define CHUNK_SIZE_NEXT (64u * 1024u)
#define CHUNKS_KEPT 16u
#define CHUNKS_A_WRITE 64

struct output_chunk {
    struct output_chunk *next;
    const uint8_t *data; /* Own space, or somebody else's. */
    size_t from;
    size_t to;
    size_t capacity; /* Of own space; 0 for a reference. */
    void (*release)(void *owner);
    void *owner;
    uint8_t space[];
};

/* Busy chunks go round in their thread instead of through the allocator. */
static _Thread_local struct output_chunk *kept;
static _Thread_local unsigned kept_count;

static struct output_chunk *
chunk_create(size_t capacity)
{
    if (capacity == CHUNK_SIZE_NEXT && kept != NULL) {
        struct output_chunk *c = kept;
        kept = c->next;
        kept_count--;
        return c;
    }
    struct output_chunk *c = mem_alloc(sizeof(*c) + capacity);
    c->data = c->space;
    c->capacity = capacity;
    c->release = NULL;
    c->owner = NULL;
    return c;
}

static void
chunk_destroy(struct output_chunk *c)
{
    if (c->release != NULL)
        c->release(c->owner);
    if (c->capacity == CHUNK_SIZE_NEXT && kept_count < CHUNKS_KEPT) {
        c->next = kept;
        kept = c;
        kept_count++;
        return;
    }
    mem_free(c);
}

void
output_thread_fini(void)
{
    while (kept != NULL) {
        struct output_chunk *c = kept;
        kept = c->next;
        mem_free(c);
    }
    kept_count = 0;
}

static void
chunk_append(struct output *o, struct output_chunk *c)
{
    c->next = NULL;
    c->from = 0;
    c->to = 0;
    if (o->tail == NULL)
        o->head = c;
    else
        o->tail->next = c;
    o->tail = c;
}

uint8_t *
output_reserve(struct output *o, size_t size)
{
    struct output_chunk *tail = o->tail;
    if (tail == NULL || tail->capacity - tail->to < size || tail->capacity == 0) {
        size_t capacity = tail == NULL ? CHUNK_SIZE_FIRST : CHUNK_SIZE_NEXT;
        if (capacity < size)
            capacity = size > CHUNK_SIZE_NEXT ? size : CHUNK_SIZE_NEXT;
        tail = chunk_create(capacity);
        chunk_append(o, tail);
    }
    return tail->space + tail->to;
}

void
output_commit(struct output *o, size_t size)
{
    ASSERT(o->tail->capacity - o->tail->to >= size);
    o->tail->to += size;
    o->size += size;
}

void
output_refer(struct output *o, const uint8_t *data, size_t size, void (*release)(void *owner),
             void *owner)
{
    struct output_chunk *c = mem_alloc(sizeof(*c));
    c->data = data;
    c->capacity = 0;
    c->release = release;
    c->owner = owner;
    chunk_append(o, c);
    c->to = size;
    o->size += size;
}

static int
output_gather(const struct output *o, struct iovec *vectors)
{
    int count = 0;
    for (struct output_chunk *c = o->head; c != NULL && count < CHUNKS_A_WRITE; c = c->next) {
        if (c->from == c->to)
            continue;
        vectors[count].iov_base = (void *)(uintptr_t)(c->data + c->from);
        vectors[count].iov_len = c->to - c->from;
        count++;
    }
    return count;
}

/* Forgets what has been written, and chunks that are spent. */
static void
output_advance(struct output *o, size_t written)
{
    o->size -= written;
    while (o->head != NULL) {
        struct output_chunk *c = o->head;
        const size_t left = c->to - c->from;
        if (written < left) {
            c->from += written;
            return;
        }
        written -= left;
        o->head = c->next;
        if (o->head == NULL)
            o->tail = NULL;
        chunk_destroy(c);
    }
    ASSERT(written == 0);
}

enum output_result
output_write(struct output *o, int fd)
{
    while (o->size > 0) {
        struct iovec vectors[CHUNKS_A_WRITE];
        const struct msghdr message = {
            .msg_iov = vectors,
            .msg_iovlen = (size_t)output_gather(o, vectors),
        };
        const ssize_t written = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno == EAGAIN ? OUTPUT_FULL : OUTPUT_FAILED;
        output_advance(o, (size_t)written);
    }
    output_advance(o, 0);
    return OUTPUT_DONE;
}

enum output_result
output_write_through(struct output *o,
                     ssize_t (*send)(void *context, const struct iovec *vectors, int count),
                     void *context)
{
    while (o->size > 0) {
        struct iovec vectors[CHUNKS_A_WRITE];
        const ssize_t written = send(context, vectors, output_gather(o, vectors));
        if (written < 0)
            return errno == EAGAIN ? OUTPUT_FULL : OUTPUT_FAILED;
        output_advance(o, (size_t)written);
    }
    output_advance(o, 0);
    return OUTPUT_DONE;
}

void
output_fini(struct output *o)
{
    while (o->head != NULL) {
        struct output_chunk *c = o->head;
        o->head = c->next;
        chunk_destroy(c);
    }
    *o = (struct output){ 0 };
}
