"""A small reference model of plain queues, many of them, with many sessions, and a driver that
plays random operations on any broker and on the model and compares them after each step. One
queue with all its arguments, and restarts, are tests/model.

A queue is a list of messages ordered by position. What was delivered and comes back takes
its old position and is marked as redelivered. Which consumer gets a message is the broker's
choice; how many must be delivered, which ones, and in which order is not."""

from typing import Any, NamedTuple

import amqp
from harness import equal, eventually


# Returned by operations that a broker may carry out in several steps, with deliveries between.
OUT_OF_ORDER = object()


class Message:
    def __init__(self, queue, position, body):
        self.queue = queue
        self.position = position
        self.body = body
        self.redelivered = False


class Queue:
    def __init__(self, name):
        self.name = name
        self.ready = []
        self.consumers = []

    def requeue(self, messages):
        for message in messages:
            message.redelivered = True
        self.ready = sorted(self.ready + messages, key=lambda message: message.position)


class Consumer:
    def __init__(self, session, queue, tag, prefetch, no_ack):
        self.session = session
        self.queue = queue
        self.tag = tag
        self.prefetch = prefetch
        self.no_ack = no_ack

    def credit(self):
        if self.no_ack or not self.prefetch:
            return 1 << 30
        return self.prefetch - sum(held.consumer is self for held in self.session.unacked.values())


class Held(NamedTuple):
    message: Message
    consumer: Any


class Session:
    """A channel, and what the model knows about it."""

    def __init__(self, channel):
        self.channel = channel
        self.forget()

    def forget(self):
        self.unacked = {}
        self.tag = 0
        self.consumers = {}
        self.prefetch = 0

    def deliver(self, got, message, consumer, no_ack):
        """Compares a basic.deliver or basic.get-ok with the message it should be."""
        self.tag += 1
        equal((got.body, got.redelivered, got.delivery_tag),
              (message.body, message.redelivered, self.tag), 'body, redelivered and tag')
        if not no_ack:
            self.unacked[self.tag] = Held(message, consumer)


