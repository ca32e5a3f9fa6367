"""Consumer cancel notification: whoever consumes from a queue learns that it was deleted."""

from support import connect, unique, wait_for


def main():
    owner, subscriber = connect(), connect()
    assert subscriber.consumer_cancel_notify_supported
    queue = unique("cancel_notify")
    owner_channel = owner.channel()
    owner_channel.queue_declare(queue=queue)

    received, cancelled = [], []
    channel = subscriber.channel()
    channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    tags = [
        channel.basic_consume(
            queue=queue,
            on_message_callback=lambda _channel, _method, _properties, body: received.append(body),
            auto_ack=True,
        )
        for _ in range(2)
    ]
    assert len(set(tags)) == 2, tags
    owner_channel.basic_publish(exchange="", routing_key=queue, body=b"before the end")
    wait_for(subscriber, lambda: received)
    assert received == [b"before the end"], received

    owner_channel.queue_delete(queue=queue)
    wait_for(subscriber, lambda: len(cancelled) == 2)
    assert sorted(cancelled) == sorted(tags), (cancelled, tags)
    assert channel.consumer_tags == [], channel.consumer_tags

    # A cancelled consumer costs the channel nothing else.
    assert channel.is_open
    channel.queue_declare(queue="", exclusive=True)
    owner.close()
    subscriber.close()


if __name__ == "__main__":
    main()
