"""Consumer priorities: the consumer of the highest priority is served while it can take more."""

from support import connect, declare_private_queue, wait_for


class Consumer:
    def __init__(self, connection, queue, priority, prefetch):
        self.tasks = []
        self.channel = connection.channel()
        self.channel.basic_qos(prefetch_count=prefetch)
        self.channel.basic_consume(
            queue=queue, on_message_callback=self.on_task, arguments={"x-priority": priority}
        )

    def on_task(self, _channel, method, _properties, body):
        self.tasks.append((method.delivery_tag, body))

    def bodies(self):
        return [body for _tag, body in self.tasks]


def main():
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    queue = declare_private_queue(channel)
    low = Consumer(connection, queue, priority=-1, prefetch=10)
    high = Consumer(connection, queue, priority=10, prefetch=2)
    middle = Consumer(connection, queue, priority=5, prefetch=1)

    for number in range(1, 5):
        channel.basic_publish(exchange="", routing_key=queue, body=b"%d" % number)
    wait_for(connection, lambda: len(low.tasks + middle.tasks + high.tasks) == 4)
    assert high.bodies() == [b"1", b"2"], high.tasks
    assert middle.bodies() == [b"3"], middle.tasks
    assert low.bodies() == [b"4"], low.tasks

    # An acknowledgement makes room, and the next message goes to the top again.
    high.channel.basic_ack(high.tasks[0][0])
    high.channel.queue_declare(queue=queue, passive=True)
    channel.basic_publish(exchange="", routing_key=queue, body=b"5")
    wait_for(connection, lambda: len(low.tasks + middle.tasks + high.tasks) == 5)
    assert high.bodies() == [b"1", b"2", b"5"], (high.tasks, middle.tasks, low.tasks)
    connection.close()


if __name__ == "__main__":
    main()
