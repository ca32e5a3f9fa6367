/* Life and death of a connection, and what leaves it. */

#include "broker/session/connection.h"

#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/session/access.h"
#include "broker/session/channel.h"
#include "broker/session/connection_tls.h"
#include "broker/session/pending_get.h"
#include "certs/transport.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOSE_TIMEOUT_MS 30000 /* For the peer's close-ok, and for it to hang up. */

static void connection_ready(struct loop_source *source, uint32_t events);

/* Half of the limit must be free again before input goes on. */
static bool
output_is_long(const struct connection *c)
{
    return c->output.size > c->worker->broker->config->limits.output_bytes_max / 2;
}

/* What the last turn left of the input is handled. Mail of others may come within that turn. */
static void
take_turn(struct connection *c)
{
    if (c->turn_ms == c->worker->loop.now_ms)
        connection_touch(c);
    else
        connection_resume(c, PAUSE_TURN);
}

/* There are deliveries, or the output that stood in the way of something has been written, or it is
 * its turn again. */
static void
connection_mail(struct mail *mail)
{
    struct outbox *outbox = LIST_CONTAINER(mail, struct outbox, mail);
    struct connection *c = LIST_CONTAINER(outbox, struct connection, outbox);
    if (c->pauses & PAUSE_TURN)
        take_turn(c);
    if ((c->pauses & PAUSE_OUTPUT) && !output_is_long(c))
        connection_resume(c, PAUSE_OUTPUT);
    connection_deliver(c);
}

struct connection *
connection_create(struct worker *w, int fd, struct tls_profile *tls, const char *peer)
{
    struct connection *c = mem_alloc_zeroed(sizeof(*c));
    c->source = (struct loop_source){ .fd = fd, .ready = connection_ready };
    c->worker = w;
    c->id = atomic_fetch_add(&w->broker->next_connection_id, 1);
    c->created_ms = w->loop.now_ms;
    c->frame_max = AMQP_FRAME_MAX_LEAST; /* Until tune-ok. */
    c->watched = EPOLLIN;
    c->timer.fire = connection_timer_fire;
    snprintf(c->peer, sizeof(c->peer), "%s", peer);
    list_init(&c->in_dirty);
    list_init(&c->in_stalled);
    list_init(&c->in_blocked);
    list_init(&c->exclusive_queues);
    outbox_init(&c->outbox, &w->loop, connection_mail);
    list_push(&w->connections, &c->in_worker);
    if (!loop_watch(&w->loop, &c->source, c->watched)) {
        log_error("connection.watch",
                  "peer=%s errno=%d msg=\"refused: the kernel cannot watch "
                  "another socket; raise fs.epoll.max_user_watches\"",
                  peer, errno);
        close(fd);
        list_unlink(&c->in_worker);
        outbox_fini(&c->outbox);
        mem_free(c);
        return NULL;
    }
    if (tls != NULL)
        connection_begin_tls(c, tls);
    counter_add(&w->counters.connections_opened, 1);
    connection_start_timer(c, w->broker->config->limits.handshake_timeout_ms);
    return c;
}

void
connection_start_timer(struct connection *c, uint64_t after_ms)
{
    timer_start(&c->worker->loop, &c->timer, c->worker->loop.now_ms + after_ms);
}

static bool
tls_waits(const struct connection *c)
{
    return c->transport != NULL && transport_waits(c->transport);
}

/* Asks the loop for exactly the events that we have a use for. */
static void
connection_rewatch(struct connection *c)
{
    uint32_t events = 0;
    if (c->pauses == 0)
        events |= EPOLLIN;
    if (c->output.size > 0 || tls_waits(c))
        events |= EPOLLOUT;
    if (events == c->watched || c->state == CONNECTION_CLOSED)
        return;
    c->watched = events;
    loop_rewatch(&c->worker->loop, &c->source, events);
}

void
connection_pause(struct connection *c, enum connection_pause reason)
{
    c->pauses |= reason;
    connection_rewatch(c);
}

/* Octets that came before the pause are handled first; reading goes on after them. */
void
connection_resume(struct connection *c, enum connection_pause reason)
{
    c->pauses &= ~(unsigned)reason;
    if (c->pauses != 0 || c->state == CONNECTION_CLOSED)
        return;
    struct buf partial = c->partial;
    c->partial = (struct buf){ 0 };
    if (partial.size > 0) {
        const size_t used = connection_feed(c, partial.data, partial.size);
        if (used < partial.size && c->state != CONNECTION_CLOSED)
            buf_append(&c->partial, partial.data + used, partial.size - used);
        buf_fini(&partial);
    }
    connection_rewatch(c);
}

