"""Those who put load on the broker until it dies: publishers, consumers, transactions. Each is a
thread with a connection of its own and keeps the books of what it was told."""

import collections
import random
import threading
import time
import traceback

import amqp
import audit
from books import Message

FILLER = random.Random(7).randbytes(1 << 20)
OPEN_COPIES_MAX = 2500
OPEN_OCTETS_MAX = 24 << 20
SETTLED_MAX = 25

# Where publishers send: exchange, routing key, and the queues that this reaches.
TARGETS = [
    ('', 's0', ['s0']),
    ('', 'sp', ['sp']),
    ('', 'sr', ['sr']),
    ('', 'sn', ['sn']),
    ('', 'sl', ['sl']),
    ('', 'nowhere', []),
    ('crash.topic', 'a.one', ['s1']),
    ('crash.topic', 'a.z', ['s1', 's2']),
    ('crash.topic', 'b.b.z', ['s2']),
    ('crash.fanout', 'any', ['s2', 's3', 'st']),
]

NEVER_REFUSED = [target for target in TARGETS if target[1] != 'sr']

# Of these queues: durable, arguments, and what the ledger has to know.
QUEUES = {
    's0': (True, {}, {}),
    's1': (True, {}, {}),
    's2': (True, {}, {}),
    's3': (True, {}, {}),
    'sp': (True, {'x-max-priority': 5}, {'priorities': 5}),
    'sr': (True, {'x-max-length': 60, 'x-overflow': 'reject-publish'}, {'refuses': True}),
    'sn': (True, {}, {'lossy': True}),
    'sl': (True, {}, {}),
    'st': (False, {}, {}),
}
CONSUMED = ['s0', 's1', 's2', 's3', 'sp', 'sr', 'st']
BINDINGS = [('s1', 'crash.topic', 'a.*'), ('s2', 'crash.topic', '#.z'), ('s2', 'crash.fanout', ''),
            ('s3', 'crash.fanout', ''), ('st', 'crash.fanout', '')]


def declare_all(address, first):
    """What is durable is declared once and must be there ever after."""
    connection = amqp.Connection(address)
    channel = connection.channel()
    if first:
        channel.exchange('crash.topic', 'topic', durable=True)
        channel.exchange('crash.fanout', 'fanout', durable=True)
    for name, (durable, arguments, _) in QUEUES.items():
        if first or not durable:
            channel.declare(name, durable=durable, arguments=arguments)
    for queue, exchange, key in BINDINGS:
        if first or not QUEUES[queue][0]:
            channel.bind(queue, exchange, key)
    connection.finish()


class Actor(threading.Thread):
    """Works until told to stop, or until the broker is gone."""

    def __init__(self, world, name, seed):
        super().__init__(name=name, daemon=True)
        self.world = world
        self.ledger = world.ledger
        self.random = random.Random(seed)

    def run(self):
        try:
            self.connection = amqp.Connection(self.world.server.address)
            self.work()
        except (amqp.ConnectionLost, OSError) as error:
            if not self.world.killing.is_set():
                self.ledger.complain(f'{self.name} lost its connection before the crash: {error}')
        except amqp.Mismatch as error:
            if not self.world.killing.is_set():
                self.ledger.complain(f'{self.name}: {error}\n{traceback.format_exc()}')
        except Exception:  # pylint: disable=broad-except
            self.ledger.complain(f'{self.name}:\n{traceback.format_exc()}')
        finally:
            if hasattr(self, 'connection'):
                self.connection.close()

    def work(self):
        raise NotImplementedError

    def goes_on(self):
        return not self.world.stopping.is_set()

    def pause(self):
        self.world.stopping.wait(self.random.expovariate(2000))


class Sender(Actor):
    """Makes messages and enters them into the books before they are sent."""

    def __init__(self, world, name, seed):
        super().__init__(world, name, seed)
        self.number = 0
        self.checked_at = 0

    def make(self, targets=None):
        """A message and its copies."""
        exchange, key, queues = self.random.choice(targets or TARGETS)
        self.number += 1
        name = f'{self.world.round}.{self.name}.{self.number}'
        message = random_message(self.random, name, f'{self.world.round}.{self.name}', self.number,
                               exchange, key, self.world.is_small)
        return message, [self.ledger.books[queue].add(message) for queue in queues]

    def may_send(self):
        """Waits while too much is waiting already; false at the end."""
        while self.goes_on():
            if self.number < self.checked_at + 50:
                return True
            count, octets = self.ledger.open_copies()
            if count < OPEN_COPIES_MAX and octets < OPEN_OCTETS_MAX:
                self.checked_at = self.number
                return True
            self.world.stopping.wait(0.02)
        return False


