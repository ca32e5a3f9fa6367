#include "support.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_S = 30, FRAME_MAX = 131072 };

static const amqp_basic_properties_t no_properties = { 0 };

void
check_that(bool holds, const char *condition, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: not true: %s\n", file, line, condition);
        exit(1);
    }
}

static void
print_closed(const amqp_method_t *method)
{
    if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *closed = method->decoded;
        fprintf(stderr, "channel closed, %d %.*s\n", closed->reply_code,
                (int)closed->reply_text.len, (const char *)closed->reply_text.bytes);
    } else if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *closed = method->decoded;
        fprintf(stderr, "connection closed, %d %.*s\n", closed->reply_code,
                (int)closed->reply_text.len, (const char *)closed->reply_text.bytes);
    } else {
        fprintf(stderr, "unexpected method 0x%08X\n", method->id);
    }
}

static void
print_reply(amqp_rpc_reply_t reply, const char *action)
{
    fprintf(stderr, "%s: ", action);
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
        print_closed(&reply.reply);
    } else if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) {
        fprintf(stderr, "%s\n", amqp_error_string2(reply.library_error));
    } else {
        fprintf(stderr, "reply of type %d\n", (int)reply.reply_type);
    }
}

void
expect_normal(amqp_rpc_reply_t reply, const char *action)
{
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        print_reply(reply, action);
        exit(1);
    }
}

void
expect_closed(amqp_rpc_reply_t reply, int code, const char *action)
{
    int got = 0;
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
        if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
            got = ((const amqp_channel_close_t *)reply.reply.decoded)->reply_code;
        } else if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
            got = ((const amqp_connection_close_t *)reply.reply.decoded)->reply_code;
        }
    }
    if (got != code) {
        fprintf(stderr, "expected code %d, but ", code);
        print_reply(reply, action);
        exit(1);
    }
}

static void
on_deadline(int signal_number)
{
    static const char message[] = "not finished after 30 s\n";
    (void)signal_number;
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    (void)written;
    _exit(1);
}

void
watchdog_start(void)
{
    signal(SIGALRM, on_deadline);
    alarm(DEADLINE_S);
}

struct name
unique_name(const char *subject)
{
    static unsigned counter;
    struct name name;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(name.text, sizeof name.text, "clients.rabbitmq-c.%s.%lld-%09ld-%d-%u", subject,
             (long long)now.tv_sec, now.tv_nsec, (int)getpid(), counter++);
    return name;
}

const char *
setting(const char *variable, const char *fallback)
{
    const char *value = getenv(variable);
    return value != NULL ? value : fallback;
}

amqp_connection_state_t
connection_start(void)
{
    amqp_connection_state_t connection = amqp_new_connection();
    CHECK(connection != NULL);
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    CHECK(socket != NULL);
    int status = amqp_socket_open(socket, setting("AMQP_HOST", "127.0.0.1"),
                                  atoi(setting("AMQP_PORT", "5672")));
    if (status != AMQP_STATUS_OK) {
        fprintf(stderr, "opening the socket: %s\n", amqp_error_string2(status));
        exit(1);
    }
    return connection;
}

amqp_rpc_reply_t
connection_login(amqp_connection_state_t connection, const char *password, int heartbeat_s)
{
    return amqp_login(connection, setting("AMQP_VHOST", "/"), 0, FRAME_MAX, heartbeat_s,
                      AMQP_SASL_METHOD_PLAIN, setting("AMQP_USER", "guest"), password);
}

amqp_connection_state_t
connection_open(void)
{
    amqp_connection_state_t connection = connection_start();
    expect_normal(connection_login(connection, setting("AMQP_PASSWORD", "guest"), 0), "login");
    amqp_channel_open(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "channel.open");
    return connection;
}

void
connection_close(amqp_connection_state_t connection)
{
    expect_normal(amqp_channel_close(connection, CHANNEL, AMQP_REPLY_SUCCESS), "channel.close");
    expect_normal(amqp_connection_close(connection, AMQP_REPLY_SUCCESS), "connection.close");
    CHECK(amqp_destroy_connection(connection) == AMQP_STATUS_OK);
}

