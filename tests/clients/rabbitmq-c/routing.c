/* Routing: a direct exchange sends a message to the queues bound with exactly its key. */
#include "support.h"

static const char *const keys[] = { "info",       "error", "warning", "Error",
                                    "error.disk", "",      "error",   NULL };
static const char *const only_errors[] = { "error", "error", NULL };
static const char *const all_severities[] = { "info", "error", "warning", "error", NULL };
static const char *const nothing[] = { NULL };

int
main(void)
{
    watchdog_start();
    struct name exchange = unique_name("routing");
    amqp_connection_state_t connection = connection_open();
    declare_exchange(connection, exchange.text, "direct");
    struct name errors = declare_private_queue(connection);
    struct name everything = declare_private_queue(connection);
    bind_queue(connection, errors.text, exchange.text, "error");
    /* The same binding twice is one binding: nothing may arrive twice. */
    bind_queue(connection, errors.text, exchange.text, "error");
    bind_queue(connection, everything.text, exchange.text, "info");
    bind_queue(connection, everything.text, exchange.text, "warning");
    bind_queue(connection, everything.text, exchange.text, "error");

    for (size_t i = 0; keys[i] != NULL; i++) {
        publish(connection, exchange.text, keys[i], NULL, keys[i]);
    }
    publish(connection, "", errors.text, NULL, "end");
    publish(connection, "", everything.text, NULL, "end");
    expect_bodies_then_end(connection, errors.text, only_errors);
    expect_bodies_then_end(connection, everything.text, all_severities);

    amqp_queue_unbind(connection, CHANNEL, amqp_cstring_bytes(errors.text),
                      amqp_cstring_bytes(exchange.text), amqp_cstring_bytes("error"),
                      amqp_empty_table);
    expect_normal(amqp_get_rpc_reply(connection), "queue.unbind");
    publish(connection, exchange.text, "error", NULL, "error");
    publish(connection, "", errors.text, NULL, "end");
    expect_bodies_then_end(connection, errors.text, nothing);

    delete_exchange(connection, exchange.text);
    connection_close(connection);
    return 0;
}