def random_message(rand, name, publisher, number, exchange, key, is_small=False):
    size = rand.choice([0, 1, 20, 100, 100, 1000, 1000, 5000, rand.randrange(30000)])
    if is_small:
        size = rand.choice([0, 1, 20, 100])
    elif rand.random() < 0.01:
        size = rand.randrange(100000, 400000)
    start = rand.randrange(len(FILLER) - size)
    properties = {'message_id': name, 'delivery_mode': 2 if rand.random() < 0.85 else 1}
    if rand.random() < 0.5:
        properties['priority'] = rand.randrange(9)
    if rand.random() < 0.4:
        properties['headers'] = {'n': number, 'text': 'ä' * rand.randrange(20), 'yes': True,
                                 'nested': {'list': [1, 'two', 3.0, None, b'\0\xff']}}
    if rand.random() < 0.3:
        properties.update(content_type='text/plain', content_encoding='gzip', reply_to='nobody',
                          correlation_id=str(number), type='t', app_id='crash', user_id='guest',
                          timestamp=rand.randrange(1 << 40), expiration='86400000')
    return Message(name, publisher, number, exchange, key, properties, FILLER[start:start + size])


class Publisher(Sender):
    """Publishes with confirms, so many at a time as its window allows; window 0: without."""

    def __init__(self, world, name, seed, window):
        super().__init__(world, name, seed)
        self.window = window

    def work(self):
        channel = self.connection.channel()
        if self.window == 0:
            while self.may_send():
                message, _ = self.make()
                send(channel, message)
                self.pause()
            channel.sync()
            return
        auditor = audit.ConfirmAuditor(channel)
        waiting = {}
        while self.may_send():
            message, copies = self.make()
            auditor.published += 1
            auditor.waiting.add(auditor.published)
            waiting[auditor.published] = copies
            send(channel, message)
            self.take_answers(channel, auditor, waiting, self.window)
            self.pause()
        self.take_answers(channel, auditor, waiting, 1)

    def take_answers(self, channel, auditor, waiting, window):
        """Until fewer than a window wait."""
        while channel.inbox or len(waiting) >= window:
            method = channel.take('basic.ack', 'basic.nack')
            for number in auditor.settle(method):
                for copy in waiting.pop(number):
                    copy.confirmed = method.name == 'basic.ack'
                    copy.refused = not copy.confirmed


def send(channel, message):
    """Publishes the octets of properties that the books hold."""
    method = amqp.method_frame(channel.number, 'basic.publish', exchange=message.exchange,
                               routing_key=message.key)
    head = len(message.body).to_bytes(8, 'big')
    header = amqp.frame(amqp.FRAME_HEADER, channel.number,
                        b'\0\x3c\0\0' + head + message.properties)
    channel.connection.send(method + header + amqp.body_frames(
        channel.number, message.body, channel.connection.frame_max - 8))


