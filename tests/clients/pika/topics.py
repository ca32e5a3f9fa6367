"""Topics: `*` stands for exactly one word of the routing key, `#` for any number of words."""

from support import bodies_until, connect, declare_private_queue, unique

KEYS = (
    "kern.critical",
    "kern.info",
    "kern",
    "cron.critical",
    "kern.disk.critical",
    "quick.orange.rabbit",
    "lazy.orange.male.rabbit",
    "lazy",
    "",
)
MATCHES = {
    "kern.critical": {"kern.critical"},
    "kern.*": {"kern.critical", "kern.info"},
    "*.critical": {"kern.critical", "cron.critical"},
    "kern.#": {"kern.critical", "kern.info", "kern", "kern.disk.critical"},
    "#.critical": {"kern.critical", "cron.critical", "kern.disk.critical"},
    "*.orange.*": {"quick.orange.rabbit"},
    "lazy.#": {"lazy", "lazy.orange.male.rabbit"},
    "lazy.#.rabbit": {"lazy.orange.male.rabbit"},
    # The empty key has no words at all.
    "#.*.#": set(KEYS) - {""},
    "*": {"kern", "lazy"},
    "#": set(KEYS),
    "": {""},
}


def main():
    connection = connect()
    channel = connection.channel()
    exchange = unique("topics")
    channel.exchange_declare(exchange=exchange, exchange_type="topic")
    try:
        queues = {}
        for pattern in MATCHES:
            queues[pattern] = declare_private_queue(channel)
            channel.queue_bind(exchange=exchange, queue=queues[pattern], routing_key=pattern)
        # Two bindings that both match still deliver one copy.
        both = declare_private_queue(channel)
        for pattern in ("kern.*", "*.critical"):
            channel.queue_bind(exchange=exchange, queue=both, routing_key=pattern)

        for key in KEYS:
            channel.basic_publish(exchange=exchange, routing_key=key, body=key.encode())
        for queue in (*queues.values(), both):
            channel.basic_publish(exchange="", routing_key=queue, body=b"end")

        for pattern, queue in queues.items():
            received = [body.decode() for body in bodies_until(channel, queue, b"end")]
            expected = [key for key in KEYS if key in MATCHES[pattern]]
            assert received == expected, "%s matched %r" % (pattern, received)
        received = bodies_until(channel, both, b"end")
        assert received == [b"kern.critical", b"kern.info", b"cron.critical"], received
    finally:
        connection.channel().exchange_delete(exchange=exchange)
    connection.close()


if __name__ == "__main__":
    main()
