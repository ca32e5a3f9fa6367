"""Two hundred channels on one connection work side by side, and their numbers are used again."""

from support import connect, declare_private_queue

CHANNELS = 200


def check_all(channels, queues):
    """Every channel publishes to its neighbour's queue before any of them looks."""
    for index, channel in enumerate(channels):
        channel.confirm_delivery()
        channel.basic_publish(
            exchange="", routing_key=queues[(index + 1) % len(queues)], body=b"from %d" % index
        )
    for index, channel in enumerate(channels):
        method, _properties, body = channel.basic_get(queues[index])
        assert body == b"from %d" % ((index - 1) % len(channels)), (index, body)
        assert method.delivery_tag == 1, "delivery tags belong to a channel: %r" % method
        channel.basic_ack(method.delivery_tag)


def main():
    connection = connect()
    channels = [connection.channel() for _ in range(CHANNELS)]
    numbers = {channel.channel_number for channel in channels}
    assert len(numbers) == CHANNELS, numbers
    queues = [declare_private_queue(channel) for channel in channels]
    check_all(channels, queues)

    for channel in channels:
        channel.close()
    channels = [connection.channel(number) for number in sorted(numbers)]
    check_all(channels, queues)
    connection.close()


if __name__ == "__main__":
    main()
