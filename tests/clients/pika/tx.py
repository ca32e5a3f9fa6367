"""Transactions: publishes and acknowledgements count from the commit on, and never after a
rollback."""

import pika

from support import connect, expect_error, unique


def publish(channel, queue, *bodies):
    for body in bodies:
        channel.basic_publish(exchange="", routing_key=queue, body=body)


def waiting(channel, queue):
    return channel.queue_declare(queue=queue, passive=True).method.message_count


def check_publishes(channel, observer, queue):
    publish(channel, queue, b"rolled back")
    channel.tx_rollback()
    publish(channel, queue, b"one", b"two")
    assert waiting(observer, queue) == 0, "a message was visible before its commit"
    channel.tx_commit()
    assert waiting(observer, queue) == 2
    channel.tx_commit()
    assert waiting(observer, queue) == 2, "an empty commit published something"


def check_acknowledgements(connection, observer, queue):
    channel = connection.channel()
    channel.tx_select()
    method, _properties, body = channel.basic_get(queue)
    assert body == b"one", body
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    channel.close()

    channel = connection.channel()
    channel.tx_select()
    method, _properties, body = channel.basic_get(queue)
    assert (body, method.redelivered) == (b"one", True), (body, method)
    channel.basic_ack(method.delivery_tag)
    publish(channel, queue, b"three")
    channel.tx_commit()
    channel.close()

    bodies = [observer.basic_get(queue, auto_ack=True)[2] for _ in range(3)]
    assert bodies == [b"two", b"three", None], bodies


def main():
    connection, other = connect(), connect()
    channel, observer = connection.channel(), other.channel()
    queue = unique("tx")
    channel.queue_declare(queue=queue)
    try:
        error = expect_error(pika.exceptions.ChannelClosedByBroker, connection.channel().tx_commit)
        assert error.reply_code == 406, error
        channel.tx_select()
        check_publishes(channel, observer, queue)
        check_acknowledgements(connection, observer, queue)
    finally:
        connection.channel().queue_delete(queue=queue)
    connection.close()
    other.close()


if __name__ == "__main__":
    main()
