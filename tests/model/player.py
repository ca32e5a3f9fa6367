"""Plays a program on a broker and on the model, and compares them after each step: replies, every
delivery with its content, order and consumer, confirms, and counts."""

import time

from books import SETTLE_WINDOW_S, Message, QueueBook
from reference import SOON_MS, Consumer, Entry, Held, Model, Queue, Void, expect
import amqp
import codec

SESSIONS = 3  # The first two share a connection.
MARGIN_S = 0.002
FADE_MS = 300
POLL_S = 0.0005


class Place:
    """Connections to one broker, which programs use one after the other."""

    def __init__(self, address, deadline=amqp.DEADLINE):
        self.address = address
        self.deadline = deadline
        self.connections = [None, None]
        self.beacons = None

    def connection(self, number):
        if self.connections[number] is None:
            self.connections[number] = amqp.Connection(self.address, deadline=self.deadline)
        return self.connections[number]

    def beacon(self):
        """Returns when all that has died so far has been moved: behind it one more is sent the longest
        way, which is expiry behind a head that stays."""
        channel = self.beacons
        if channel is None:
            channel = self.beacons = amqp.Connection(self.address, deadline=self.deadline).channel()
            self.graves = channel.declare(exclusive=True).queue
            self.source = channel.declare(exclusive=True, arguments={
                'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': self.graves}).queue
            channel.publish(self.source, b'stays')
            channel.consume(self.graves, no_ack=True)
        channel.publish(self.source, b'goes', properties={'expiration': '0'})
        channel.deliver()

    def drop(self, number):
        connection, self.connections[number] = self.connections[number], None
        return connection

    def close(self):
        if self.beacons:
            self.beacons.connection.close()
            self.beacons = None
        for number in range(len(self.connections)):
            connection = self.drop(number)
            if connection:
                connection.close()


class Session:
    """A channel of the program; the model knows what it holds by its number."""

    def __init__(self, number):
        self.number = number
        self.restart()

    def restart(self):
        self.channel = None
        self.tag = 0
        self.consumers = []  # (queue, consumer)


