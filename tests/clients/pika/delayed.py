"""Delayed messages: an x-delayed-message exchange hands on what is due, by the rules of a topic."""

import time

import pika

from support import connect, declare_private_queue, unique


def publish(channel, exchange, key, delay):
    channel.basic_publish(
        exchange=exchange,
        routing_key=key,
        body=b"%d" % delay,
        properties=pika.BasicProperties(headers={"x-delay": delay}),
    )


def main():
    connection = connect()
    channel = connection.channel()
    exchange = unique("delayed")
    channel.exchange_declare(
        exchange=exchange,
        exchange_type="x-delayed-message",
        auto_delete=True,
        arguments={"x-delayed-type": "topic"},
    )
    queue = declare_private_queue(channel)
    channel.queue_bind(queue=queue, exchange=exchange, routing_key="later.#")
    channel.confirm_delivery()
    begin = time.time()
    publish(channel, exchange, "elsewhere", 1)
    for delay in (300, 100, 200, 0):
        publish(channel, exchange, "later.%d" % delay, delay)

    arrived = []
    for method, properties, body in channel.consume(queue, auto_ack=True):
        waited = (time.time() - begin) * 1000
        assert waited >= int(body) - 1, "%s came after %d ms" % (body, waited)
        assert "x-delay" in properties.headers, properties
        assert method.exchange == exchange and method.routing_key == "later.%s" % body.decode()
        arrived.append(body)
        if len(arrived) == 4:
            break
    assert arrived == [b"0", b"100", b"200", b"300"], arrived
    connection.close()


main()
