/*
 * A relay that keeps nothing: it speaks just enough AMQP 0-9-1 for `railmq perf` and hands each
 * publish at once to a consumer of its queue, or forgets it. No queueing, no credit, no
 * acknowledgements: what it reaches is the ceiling for a broker with this load generator on this
 * machine. A connection has one channel, number 1; bindings want equal keys, whatever the exchange.
 *
 * As many threads as the broker has workers, each with an epoll and its share of the connections.
 * The thread that read a publish also writes the delivery: a read is cut into publishes, these are
 * grouped by the connection they go to, and each connection gets one sendmsg for its group. Sockets
 * are blocking for writes: while a consumer's socket is full, its producers are not read.
 *
 * Locks, in this order, and unlike the broker's held while writing to a socket:
 *     topology     read while publishes are forwarded, written to change who consumes what
 *     write_lock   of a connection: delivery tags, and whose octets go out next
 */

#include "amqp/frame.h"
#include "amqp/method.h"
#include "broker/base/buf.h"
#include "broker/base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define THREADS_MAX 16u
#define CHANNEL 1u
#define FRAME_MAX 131072u
#define INPUT_SIZE (1u << 20) /* One read; also the largest message. */
#define SCRATCH_SIZE (2 * INPUT_SIZE)
#define COPY_MAX (8u << 10) /* Contents above this are sent from where they were received. */
#define PARTS_MAX 256u
#define ITEMS_MAX 8192u
#define BUCKETS 1024u
#define TURN_STEP 16u       /* Turns of different threads are in different cache lines. */
#define HEADER_SIZE_MIN 14u /* Of a content header. */

/* Items of one thread for one connection: a list through struct item. */
struct group {
    uint32_t first;
    uint32_t last;
    bool open;
};

struct connection {
    int fd;
    bool greeted;
    bool closing;
    bool confirms;
    uint64_t published;
    struct buf partial; /* Received, not a whole frame yet. */
    pthread_mutex_t write_lock;
    uint64_t delivered;               /* The last delivery tag; under write_lock. */
    struct group groups[THREADS_MAX]; /* Each belongs to a thread. */
};

struct consumer {
    struct connection *connection;
    struct buf head; /* basic.deliver up to the delivery tag. */
};

/* Never freed, as bindings: a benchmark declares few. */
struct queue {
    struct queue *next;
    struct bytes name;
    struct consumer *consumers;
    uint32_t consumer_count;
};

/* Exchange and routing key as they are on the wire, and a queue they lead to. `turns` has for each
 * thread the consumer that got its last message. */
struct binding {
    struct binding *next;
    struct bytes names;
    struct queue *queue;
    uint32_t turns[THREADS_MAX * TURN_STEP];
};

struct publish {
    struct bytes names;   /* Exchange and routing key, as basic.deliver has them as well. */
    struct bytes content; /* Header frame and body frames. */
    size_t size;          /* All of it. */
};

struct item {
    const struct consumer *consumer;
    struct publish publish;
    uint32_t next; /* In its group; UINT32_MAX: none. */
};

struct thread {
    uint32_t index;
    int epoll_fd;
    uint8_t input[INPUT_SIZE];
    struct item items[ITEMS_MAX];
    uint32_t item_count;
    struct connection *touched[ITEMS_MAX];
    uint32_t touched_count;
    /* What goes out next, to one connection at a time. */
    uint8_t scratch[SCRATCH_SIZE];
    size_t scratch_used;
    struct iovec parts[PARTS_MAX];
    uint32_t part_count;
};

static struct {
    pthread_rwlock_t lock;
    struct queue *queues;
    struct binding *bindings[BUCKETS];
} topology = { .lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP };

