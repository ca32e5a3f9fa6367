#include "broker/perf/perf_link.h"

#include "broker/base/clock.h"
#include "broker/perf/perf_stamp.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>

void
perf_link_init(struct perf_link *link, struct perf_worker *w, struct perf_connection *c)
{
    *link = (struct perf_link){ .connection = c,
                                .worker = w,
                                .writable = true,
                                .received_ns = clock_monotonic_ns(),
                                .read_size = PERF_INPUT_SIZE };
    list_init(&link->active);
    perf_connection_unblock(c, &w->tls_scratch, &link->partial);
    link->readable = link->partial.size > 0;
    perf_worker_add(w, link);
}

static size_t
link_unsent(const struct perf_link *link)
{
    return link->out.size - link->out_sent + link->large.size + link->control.size -
           link->control_sent;
}

void
perf_link_release(struct perf_link *link)
{
    if (link_unsent(link) > 0)
        link->connection->broken = true;
    perf_connection_return(link->connection, buf_bytes(&link->partial), link->body_left);
    buf_fini(&link->partial);
    buf_fini(&link->out);
    buf_fini(&link->control);
}

void
perf_link_fail(struct perf_link *link, const char *format, ...)
{
    char text[sizeof(((struct perf_error *)NULL)->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    link->failed = true;
    link->connection->broken = true;
    perf_shared_fail(link->worker->shared, text);
}

/* How much to read at once. What a record of TLS holds cannot be left for later. */
static size_t
link_room(const struct perf_link *link, size_t space)
{
    if (link->connection->tls != NULL)
        return space >= TRANSPORT_ROOM_LEAST ? space : 0;
    return space < link->read_size ? space : link->read_size;
}

static ssize_t
link_receive(struct perf_link *link, uint8_t *at, size_t room)
{
    const struct iovec space = { at, room };
    return link->connection->tls != NULL ? transport_read(link->connection->tls, &space, 1)
                                         : recv(link->connection->fd, at, room, 0);
}

bool
perf_link_read(struct perf_link *link)
{
    uint8_t *input = link->worker->input;
    size_t have = link->partial.size;
    const size_t space = PERF_INPUT_SIZE - have;
    const size_t room = link_room(link, space);
    if (have > 0)
        memcpy(input, link->partial.data, have);
    if (link->readable && room > 0) {
        const ssize_t got = link_receive(link, input + have, room);
        if (got == 0) {
            perf_link_fail(link, "the broker closed a connection without a reason");
            return false;
        }
        if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            perf_link_fail(link, "connection lost: %s", strerror(errno));
            return false;
        }
        /* Edge-triggered epoll tells of new octets after a short read. */
        link->readable =
            got > 0 ? (size_t)got == room || link->connection->tls != NULL : errno == EINTR;
        have += got > 0 ? (size_t)got : 0;
    }
    const uint64_t now = clock_monotonic_ns();
    link->received_ns = now;
    const uint8_t *end = input + have;
    const uint8_t *stop = link->worker->role->parse(link, input, end, now);
    if (link->failed)
        return false;
    link->partial.size = 0;
    buf_append(&link->partial, stop, (size_t)(end - stop));
    return link->readable;
}

/* Takes up to `n` octets from the rest of a buffer, which is emptied when all are gone. Returns how
 * many of the `n` are left. */
static size_t
unsent_take(struct buf *b, size_t *sent, size_t n)
{
    const size_t rest = b->size - *sent;
    const size_t taken = rest < n ? rest : n;
    *sent += taken;
    if (*sent == b->size)
        b->size = *sent = 0;
    return n - taken;
}

/* `n` octets were sent. */
static void
link_advance(struct perf_link *link, size_t n)
{
    if (link->control_sent > 0)
        n = unsent_take(&link->control, &link->control_sent, n);
    n = unsent_take(&link->out, &link->out_sent, n);
    if (link->large.size > 0) {
        const size_t taken = link->large.size < n ? link->large.size : n;
        link->large = bytes_of(link->large.data + taken, link->large.size - taken);
        n -= taken;
    }
    unsent_take(&link->control, &link->control_sent, n);
}

static void
iovec_add(struct iovec *parts, size_t *count, const uint8_t *data, size_t from, size_t size)
{
    if (size > from)
        parts[(*count)++] = (struct iovec){ (void *)(uintptr_t)(data + from), size - from };
}

static ssize_t
link_send(struct perf_link *link)
{
    struct iovec parts[4];
    size_t count = 0;
    if (link->control_sent > 0)
        iovec_add(parts, &count, link->control.data, link->control_sent, link->control.size);
    iovec_add(parts, &count, link->out.data, link->out_sent, link->out.size);
    iovec_add(parts, &count, link->large.data, 0, link->large.size);
    if (link->control_sent == 0)
        iovec_add(parts, &count, link->control.data, 0, link->control.size);
    if (link->connection->tls != NULL)
        return transport_write(link->connection->tls, parts, (int)count);
    const struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
    return sendmsg(link->connection->fd, &message, MSG_NOSIGNAL);
}

/* Encrypted octets wait, which writing nothing more sends. */
static bool
link_waits(const struct perf_link *link)
{
    return link->connection->tls != NULL && transport_waits(link->connection->tls);
}

bool
perf_link_flush(struct perf_link *link)
{
    while (link_unsent(link) > 0 || link_waits(link)) {
        if (!link->writable || link->failed)
            return false;
        const ssize_t sent = link_send(link);
        if (sent >= 0) {
            link->wrote = true;
            link_advance(link, (size_t)sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            link->writable = false;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            /* The reason may be waiting to be read: it is for the reading side to fail. */
            link->writable = false;
            link->readable = true;
        } else if (errno != EINTR) {
            perf_link_fail(link, "connection lost: %s", strerror(errno));
        }
    }
    return !link->failed;
}

static void
link_control(struct perf_link *link, const void *frame, size_t size)
{
    buf_append(&link->control, frame, size);
    perf_link_flush(link);
}

static void
link_answer_flow(struct perf_link *link, uint16_t channel, bool active)
{
    uint8_t frame[AMQP_FRAME_OVERHEAD + 5];
    amqp_frame_head_encode(frame, AMQP_FRAME_METHOD, channel, 5);
    store_be32(frame + AMQP_FRAME_HEAD_SIZE, AMQP_ID_channel_flow_ok);
    frame[AMQP_FRAME_HEAD_SIZE + 4] = active;
    frame[AMQP_FRAME_HEAD_SIZE + 5] = AMQP_FRAME_END;
    link_control(link, frame, sizeof(frame));
    link->blocked = !active;
}

/* Methods that mean the same for everybody. */
static void
link_on_method(struct perf_link *link, uint16_t channel, struct bytes payload, uint64_t now_ns)
{
    const struct perf_role *role = link->worker->role;
    if (payload.size < 4) {
        perf_link_fail(link, "the broker sent a method without an id");
        return;
    }
    const uint32_t id = load_be32(payload.data);
    const struct bytes arguments = bytes_of(payload.data + 4, payload.size - 4);
    struct perf_error reason;
    if (id == AMQP_ID_connection_close || id == AMQP_ID_channel_close) {
        perf_close_describe(id, arguments, &reason);
        perf_link_fail(link, "%s", reason.text);
    } else if (id == AMQP_ID_connection_blocked || id == AMQP_ID_connection_unblocked) {
        link->blocked = id == AMQP_ID_connection_blocked;
    } else if (id == AMQP_ID_channel_flow && arguments.size == 1) {
        link_answer_flow(link, channel, arguments.data[0] & 1u);
    } else if (role->on_method == NULL || !role->on_method(link, channel, id, arguments, now_ns)) {
        const struct amqp_method_info *info = link->failed ? NULL : amqp_method_find(id);
        if (!link->failed)
            perf_link_fail(link, "the broker sent an unexpected method: %u.%u %s", id >> 16,
                           id & 0xFFFFu, info != NULL ? info->name : "");
    }
}

static enum perf_frame
link_body_begin(struct perf_link *link, const struct amqp_frame_head *head, const uint8_t **at,
                size_t available)
{
    const uint32_t start = head->size < PERF_STAMP_SIZE ? head->size : PERF_STAMP_SIZE;
    if (available < AMQP_FRAME_HEAD_SIZE + start)
        return PERF_FRAME_MORE;
    *at += AMQP_FRAME_HEAD_SIZE;
    link->body_left = head->size + 1;
    link->body_channel = head->channel;
    if (link->worker->role->on_body != NULL)
        link->worker->role->on_body(link, head->channel, bytes_of(*at, start), head->size);
    return link->failed ? PERF_FRAME_FAILED : PERF_FRAME_DONE;
}

static enum perf_frame
link_body_go_on(struct perf_link *link, const uint8_t **at, size_t available, uint64_t now_ns)
{
    if (available == 0)
        return PERF_FRAME_MORE;
    const uint32_t taken = available < link->body_left ? (uint32_t)available : link->body_left;
    link->body_left -= taken;
    *at += taken;
    if (link->body_left > 0)
        return PERF_FRAME_MORE;
    if ((*at)[-1] != AMQP_FRAME_END)
        perf_link_fail(link, "the broker sent a body frame without an end");
    else if (link->worker->role->on_body_end != NULL)
        link->worker->role->on_body_end(link, link->body_channel, now_ns);
    return link->failed ? PERF_FRAME_FAILED : PERF_FRAME_DONE;
}

enum perf_frame
perf_link_frame(struct perf_link *link, const uint8_t **at, const uint8_t *end, uint64_t now_ns)
{
    const size_t available = (size_t)(end - *at);
    if (link->body_left > 0)
        return link_body_go_on(link, at, available, now_ns);
    if (available < AMQP_FRAME_HEAD_SIZE)
        return PERF_FRAME_MORE;
    const struct amqp_frame_head head = amqp_frame_head_decode(*at);
    if (head.size > link->connection->frame_max) {
        perf_link_fail(link, "the broker sent a frame of %u octets, %u were agreed", head.size,
                       link->connection->frame_max);
        return PERF_FRAME_FAILED;
    }
    if (head.type == AMQP_FRAME_BODY)
        return link_body_begin(link, &head, at, available);
    if (available < AMQP_FRAME_OVERHEAD + (size_t)head.size)
        return PERF_FRAME_MORE;
    const struct bytes payload = bytes_of(*at + AMQP_FRAME_HEAD_SIZE, head.size);
    *at += AMQP_FRAME_OVERHEAD + (size_t)head.size;
    const bool header_fine = head.type == AMQP_FRAME_HEADER && head.size >= 14;
    if ((*at)[-1] != AMQP_FRAME_END)
        perf_link_fail(link, "the broker sent a frame without an end");
    else if (head.type == AMQP_FRAME_METHOD)
        link_on_method(link, head.channel, payload, now_ns);
    else if (header_fine && link->worker->role->on_header != NULL)
        link->worker->role->on_header(link, head.channel, load_be64(payload.data + 4), now_ns);
    else if (head.type != AMQP_FRAME_HEARTBEAT && !header_fine)
        perf_link_fail(link, "the broker sent a frame of the unexpected type %u", head.type);
    return link->failed ? PERF_FRAME_FAILED : PERF_FRAME_DONE;
}

const uint8_t *
perf_link_parse(struct perf_link *link, const uint8_t *at, const uint8_t *end, uint64_t now_ns)
{
    while (perf_link_frame(link, &at, end, now_ns) == PERF_FRAME_DONE)
        continue;
    return at;
}

void
perf_link_beat(struct perf_link *link, uint64_t now_ns, uint64_t heartbeat_ns)
{
    static const uint8_t heartbeat[] = { AMQP_FRAME_HEARTBEAT, 0, 0, 0, 0, 0, 0, AMQP_FRAME_END };
    if (link->failed)
        return;
    if (!link->wrote && link_unsent(link) == 0)
        link_control(link, heartbeat, sizeof(heartbeat));
    link->wrote = false;
    if (!link->readable && now_ns > link->received_ns + 2 * heartbeat_ns)
        perf_link_fail(link, "no heartbeat from the broker for %u s",
                       (unsigned)(2 * heartbeat_ns / 1000000000u));
}

static bool
idle_pump(struct perf_link *link, uint64_t now_ns)
{
    (void)now_ns;
    perf_link_flush(link);
    return link->readable && perf_link_read(link);
}

const struct perf_role perf_role_idle = { .pump = idle_pump, .parse = perf_link_parse };
