"""Several connections at once doing anything to the same few queues and exchanges. Nothing is
waited for, so that the broker's threads meet in as many ways as possible. What may come back
is limited; what must not happen is a crash, a hang, or a fatal close. Best run with a
sanitizer. (RabbitMQ 3.10 answers some of it with 541, hence rail_only.)"""

import select
import threading

import amqp
from amqp import publish_frames
from harness import test, check

WEIGHT = 12
ALLOWED = (403, 404, 405, 406)


class Rowdy:
    """A client without plan or manners, but with correct frames."""

    def __init__(self, context, number, queues, exchanges):
        self.context = context
        self.random = type(context.random)(f'{context.seed} {number}')
        self.queues = queues
        self.exchanges = exchanges
        self.connect()

    def connect(self):
        self.connection = self.context.connect()
        self.channels = {number: self.connection.channel(number) for number in (1, 2, 3)}
        self.tags = []
        self.mode = self.random.choice(('tx.select', 'confirm.select'))
        self.channels[3].call(self.mode)

    def run(self, steps):
        operations, weights = zip(*OPERATIONS)
        for _ in range(steps):
            operation, = self.random.choices(operations, weights)
            operation(self, self.random.choice((1, 1, 2, 2, 3)))
            self.listen()
        self.random.choice((self.connection.finish, self.connection.reset))()

    def listen(self):
        """Answers what has arrived; waits for nothing."""
        connection = self.connection
        while connection.buffer or select.select([connection.sock], [], [], 0)[0]:
            connection.pump(connection.deadline)
        for number in self.channels:
            inbox = connection.inbox[number]
            while inbox:
                self.answer(number, inbox.popleft())
        if connection.inbox[0]:
            raise amqp.Mismatch(f'connection closed: {connection.inbox[0][0]}')

    def answer(self, number, method):
        if method.name in ('basic.deliver', 'basic.get-ok'):
            name = self.random.choice(('basic.ack', 'basic.ack', 'basic.nack', 'basic.reject', ''))
            if name:
                requeue = {} if name == 'basic.ack' else {'requeue': self.random.random() < 0.5}
                self.send(number, name, delivery_tag=method.delivery_tag, **requeue)
        elif method.name == 'channel.close':
            check(method.reply_code in ALLOWED, f'channel closed: {method}')
            self.send(number, 'channel.close-ok')
            self.open(number)

    def open(self, number):
        self.send(number, 'channel.open')
        if number == 3:
            self.send(number, self.mode)

    def send(self, number, name, **arguments):
        self.connection.send_method(number, name, **arguments)

    def queue(self):
        return self.random.choice(self.queues)

    def exchange(self):
        return self.random.choice(list(self.exchanges))

    def flip(self, chance=0.5):
        return self.random.random() < chance

    # Operations. Each takes the number of a channel.

    def declare_queue(self, number):
        self.send(number, 'queue.declare', queue=self.queue(), nowait=self.flip())

    def delete_queue(self, number):
        self.send(number, 'queue.delete', queue=self.queue(), nowait=self.flip(),
                  if_unused=self.flip(0.2), if_empty=self.flip(0.2))

    def purge(self, number):
        self.send(number, 'queue.purge', queue=self.queue(), nowait=self.flip())

    def temporary_queue(self, number):
        """Declared, bound and consumed; it ends with its consumer, channel or connection."""
        name = self.context.name()
        self.send(number, 'queue.declare', queue=name, exclusive=self.flip(), auto_delete=True)
        self.send(number, 'queue.bind', queue=name, exchange='amq.fanout')
        self.consume(number, name)

    def declare_exchange(self, number):
        name = self.exchange()
        self.send(number, 'exchange.declare', exchange=name, type=self.exchanges[name],
                  auto_delete=True, nowait=self.flip())

    def delete_exchange(self, number):
        self.send(number, 'exchange.delete', exchange=self.exchange(), nowait=self.flip())

    def bind(self, number):
        name = self.random.choice(('queue.bind', 'queue.bind', 'queue.unbind'))
        self.send(number, name, queue=self.queue(), exchange=self.exchange(),
                  routing_key=self.random.choice(('', 'a', 'a.*', '#')))

    def bind_exchange(self, number):
        name = self.random.choice(('exchange.bind', 'exchange.unbind'))
        self.send(number, name, source=self.exchange(), destination=self.exchange(),
                  routing_key='#')

    def publish(self, number):
        octets = b''
        for _ in range(self.random.randrange(1, 30)):
            exchange = self.random.choice(('', '', 'amq.fanout', self.exchange()))
            key = self.random.choice(('a', 'a.b', '')) if exchange else self.queue()
            octets += publish_frames(number, key, bytes(self.random.choice((0, 10, 3000, 40000))),
                                     exchange, {'delivery_mode': self.random.choice((1, 2))},
                                     self.flip(0.2))
        self.connection.send(octets)

    def consume(self, number, queue=None):
        tag = self.context.name('tag')
        self.tags.append((number, tag))
        self.send(number, 'basic.consume', queue=queue or self.queue(), consumer_tag=tag,
                  no_ack=self.flip(0.3), exclusive=self.flip(0.1), nowait=self.flip(),
                  arguments={'x-priority': self.random.randrange(3)})

    def cancel(self, _):
        if self.tags:
            number, tag = self.tags.pop(self.random.randrange(len(self.tags)))
            self.send(number, 'basic.cancel', consumer_tag=tag, nowait=self.flip())

    def get(self, number):
        for _ in range(self.random.randrange(1, 10)):
            self.send(number, 'basic.get', queue=self.queue(), no_ack=self.flip())

    def qos(self, number):
        self.send(number, 'basic.qos', prefetch_count=self.random.choice((0, 1, 10)),
                  global_=self.flip(0.3))

    def settle_all(self, number):
        name = self.random.choice(('basic.ack', 'basic.nack'))
        requeue = {'requeue': self.flip()} if name == 'basic.nack' else {}
        self.send(number, name, multiple=True, **requeue)

    def recover(self, number):
        self.send(number, 'basic.recover', requeue=True)

    def commit(self, _):
        """Waits for the answer, because nothing may be sent before it."""
        name = self.random.choice(('tx.commit', 'tx.rollback'))
        self.send(3, name)
        while (method := self.connection.next(3)).name not in (name + '-ok', 'channel.close'):
            self.answer(3, method)
        self.answer(3, method)

    def close(self, number):
        """Closes and opens a channel, answering whatever comes in between."""
        self.send(number, 'channel.close')
        while True:
            method = self.connection.next(number)
            if method.name == 'channel.close':
                self.send(number, 'channel.close-ok')
            elif method.name == 'channel.close-ok':
                self.open(number)
                return

    def leave(self, _):
        self.random.choice((self.connection.reset, self.connection.close))()
        self.connect()


