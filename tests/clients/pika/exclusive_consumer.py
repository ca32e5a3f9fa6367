"""Exclusive consumer: it has the queue to itself, or it is refused."""

import pika

from support import connect, expect_error, unique


def consume(channel, queue, received, **options):
    return channel.basic_consume(
        queue=queue,
        on_message_callback=lambda _channel, _method, _properties, body: received.append(body),
        auto_ack=True,
        **options,
    )


def refused(connection, queue, **options):
    error = expect_error(
        pika.exceptions.ChannelClosedByBroker, consume, connection.channel(), queue, [], **options
    )
    assert error.reply_code == 403, error
    assert "in exclusive use" in error.reply_text, error


def main():
    connection, rival = connect(), connect()
    channel = connection.channel()
    queue = unique("exclusive_consumer")
    channel.queue_declare(queue=queue)
    try:
        tag = consume(channel, queue, [], exclusive=True)
        refused(rival, queue)
        refused(rival, queue, exclusive=True)
        refused(connection, queue)

        # Once it has gone the queue is anybody's, but no longer for one alone.
        channel.basic_cancel(tag)
        rival_channel = rival.channel()
        tag = consume(rival_channel, queue, [])
        consume(channel, queue, [])
        refused(connection, queue, exclusive=True)
    finally:
        connection.channel().queue_delete(queue=queue)
    connection.close()
    rival.close()


if __name__ == "__main__":
    main()
