"""Publish/subscribe: a fanout exchange copies each message to every subscriber's own queue."""

import pika

from support import bodies_until, connect, declare_private_queue, expect_error, unique


def subscribe(exchange):
    channel = connect().channel()
    queue = declare_private_queue(channel)
    channel.queue_bind(exchange=exchange, queue=queue)
    return channel, queue


def check_exclusive(connection, queue):
    """Nobody but the connection that declared an exclusive queue may touch it."""
    stranger = connection.channel()
    error = expect_error(
        pika.exceptions.ChannelClosedByBroker, stranger.queue_declare, queue=queue, passive=True
    )
    assert error.reply_code == 405, error


def main():
    connection = connect()
    channel = connection.channel()
    exchange = unique("pub_sub")
    channel.exchange_declare(exchange=exchange, exchange_type="fanout")
    try:
        channel.basic_publish(exchange=exchange, routing_key="", body=b"nobody listens yet")
        # The answer shows that the broker has dealt with the message.
        channel.exchange_declare(exchange=exchange, passive=True)
        subscribers = [subscribe(exchange) for _ in range(3)]
        queues = [queue for _channel, queue in subscribers]
        assert all(queue.startswith("amq.gen-") for queue in queues), queues
        assert len(set(queues)) == 3, queues

        logs = [b"log %d" % number for number in range(20)]
        for number, log in enumerate(logs):
            channel.basic_publish(exchange=exchange, routing_key=str(number), body=log)
        channel.basic_publish(exchange=exchange, routing_key="", body=b"end")
        for subscriber, queue in subscribers:
            received = bodies_until(subscriber, queue, b"end")
            assert received == logs, received

        check_exclusive(connection, queues[0])
        for subscriber, _queue in subscribers:
            subscriber.connection.close()
    finally:
        connection.channel().exchange_delete(exchange=exchange)
    connection.close()


if __name__ == "__main__":
    main()