void
connection_touch(struct connection *c)
{
    if (!list_is_linked(&c->in_dirty) && c->state != CONNECTION_CLOSED)
        list_push(&c->worker->dirty, &c->in_dirty);
}

static void
write_failed(struct connection *c)
{
    connection_drop(c,
                    errno == EPIPE || errno == ECONNRESET ? "the peer has gone" : "writing failed");
}

static enum output_result
write_output(struct connection *c)
{
    return c->transport != NULL ? connection_write_tls(c) : output_write(&c->output, c->source.fd);
}

/* Nothing follows; what the peer still says is not heard. */
static void
hang_up(struct connection *c)
{
    if (c->transport != NULL)
        transport_shutdown(c->transport);
    if (!tls_waits(c))
        shutdown(c->source.fd, SHUT_WR);
}

void
connection_flush(struct connection *c)
{
    list_unlink(&c->in_dirty);
    if (c->state == CONNECTION_CLOSED)
        return;
    const uint64_t limit = c->worker->broker->config->limits.output_bytes_max;
    if (c->output.size > 0 || tls_waits(c)) {
        const size_t before = c->output.size;
        c->sent = true;
        if (write_output(c) == OUTPUT_FAILED) {
            write_failed(c);
            return;
        }
        if (c->pauses & PAUSE_OUTPUT)
            c->received = c->received || c->output.size < before; /* It reads: it lives. */
    }
    if (c->output.size > limit)
        connection_pause(c, PAUSE_OUTPUT);
    const bool input_may_go_on = (c->pauses & PAUSE_OUTPUT) && !output_is_long(c);
    const bool deliveries_may_go_on = c->deliveries_wait && c->output.size < OUTPUT_ENOUGH;
    if (input_may_go_on || deliveries_may_go_on || (c->pauses & PAUSE_TURN)) {
        c->deliveries_wait = c->deliveries_wait && !deliveries_may_go_on;
        loop_post(&c->worker->loop, &c->outbox.mail);
    }
    if (c->state == CONNECTION_LINGERING && c->output.size == 0)
        hang_up(c);
    connection_rewatch(c);
}

static ssize_t
receive(struct connection *c, struct iovec *vectors, size_t count)
{
    if (c->transport != NULL)
        return transport_read(c->transport, vectors, (int)count);
    if (count == 1)
        return recv(c->source.fd, vectors[0].iov_base, vectors[0].iov_len, 0);
    struct msghdr message = { .msg_iov = vectors, .msg_iovlen = count };
    return recvmsg(c->source.fd, &message, 0);
}

/* Reads once, behind the `kept` octets already in the read buffer. Returns how many came to lie
 * there; a large body is received past it. */
static ssize_t
read_some(struct connection *c, size_t kept)
{
    struct worker *w = c->worker;
    size_t space = 0;
    uint8_t *body = c->body_left >= 16384 && c->body_channel != NULL
                        ? channel_body_space(c->body_channel, &space)
                        : NULL;
    if (body == NULL || kept > 0) {
        struct iovec rest = { w->read_buffer + kept, w->read_buffer_size - kept };
        return receive(c, &rest, 1);
    }

    /* A large body goes straight to where it stays; what follows it, into the read buffer. */
    if (space > c->body_left)
        space = c->body_left;
    struct iovec vectors[2] = {
        { body, space },
        { w->read_buffer, w->read_buffer_size },
    };
    const ssize_t got = receive(c, vectors, 2);
    if (got <= 0)
        return got;
    const size_t into_body = (size_t)got < space ? (size_t)got : space;
    channel_body_received(c->body_channel, into_body);
    c->body_left -= (uint32_t)into_body;
    c->received = true;
    return got - (ssize_t)into_body;
}

static void
input_ended(struct connection *c, ssize_t got)
{
    if (c->state == CONNECTION_LINGERING || c->state == CONNECTION_CONDEMNED ||
        (c->state == CONNECTION_AWAITING_HEADER && !c->received))
        connection_drop(c, NULL);
    else if (got == 0)
        connection_drop(c, "client unexpectedly closed TCP connection");
    else if (c->transport != NULL && transport_problem(c->transport)[0] != 0)
        connection_drop(c, transport_problem(c->transport));
    else
        connection_drop(c, "reading failed: connection reset by the peer");
}

