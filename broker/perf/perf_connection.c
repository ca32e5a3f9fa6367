#include "broker/perf/perf_connection.h"

#include "amqp/table.h"
#include "broker/base/clock.h"
#include "broker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CALL_TIMEOUT_S 30
#define CLOSE_TIMEOUT_S 5
#define READ_AHEAD 65536u

static bool
broker_init_tls(struct perf_broker *b, const struct perf_options *o, struct perf_error *error)
{
    const struct tls_certificate certificate = { o->tls_certificate, o->tls_key };
    const bool shows_one = o->tls_certificate != NULL && o->tls_key != NULL;
    b->scratch = mem_alloc_zeroed(sizeof(*b->scratch));
    b->tls = tls_profile_create_client(o->tls_ca, o->tls_insecure, shows_one ? &certificate : NULL,
                                       error->text, sizeof(error->text));
    return b->tls != NULL;
}

bool
perf_broker_init(struct perf_broker *b, const struct perf_options *o, struct perf_error *error)
{
    *b = (struct perf_broker){ .options = o };
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    const int code = getaddrinfo(o->target.host, o->target.port, &hints, &b->addresses);
    if (code != 0)
        return perf_error_set(error, "cannot resolve host '%s': %s", o->target.host,
                              gai_strerror(code));
    return !o->target.tls || broker_init_tls(b, o, error);
}

void
perf_broker_fini(struct perf_broker *b)
{
    if (b->addresses != NULL)
        freeaddrinfo(b->addresses);
    tls_profile_destroy(b->tls);
    if (b->scratch != NULL)
        transport_scratch_fini(b->scratch);
    mem_free(b->scratch);
    *b = (struct perf_broker){ 0 };
}

