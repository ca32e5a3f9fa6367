"""Bodies of every awkward size, from none to ten megabytes, come back byte for byte."""

import random

import pika

from support import connect, declare_private_queue

SEED = 20100308
FRAME_OVERHEAD = 8


def sizes(frame_max):
    """Empty, tiny, around one and two full frames, and many frames."""
    full = frame_max - FRAME_OVERHEAD
    return (0, 1, full - 1, full, full + 1, 2 * full, 2 * full + 1, 10 * 1024 * 1024, 0)


def check_round_trips(frame_max):
    source = random.Random(SEED)
    connection = connect(frame_max=frame_max)
    channel = connection.channel()
    queue = declare_private_queue(channel)
    for size in sizes(frame_max):
        sent = source.randbytes(size)
        channel.basic_publish(
            exchange="",
            routing_key=queue,
            body=sent,
            properties=pika.BasicProperties(message_id=str(size)),
        )
        method, properties, received = next(channel.consume(queue))
        assert properties.message_id == str(size), properties
        assert len(received) == size, "%d bytes became %d" % (size, len(received))
        assert received == sent, "a body of %d bytes was changed, seed %d" % (size, SEED)
        channel.basic_ack(method.delivery_tag)
    connection.close()


def main():
    check_round_trips(131072)
    check_round_trips(4096)


if __name__ == "__main__":
    main()