class Taker:
    """The consuming side of a channel: unsettled deliveries by tag, and settlements that the broker
    has not been seen to have taken."""

    def __init__(self, channel, ledger, rand):
        self.channel = channel
        self.ledger = ledger
        self.random = rand
        self.queues = {}
        self.unsettled = collections.OrderedDict()
        self.sent = []

    def consume(self, queue, **arguments):
        tag = self.channel.consume(queue, **arguments)
        self.queues[tag] = (self.ledger.books[queue], arguments.get('no_ack', False))

    def take(self, method):
        """Enters a delivery into the books."""
        book, no_ack = self.queues[method.consumer_tag]
        copy, complaints = book.find(method)
        for complaint in complaints:
            self.ledger.complain(complaint)
        if copy is None:
            return
        if copy.settled:
            self.ledger.complain(f'{book.name}: {copy.message.name} was delivered after it was '
                                 'settled')
        if copy.refused:
            self.ledger.complain(f'{book.name}: {copy.message.name} was delivered, but refused to '
                                 'its publisher')
        if copy.delivered and not method.redelivered:
            self.ledger.complain(f'{book.name}: {copy.message.name} was delivered again, but is '
                                 'not marked as redelivered')
        copy.delivered = True
        if no_ack:
            copy.settled = True
            self.sent.append(copy)
        else:
            self.unsettled[method.delivery_tag] = copy

    def settle(self, tag, multiple, requeue):
        """Takes what this settles off the list; the books learn of it unless it is requeued."""
        tags = [t for t in self.unsettled if t <= tag] if multiple else [tag]
        for one in tags:
            copy = self.unsettled.pop(one)
            if not requeue:
                copy.settled = True
                self.sent.append(copy)

    def settle_some(self):
        """One settlement of a random kind, or none."""
        tag = self.random.choice(list(self.unsettled))
        kind = self.random.random()
        multiple = kind < 0.45
        requeue = kind > 0.93 and len(self.unsettled) < 300
        self.settle(tag, multiple, requeue)
        if kind < 0.3 or 0.45 <= kind < 0.8:
            self.channel.ack(tag, multiple)
        elif multiple or kind > 0.96:
            self.channel.nack(tag, multiple, requeue)
        else:
            self.channel.send('basic.reject', delivery_tag=tag, requeue=requeue)

    def sync(self):
        """After a round trip the broker has taken all that was sent before."""
        sent, self.sent = self.sent, []
        self.channel.sync()
        now = time.monotonic()
        for copy in sent:
            copy.settled_at = now


class Consumer(Actor):
    """Consumes from some of the queues and settles at random, or without acknowledgements."""

    def __init__(self, world, name, seed, queues, no_ack=False):
        super().__init__(world, name, seed)
        self.queues = queues
        self.no_ack = no_ack

    def work(self):
        while self.goes_on():
            channel = self.connection.channel()
            channel.qos(self.random.choice([1, 10, 100, 0]))
            taker = Taker(channel, self.ledger, self.random)
            for queue in self.queues:
                taker.consume(queue, no_ack=self.no_ack)
            self.consume(taker, time.monotonic() + self.random.expovariate(1))
            channel.close()

    def consume(self, taker, until):
        """What is kept to the end goes back to the queues with the channel."""
        synced = time.monotonic()
        while self.goes_on() and time.monotonic() < until:
            try:
                taker.take(taker.channel.deliver(timeout=0.02))
            except amqp.Timeout:
                pass
            while taker.channel.inbox:
                taker.take(taker.channel.take('basic.deliver'))
            for _ in range(SETTLED_MAX):
                if taker.unsettled and self.random.random() < 0.9:
                    taker.settle_some()
            if time.monotonic() - synced > 0.1:
                taker.sync()
                synced = time.monotonic()
        taker.sync()
        # Deliveries that arrived with the answer.
        while taker.channel.inbox:
            taker.take(taker.channel.take('basic.deliver'))


class Transactor(Sender):
    """Publishes and acknowledges in transactions; some are rolled back."""

    def work(self):
        channel = self.connection.channel()
        channel.call('tx.select')
        taker = Taker(channel, self.ledger, self.random)
        while self.may_send():
            made = [self.make(NEVER_REFUSED) for _ in range(self.random.randrange(1, 6))]
            copies = [copy for _, some in made for copy in some]
            for message, _ in made:
                send(channel, message)
            settled = self.get_some(taker)
            if self.random.random() < 0.8:
                self.commit(channel, copies, settled)
            else:
                for copy in copies:
                    copy.refused = True
                channel.call('tx.rollback')
                for tag, copy in settled:
                    copy.settled = False
                    taker.unsettled[tag] = copy
                    taker.unsettled = collections.OrderedDict(sorted(taker.unsettled.items()))
            self.pause()

    def get_some(self, taker):
        """Gets messages and acknowledges some, still within the transaction."""
        for _ in range(self.random.randrange(4)):
            method = taker.channel.get('sl', no_ack=False)
            if method is None:
                break
            taker.queues[''] = (self.ledger.books['sl'], False)
            method.arguments['consumer_tag'] = ''
            taker.take(method)
        settled = []
        for tag in list(taker.unsettled):
            if self.random.random() < 0.5:
                copy = taker.unsettled.pop(tag)
                copy.settled = True
                settled.append((tag, copy))
                taker.channel.ack(tag)
        return settled

    @staticmethod
    def commit(channel, copies, settled):
        channel.call('tx.commit')
        for copy in copies:
            copy.confirmed = True
        for _, copy in settled:
            copy.settled_durably = True