static noreturn void
fail(const char *what)
{
    fprintf(stderr, "bench_relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Sends what has been put together, all of it: the socket is blocking and no signal is handled. A
 * broken connection swallows it: its thread will notice. */
static void
out_send(struct thread *t, const struct connection *c)
{
    const struct msghdr message = { .msg_iov = t->parts, .msg_iovlen = t->part_count };
    sendmsg(c->fd, &message, MSG_NOSIGNAL);
    t->part_count = 0;
    t->scratch_used = 0;
}

/* Consecutive octets become one part. */
static void
out_refer(struct thread *t, const uint8_t *data, size_t size)
{
    struct iovec *last = t->part_count > 0 ? &t->parts[t->part_count - 1] : NULL;
    if (last != NULL && (const uint8_t *)last->iov_base + last->iov_len == data)
        last->iov_len += size;
    else
        t->parts[t->part_count++] = (struct iovec){ (void *)(uintptr_t)data, size };
}

static void
out_deliver(struct thread *t, const struct connection *c, const struct item *item, uint64_t tag)
{
    const struct consumer *consumer = item->consumer;
    const struct publish *p = &item->publish;
    const bool copied = p->content.size <= COPY_MAX;
    const size_t head_size = consumer->head.size + 8 + 1 + p->names.size + 1;
    const size_t size = head_size + (copied ? p->content.size : 0);
    if (t->scratch_used + size > SCRATCH_SIZE || t->part_count + 2 > PARTS_MAX)
        out_send(t, c);
    uint8_t *const begin = t->scratch + t->scratch_used;
    uint8_t *at = begin;
    memcpy(at, consumer->head.data, consumer->head.size);
    store_be32(at + 3, (uint32_t)(head_size - AMQP_FRAME_OVERHEAD));
    at += consumer->head.size;
    store_be64(at, tag);
    at[8] = 0; /* Not redelivered. */
    at += 9;
    memcpy(at, p->names.data, p->names.size);
    at += p->names.size;
    *at++ = AMQP_FRAME_END;
    if (copied)
        memcpy(at, p->content.data, p->content.size);
    t->scratch_used += size;
    out_refer(t, begin, size);
    if (!copied)
        out_refer(t, p->content.data, p->content.size);
}

static void
method_send(struct thread *t, struct connection *c, uint16_t channel, const union amqp_method *m)
{
    const size_t size = amqp_method_size(m);
    pthread_mutex_lock(&c->write_lock);
    amqp_frame_head_encode(t->scratch, AMQP_FRAME_METHOD, channel, (uint32_t)size);
    struct wire_writer w = wire_writer_of(t->scratch + AMQP_FRAME_HEAD_SIZE, size);
    amqp_method_encode(&w, m);
    t->scratch[AMQP_FRAME_HEAD_SIZE + size] = AMQP_FRAME_END;
    out_refer(t, t->scratch, size + AMQP_FRAME_OVERHEAD);
    out_send(t, c);
    pthread_mutex_unlock(&c->write_lock);
}

/* From here to publishes_forward the topology is locked for reading. */
static void
items_send(struct thread *t)
{
    for (uint32_t touched = 0; touched < t->touched_count; touched++) {
        struct connection *c = t->touched[touched];
        struct group *g = &c->groups[t->index];
        pthread_mutex_lock(&c->write_lock);
        for (uint32_t i = g->first; i != UINT32_MAX; i = t->items[i].next)
            out_deliver(t, c, &t->items[i], ++c->delivered);
        out_send(t, c);
        pthread_mutex_unlock(&c->write_lock);
        g->open = false;
    }
    t->touched_count = 0;
    t->item_count = 0;
}

/* One publish for one queue: the next consumer in turn gets it. */
static void
item_add(struct thread *t, struct binding *b, const struct publish *p)
{
    const struct queue *q = b->queue;
    uint32_t *turn = &b->turns[t->index * TURN_STEP];
    if (q->consumer_count == 0)
        return;
    if (t->item_count == ITEMS_MAX)
        items_send(t);
    if (++*turn >= q->consumer_count)
        *turn = 0;
    const uint32_t index = t->item_count++;
    const struct consumer *consumer = &q->consumers[*turn];
    struct group *g = &consumer->connection->groups[t->index];
    t->items[index] = (struct item){ consumer, *p, UINT32_MAX };
    if (g->open) {
        t->items[g->last].next = index;
        g->last = index;
        return;
    }
    *g = (struct group){ index, index, true };
    t->touched[t->touched_count++] = consumer->connection;
}

static struct binding **
bucket_of(struct bytes names)
{
    return &topology.bindings[bytes_hash(names) % BUCKETS];
}

/* Octets of the whole frame at `at`; 0 if it is not complete. */
static size_t
frame_size(const uint8_t *at, const uint8_t *end)
{
    const size_t left = (size_t)(end - at);
    if (left < AMQP_FRAME_OVERHEAD)
        return 0;
    const size_t size = (size_t)load_be32(at + 3) + AMQP_FRAME_OVERHEAD;
    return size <= left ? size : 0;
}

/* The method whose whole frame is at `at`; 0 if there is none. */
static uint32_t
method_find(const uint8_t *at, const uint8_t *end)
{
    const size_t size = frame_size(at, end);
    if (size < AMQP_FRAME_OVERHEAD + 4 || at[0] != AMQP_FRAME_METHOD)
        return 0;
    return load_be32(at + AMQP_FRAME_HEAD_SIZE);
}

/* A whole publish at `at`, its frames back to back as perf sends them. False if it is none, or not
 * complete yet. */
static bool
publish_parse(const uint8_t *at, const uint8_t *end, struct publish *out)
{
    const size_t method_size = frame_size(at, end);
    if (method_find(at, end) != AMQP_ID_basic_publish || method_size < AMQP_FRAME_OVERHEAD + 9)
        return false;
    const uint8_t *header = at + method_size;
    const uint8_t *names = at + AMQP_FRAME_HEAD_SIZE + 4 + 2;
    size_t names_size = (size_t)names[0] + 2;
    if (names + names_size > header - 2)
        return false;
    names_size += names[names_size - 1];
    if (names + names_size > header - 2)
        return false;
    const size_t header_size = frame_size(header, end);
    if (header_size < AMQP_FRAME_OVERHEAD + HEADER_SIZE_MIN || header[0] != AMQP_FRAME_HEADER)
        return false;
    uint64_t body_left = load_be64(header + AMQP_FRAME_HEAD_SIZE + 4);
    const uint8_t *body = header + header_size;
    while (body_left > 0) {
        const size_t size = frame_size(body, end);
        if (size <= AMQP_FRAME_OVERHEAD || body[0] != AMQP_FRAME_BODY ||
            size - AMQP_FRAME_OVERHEAD > body_left)
            return false;
        body_left -= size - AMQP_FRAME_OVERHEAD;
        body += size;
    }
    *out = (struct publish){ bytes_of(names, names_size), bytes_of(header, (size_t)(body - header)),
                             (size_t)(body - at) };
    return true;
}

/* Forwards all publishes at `at` and skips acknowledgements. Returns what it did not use. */
static const uint8_t *
publishes_forward(struct thread *t, struct connection *c, const uint8_t *at, const uint8_t *end)
{
    struct publish p;
    const uint64_t published = c->published;
    pthread_rwlock_rdlock(&topology.lock);
    for (;;) {
        while (method_find(at, end) == AMQP_ID_basic_ack)
            at += frame_size(at, end);
        if (!publish_parse(at, end, &p))
            break;
        for (struct binding *b = *bucket_of(p.names); b != NULL; b = b->next) {
            if (bytes_equal(b->names, p.names))
                item_add(t, b, &p);
        }
        c->published++;
        at += p.size;
    }
    items_send(t);
    pthread_rwlock_unlock(&topology.lock);
    if (c->confirms && c->published > published) {
        const union amqp_method m = {
            .basic_ack = { .id = AMQP_ID_basic_ack, .delivery_tag = c->published, .multiple = true }
        };
        method_send(t, c, CHANNEL, &m);
    }
    return at;
}

/* From here to method_apply it is locked for writing: all of this is rare. */
static struct queue *
queue_find(struct bytes name)
{
    struct queue *q = topology.queues;
    while (q != NULL && !bytes_equal(q->name, name))
        q = q->next;
    return q;
}

static void
binding_add(struct bytes exchange, struct bytes key, struct queue *q)
{
    const size_t size = exchange.size + key.size + 2;
    const struct bytes names = bytes_of(mem_alloc(size), size);
    struct wire_writer w = wire_writer_of((uint8_t *)(uintptr_t)names.data, size);
    wire_write_shortstr(&w, exchange);
    wire_write_shortstr(&w, key);
    struct binding **bucket = bucket_of(names);
    struct binding *b = *bucket;
    while (b != NULL && (b->queue != q || !bytes_equal(b->names, names)))
        b = b->next;
    if (b != NULL)
        return;
    b = mem_alloc(sizeof(*b));
    *b = (struct binding){ .next = *bucket, .names = names, .queue = q };
    *bucket = b;
}

static void
queue_declare(struct bytes name)
{
    if (queue_find(name) != NULL)
        return;
    struct queue *q = mem_alloc(sizeof(*q));
    *q = (struct queue){ .next = topology.queues, .name = bytes_copy(name) };
    topology.queues = q;
    binding_add(BYTES_NONE, name, q);
}

static void
queue_consume(struct queue *q, struct connection *c, struct bytes tag)
{
    q->consumers = mem_resize(q->consumers, (q->consumer_count + 1) * sizeof(*q->consumers));
    struct consumer *consumer = &q->consumers[q->consumer_count++];
    *consumer = (struct consumer){ c, { 0 } };
    const size_t size = AMQP_FRAME_HEAD_SIZE + 4 + 1 + tag.size;
    uint8_t *at = buf_reserve(&consumer->head, size);
    amqp_frame_head_encode(at, AMQP_FRAME_METHOD, CHANNEL, 0);
    struct wire_writer w = wire_writer_of(at + AMQP_FRAME_HEAD_SIZE, size - AMQP_FRAME_HEAD_SIZE);
    wire_write_long(&w, AMQP_ID_basic_deliver);
    wire_write_shortstr(&w, tag);
    consumer->head.size = size;
}

static void
consumers_remove(const struct connection *c)
{
    for (struct queue *q = topology.queues; q != NULL; q = q->next) {
        for (uint32_t i = q->consumer_count; i-- > 0;) {
            if (q->consumers[i].connection != c)
                continue;
            buf_fini(&q->consumers[i].head);
            q->consumers[i] = q->consumers[--q->consumer_count];
        }
    }
}

/* Does what a method wants and fills in the reply, whose id is mostly the method's plus one. False
 * if the relay cannot do it. */
static bool
method_apply(struct connection *c, const union amqp_method *m, union amqp_method *reply)
{
    struct queue *q = NULL;
    *reply = (union amqp_method){ .id = m->id + 1 };
    switch (m->id) {
    case AMQP_ID_connection_start_ok:
        reply->connection_tune =
            (struct amqp_connection_tune){ AMQP_ID_connection_tune, CHANNEL, FRAME_MAX, 0 };
        return true;
    case AMQP_ID_connection_close:
        c->closing = true;
        return true;
    case AMQP_ID_confirm_select:
        c->confirms = true;
        return true;
    case AMQP_ID_queue_declare:
        queue_declare(m->queue_declare.queue);
        reply->queue_declare_ok.queue = m->queue_declare.queue;
        return true;
    case AMQP_ID_queue_bind:
        q = queue_find(m->queue_bind.queue);
        if (q != NULL)
            binding_add(m->queue_bind.exchange, m->queue_bind.routing_key, q);
        return q != NULL;
    case AMQP_ID_basic_consume:
        q = queue_find(m->basic_consume.queue);
        if (q != NULL)
            queue_consume(q, c, m->basic_consume.consumer_tag);
        reply->basic_consume_ok.consumer_tag = m->basic_consume.consumer_tag;
        return q != NULL;
    case AMQP_ID_connection_open:
    case AMQP_ID_channel_open:
    case AMQP_ID_exchange_declare:
    case AMQP_ID_queue_delete:
    case AMQP_ID_basic_qos:
        return true;
    default:
        return false;
    }
}

static void
connection_refuse(struct connection *c, uint32_t method_id)
{
    fprintf(stderr, "bench_relay: cannot do %u.%u\n", method_id >> 16, method_id & 0xFFFFu);
    c->closing = true;
}

static void
frame_handle(struct thread *t, struct connection *c, const uint8_t *at, size_t size)
{
    union amqp_method m;
    union amqp_method reply;
    const uint16_t channel = load_be16(at + 1);
    const uint32_t id = method_find(at, at + size);
    const uint8_t *arguments = at + AMQP_FRAME_HEAD_SIZE + 4;
    if (id == AMQP_ID_connection_tune_ok)
        return;
    bool able = channel <= CHANNEL && amqp_method_find(id) != NULL &&
                amqp_method_decode(id, bytes_of(arguments, (size_t)(at + size - 1 - arguments)),
                                   &m) == WIRE_OK;
    if (able) {
        m.id = id;
        pthread_rwlock_wrlock(&topology.lock);
        able = method_apply(c, &m, &reply);
        pthread_rwlock_unlock(&topology.lock);
    }
    if (able)
        method_send(t, c, channel, &reply);
    else
        connection_refuse(c, id);
}

static const uint8_t *
connection_parse(struct thread *t, struct connection *c, const uint8_t *at, const uint8_t *end)
{
    if (!c->greeted && end - at >= (ptrdiff_t)AMQP_PROTOCOL_HEADER_SIZE) {
        const union amqp_method m = { .connection_start = { .id = AMQP_ID_connection_start,
                                                            .version_minor = 9,
                                                            .mechanisms = BYTES_LITERAL("PLAIN"),
                                                            .locales = BYTES_LITERAL("en_US") } };
        method_send(t, c, 0, &m);
        c->greeted = true;
        at += AMQP_PROTOCOL_HEADER_SIZE;
    }
    while (c->greeted && !c->closing) {
        at = publishes_forward(t, c, at, end);
        const size_t size = frame_size(at, end);
        if (size == 0 || method_find(at, end) == AMQP_ID_basic_publish)
            break; /* The rest of it is on its way. */
        frame_handle(t, c, at, size);
        at += size;
    }
    return at;
}

/* Reads once, behind what is left of the last time. */
static void
connection_read(struct thread *t, struct connection *c)
{
    const size_t have = c->partial.size;
    if (have == INPUT_SIZE) {
        connection_refuse(c, AMQP_ID_basic_publish);
        return;
    }
    if (have > 0)
        memcpy(t->input, c->partial.data, have);
    const ssize_t got = recv(c->fd, t->input + have, INPUT_SIZE - have, MSG_DONTWAIT);
    if (got <= 0) {
        c->closing = got == 0 || (errno != EAGAIN && errno != EINTR);
        return;
    }
    const uint8_t *end = t->input + have + got;
    const uint8_t *rest = connection_parse(t, c, t->input, end);
    c->partial.size = 0;
    buf_append(&c->partial, rest, (size_t)(end - rest));
}

/* Once the consumers are gone no other thread knows the connection. */
static void
connection_destroy(struct connection *c)
{
    pthread_rwlock_wrlock(&topology.lock);
    consumers_remove(c);
    pthread_rwlock_unlock(&topology.lock);
    close(c->fd);
    buf_fini(&c->partial);
    pthread_mutex_destroy(&c->write_lock);
    mem_free(c);
}

static void *
thread_main(void *context)
{
    struct thread *t = context;
    struct epoll_event events[64];
    for (;;) {
        const int count = epoll_wait(t->epoll_fd, events, 64, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            connection_read(t, c);
            if (c->closing)
                connection_destroy(c);
        }
    }
    return NULL;
}

static struct thread *
thread_create(uint32_t index)
{
    struct thread *t = mem_alloc_zeroed(sizeof(*t));
    t->index = index;
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    pthread_t id;
    if (t->epoll_fd < 0 || pthread_create(&id, NULL, thread_main, t) != 0)
        fail("cannot start a thread");
    return t;
}

static void
connection_create(int fd, const struct thread *t)
{
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct connection *c = mem_alloc_zeroed(sizeof(*c));
    c->fd = fd;
    pthread_mutex_init(&c->write_lock, NULL);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("cannot watch a connection");
}

static int
listen_anywhere(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        fail("cannot listen on 127.0.0.1");
    printf("port=%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int
main(int argc, char **argv)
{
    struct thread *threads[THREADS_MAX];
    const unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 2;
    if (argc > 2 || count < 1 || count > THREADS_MAX) {
        fprintf(stderr, "usage: bench_relay [THREADS]\n");
        return 64;
    }
    for (uint32_t i = 0; i < count; i++)
        threads[i] = thread_create(i);
    const int listener = listen_anywhere();
    for (uint64_t turn = 0;; turn++) {
        const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            fail("cannot accept connections");
        connection_create(fd, threads[turn % count]);
    }
}
