"""Every message property and every kind of header value arrives as it was sent."""

import datetime
import decimal

import pika

from support import USER, connect, declare_private_queue

# pika 1.2.0 cannot send floating-point headers and misreads negative 64-bit ones, so neither is
# here; the amqplib program has them.
HEADERS = {
    "text": "naïve ☃ text",
    "empty text": "",
    "bytes": b"\x00\x01\xfe\xff",
    "true": True,
    "false": False,
    "zero": 0,
    "negative": -2147483648,
    "long": 2 ** 62 + 1,
    "price": decimal.Decimal("12.34"),
    "void": None,
    "time": datetime.datetime(2026, 2, 28, 23, 59, 58),
    "table": {"inner": {"innermost": {"depth": 3, "list": [{"a": 1}, {"b": None}]}}, "empty": {}},
    "array": ["one", 2, [3, [4, []]], {"five": 5}, None, False],
    "k" * 128: "longest key pika sends",
}
SENT = {
    "content_type": "application/json",
    "content_encoding": "gzip",
    "headers": HEADERS,
    "delivery_mode": 2,
    "priority": 7,
    "correlation_id": "correlation",
    "reply_to": "reply queue",
    "expiration": "3600000",
    "message_id": "m-1",
    "timestamp": 1772323198,
    "type": "order.created",
    "user_id": USER,
    "app_id": "clients",
    "cluster_id": "cluster",
}


def round_trip(channel, queue, properties):
    channel.basic_publish(exchange="", routing_key=queue, body=b"body", properties=properties)
    _method, received, body = next(channel.consume(queue, auto_ack=True))
    assert body == b"body", body
    return received


def main():
    connection = connect()
    channel = connection.channel()
    queue = declare_private_queue(channel)

    received = round_trip(channel, queue, pika.BasicProperties(**SENT))
    for name, value in SENT.items():
        assert getattr(received, name) == value, "%s: %r" % (name, getattr(received, name))

    # One property at a time: each has its own flag on the wire.
    for name, value in SENT.items():
        received = round_trip(channel, queue, pika.BasicProperties(**{name: value}))
        for other in SENT:
            expected = value if other == name else None
            assert getattr(received, other) == expected, (name, other, getattr(received, other))

    received = round_trip(channel, queue, None)
    for name in SENT:
        assert getattr(received, name) is None, "%s: %r" % (name, getattr(received, name))
    connection.close()


if __name__ == "__main__":
    main()