static void
connection_read(struct connection *c)
{
    struct worker *w = c->worker;
    const size_t kept = c->partial.size;
    if (kept > 0) {
        memcpy(w->read_buffer, c->partial.data, kept);
        buf_fini(&c->partial);
    }
    const uint32_t body_before = c->body_left;
    const ssize_t got = read_some(c, kept);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (kept > 0)
            buf_append(&c->partial, w->read_buffer, kept);
        return;
    }
    if (got < 0 || (got == 0 && c->body_left == body_before)) {
        input_ended(c, got);
        return;
    }
    c->received = true;
    const size_t size = kept + (size_t)got;
    const size_t used = connection_feed(c, w->read_buffer, size);
    if (used < size && c->state != CONNECTION_CLOSED)
        buf_append(&c->partial, w->read_buffer + used, size - used);
}

static void
connection_ready(struct loop_source *source, uint32_t events)
{
    struct connection *c = LIST_CONTAINER(source, struct connection, source);
    if (c->state == CONNECTION_CLOSED)
        return;
    if (events & EPOLLOUT)
        connection_flush(c);
    if (c->state == CONNECTION_SECURING) {
        const bool is_over = connection_shake_hands(c);
        connection_rewatch(c);
        if (!is_over)
            return;
        events |= EPOLLIN; /* Octets may have come with the end of the handshake. */
    }
    if (c->state != CONNECTION_CLOSED && (events & EPOLLIN) && c->pauses == 0)
        connection_read(c);
    else if (c->state != CONNECTION_CLOSED && (events & (EPOLLERR | EPOLLHUP)))
        connection_drop(c, "the peer has gone");
}

void
connection_send(struct connection *c, uint16_t channel, const union amqp_method *m)
{
    if (c->state == CONNECTION_CLOSED || c->state == CONNECTION_LINGERING)
        return;
    const size_t size = amqp_method_frame_size(m);
    amqp_method_frame_encode(output_reserve(&c->output, size), size, channel, m);
    output_commit(&c->output, size);
    connection_touch(c);
}

void
connection_send_empty(struct connection *c, uint16_t channel, uint32_t method_id)
{
    const union amqp_method m = { .id = method_id };
    connection_send(c, channel, &m);
}

void
connection_send_after(struct connection *c, uint16_t channel, uint64_t ticket,
                      const union amqp_method *m)
{
    if (ticket <= door_committed(c->worker->broker->door)) {
        connection_send(c, channel, m);
        return;
    }
    ASSERT(!(c->pauses & PAUSE_COMMIT));
    const size_t size = amqp_method_frame_size(m);
    amqp_method_frame_encode(buf_reserve(&c->stalled_reply, size), size, channel, m);
    c->stalled_reply.size += size;
    c->stall_ticket = ticket;
    list_push(&c->worker->stalled, &c->in_stalled);
    connection_pause(c, PAUSE_COMMIT);
}

/* A stalled connection waits either for a round or for the store to have room again. */
void
connection_unstall(struct connection *c, uint64_t committed)
{
    if (c->pauses & PAUSE_STORE) {
        if (broker_is_behind(c->worker->broker))
            return;
        list_unlink(&c->in_stalled);
        connection_resume(c, PAUSE_STORE);
        return;
    }
    if (c->stall_ticket > committed)
        return;
    list_unlink(&c->in_stalled);
    memcpy(output_reserve(&c->output, c->stalled_reply.size), c->stalled_reply.data,
           c->stalled_reply.size);
    output_commit(&c->output, c->stalled_reply.size);
    buf_fini(&c->stalled_reply);
    connection_touch(c);
    connection_resume(c, PAUSE_COMMIT);
}

static void
connection_block(struct connection *c, unsigned alarms)
{
    if (c->pauses & PAUSE_ALARM)
        return;
    if (c->can_blocked && !c->blocked_notified) {
        c->blocked_notified = true;
        connection_send(
            c, 0,
            &(const union amqp_method){ .connection_blocked = {
                                            .id = AMQP_ID_connection_blocked,
                                            .reason = bytes_of_string(alarms_reason(alarms)),
                                        } });
    }
    list_push(&c->worker->blocked, &c->in_blocked);
    connection_pause(c, PAUSE_ALARM);
    worker_watch_alarm(c->worker);
}

void
connection_check_pressure(struct connection *c)
{
    struct broker *b = c->worker->broker;
    const unsigned alarms = broker_check_alarms(b);
    if (alarms != 0) {
        connection_block(c, alarms);
    } else if (broker_is_behind(b) && !(c->pauses & (PAUSE_STORE | PAUSE_COMMIT))) {
        list_push(&c->worker->stalled, &c->in_stalled);
        connection_pause(c, PAUSE_STORE);
    }
}

void
connection_unblock(struct connection *c)
{
    list_unlink(&c->in_blocked);
    if (c->blocked_notified) {
        c->blocked_notified = false;
        connection_send_empty(c, 0, AMQP_ID_connection_unblocked);
    }
    connection_resume(c, PAUSE_ALARM);
}

