/* Remote procedure call, with the client's own callback queue and with direct reply-to. */
#include "support.h"

#define DIRECT "amq.rabbitmq.reply-to"

enum { CALLS = 20 };

/* Takes one request on the server's connection and sends its answer: the body, doubled. */
static void
serve_one(amqp_connection_state_t server)
{
    char body[32];
    struct name reply_to;
    amqp_envelope_t request = next_delivery(server);
    const amqp_basic_properties_t *asked = &request.message.properties;
    const amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CORRELATION_ID_FLAG,
        .correlation_id = asked->correlation_id,
    };
    CHECK((asked->_flags & AMQP_BASIC_REPLY_TO_FLAG) != 0);
    CHECK(asked->reply_to.len < sizeof reply_to.text);
    snprintf(reply_to.text, sizeof reply_to.text, "%.*s", (int)asked->reply_to.len,
             (const char *)asked->reply_to.bytes);
    snprintf(body, sizeof body, "%.*s", (int)request.message.body.len,
             (const char *)request.message.body.bytes);
    snprintf(body, sizeof body, "%d", 2 * atoi(body));
    publish(server, "", reply_to.text, &properties, body);
    CHECK(amqp_basic_ack(server, CHANNEL, request.delivery_tag, false) == AMQP_STATUS_OK);
    amqp_destroy_envelope(&request);
}

static void
send_request(amqp_connection_state_t client, const char *queue, const char *reply_to, int number)
{
    char body[32];
    char correlation_id[32];
    snprintf(body, sizeof body, "%d", number);
    snprintf(correlation_id, sizeof correlation_id, "call-%d", number);
    const amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG |
                  AMQP_BASIC_CONTENT_TYPE_FLAG,
        .content_type = amqp_cstring_bytes("text/plain"),
        .reply_to = amqp_cstring_bytes(reply_to),
        .correlation_id = amqp_cstring_bytes(correlation_id),
    };
    publish(client, "", queue, &properties, body);
}

static void
expect_answer(amqp_connection_state_t client, int number)
{
    char body[32];
    char correlation_id[32];
    snprintf(body, sizeof body, "%d", 2 * number);
    snprintf(correlation_id, sizeof correlation_id, "call-%d", number);
    amqp_envelope_t answer = next_delivery(client);
    CHECK(bytes_equal(answer.message.body, body));
    CHECK(bytes_equal(answer.message.properties.correlation_id, correlation_id));
    amqp_destroy_envelope(&answer);
}

static void
check_calls(amqp_connection_state_t client, const char *reply_to, amqp_connection_state_t server,
            const char *queue)
{
    consume(client, reply_to, true);
    for (int number = 0; number < CALLS; number++) {
        send_request(client, queue, reply_to, number);
    }
    for (int number = 0; number < CALLS; number++) {
        serve_one(server);
    }
    for (int number = 0; number < CALLS; number++) {
        expect_answer(client, number);
    }
}

int
main(void)
{
    watchdog_start();
    amqp_connection_state_t server = connection_open();
    struct name requests = declare_private_queue(server);
    consume(server, requests.text, false);

    amqp_connection_state_t client = connection_open();
    struct name callback = declare_private_queue(client);
    check_calls(client, callback.text, server, requests.text);
    connection_close(client);

    client = connection_open();
    check_calls(client, DIRECT, server, requests.text);
    connection_close(client);
    connection_close(server);
    return 0;
}