struct name
declare_private_queue(amqp_connection_state_t connection)
{
    struct name name;
    const amqp_queue_declare_ok_t *ok = amqp_queue_declare(
        connection, CHANNEL, amqp_empty_bytes, false, false, true, false, amqp_empty_table);
    expect_normal(amqp_get_rpc_reply(connection), "queue.declare");
    CHECK(ok->queue.len < sizeof name.text);
    snprintf(name.text, sizeof name.text, "%.*s", (int)ok->queue.len,
             (const char *)ok->queue.bytes);
    return name;
}

void
declare_exchange(amqp_connection_state_t connection, const char *exchange, const char *type)
{
    amqp_exchange_declare(connection, CHANNEL, amqp_cstring_bytes(exchange),
                          amqp_cstring_bytes(type), false, false, false, false, amqp_empty_table);
    expect_normal(amqp_get_rpc_reply(connection), "exchange.declare");
}

void
delete_exchange(amqp_connection_state_t connection, const char *exchange)
{
    amqp_exchange_delete(connection, CHANNEL, amqp_cstring_bytes(exchange), false);
    expect_normal(amqp_get_rpc_reply(connection), "exchange.delete");
}

void
bind_queue(amqp_connection_state_t connection, const char *queue, const char *exchange,
           const char *key)
{
    amqp_queue_bind(connection, CHANNEL, amqp_cstring_bytes(queue), amqp_cstring_bytes(exchange),
                    amqp_cstring_bytes(key), amqp_empty_table);
    expect_normal(amqp_get_rpc_reply(connection), "queue.bind");
}

uint32_t
count_messages(amqp_connection_state_t connection, const char *queue)
{
    const amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(connection, CHANNEL, amqp_cstring_bytes(queue), true, false, false,
                           false, amqp_empty_table);
    expect_normal(amqp_get_rpc_reply(connection), "queue.declare passive");
    return ok->message_count;
}

void
publish(amqp_connection_state_t connection, const char *exchange, const char *key,
        const amqp_basic_properties_t *properties, const char *body)
{
    int status = amqp_basic_publish(
        connection, CHANNEL, amqp_cstring_bytes(exchange), amqp_cstring_bytes(key), false, false,
        properties != NULL ? properties : &no_properties, amqp_cstring_bytes(body));
    CHECK(status == AMQP_STATUS_OK);
}

void
consume(amqp_connection_state_t connection, const char *queue, bool no_ack)
{
    amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, false,
                       no_ack, false, amqp_empty_table);
    expect_normal(amqp_get_rpc_reply(connection), "basic.consume");
}

amqp_envelope_t
next_delivery(amqp_connection_state_t connection)
{
    amqp_envelope_t envelope;
    amqp_maybe_release_buffers(connection);
    expect_normal(amqp_consume_message(connection, &envelope, NULL, 0), "waiting for a delivery");
    return envelope;
}

bool
bytes_equal(amqp_bytes_t bytes, const char *text)
{
    size_t size = strlen(text);
    return bytes.len == size && (size == 0 || memcmp(bytes.bytes, text, size) == 0);
}

void
expect_bodies_then_end(amqp_connection_state_t connection, const char *queue,
                       const char *const *bodies)
{
    consume(connection, queue, true);
    for (size_t i = 0;; i++) {
        const char *expected = bodies[i] != NULL ? bodies[i] : "end";
        amqp_envelope_t envelope = next_delivery(connection);
        if (!bytes_equal(envelope.message.body, expected)) {
            fprintf(stderr, "%s: expected \"%s\", got \"%.*s\"\n", queue, expected,
                    (int)envelope.message.body.len, (const char *)envelope.message.body.bytes);
            exit(1);
        }
        if (bodies[i] == NULL) {
            amqp_basic_cancel(connection, CHANNEL, envelope.consumer_tag);
            expect_normal(amqp_get_rpc_reply(connection), "basic.cancel");
        }
        amqp_destroy_envelope(&envelope);
        if (bodies[i] == NULL) {
            return;
        }
    }
}
