"""basic.get: polling a queue, with and without acknowledgement, rejecting and requeuing."""

from support import connect, declare_private_queue


def main():
    connection = connect()
    channel = connection.channel()
    queue = declare_private_queue(channel)
    assert channel.basic_get(queue) == (None, None, None)

    for body in (b"one", b"two", b"three"):
        channel.basic_publish(exchange="", routing_key=queue, body=body)

    method, _properties, body = channel.basic_get(queue, auto_ack=True)
    assert (body, method.message_count) == (b"one", 2), (body, method)
    assert method.exchange == "" and method.routing_key == queue, method
    assert not method.redelivered, method

    two, _properties, body = channel.basic_get(queue)
    assert (body, two.message_count, two.redelivered) == (b"two", 1, False), (body, two)
    three, _properties, body = channel.basic_get(queue)
    assert (body, three.message_count) == (b"three", 0), (body, three)
    assert channel.basic_get(queue) == (None, None, None)

    # Requeued messages go back to their old places.
    channel.basic_reject(three.delivery_tag, requeue=True)
    channel.basic_nack(two.delivery_tag, requeue=True)
    two, _properties, body = channel.basic_get(queue)
    assert (body, two.redelivered) == (b"two", True), (body, two)
    three, _properties, body = channel.basic_get(queue)
    assert (body, three.redelivered) == (b"three", True), (body, three)

    channel.basic_reject(two.delivery_tag, requeue=False)
    channel.basic_recover(requeue=True)
    three, _properties, body = channel.basic_get(queue)
    assert (body, three.redelivered, three.message_count) == (b"three", True, 0), (body, three)
    channel.basic_ack(three.delivery_tag)
    assert channel.basic_get(queue) == (None, None, None)

    for number in range(10):
        channel.basic_publish(exchange="", routing_key=queue, body=b"%d" % number)
    assert channel.queue_purge(queue).method.message_count == 10
    assert channel.basic_get(queue) == (None, None, None)
    connection.close()


if __name__ == "__main__":
    main()