class Player:
    def __init__(self, place, program, name):
        self.place = place
        self.program = program
        self.name = name
        self.steps = 0
        self.messages = 0
        self.publisher_answers = {}
        self.killed_at = None  # Whoever kills the process says when.
        self.queues = self.make_queues()
        self.model = Model(list(self.queues.values()), SESSIONS)
        self.sessions = [Session(number) for number in range(SESSIONS)]

    def make_queues(self):
        queues = {}
        for key in ('q', 'd'):
            spec = self.program[key]
            queues[key] = Queue(f'{self.name}.{key}', spec.get('durable', False),
                                spec.get('arguments', {}))
        for key, other in (('q', 'd'), ('d', 'q')):
            dead_letters = self.program[key].get('dead_letters')
            if dead_letters == 'default':
                queues[key].dead_letters = '', queues[other].name, queues[other]
            elif dead_letters == 'key':
                queues[key].dead_letters = self.name + '.x', 'grave', queues[other]
            elif dead_letters == 'exchange':
                queues[key].dead_letters = self.name + '.x', None, queues[other]
        return queues

    # The whole program.

    def play(self):
        """A generator: it stops before each end of the process, yields its kind, and goes on when the
        broker is up again."""
        self.open()
        try:
            for number, (kind, arguments) in enumerate(self.program['steps']):
                self.steps = number
                if kind in ('stop', 'quiet', 'kill'):
                    yield from self.restart(kind)
                    continue
                try:
                    getattr(self, kind)(**arguments)
                except Void:
                    continue
                self.compare()
            self.steps = len(self.program['steps'])
            self.finish()
        except (AssertionError, codec.Malformed, OSError) as error:
            step = 'the end' if self.steps >= len(self.program['steps']) else (
                f'step {self.steps} {self.program["steps"][self.steps]}')
            raise amqp.Mismatch(f'{step}: {error}') from error

    def open(self):
        """Channels; then everything is declared, or must be as it was."""
        main = self.place.connection(0)
        for number in range(2):
            self.place.connection(number).channels = 0
            self.place.connection(number).inbox.clear()
        self.control = main.channel()
        self.publisher = main.channel()
        self.publisher.call('confirm.select')
        self.published = 0
        for session in self.sessions:
            session.channel = self.place.connection(session.number // 2).channel()
        graves = {'exchange': self.queues['q'].name, 'key': 'grave'}
        binding = graves.get(self.program['q'].get('dead_letters'))
        if binding:
            self.control.exchange(self.name + '.x', 'direct', durable=True)
        for queue in self.queues.values():
            arguments = dict(queue.arguments)
            if queue.dead_letters:
                exchange, key, _ = queue.dead_letters
                arguments['x-dead-letter-exchange'] = exchange
                if key is not None:
                    arguments['x-dead-letter-routing-key'] = key
            self.control.declare(queue.name, durable=queue.durable, arguments=arguments)
        if binding:
            self.control.bind(self.queues['d'].name, self.name + '.x', binding)

    def finish(self):
        """What is held is given back or acknowledged; then everything is taken out and compared."""
        for session in self.sessions:
            while not self.closes(session):
                self.settle(session.number, 'ack', 0, multiple=True, all_of_them=True)
                self.compare()
            self.compare()
        for key, queue in self.queues.items():
            while queue.ready:
                self.take(self.sessions[0], queue, no_ack=True)
                self.model.settle_down()
            if not self.may_not_get(queue):
                self.get(0, key, no_ack=True)
        self.compare()
        for queue in self.queues.values():
            left = self.control.call('queue.delete', queue=queue.name).message_count
            expect(left == 0, f'{queue.name}: {left} messages are left at the end')
        if 'dead_letters' in self.program['q'] and self.program['q']['dead_letters'] != 'default':
            self.control.call('exchange.delete', exchange=self.name + '.x')
        for session in self.sessions:
            session.channel.sync()
            expect(not session.channel.inbox, f'more than expected: {list(session.channel.inbox)}')
        self.close_channels()

    def closes(self, session):
        """False if what comes of giving back what it holds is left to chance."""
        try:
            self.close(session.number)
        except Void:
            return False
        return True

    def close_channels(self):
        for channel in (self.control, self.publisher,
                        *(session.channel for session in self.sessions)):
            channel.close()

    # Steps.

    def publish(self, queue, messages):
        """Sends all in one write."""
        target = self.queues[queue]
        self.publish_all(target, [self.make(target, **message) for message in messages])

    def publish_all(self, target, entries):
        self.send(entries)
        accepted = target.append(entries)
        for number, (entry, wanted) in enumerate(zip(entries, accepted), self.published + 1):
            self.publisher_answers[number] = entry, wanted
        self.published += len(entries)
        while self.publisher_answers:
            self.take_confirm()

    def make(self, target, size=0, priority=None, expiration=None, persistent=False):
        self.messages += 1
        name = f'm{self.messages}'
        properties = {'message_id': name, 'delivery_mode': 2 if persistent else 1}
        if priority is not None:
            properties['priority'] = priority
        if expiration is not None:
            properties['expiration'] = expiration
        body = name.encode().ljust(size, b'.')[:size]
        return Entry(Message(name, '', self.messages, '', target.name, properties, body), properties)

    def send(self, entries):
        self.publisher.connection.send(b''.join(
            amqp.publish_frames(self.publisher.number, entry.message.key, entry.message.body, '',
                                entry.properties) for entry in entries))

    def take_confirm(self):
        method = self.publisher.take('basic.ack', 'basic.nack')
        tags = [method.delivery_tag]
        if method.multiple:
            tags = [tag for tag in self.publisher_answers if tag <= method.delivery_tag]
        for tag in tags:
            expect(tag in self.publisher_answers, f'unexpected {method}')
            entry, wanted = self.publisher_answers.pop(tag)
            expect(wanted == (method.name == 'basic.ack'), f'{entry.name} was answered {method}')

    def consume(self, session, queue, prefetch=0, no_ack=False, priority=0):
        session, target = self.sessions[session], self.queues[queue]
        if len(session.consumers) >= 2:
            raise Void
        session.channel.qos(prefetch)
        self.messages += 1
        tag = f'c{self.messages}'
        arguments = {'x-priority': priority} if priority else {}
        session.channel.consume(target.name, tag, no_ack=no_ack, arguments=arguments)
        consumer = Consumer(session.number, tag, prefetch, no_ack, priority, next(target.ticks))
        session.consumers.append((target, consumer))
        target.consumers.append(consumer)

    def cancel(self, session, index):
        session = self.sessions[session]
        if not session.consumers:
            raise Void
        queue, consumer = session.consumers.pop(index % len(session.consumers))
        session.channel.call('basic.cancel', consumer_tag=consumer.tag)
        self.model.cancel(queue, consumer)

    def may_not_get(self, queue):
        return queue.is_quorum and queue.has_one_active

    def get(self, session, queue, no_ack):
        queue = self.queues[queue]
        if self.may_not_get(queue):
            raise Void
        if queue.ready:
            self.take(self.sessions[session], queue, no_ack)
        else:
            got = self.sessions[session].channel.get(queue.name, no_ack=no_ack)
            expect(got is None, f'{got} from {queue.name}, which should be empty')

    def take(self, session, queue, no_ack):
        """basic.get of one of those that may be first."""
        if self.may_not_get(queue):
            self.control.call('queue.purge', queue=queue.name)
            queue.purge()
            return
        got = session.channel.get(queue.name, no_ack=no_ack)
        candidates = queue.candidates()
        names = [entry.name for entry in candidates]
        expect(got is not None, f'nothing in {queue.name}, expected {names}')
        name = got.properties.get('message_id')
        expect(name in names, f'{name} came from {queue.name}, expected {names}')
        entry = candidates[names.index(name)]
        queue.ready.remove(entry)
        queue.see(entry, got)
        for other in candidates:
            if other is not entry:
                other.stand_behind()
        expect(got.message_count == len(queue.ready),
               f'{got.message_count} messages left in {queue.name}, not {len(queue.ready)}')
        self.hold(session, entry, got, None, no_ack)

    def hold(self, session, entry, method, consumer, no_ack):
        session.tag += 1
        expect(method.delivery_tag == session.tag,
               f'delivery tag {method.delivery_tag}, not {session.tag}')
        if not no_ack:
            self.model.held[session.number][session.tag] = Held(entry, consumer)
        elif consumer is None:
            entry.queue.leave(entry)

    def settle(self, session, fate, index, multiple=False, all_of_them=False, reject=False):
        session = self.sessions[session]
        tags = list(self.model.held[session.number])
        if not tags:
            raise Void
        tag = tags[index % len(tags)]
        if multiple and all_of_them:
            tag = 0
        elif multiple:
            tags = [other for other in tags if other <= tag]
        else:
            tags = [tag]
        helds = [self.model.held[session.number][tag] for tag in tags]
        if fate == 'requeue':
            self.model.refuse_chance(helds)
            self.outlive([held.entry for held in helds])
        self.send_settlement(session, fate, tag, multiple, reject)
        self.model.end(session.number, tags, fate)
        session.channel.sync()

    @staticmethod
    def send_settlement(session, fate, tag, multiple, reject):
        if fate == 'ack':
            session.channel.ack(tag, multiple)
        elif reject and not multiple:
            session.channel.send('basic.reject', delivery_tag=tag, requeue=fate == 'requeue')
        else:
            session.channel.nack(tag, multiple, fate == 'requeue')

    @staticmethod
    def outlive(entries):
        """Waits until what lives for a moment must have expired: it was delivered in time."""
        longest = max((entry.lifetime for entry in entries if entry.is_short_lived()), default=-1)
        end = time.monotonic() + longest / 1000 + MARGIN_S
        while longest >= 0 and time.monotonic() < end:
            time.sleep(POLL_S)

    def leave(self, session):
        """Before a channel ends."""
        session = self.sessions[session]
        helds = self.model.held[session.number].values()
        self.model.refuse_chance(helds, session.number)
        self.outlive([held.entry for held in helds])
        self.model.leave(session.number)
        session.consumers = []
        session.tag = 0
        return session

    def recover(self, session):
        session = self.sessions[session]
        helds = self.model.held[session.number]
        self.model.refuse_chance(helds.values())
        self.outlive([held.entry for held in helds.values()])
        self.model.end(session.number, list(helds), 'requeue')
        session.channel.send('basic.recover', requeue=True)
        session.channel.reply('basic.recover-ok')

    def close(self, session):
        session = self.leave(session)
        session.channel.close()
        session.channel.call('channel.open')

    def fail(self, session):
        """The channel is closed by the broker."""
        session = self.leave(session)
        session.channel.ack(1 << 40)
        session.channel.expect_close(406, None, 'basic.ack')
        session.channel.call('channel.open')

    def disconnect(self, orderly):
        """The connection that only the last session uses."""
        session = self.leave(SESSIONS - 1)
        connection = self.place.drop(1)
        if orderly:
            connection.finish()
        else:
            connection.reset()
        session.channel = self.place.connection(1).channel()

    def purge(self, queue):
        queue = self.queues[queue]
        count = self.control.call('queue.purge', queue=queue.name).message_count
        wanted = queue.purge()
        expect(count == wanted, f'{count} messages purged from {queue.name}, not {wanted}')

    # Comparison.

    def compare(self):
        self.model.settle_down()
        self.receive()
        self.compare_counts()
        if self.model.is_unseen:
            for _ in range(self.model.rounds):
                self.place.beacon()
                self.compare_counts()
        self.model.note_settled(time.monotonic())

    def receive(self):
        """Takes the deliveries that must come, and those that came without being expected."""
        wanted = sum(len(queue.flights) for queue in self.queues.values())
        observed = {key: [] for key in self.queues}
        arrived = []
        self.collect(arrived)
        while len(arrived) < wanted:
            try:
                amqp.pump_any({session.channel.connection for session in self.sessions},
                              self.control.connection.deadline)
            except amqp.Timeout:
                missing = [entry.name for queue in self.queues.values() for entry in queue.flights]
                came = [method.properties.get('message_id') for _, method in arrived]
                raise amqp.Mismatch(f'expected deliveries of {missing}, only {came} came') from None
            self.collect(arrived)
        consumers = {}
        for session in self.sessions:
            for queue, consumer in session.consumers:
                consumers[consumer.tag] = queue, consumer
        for session, method in arrived:
            expect(method.consumer_tag in consumers, f'{method} for no consumer')
            queue, consumer = consumers[method.consumer_tag]
            expect(consumer.session == session.number, f'{method} on session {session.number}')
            observed[queue.name[-1]].append((consumer, method))
        methods = {id(method): session for session, method in arrived}
        seen = {}
        for key, queue in self.queues.items():
            pairs = observed[key]
            for entry, (consumer, method) in zip(queue.match(pairs), pairs):
                seen[id(method)] = consumer, entry
        for _, method in arrived:
            consumer, entry = seen[id(method)]
            self.hold(methods[id(method)], entry, method, consumer, consumer.no_ack)

    def collect(self, arrived):
        for session in self.sessions:
            while session.channel.inbox:
                arrived.append((session, session.channel.take('basic.deliver')))

    def compare_counts(self):
        """Ready messages, as soon as what dies has moved, and consumers."""
        wanted = [(len(queue.ready), len(queue.consumers)) for queue in self.queues.values()]
        end = time.monotonic() + self.control.connection.deadline
        while (got := self.counts()) != wanted:
            if time.monotonic() > end:
                names = {queue.name[-1]: [entry.name for entry in queue.ready]
                         for queue in self.queues.values()}
                raise amqp.Mismatch(f'ready messages and consumers of q and d are {got}, not '
                                    f'{wanted}; the model has {names}')
            time.sleep(POLL_S)

    def counts(self):
        for queue in self.queues.values():
            self.control.send('queue.declare', queue=queue.name, passive=True)
        replies = [self.control.reply('queue.declare-ok') for _ in self.queues]
        return [(reply.message_count, reply.consumer_count) for reply in replies]

    # Restarts.

    def restart(self, kind):
        if kind == 'kill':
            yield from self.crash()
            return
        if kind == 'stop' and not self.may_keep_consumers():
            for session in self.sessions:
                while session.consumers:
                    self.cancel(session.number, 0)
                    self.compare()
        self.acknowledge_chancy()
        self.outlive([held.entry for helds in self.model.held for held in helds.values()])
        fading = self.fade() if kind == 'stop' else []
        published_at = time.monotonic()
        yield kind
        self.fade_away(fading, published_at)
        self.model.stop(kind)
        self.reopen()
        self.compare()

    def fade(self):
        """Publishes what expires while the process ends, or while none is there."""
        if any(queue.consumers for queue in self.queues.values()):
            return []
        queue = self.queues['q']
        entries = [self.make(queue, 20, expiration=str(FADE_MS), persistent=True)
                   for _ in range(self.program.get('fading', 0))]
        self.publish_all(queue, entries)
        return entries

    @staticmethod
    def fade_away(entries, since):
        """It dies once, whenever that was."""
        time.sleep(max(0, since + FADE_MS / 1000 + MARGIN_S - time.monotonic()) if entries else 0)
        for entry in entries:
            entry.lifetime = 0

    def may_keep_consumers(self):
        """While connections are closed one after the other, what one gives back may go to another."""
        return not any(queue.counts_deliveries or queue.is_limited() or
                       any(consumer.no_ack for consumer in queue.consumers)
                       for queue in self.queues.values())

    def acknowledge_chancy(self):
        """What comes back from several sessions may be dropped in any order. What expires about now may
        become a transient dead letter before the end, and be lost, or after it."""
        helds = [held for helds in self.model.held for held in helds.values()]
        for queue in self.queues.values():
            tags = [(session, tag) for session in self.sessions
                    for tag, held in self.model.held[session.number].items()
                    if held.entry.queue is queue]
            entries = [self.model.held[session.number][tag].entry for session, tag in tags]
            if (self.model.is_chancy(queue, entries) or queue.is_over_with(entries) or
                    self.model.is_race(queue, entries, helds) or
                    queue.may_overflow(entries) or
                    queue.is_quorum and any(entry.is_short_lived() for entry in entries)):
                self.acknowledge(tags)

    def acknowledge(self, tags):
        for session, tag in tags:
            session.channel.ack(tag)
            self.model.end(session.number, [tag], 'ack')
            session.channel.sync()
            self.compare()

    def reopen(self):
        self.place.close()
        for session in self.sessions:
            session.restart()
        self.publisher_answers = {}
        self.open()

    def crash(self):
        """Killed in the middle: what was under way may or may not have happened."""
        parting = self.part()
        yield 'kill'
        self.hear(parting)
        moving = self.letters_under_way()
        books = {queue: self.make_book(queue) for queue in self.queues.values()}
        for entry in parting:
            books[entry.queue].copies[entry.name] = entry
        for entry in moving:
            entry.confirmed = False
        self.model.crash()
        self.reopen()
        complaints, found = [], set()
        for queue, book in books.items():
            methods = self.read(queue)
            copies = book.copies
            complaints += book.judge(methods, self.killed_at)
            for method in methods:
                name = method.properties.get('message_id')
                found.add((queue, name))
                if name in copies:
                    self.adopt(copies[name], method)
        for entry in moving:
            if not entry.settled and not entry.source.refused and entry.message.persistent:
                expect({(entry.queue, entry.name), (entry.source.queue, entry.name)} & found,
                       f'{entry.name} was on its way to another queue and is in neither')
        expect(not complaints, '; '.join(complaints))
        self.acknowledge_twins()
        self.compare()

    def acknowledge_twins(self):
        """A dead letter and what it was made of may both be there. Later on names tell messages of a
        queue apart, so the one that might die again goes."""
        helds = self.model.held[0]
        sources = {held.entry.source for held in helds.values()}
        tags = [(self.sessions[0], tag) for tag, held in helds.items() if held.entry in sources]
        self.acknowledge(tags)

    def part(self):
        """Publishes and an acknowledgement of which nobody waits to hear."""
        queue = self.queues['q']
        entries = []
        if not queue.is_limited() and not any(consumer.no_ack for consumer in queue.consumers):
            entries = [self.make(queue, 20, persistent=True)
                       for _ in range(self.program.get('parting', 0))]
        for entry in entries:
            entry.queue, entry.confirmed, entry.redelivered = queue, False, None
            entry.position = (next(queue.sequence),)
            entry.doubts_deliveries = True
        self.send(entries)
        for tag, held in list(self.model.held[0].items())[:1]:
            self.sessions[0].channel.ack(tag)
            held.entry.queue.leave(held.entry)
        return entries

    def hear(self, parting):
        """What the broker said of these before it died: what it confirmed must be there."""
        answers = dict(enumerate(parting, self.published + 1))
        try:
            while answers:
                method = self.publisher.take('basic.ack')
                for tag in [tag for tag in answers if tag == method.delivery_tag or
                            method.multiple and tag < method.delivery_tag]:
                    answers.pop(tag).confirmed = True
        except amqp.Mismatch:
            pass  # The end of the stream, or of a part of a frame.

    def letters_under_way(self):
        """Dead letters that may not be durable yet."""
        helds = [held.entry for helds in self.model.held for held in helds.values()]
        entries = [*helds, *(entry for queue in self.queues.values()
                             for entry in (*queue.ready, *queue.gone))]
        return [entry for entry in entries if entry.source and self.is_recent(entry.source)]

    def is_recent(self, source):
        return source.settled_at is None or self.killed_at - source.settled_at < SETTLE_WINDOW_S

    def make_book(self, queue):
        """Everything that is or was in a queue."""
        book = QueueBook(queue.name, queue.priorities, refuses=True)
        held = [held.entry for helds in self.model.held for held in helds.values()]
        for entry in [*queue.gone, *queue.ready, *held]:
            if entry.queue is queue:
                book.copies[entry.name] = entry
                entry.doubts_deliveries = True
                entry.redelivered = None
        return book

    def read(self, queue):
        """All of it, by a consumer that the first session has for that."""
        channel = self.sessions[0].channel
        count = self.control.declare(queue.name, passive=True).message_count
        tag = channel.consume(queue.name)
        methods = [channel.deliver() for _ in range(count)]
        channel.call('basic.cancel', consumer_tag=tag)
        expect(not channel.inbox, f'{queue.name} said {count} messages, but has more')
        return methods

    def adopt(self, entry, method):
        """It is there, whatever was thought to have become of it."""
        queue = entry.queue
        entry.settled = entry.settled_at = None
        entry.confirmed = True
        queue.gone = [other for other in queue.gone if other is not entry]
        headers = codec.plain(method.properties.get('headers', {}))
        entry.deliveries = headers.get('x-delivery-count', 0)
        entry.doubts_deliveries = False
        queue.see(entry, method)
        self.hold(self.sessions[0], entry, method, None, no_ack=False)
