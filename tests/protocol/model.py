"""A small reference model of queues, and a driver that plays random operations on a broker
and on the model and compares them after each step.

A queue is a list of messages ordered by position. What was delivered and comes back takes
its old position and is marked as redelivered. Which consumer gets a message is the broker's
choice; how many must be delivered, which ones, and in which order is not."""

from typing import NamedTuple

import amqp
from harness import equal, eventually


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
    consumer: Consumer


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
        operation, = self.random.choices(*zip(*OPERATIONS))
        self.note(operation.__name__)
        operation(self)
        self.compare(in_order=operation not in SEVERAL_CHANNELS)

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
        tag = f'c{self.random.randrange(4)}'
        if tag in session.consumers:
            return
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
        for session in [each for each in self.sessions if each.channel.connection is connection]:
            self.forget(session)
            self.sessions.remove(session)
        self.random.choice((connection.finish, connection.reset))()
        self.connect()

    def purge(self):
        queue = self.any_queue()
        count = self.control.call('queue.purge', queue=queue.name).message_count
        equal(count, len(queue.ready), 'purged')
        queue.ready.clear()

    def delete(self):
        """Consumers are told; what is unacked belongs to nobody from now on."""
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
        self.declare(queue.name)

    # Comparison.

    def compare(self, in_order):
        """Takes the deliveries that must come, and no more; then compares the counts."""
        expected = {queue: min(len(queue.ready), sum(consumer.credit()
                                                     for consumer in queue.consumers))
                    for queue in self.queues}
        arrived = {queue: [] for queue in self.queues}
        for queue, count in expected.items():
            while len(arrived[queue]) < count:
                self.collect(arrived, count - len(arrived[queue]), queue)
        for queue in self.queues:
            eventually(lambda queue=queue: self.count(queue), len(queue.ready) - expected[queue],
                       f'ready messages of {queue.name}')
        for session in self.sessions:
            session.channel.sync()
        self.collect(arrived, 0, None)
        for queue in self.queues:
            self.check(queue, arrived[queue], expected[queue], in_order)

    def count(self, queue):
        return self.control.declare(queue.name, passive=True).message_count

    def collect(self, arrived, missing, queue):
        """Files what has been received; waits for a frame if something is missing."""
        waiting = {consumer.session.channel.connection for consumer in queue.consumers} \
            if queue else ()
        for session in self.sessions:
            while session.channel.inbox:
                got = session.channel.take('basic.deliver')
                consumer = session.consumers.get(got.consumer_tag)
                if consumer is None:
                    raise amqp.Mismatch(f'delivery to a consumer that is not there: {got}')
                arrived[consumer.queue].append((consumer, got))
                missing -= consumer.queue is queue
        if missing > 0:
            self.pump(waiting)

    def pump(self, connections):
        """Reads a frame from whichever connection has one."""
        connections = list(connections)
        for connection in connections:
            try:
                connection.pump(0.0 if len(connections) > 1 else connection.deadline)
                return
            except amqp.Timeout:
                continue
        connections[0].sync_wait = getattr(connections[0], 'sync_wait', 0) + 1
        eventually(lambda: any(self.readable(connection) for connection in connections), True,
                   'a delivery arrives')

    @staticmethod
    def readable(connection):
        try:
            connection.pump(0.005)
            return True
        except amqp.Timeout:
            return False

    def check(self, queue, arrived, expected, in_order):
        equal(len(arrived), expected, f'deliveries of {queue.name}')
        candidates = {message.body: message for message in
                      (queue.ready[:expected] if in_order else queue.ready)}
        last = {}
        for consumer, got in arrived:
            message = candidates.pop(got.body, None)
            if message is None:
                raise amqp.Mismatch(f'{got} was not due on {queue.name}: {list(candidates)}')
            if in_order and message.position < last.get(consumer.session, -1):
                raise amqp.Mismatch(f'{got} overtook {last[consumer.session]}')
            last[consumer.session] = message.position
            queue.ready.remove(message)
        self.hand_over(arrived)

    def hand_over(self, arrived):
        self.delivered = getattr(self, 'delivered', [])
        self.delivered += arrived


OPERATIONS = ()
SEVERAL_CHANNELS = ()