static void
connection_set_timeout(const struct perf_connection *c, int seconds)
{
    const struct timeval timeout = { .tv_sec = seconds };
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

static bool
connection_connect(struct perf_connection *c, const struct perf_broker *b, struct perf_error *error)
{
    int code = 0;
    for (const struct addrinfo *a = b->addresses; a != NULL; a = a->ai_next) {
        c->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (c->fd < 0) {
            code = errno;
            continue;
        }
        connection_set_timeout(c, CALL_TIMEOUT_S);
        if (connect(c->fd, a->ai_addr, a->ai_addrlen) == 0) {
            const int on = 1;
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            return true;
        }
        code = errno;
        close(c->fd);
        c->fd = -1;
    }
    const struct perf_uri *target = &b->options->target;
    return perf_error_set(error, "cannot connect to %s:%s: %s", target->host, target->port,
                          strerror(code));
}

static bool
connection_secure(struct perf_connection *c, const struct perf_broker *b, struct perf_error *error)
{
    const uint64_t deadline_ns = clock_monotonic_ns() + CALL_TIMEOUT_S * 1000000000ull;
    if (b->tls == NULL)
        return true;
    c->scratch = b->scratch;
    c->tls = transport_create_client(b->tls, c->fd, b->options->target.host, b->scratch);
    enum transport_result result = TRANSPORT_WAITS;
    while (result == TRANSPORT_WAITS && clock_monotonic_ns() < deadline_ns)
        result = transport_handshake(c->tls);
    if (result == TRANSPORT_DONE)
        return true;
    return perf_error_set(
        error, "TLS with %s:%s: %s", b->options->target.host, b->options->target.port,
        result == TRANSPORT_WAITS ? "no answer in time" : transport_problem(c->tls));
}

static ssize_t
connection_write(struct perf_connection *c, const uint8_t *data, size_t size)
{
    const struct iovec piece = { (void *)(uintptr_t)data, size };
    return c->tls != NULL ? transport_write(c->tls, &piece, 1)
                          : send(c->fd, data, size, MSG_NOSIGNAL);
}

static bool
connection_send(struct perf_connection *c, const void *data, size_t size, struct perf_error *error)
{
    const uint8_t *at = data;
    while (size > 0) {
        const ssize_t sent = connection_write(c, at, size);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            c->broken = true;
            return perf_error_set(error, "cannot send to the broker: %s", strerror(errno));
        }
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* One recv that restarts after signals; what the failure means is in `error`. */
static size_t
connection_receive_some(struct perf_connection *c, uint8_t *at, size_t size,
                        struct perf_error *error)
{
    const uint64_t deadline_ns = clock_monotonic_ns() + CALL_TIMEOUT_S * 1000000000ull;
    const struct iovec space = { at, size };
    ssize_t got;
    do {
        got = c->tls != NULL ? transport_read(c->tls, &space, 1) : recv(c->fd, at, size, 0);
        /* With TLS there are records that hold nothing for us. */
    } while (got < 0 && (errno == EINTR || (c->tls != NULL && errno == EAGAIN &&
                                            clock_monotonic_ns() < deadline_ns)));
    if (got > 0)
        return (size_t)got;
    c->broken = true;
    if (got == 0)
        perf_error_set(error, "the broker closed the connection without a reason");
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
        perf_error_set(error, "no answer from the broker in time");
    else
        perf_error_set(error, "cannot read from the broker: %s", strerror(errno));
    return 0;
}

static bool
connection_receive(struct perf_connection *c, uint8_t *at, size_t size, struct perf_error *error)
{
    while (size > 0) {
        const size_t left = c->rest.size - c->rest_used;
        size_t taken = left < size ? left : size;
        if (left > 0) {
            memcpy(at, c->rest.data + c->rest_used, taken);
            c->rest_used += taken;
        } else if (c->close_by_ns == 0 && c->tls == NULL) {
            taken = connection_receive_some(c, at, size, error);
        } else {
            /* There may be a lot of deliveries in front of the broker's goodbye; and TLS comes in
             * records. */
            buf_reserve(&c->rest, READ_AHEAD);
            c->rest_used = 0;
            c->rest.size = connection_receive_some(c, c->rest.data, READ_AHEAD, error);
        }
        if (c->broken)
            return false;
        at += taken;
        size -= taken;
    }
    return true;
}

/* Reads one frame; its payload is in c->in. */
static bool
connection_read_frame(struct perf_connection *c, struct amqp_frame_head *head,
                      struct perf_error *error)
{
    uint8_t raw[AMQP_FRAME_HEAD_SIZE + 1];
    if (!connection_receive(c, raw, AMQP_FRAME_HEAD_SIZE, error))
        return false;
    *head = amqp_frame_head_decode(raw);
    if (memcmp(raw, "AMQP", 4) == 0 || head->size > c->frame_max) {
        c->broken = true;
        return perf_error_set(error, "this is not an AMQP 0-9-1 broker: it sent %s",
                              raw[0] == 'A' ? "a protocol header" : "a malformed frame");
    }
    c->in.size = 0;
    uint8_t *payload = buf_reserve(&c->in, (size_t)head->size + 1);
    if (!connection_receive(c, payload, (size_t)head->size + 1, error))
        return false;
    if (payload[head->size] != AMQP_FRAME_END) {
        c->broken = true;
        return perf_error_set(error, "the broker sent a frame without an end");
    }
    c->in.size = head->size;
    return true;
}

static bool
connection_send_method(struct perf_connection *c, uint16_t channel, const union amqp_method *m,
                       struct perf_error *error)
{
    const size_t size = amqp_method_size(m);
    struct buf frame = { 0 };
    uint8_t *at = buf_reserve(&frame, size + AMQP_FRAME_OVERHEAD);
    amqp_frame_head_encode(at, AMQP_FRAME_METHOD, channel, (uint32_t)size);
    struct wire_writer w = wire_writer_of(at + AMQP_FRAME_HEAD_SIZE, size);
    amqp_method_encode(&w, m);
    at[AMQP_FRAME_HEAD_SIZE + size] = AMQP_FRAME_END;
    const bool sent = connection_send(c, at, size + AMQP_FRAME_OVERHEAD, error);
    buf_fini(&frame);
    return sent;
}

bool
perf_close_describe(uint32_t method_id, struct bytes arguments, struct perf_error *error)
{
    union amqp_method m;
    const char *what = method_id == AMQP_ID_channel_close ? "channel" : "connection";
    if (amqp_method_decode(method_id, arguments, &m) != WIRE_OK)
        return perf_error_set(error, "the broker closed the %s (malformed close)", what);
    /* Both closes have the same members, but C does not promise that. */
    const uint16_t code = method_id == AMQP_ID_channel_close ? m.channel_close.reply_code
                                                             : m.connection_close.reply_code;
    const struct bytes text = method_id == AMQP_ID_channel_close ? m.channel_close.reply_text
                                                                 : m.connection_close.reply_text;
    return perf_error_set(error, "the broker closed the %s: %u %.*s", what, code, BYTES_ARGS(text));
}

/* Waits for a method; strings in `out` point into c->in. */
static bool
connection_await(struct perf_connection *c, uint16_t channel, uint32_t method_id,
                 union amqp_method *out, struct perf_error *error)
{
    for (;;) {
        struct amqp_frame_head head;
        if (c->close_by_ns != 0 && clock_monotonic_ns() > c->close_by_ns)
            return perf_error_set(error, "the broker does not answer connection.close");
        if (!connection_read_frame(c, &head, error))
            return false;
        if (head.type != AMQP_FRAME_METHOD || c->in.size < 4)
            continue; /* Heartbeats, and on the way out what was still on its way in. */
        const uint32_t id = load_be32(c->in.data);
        const struct bytes arguments = bytes_of(c->in.data + 4, c->in.size - 4);
        if (id == method_id && head.channel == channel) {
            if (amqp_method_decode(id, arguments, out) == WIRE_OK)
                return true;
            return perf_error_set(error, "the broker sent a malformed method %u.%u", id >> 16,
                                  id & 0xFFFFu);
        }
        if (id != AMQP_ID_connection_close && id != AMQP_ID_channel_close)
            continue;
        if (id == AMQP_ID_connection_close) {
            struct perf_error ignored;
            const union amqp_method ok = { .id = AMQP_ID_connection_close_ok };
            connection_send_method(c, 0, &ok, &ignored);
            c->broken = true;
        }
        return perf_close_describe(id, arguments, error);
    }
}

bool
perf_connection_call(struct perf_connection *c, uint16_t channel, const union amqp_method *request,
                     uint32_t reply_id, union amqp_method *reply, struct perf_error *error)
{
    union amqp_method ignored;
    return connection_send_method(c, channel, request, error) &&
           connection_await(c, channel, reply_id, reply != NULL ? reply : &ignored, error);
}

bool
perf_connection_open_channel(struct perf_connection *c, uint16_t channel, struct perf_error *error)
{
    const union amqp_method open = { .channel_open = { .id = AMQP_ID_channel_open } };
    return perf_connection_call(c, channel, &open, AMQP_ID_channel_open_ok, NULL, error);
}

static void
client_properties_build(struct buf *out, const char *name)
{
    static const char *const capabilities[] = { "publisher_confirms", "basic.nack",
                                                "connection.blocked", "consumer_cancel_notify",
                                                "authentication_failure_close" };
    struct buf able = { 0 };
    for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
        table_put_bool(&able, capabilities[i], true);
    table_put_string(out, "product", BYTES_LITERAL("railmq perf"));
    table_put_string(out, "version", BYTES_LITERAL(RAIL_VERSION));
    table_put_string(out, "platform", BYTES_LITERAL("C"));
    table_put_string(out, "connection_name", bytes_of_string(name));
    table_put_table(out, "capabilities", buf_bytes(&able));
    buf_fini(&able);
}

/* Protocol header, start, start-ok: up to and including tune. */
static bool
connection_login(struct perf_connection *c, const struct perf_uri *target, const char *name,
                 union amqp_method *tune, struct perf_error *error)
{
    union amqp_method start;
    if (!connection_send(c, AMQP_PROTOCOL_HEADER, AMQP_PROTOCOL_HEADER_SIZE, error) ||
        !connection_await(c, 0, AMQP_ID_connection_start, &start, error))
        return false;
    struct buf properties = { 0 };
    struct buf response = { 0 };
    client_properties_build(&properties, name);
    buf_append(&response, "", 1);
    buf_append(&response, target->user, strlen(target->user) + 1);
    buf_append(&response, target->password, strlen(target->password));
    const union amqp_method start_ok = { .connection_start_ok = {
                                             .id = AMQP_ID_connection_start_ok,
                                             .client_properties = buf_bytes(&properties),
                                             .mechanism = BYTES_LITERAL("PLAIN"),
                                             .response = buf_bytes(&response),
                                             .locale = BYTES_LITERAL("en_US"),
                                         } };
    const bool done = perf_connection_call(c, 0, &start_ok, AMQP_ID_connection_tune, tune, error);
    buf_fini(&properties);
    buf_fini(&response);
    return done;
}

static bool
connection_negotiate(struct perf_connection *c, const struct perf_options *o,
                     const union amqp_method *tune, struct perf_error *error)
{
    const uint32_t theirs = tune->connection_tune.frame_max;
    c->frame_max = theirs == 0 || theirs > o->frame_max ? o->frame_max : theirs;
    c->heartbeat_s = o->heartbeat_s;
    const union amqp_method tune_ok = { .connection_tune_ok = {
                                            .id = AMQP_ID_connection_tune_ok,
                                            .channel_max = tune->connection_tune.channel_max,
                                            .frame_max = c->frame_max,
                                            .heartbeat = (uint16_t)c->heartbeat_s,
                                        } };
    const union amqp_method open = { .connection_open = {
                                         .id = AMQP_ID_connection_open,
                                         .virtual_host = bytes_of_string(o->target.vhost),
                                     } };
    return connection_send_method(c, 0, &tune_ok, error) &&
           perf_connection_call(c, 0, &open, AMQP_ID_connection_open_ok, NULL, error);
}

bool
perf_connection_open(struct perf_connection *c, const struct perf_broker *b, const char *name,
                     struct perf_error *error)
{
    *c = (struct perf_connection){ .fd = -1, .frame_max = b->options->frame_max };
    union amqp_method tune;
    if (connection_connect(c, b, error) && connection_secure(c, b, error) &&
        connection_login(c, &b->options->target, name, &tune, error) &&
        connection_negotiate(c, b->options, &tune, error))
        return true;
    c->broken = true;
    perf_connection_await_close(c);
    return false;
}

void
perf_connection_unblock(struct perf_connection *c, struct transport_scratch *scratch,
                        struct buf *rest)
{
    buf_append(rest, c->rest.data + c->rest_used, c->rest.size - c->rest_used);
    buf_fini(&c->rest);
    c->rest_used = 0;
    if (c->tls != NULL)
        transport_use(c->tls, scratch);
    buf_fini(&c->in);
    fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
}

void
perf_connection_return(struct perf_connection *c, struct bytes rest, uint32_t skip)
{
    buf_append_bytes(&c->rest, rest);
    c->skip = skip;
    if (c->tls != NULL)
        transport_use(c->tls, c->scratch);
}

void
perf_connection_say_close(struct perf_connection *c)
{
    if (c->fd < 0 || c->broken)
        return;
    const union amqp_method m = { .connection_close = {
                                      .id = AMQP_ID_connection_close,
                                      .reply_code = AMQP_REPLY_SUCCESS,
                                      .reply_text = BYTES_LITERAL("done"),
                                  } };
    struct perf_error ignored;
    /* A peer that does not even read is left without a word, rather than waited for. */
    fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
    connection_send_method(c, 0, &m, &ignored);
    fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) & ~O_NONBLOCK);
    connection_set_timeout(c, CLOSE_TIMEOUT_S);
    c->close_by_ns = clock_monotonic_ns() + CLOSE_TIMEOUT_S * 1000000000ull;
}

/* Reads to the end of the frame that the link was in the middle of. */
static bool
connection_skip(struct perf_connection *c, struct perf_error *error)
{
    uint8_t ignored[4096];
    while (c->skip > 0) {
        const uint32_t size = c->skip < sizeof(ignored) ? c->skip : (uint32_t)sizeof(ignored);
        if (!connection_receive(c, ignored, size, error))
            return false;
        c->skip -= size;
    }
    return true;
}

void
perf_connection_await_close(struct perf_connection *c)
{
    if (c->fd >= 0 && !c->broken) {
        union amqp_method reply;
        struct perf_error ignored;
        if (connection_skip(c, &ignored))
            connection_await(c, 0, AMQP_ID_connection_close_ok, &reply, &ignored);
    }
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    transport_destroy(c->tls);
    c->tls = NULL;
    buf_fini(&c->in);
    buf_fini(&c->rest);
}
