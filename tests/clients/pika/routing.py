"""Routing: a direct exchange sends a message to the queues bound with exactly its key."""

from support import bodies_until, connect, declare_private_queue, unique


def main():
    connection = connect()
    channel = connection.channel()
    exchange = unique("routing")
    channel.exchange_declare(exchange=exchange, exchange_type="direct")
    try:
        errors, everything = declare_private_queue(channel), declare_private_queue(channel)
        channel.queue_bind(exchange=exchange, queue=errors, routing_key="error")
        # The same binding twice is one binding: nothing may arrive twice.
        channel.queue_bind(exchange=exchange, queue=errors, routing_key="error")
        for severity in ("info", "warning", "error"):
            channel.queue_bind(exchange=exchange, queue=everything, routing_key=severity)

        for severity in ("info", "error", "warning", "Error", "error.disk", "", "error"):
            channel.basic_publish(
                exchange=exchange, routing_key=severity, body=severity.encode()
            )
        for queue in (errors, everything):
            channel.basic_publish(exchange="", routing_key=queue, body=b"end")
        received = bodies_until(channel, errors, b"end")
        assert received == [b"error", b"error"], received
        received = bodies_until(channel, everything, b"end")
        assert received == [b"info", b"error", b"warning", b"error"], received

        channel.queue_unbind(exchange=exchange, queue=errors, routing_key="error")
        channel.basic_publish(exchange=exchange, routing_key="error", body=b"error")
        channel.basic_publish(exchange="", routing_key=errors, body=b"end")
        received = bodies_until(channel, errors, b"end")
        assert received == [], received
    finally:
        connection.channel().exchange_delete(exchange=exchange)
    connection.close()


if __name__ == "__main__":
    main()