class Driver:
    """Plays operations on `broker`: connections of two channels each, and a few queues."""

    def __init__(self, context, connections=2, queues=3):
        self.context = context
        self.random = context.random
        self.control = context.channel()
        self.exchange = context.exchange(self.control, 'fanout', auto_delete=False)
        self.position = 0
        self.sessions = []
        self.queues = []
        self.history = []
        for _ in range(connections):
            self.connect()
        for _ in range(queues):
            self.declare(context.name())

    def connect(self):
        connection = self.context.connect()
        self.sessions += [Session(connection.channel()) for _ in range(2)]

    def declare(self, name):
        self.control.declare(name)
        self.control.bind(name, self.exchange)
        self.queues.append(Queue(name))

    def finish(self):
        for queue in self.queues:
            self.control.call('queue.delete', queue=queue.name)
        self.control.call('exchange.delete', exchange=self.exchange)

    # Random choices.

    def any_session(self):
        return self.random.choice(self.sessions)

    def any_queue(self):
        return self.random.choice(self.queues)

    def note(self, text):
        self.history.append(text)

    def step(self):
        operations, weights = zip(*OPERATIONS)
        operation, = self.random.choices(operations, weights)
        self.note(operation.__name__)
        self.compare(in_order=operation(self) is not OUT_OF_ORDER)

    # Operations.

    def publish(self):
        session, queue = self.any_session(), self.any_queue()
        for _ in range(self.random.randrange(1, 8)):
            body = b'%d' % self.position + b'.' * self.random.choice((0, 0, 10, 5000))
            fanout = self.random.random() < 0.3
            self.note(f'  {body[:9]} to {"all" if fanout else queue.name}')
            if fanout:
                session.channel.publish('', body, self.exchange)
            else:
                session.channel.publish(queue.name, body)
            for target in self.queues if fanout else (queue,):
                target.ready.append(Message(target, self.position, body))
            self.position += 1
        session.channel.sync()

    def get(self):
        session, queue = self.any_session(), self.any_queue()
        no_ack = self.random.random() < 0.4
        got = session.channel.get(queue.name, no_ack=no_ack)
        if not queue.ready:
            equal(got, None, 'basic.get')
            return
        message = queue.ready.pop(0)
        if got is None:
            raise amqp.Mismatch(f'expected {message.body[:9]} by basic.get, got nothing')
        session.deliver(got, message, None, no_ack)
        equal(got.message_count, len(queue.ready), 'message count')

    def consume(self):
        session, queue = self.any_session(), self.any_queue()
        if len(session.consumers) > 3:
            return
        tag = self.context.name('consumer')
        no_ack = self.random.random() < 0.2
        session.channel.consume(queue.name, tag, no_ack=no_ack)
        consumer = Consumer(session, queue, tag, session.prefetch, no_ack)
        self.note(f'  {tag} on {queue.name} prefetch {consumer.prefetch} no_ack {no_ack}')
        session.consumers[tag] = consumer
        queue.consumers.append(consumer)

    def qos(self):
        session = self.any_session()
        session.prefetch = self.random.choice((0, 1, 2, 5))
        session.channel.qos(session.prefetch)

    def cancel(self):
        session = self.any_session()
        tag = self.random.choice([*session.consumers, 'unknown'])
        session.channel.call('basic.cancel', consumer_tag=tag)
        self.drop(session.consumers.get(tag))

    def drop(self, consumer):
        if consumer:
            del consumer.session.consumers[consumer.tag]
            consumer.queue.consumers.remove(consumer)

    def settle(self):
        """ack, nack or reject of one tag, of several, or of all."""
        session = self.any_session()
        if not session.unacked:
            return
        name = self.random.choice(('basic.ack', 'basic.ack', 'basic.nack', 'basic.reject'))
        tag = self.random.choice(list(session.unacked))
        arguments, tags = {}, [tag]
        if name != 'basic.reject' and self.random.random() < 0.4:
            arguments['multiple'] = True
            tags = [other for other in session.unacked if other <= tag]
            if self.random.random() < 0.3:
                tag, tags = 0, list(session.unacked)
        if name != 'basic.ack':
            arguments['requeue'] = self.random.random() < 0.7
        self.note(f'  {name} {tag} {arguments}')
        session.channel.send(name, delivery_tag=tag, **arguments)
        settled = [session.unacked.pop(tag) for tag in tags]
        if arguments.get('requeue'):
            self.requeue(settled)
        session.channel.sync()
        return self.order_of(settled)

    def order_of(self, settled):
        return OUT_OF_ORDER if len({held.consumer for held in settled}) > 1 else None

    def requeue(self, settled):
        for queue in self.queues:
            queue.requeue([held.message for held in settled if held.message.queue is queue])

    def recover(self):
        session = self.any_session()
        settled = list(session.unacked.values())
        session.unacked.clear()
        self.requeue(settled)
        session.channel.send('basic.recover', requeue=True)
        session.channel.reply('basic.recover-ok')
        return self.order_of(settled)

    def forget(self, session):
        """The channel is gone: its consumers, and what it held comes back."""
        for consumer in list(session.consumers.values()):
            self.drop(consumer)
        self.requeue(session.unacked.values())
        session.forget()

    def close(self):
        session = self.any_session()
        self.forget(session)
        session.channel.close()
        session.channel.call('channel.open')

    def fail(self):
        session = self.any_session()
        self.forget(session)
        session.channel.ack(1 << 40)
        session.channel.expect_close(406, None, 'basic.ack')
        session.channel.call('channel.open')

    def disconnect(self):
        connection = self.any_session().channel.connection
        mine = [each for each in self.sessions if each.channel.connection is connection]
        for session in mine:
            self.cancel_lossy(session)
        for session in mine:
            self.forget(session)
            self.sessions.remove(session)
        self.random.choice((connection.finish, connection.reset))()
        self.connect()
        return OUT_OF_ORDER

    def cancel_lossy(self, session):
        """What one channel gives back at the end of a connection might be lost by another's
        consumer that does not acknowledge."""
        for consumer in list(session.consumers.values()):
            if consumer.no_ack:
                session.channel.call('basic.cancel', consumer_tag=consumer.tag)
                self.drop(consumer)

    def purge(self):
        queue = self.any_queue()
        count = self.control.call('queue.purge', queue=queue.name).message_count
        equal(count, len(queue.ready), 'purged')
        queue.ready.clear()

    def delete(self):
        """Consumers are told; what is unacked belongs to nobody from now on. The queue that
        takes its place has another name: RabbitMQ takes old delivery tags for it otherwise."""
        queue = self.any_queue()
        count = self.control.call('queue.delete', queue=queue.name).message_count
        equal(count, len(queue.ready), 'deleted')
        self.queues.remove(queue)
        for consumer in list(queue.consumers):
            cancel = consumer.session.channel.connection.next(
                consumer.session.channel.number, lambda method: method.name == 'basic.cancel' and
                method.consumer_tag == consumer.tag)
            equal(cancel.nowait, True, 'nowait')
            self.drop(consumer)
        self.declare(self.context.name())

    # Comparison.

    def compare(self, in_order):
        """Takes the deliveries that must come, and no more; then compares the counts."""
        self.in_order = in_order
        self.before = {queue: list(queue.ready) for queue in self.queues}
        self.taken = {queue: [] for queue in self.queues}
        due = {queue: min(len(queue.ready), sum(consumer.credit() for consumer in queue.consumers))
               for queue in self.queues}
        self.receive()
        while any(len(self.taken[queue]) < due[queue] for queue in self.queues):
            amqp.pump_any({session.channel.connection for session in self.sessions})
            self.receive()
        for queue in self.queues:
            eventually(lambda queue=queue: self.control.declare(
                queue.name, passive=True).message_count, len(queue.ready),
                f'ready messages of {queue.name}')
        for session in self.sessions:
            session.channel.sync()
        self.receive()
        for queue, taken in self.taken.items():
            equal(len(taken), due[queue], f'deliveries of {queue.name}')
            if in_order:
                first = self.before[queue][:due[queue]]
                equal({message.position for message in taken},
                      {message.position for message in first}, f'positions of {queue.name}')

    def receive(self):
        """Compares what has been received with the model, and moves it to its consumers."""
        for session in self.sessions:
            last = {}
            while session.channel.inbox:
                got = session.channel.take('basic.deliver')
                consumer = session.consumers.get(got.consumer_tag)
                if consumer is None or consumer.credit() <= 0:
                    raise amqp.Mismatch(f'delivery to a consumer that takes none: {got}')
                message = self.take(consumer.queue, got.body)
                if self.in_order and message.position < last.get(consumer.queue, -1):
                    raise amqp.Mismatch(f'{got} overtook position {last[consumer.queue]}')
                last[consumer.queue] = message.position
                session.deliver(got, message, consumer, consumer.no_ack)

    def take(self, queue, body):
        for message in queue.ready:
            if message.body == body:
                queue.ready.remove(message)
                self.taken[queue].append(message)
                return message
        raise amqp.Mismatch(f'{body[:9]} was delivered, but is not ready on {queue.name}')


OPERATIONS = (
    (Driver.publish, 12), (Driver.get, 5), (Driver.consume, 5), (Driver.qos, 3),
    (Driver.cancel, 2), (Driver.settle, 16), (Driver.recover, 2), (Driver.close, 1),
    (Driver.fail, 1), (Driver.disconnect, 1), (Driver.purge, 1), (Driver.delete, 1),
)
