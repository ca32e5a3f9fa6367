"""Work queue: workers share a durable queue fairly, and the task of a dead worker is redone."""

import subprocess
import sys

import pika

from support import connect, unique, wait_for


class Worker:
    """Takes one unacknowledged task at a time."""

    def __init__(self, queue):
        self.tasks = []
        self.connection = connect()
        self.channel = self.connection.channel()
        self.channel.basic_qos(prefetch_count=1)
        self.channel.basic_consume(queue=queue, on_message_callback=self.on_task)

    def on_task(self, _channel, method, properties, body):
        self.tasks.append((method, properties, body))

    def take(self):
        wait_for(self.connection, lambda: self.tasks)
        assert len(self.tasks) == 1, "prefetch 1 was exceeded: %r" % self.tasks
        return self.tasks.pop()

    def done(self, task):
        self.channel.basic_ack(delivery_tag=task[0].delivery_tag)


def new_task(channel, queue, body):
    channel.basic_publish(
        exchange="",
        routing_key=queue,
        body=body,
        properties=pika.BasicProperties(delivery_mode=pika.spec.PERSISTENT_DELIVERY_MODE),
    )


def waiting(channel, queue):
    return channel.queue_declare(queue=queue, passive=True).method.message_count


def check_fair_dispatch(channel, queue):
    workers = [Worker(queue), Worker(queue)]
    new_task(channel, queue, b"first")
    new_task(channel, queue, b"second")
    held = [worker.take() for worker in workers]
    assert {task[2] for task in held} == {b"first", b"second"}, held
    assert all(task[1].delivery_mode == 2 for task in held), held
    assert not any(task[0].redelivered for task in held), held

    new_task(channel, queue, b"third")
    assert waiting(channel, queue) == 1, "a busy worker was given a second task"
    workers[0].done(held[0])
    third = workers[0].take()
    assert third[2] == b"third", third
    workers[0].done(third)
    workers[1].done(held[1])
    for worker in workers:
        worker.connection.close()
    assert waiting(channel, queue) == 0


def check_dead_worker(channel, queue):
    new_task(channel, queue, b"task that kills")
    worker = subprocess.Popen(
        [sys.executable, __file__, "worker", queue], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout.readline() == "task that kills\n"
    worker.kill()
    worker.wait()

    survivor = Worker(queue)
    task = survivor.take()
    assert task[2] == b"task that kills", task
    assert task[0].redelivered, "the task of the dead worker came back without the mark"
    survivor.done(task)
    survivor.connection.close()
    assert waiting(channel, queue) == 0


def work_forever(queue):
    """The worker that dies: it reports its task and never acknowledges."""

    def on_task(_channel, _method, _properties, body):
        print(body.decode(), flush=True)

    channel = connect().channel()
    channel.basic_consume(queue=queue, on_message_callback=on_task)
    channel.start_consuming()


def main():
    connection = connect()
    channel = connection.channel()
    queue = unique("work_queue")
    assert channel.queue_declare(queue=queue, durable=True).method.queue == queue
    try:
        channel.confirm_delivery()
        check_fair_dispatch(channel, queue)
        check_dead_worker(channel, queue)
    finally:
        connection.channel().queue_delete(queue=queue)
    connection.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work_forever(sys.argv[2])
    else:
        main()