OPERATIONS = (
    (Rowdy.declare_queue, 12), (Rowdy.delete_queue, 3), (Rowdy.purge, 2),
    (Rowdy.temporary_queue, 3), (Rowdy.declare_exchange, 8), (Rowdy.delete_exchange, 1),
    (Rowdy.bind, 8), (Rowdy.bind_exchange, 4), (Rowdy.publish, 30), (Rowdy.consume, 10),
    (Rowdy.cancel, 5), (Rowdy.get, 5), (Rowdy.qos, 3), (Rowdy.settle_all, 5),
    (Rowdy.recover, 2), (Rowdy.commit, 4), (Rowdy.close, 1), (Rowdy.leave, 1),
)


def riot(t, clients, steps):
    queues = [t.name() for _ in range(3)]
    exchanges = {t.name(kind): kind for kind in ('fanout', 'topic', 'direct')}
    failures = []

    def run(number):
        try:
            Rowdy(t, number, queues, exchanges).run(steps)
        except Exception as error:  # Told by the test's own thread.
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise amqp.Mismatch(f'--seed {t.seed}: {failures[0]!r}') from failures[0]
    channel = t.channel()
    for queue in queues:
        channel.call('queue.delete', queue=queue)
    for exchange in exchanges:
        channel.call('exchange.delete', exchange=exchange)


@test(rail_only=True, rows={str(number): number for number in range(4)})
def two_connections(t, _):
    riot(t, 2, 1000)


@test(rail_only=True, rows={str(number): number for number in range(4)})
def eight_connections(t, _):
    riot(t, 8, 300)
