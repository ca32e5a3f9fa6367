"""The clerk declares, binds, unbinds, purges and deletes all the time, one request after the other,
so that at most one of them is open when the broker dies. What was answered before must be so after
the restart; of the open one each part may be done or not."""

import copy
import itertools
import time

import amqp
from actors import Actor, random_message, send
from books import QueueBook

QUEUES = [f'k{n}' for n in range(6)]
EXCHANGES = [f'kx{n}' for n in range(4)]
KEYS = ['a', 'b', '']
PATTERNS = [*KEYS, '#', '*']
QUEUE_ARGUMENTS = [{}, {'x-max-priority': 3}, {'x-expires': 86400000}]


class Scheme:
    """Queues, exchanges and bindings, as far as requests have been answered."""

    def __init__(self):
        self.queues = {}     # Name: arguments of queue.declare.
        self.exchanges = {}  # Name: (type, durable).
        self.bindings = set()  # (source, whether to a queue, destination, key)

    def survivor(self):
        """What of it a restart must leave."""
        left = Scheme()
        left.queues = {name: flags for name, flags in self.queues.items()
                       if flags['durable'] and not flags.get('exclusive')}
        left.exchanges = {name: spec for name, spec in self.exchanges.items() if spec[1]}
        left.bindings = {binding for binding in self.bindings if left.has_ends(binding)}
        return left

    def has_ends(self, binding):
        source, to_queue, destination, _ = binding
        return source in self.exchanges and destination in (
            self.queues if to_queue else self.exchanges)

    def drop_loose_bindings(self):
        self.bindings = {binding for binding in self.bindings if self.has_ends(binding)}

    def route(self, exchange, key):
        """Names of the queues that a message reaches."""
        reached, seen, ahead = set(), set(), [exchange]
        while ahead:
            at = ahead.pop()
            if at in seen or at not in self.exchanges:
                continue
            seen.add(at)
            for source, to_queue, destination, pattern in self.bindings:
                if source == at and matches(self.exchanges[at][0], pattern, key):
                    if to_queue:
                        reached.add(destination)
                    else:
                        ahead.append(destination)
        return reached


def matches(kind, pattern, key):
    return kind == 'fanout' or pattern == key or (
        kind == 'topic' and (pattern == '#' or (pattern == '*' and key != '')))


class Clerk(Actor):
    """Does one random thing after the other and knows what each answer makes true."""

    def __init__(self, world, name, seed, scheme, books):
        super().__init__(world, name, seed)
        self.scheme = scheme
        self.after = scheme  # What is so once the open request is answered.
        self.books = books
        self.number = 0

    def work(self):
        self.channel = self.connection.channel()
        self.channel.call('confirm.select')
        doings = [self.publish] * 14 + [self.declare_queue, self.bind_queue] * 4 + [
            self.declare_exchange, self.bind_exchange] * 2 + [
            self.unbind, self.unbind, self.purge, self.delete_queue, self.delete_exchange]
        while self.goes_on():
            self.random.choice(doings)()
            self.pause()

    def request(self, after, name, **arguments):
        self.after = after
        self.channel.call(name, **arguments)
        self.scheme = after

    def pick(self, names):
        return self.random.choice(sorted(names)) if names else None

    def declare_queue(self):
        name = self.random.choice(QUEUES)
        after = copy.deepcopy(self.scheme)
        if name not in after.queues:
            kind = self.random.random()
            after.queues[name] = {'durable': kind > 0.2, 'exclusive': kind < 0.1,
                                  'auto_delete': self.random.random() < 0.2,
                                  'arguments': self.random.choice(QUEUE_ARGUMENTS)}
            priorities = after.queues[name]['arguments'].get('x-max-priority', 0)
            self.books[name] = QueueBook(name, priorities)
        self.request(after, 'queue.declare', queue=name, **after.queues[name])

    def delete_queue(self):
        name = self.pick(self.scheme.queues)
        if name is None:
            return
        after = copy.deepcopy(self.scheme)
        del after.queues[name]
        after.drop_loose_bindings()
        for one in self.books[name].copies.values():
            one.settled = True
        self.request(after, 'queue.delete', queue=name)
        del self.books[name]

    def purge(self):
        name = self.pick(self.scheme.queues)
        if name is None:
            return
        copies = list(self.books[name].copies.values())
        for one in copies:
            one.settled = True
        self.channel.call('queue.purge', queue=name)
        now = time.monotonic()
        for one in copies:
            one.settled_at = one.settled_at or now

    def declare_exchange(self):
        name = self.random.choice(EXCHANGES)
        after = copy.deepcopy(self.scheme)
        if name not in after.exchanges:
            kind = self.random.choice(['direct', 'topic', 'fanout'])
            after.exchanges[name] = (kind, self.random.random() < 0.8)
        kind, durable = after.exchanges[name]
        self.request(after, 'exchange.declare', exchange=name, type=kind, durable=durable)

    def delete_exchange(self):
        name = self.pick(self.scheme.exchanges)
        if name is None:
            return
        after = copy.deepcopy(self.scheme)
        del after.exchanges[name]
        after.drop_loose_bindings()
        self.request(after, 'exchange.delete', exchange=name)

    def bind_queue(self):
        source, queue = self.pick(self.scheme.exchanges), self.pick(self.scheme.queues)
        if source and queue:
            key = self.random.choice(PATTERNS)
            after = copy.deepcopy(self.scheme)
            after.bindings.add((source, True, queue, key))
            self.request(after, 'queue.bind', queue=queue, exchange=source, routing_key=key)

    def bind_exchange(self):
        source, target = self.pick(self.scheme.exchanges), self.pick(self.scheme.exchanges)
        if source:
            key = self.random.choice(PATTERNS)
            after = copy.deepcopy(self.scheme)
            after.bindings.add((source, False, target, key))
            self.request(after, 'exchange.bind', destination=target, source=source,
                         routing_key=key)

    def unbind(self):
        binding = self.pick(self.scheme.bindings)
        if binding:
            after = copy.deepcopy(self.scheme)
            after.bindings.remove(binding)
            self.after = after
            unbind(self.channel, binding)
            self.scheme = after

    def publish(self):
        exchange, key = self.pick(self.scheme.exchanges), self.random.choice(KEYS)
        queues = self.scheme.route(exchange, key)
        if exchange is None:
            exchange, key = '', self.random.choice(QUEUES)
            queues = {key} & set(self.scheme.queues)
        self.number += 1
        publisher = f'{self.world.round}.{self.name}'
        message = random_message(self.random, f'{publisher}.{self.number}', publisher, self.number,
                                 exchange, key)
        copies = [self.books[queue].add(message) for queue in queues]
        send(self.channel, message)
        self.channel.take('basic.ack')
        for one in copies:
            one.confirmed = True


