/* Transactions: publishes count from the commit on, and never after a rollback. */
#include "support.h"

static const char *const committed[] = { "one", "two", NULL };

int
main(void)
{
    watchdog_start();
    amqp_connection_state_t connection = connection_open();
    struct name queue = declare_private_queue(connection);
    amqp_tx_select(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "tx.select");

    publish(connection, "", queue.text, NULL, "rolled back");
    amqp_tx_rollback(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "tx.rollback");
    publish(connection, "", queue.text, NULL, "one");
    publish(connection, "", queue.text, NULL, "two");
    CHECK(count_messages(connection, queue.text) == 0);
    amqp_tx_commit(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "tx.commit");
    CHECK(count_messages(connection, queue.text) == 2);

    publish(connection, "", queue.text, NULL, "end");
    amqp_tx_commit(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "tx.commit");
    expect_bodies_then_end(connection, queue.text, committed);
    connection_close(connection);
    return 0;
}
