"""Errors: each closes what it should, with its code, and leaves the rest usable."""

import pika

from support import connect, expect_error, unique


def check_channel_error(connection, code, text, method, **arguments):
    """A fresh channel's call fails with the code; only the channel is closed."""
    channel = connection.channel()
    error = expect_error(
        pika.exceptions.ChannelClosedByBroker, getattr(channel, method), **arguments
    )
    assert error.reply_code == code, error
    assert text in error.reply_text, error
    assert channel.is_closed
    assert connection.is_open
    expect_error(pika.exceptions.ChannelWrongStateError, channel.queue_declare, queue="")


def check_channel_errors(connection):
    queue, nowhere = unique("errors"), unique("nowhere")
    channel = connection.channel()
    channel.queue_declare(queue=queue, exclusive=True)
    missing = "NOT_FOUND - no queue '%s'" % nowhere
    check_channel_error(connection, 404, missing, "queue_declare", queue=nowhere, passive=True)
    check_channel_error(
        connection, 404, missing, "basic_consume", queue=nowhere, on_message_callback=print
    )
    check_channel_error(connection, 404, missing, "basic_get", queue=nowhere)
    check_channel_error(
        connection,
        404,
        "NOT_FOUND - no exchange '%s'" % nowhere,
        "queue_bind",
        queue=queue,
        exchange=nowhere,
        routing_key="key",
    )
    check_channel_error(
        connection,
        406,
        "PRECONDITION_FAILED - inequivalent arg 'auto_delete'",
        "queue_declare",
        queue=queue,
        exclusive=True,
        auto_delete=True,
    )
    check_channel_error(
        connection,
        406,
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct'",
        "exchange_declare",
        exchange="amq.direct",
        exchange_type="fanout",
        durable=True,
    )
    check_channel_error(
        connection, 403, "ACCESS_REFUSED", "queue_declare", queue="amq.reserved-name"
    )
    check_channel_error(
        connection, 403, "ACCESS_REFUSED", "exchange_delete", exchange="amq.direct"
    )

    # The channel opened before all this never noticed.
    channel.basic_publish(exchange="", routing_key=queue, body=b"still here")
    assert channel.basic_get(queue, auto_ack=True)[2] == b"still here"


def check_unknown_delivery_tag(connection):
    channel = connection.channel()
    channel.basic_ack(delivery_tag=99)
    error = expect_error(pika.exceptions.ChannelClosedByBroker, channel.queue_declare, queue="")
    assert error.reply_code == 406, error
    assert "unknown delivery tag 99" in error.reply_text, error
    assert connection.is_open


def check_connection_error():
    """An exchange type nobody knows is the connection's end, not just the channel's."""
    connection = connect()
    channel = connection.channel()
    error = expect_error(
        pika.exceptions.ConnectionClosedByBroker,
        channel.exchange_declare,
        exchange=unique("errors"),
        exchange_type="no-such-type",
    )
    assert error.reply_code == 503, error
    assert connection.is_closed


def check_refused_logins():
    error = expect_error(pika.exceptions.ProbableAuthenticationError, connect, password="wrong")
    assert "403" in str(error) and "ACCESS_REFUSED" in str(error), error
    error = expect_error(
        pika.exceptions.ProbableAuthenticationError, connect, user=unique("nobody")
    )
    assert "403" in str(error), error
    error = expect_error(
        pika.exceptions.ProbableAccessDeniedError, connect, virtual_host=unique("nowhere")
    )
    assert "530" in str(error) and "not found" in str(error), error


def main():
    connection = connect()
    check_channel_errors(connection)
    check_unknown_delivery_tag(connection)
    connection.close()
    check_connection_error()
    check_refused_logins()


if __name__ == "__main__":
    main()