void
connection_raise(struct connection *c, const struct amqp_exception *ex)
{
    char quoted[300];
    atomic_fetch_add_explicit(&c->worker->broker->counters.protocol_errors, 1,
                              memory_order_relaxed);
    log_warning("connection.error", "conn=%llu peer=%s state=%s code=%u method=%u.%u err=\"%s\"",
                (unsigned long long)c->id, c->peer, connection_state_name(c->state), ex->code,
                ex->method_id >> 16, ex->method_id & 0xFFFFu,
                log_quote(bytes_of_string(ex->text), quoted, sizeof(quoted)));
    connection_release(c);
    connection_send(c, 0,
                    &(const union amqp_method){ .connection_close = {
                                                    .id = AMQP_ID_connection_close,
                                                    .reply_code = (uint16_t)ex->code,
                                                    .reply_text = bytes_of_string(ex->text),
                                                    .class_id = (uint16_t)(ex->method_id >> 16),
                                                    .method_id = (uint16_t)ex->method_id,
                                                } });
    connection_move(c, CONNECTION_CLOSING);
    const uint64_t heartbeat_ms = c->heartbeat_s * UINT64_C(1000);
    connection_start_timer(
        c, heartbeat_ms > 0 && heartbeat_ms < CLOSE_TIMEOUT_MS ? heartbeat_ms : CLOSE_TIMEOUT_MS);
}

void
connection_linger(struct connection *c)
{
    if (c->state != CONNECTION_CLOSING)
        connection_release(c);
    connection_move(c, CONNECTION_LINGERING);
    connection_start_timer(c, CLOSE_TIMEOUT_MS);
    connection_touch(c); /* The flush hangs up. */
}

void
connection_release(struct connection *c)
{
    batch_flush(c->worker);
    c->body_channel = NULL; /* The rest of a body that is coming in is skipped. */
    c->borrower = NULL;
    struct map_node *node;
    while ((node = map_any(&c->channels)) != NULL)
        channel_destroy(MAP_CONTAINER(node, struct channel, by_number));
    while (!list_is_empty(&c->exclusive_queues)) {
        struct queue *q = LIST_CONTAINER(c->exclusive_queues.next, struct queue, in_connection);
        struct amqp_exception ex;
        size_t ready;
        uint64_t ticket;
        queue_ref(q);
        const bool deleted = vhost_delete_queue(q->vhost, q, false, false, &ready, &ticket, &ex);
        ASSERT(deleted);
        queue_unref(q);
    }
    connection_log_out(c);
    list_unlink(&c->in_stalled);
    list_unlink(&c->in_blocked);
    pending_get_drop(c);
    buf_fini(&c->stalled_reply);
    buf_fini(&c->partial);
    c->pauses &= PAUSE_OUTPUT;
    connection_touch(c);
}

void
connection_drop(struct connection *c, const char *why)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    char name[128];
    if (why != NULL)
        log_warning("connection.drop",
                    "conn=%llu peer=%s state=%s name=\"%s\" msg=\"closing AMQP "
                    "connection: %s\"",
                    (unsigned long long)c->id, c->peer, connection_state_name(c->state),
                    log_quote(c->name, name, sizeof(name)), why);
    else
        log_debug("connection.close", "conn=%llu peer=%s", (unsigned long long)c->id, c->peer);
    if (c->state < CONNECTION_RUNNING && why != NULL)
        atomic_fetch_add_explicit(&c->worker->broker->counters.handshakes_failed, 1,
                                  memory_order_relaxed);
    if (c->state != CONNECTION_CLOSING && c->state != CONNECTION_LINGERING)
        connection_release(c);
    connection_move(c, CONNECTION_CLOSED);
    list_unlink(&c->in_dirty);
    timer_stop(&c->worker->loop, &c->timer);
    loop_unwatch(&c->worker->loop, &c->source);
    close(c->source.fd);
    list_unlink(&c->in_worker);
    list_push(&c->worker->dead, &c->in_worker);
    atomic_fetch_sub(&c->worker->connection_count, 1);
    atomic_fetch_sub(&c->worker->broker->connection_count, 1);
}

void
connection_destroy(struct connection *c)
{
    ASSERT(c->state == CONNECTION_CLOSED);
    counter_add(&c->worker->counters.connections_closed, 1);
    list_unlink(&c->in_worker);
    output_fini(&c->output);
    transport_destroy(c->transport);
    outbox_fini(&c->outbox);
    map_fini(&c->channels);
    buf_fini(&c->partial);
    connection_log_out(c);
    access_close(c);
    account_unref(c->account);
    mem_free_const(c->user.data);
    mem_free_const(c->name.data);
    mem_free(c);
}