def unbind(channel, binding):
    source, to_queue, destination, key = binding
    if to_queue:
        channel.call('queue.unbind', queue=destination, exchange=source, routing_key=key)
    else:
        channel.call('exchange.unbind', destination=destination, source=source, routing_key=key)


class ClerkJudge:
    """Compares what is there after a restart with what the clerk was told."""

    def __init__(self, connection, clerk, killed_at):
        self.connection = connection
        self.channel = connection.channel()
        self.before = clerk.scheme.survivor()
        self.after = clerk.after.survivor()
        self.books = clerk.books
        self.killed_at = killed_at
        self.complaints = []

    def judge(self):
        """The scheme that is there; `complaints` has what is wrong with it."""
        real = Scheme()
        for name in QUEUES:
            self.judge_existence(real.queues, self.before.queues, self.after.queues, name,
                                 'queue.declare', 'queue')
        for name in EXCHANGES:
            self.judge_existence(real.exchanges, self.before.exchanges, self.after.exchanges, name,
                                 'exchange.declare', 'exchange')
        self.judge_flags(real)
        for name in list(self.books):
            if name not in real.queues:
                del self.books[name]
        reader = self.connection.channel()
        for name in real.queues:
            self.complaints += self.books[name].judge(get_all(reader, name, self.complaints),
                                                      self.killed_at)
        self.judge_routes(real)
        reader.close()
        # What is there of an open request is not known exactly: it is made so.
        for binding in self.before.bindings ^ self.after.bindings:
            if real.has_ends(binding):
                unbind(self.channel, binding)
        real.bindings = self.before.bindings & self.after.bindings
        real.drop_loose_bindings()
        return real

    def judge_existence(self, real, before, after, name, method, argument):
        try_channel = self.connection.channel()
        try_channel.send(method, passive=True, **{argument: name})
        there = try_channel.reply(method + '-ok', 'channel.close').name != 'channel.close'
        try_channel.send('channel.close-ok' if not there else 'channel.close')
        if there:
            try_channel.reply('channel.close-ok')
        if there and name not in before and name not in after:
            self.complaints.append(f'{argument} {name} is there, but should not be')
        elif there:
            real[name] = after.get(name) or before[name]
        elif name in before and name in after:
            self.complaints.append(f'{argument} {name} is lost')

    def judge_flags(self, real):
        """Declaring again what is there only works with the same flags and arguments."""
        for name, flags in real.queues.items():
            self.channel.declare(name, **flags)
        for name, (kind, durable) in real.exchanges.items():
            self.channel.exchange(name, kind, durable=durable)

    def judge_routes(self, real):
        """Where messages go now shows which bindings there are. The messages found before are
        still with the reader, so that only these are ready."""
        definite, possible = copy.deepcopy(real), copy.deepcopy(real)
        definite.bindings = self.before.bindings & self.after.bindings
        possible.bindings = self.before.bindings | self.after.bindings
        got = {name: set() for name in real.queues}
        for exchange, key in itertools.product(real.exchanges, KEYS):
            self.channel.publish(key, f'{exchange} {key}'.encode(), exchange)
        for name, texts in got.items():
            while (method := self.channel.get(name)) is not None:
                texts.add(method.body.decode(errors='replace'))
        for exchange, key in itertools.product(real.exchanges, KEYS):
            text = f'{exchange} {key}'
            source = f'key {key!r} on {exchange} ({real.exchanges[exchange][0]})'
            reached = {name for name, texts in got.items() if text in texts}
            for name in definite.route(exchange, key) - reached:
                self.complaints.append(f'{source} no longer reaches {name}: a binding is lost')
            for name in reached - possible.route(exchange, key):
                self.complaints.append(f'{source} reaches {name}: a binding is back')


def read_queue(channel, name, complaints):
    """All deliveries of a queue, left unacknowledged; their number must be what the queue says."""
    count = channel.declare(name, passive=True).message_count
    tag = channel.consume(name)
    found = []
    try:
        while len(found) < count:
            found.append(channel.deliver())
    except amqp.Timeout:
        complaints.append(f'{name}: says {count} messages, but has {len(found)}')
    channel.call('basic.cancel', consumer_tag=tag)
    while channel.inbox:
        found.append(channel.deliver())
    if len(found) > count:
        complaints.append(f'{name}: says {count} messages, but has {len(found)}')
    return found


def get_all(channel, name, complaints):
    """As read_queue, without a consumer, after which a queue might delete itself."""
    count = channel.declare(name, passive=True).message_count
    found = []
    while (method := channel.get(name, no_ack=False)) is not None:
        found.append(method)
    if len(found) != count:
        complaints.append(f'{name}: says {count} messages, but has {len(found)}')
    return found
