"""Headers exchange: bindings match on the message's headers, all or any of them."""

import pika

from support import bodies_until, connect, declare_private_queue, unique

BINDINGS = {
    "all": {"x-match": "all", "format": "pdf", "type": "report"},
    "any": {"x-match": "any", "format": "pdf", "type": "report"},
    "all by default": {"format": "pdf", "type": "report"},
    "number": {"x-match": "all", "copies": 2},
    "presence": {"x-match": "all", "format": None},
    "empty all": {"x-match": "all"},
    "empty any": {"x-match": "any"},
}
MESSAGES = {
    b"pdf report": {"format": "pdf", "type": "report"},
    b"pdf report with more": {"format": "pdf", "type": "report", "copies": 3},
    b"pdf log": {"format": "pdf", "type": "log"},
    b"zip report": {"format": "zip", "type": "report", "copies": 2},
    b"two as text": {"copies": "2"},
    b"no headers": None,
}
PDF_REPORTS = [b"pdf report", b"pdf report with more"]
EXPECTED = {
    "all": PDF_REPORTS,
    "any": PDF_REPORTS + [b"pdf log", b"zip report"],
    "all by default": PDF_REPORTS,
    "number": [b"zip report"],
    "presence": PDF_REPORTS + [b"pdf log", b"zip report"],
    "empty all": list(MESSAGES),
    "empty any": [],
}


def main():
    connection = connect()
    channel = connection.channel()
    exchange = unique("headers_exchange")
    channel.exchange_declare(exchange=exchange, exchange_type="headers")
    try:
        queues = {}
        for name, arguments in BINDINGS.items():
            queues[name] = declare_private_queue(channel)
            channel.queue_bind(
                queue=queues[name], exchange=exchange, routing_key="", arguments=arguments
            )
        for body, headers in MESSAGES.items():
            channel.basic_publish(
                exchange=exchange,
                routing_key="ignored",
                body=body,
                properties=pika.BasicProperties(headers=headers),
            )
        for name, queue in queues.items():
            channel.basic_publish(exchange="", routing_key=queue, body=b"end")
            received = bodies_until(channel, queue, b"end")
            assert received == EXPECTED[name], "%s took %r" % (name, received)
    finally:
        connection.channel().exchange_delete(exchange=exchange)
    connection.close()


if __name__ == "__main__":
    main()
