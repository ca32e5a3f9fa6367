/* Errors: each closes what it should, with its code, and leaves the rest usable. */
#include "support.h"

/* The library leaves it to its user to answer the broker's channel.close. */
static void
reopen_channel(amqp_connection_state_t connection)
{
    amqp_channel_close_ok_t close_ok = { 0 };
    int status = amqp_send_method(connection, CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &close_ok);
    CHECK(status == AMQP_STATUS_OK);
    amqp_maybe_release_buffers(connection);
    amqp_channel_open(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "channel.open");
}

static void
check_channel_errors(void)
{
    amqp_connection_state_t connection = connection_open();
    struct name queue = unique_name("errors");
    struct name nowhere = unique_name("nowhere");

    amqp_queue_declare(connection, CHANNEL, amqp_cstring_bytes(queue.text), false, false, true,
                       false, amqp_empty_table);
    expect_normal(amqp_get_rpc_reply(connection), "queue.declare");

    amqp_queue_declare(connection, CHANNEL, amqp_cstring_bytes(nowhere.text), true, false, false,
                       false, amqp_empty_table);
    expect_closed(amqp_get_rpc_reply(connection), 404, "passive declare of no queue");
    reopen_channel(connection);

    amqp_queue_declare(connection, CHANNEL, amqp_cstring_bytes(queue.text), false, false, true,
                       true, amqp_empty_table);
    expect_closed(amqp_get_rpc_reply(connection), 406, "declare with another argument");
    reopen_channel(connection);

    amqp_exchange_delete(connection, CHANNEL, amqp_cstring_bytes("amq.direct"), false);
    expect_closed(amqp_get_rpc_reply(connection), 403, "delete of a standard exchange");
    reopen_channel(connection);

    CHECK(count_messages(connection, queue.text) == 0);
    connection_close(connection);
}

static void
check_connection_error(void)
{
    amqp_connection_state_t connection = connection_open();
    struct name exchange = unique_name("errors");
    amqp_exchange_declare(connection, CHANNEL, amqp_cstring_bytes(exchange.text),
                          amqp_cstring_bytes("no-such-type"), false, false, false, false,
                          amqp_empty_table);
    expect_closed(amqp_get_rpc_reply(connection), 503, "declare of an unknown type");
    amqp_destroy_connection(connection);
}

static void
check_refused_login(void)
{
    amqp_connection_state_t connection = connection_start();
    expect_closed(connection_login(connection, "wrong", 0), 403, "login");
    amqp_destroy_connection(connection);
}

int
main(void)
{
    watchdog_start();
    check_channel_errors();
    check_connection_error();
    check_refused_login();
    return 0;
}
