"""A small reference model: a queue with all its arguments, the queue that its dead letters go to, and
the sessions that hold deliveries of both.

An operation changes the model as the broker must change. What is to be delivered then is in
`flights`, in order; which consumer gets it is the broker's choice among those whose turn it is, and
`match` learns it from what came. Where the broker may put messages in an order of its own, such as
those that expired in one moment, they share a place and are told apart when they are seen."""

import bisect
import itertools
import math

from books import Copy, Message
import amqp
import codec

SOON_MS = 10  # What lives no longer is gone when the model and the broker are compared.
FOREVER = 1 << 60
# Whether what is given back to a queue that is full for it is dropped at once. If not, a later moment
# decides, which nobody can tell.
TRIMS_RETURNED = False
REJECTED, EXPIRED, MAXLEN, LIMIT = 'rejected', 'expired', 'maxlen', 'delivery_limit'
DEATH_KEYS = ('reason', 'queue', 'count', 'exchange', 'routing-keys', 'original-expiration')
FIRST_DEATH_KEYS = ('x-first-death-reason', 'x-first-death-queue', 'x-first-death-exchange')


class Void(Exception):
    """What would come of an operation is left to chance: it must be left out."""


def expect(condition, text):
    if not condition:
        raise amqp.Mismatch(text)


class Entry(Copy):
    """A message in a queue of the model."""

    __slots__ = ('queue', 'properties', 'deaths', 'first_death', 'lifetime', 'position',
                 'deliveries', 'doubts_deliveries', 'redelivered', 'source', 'receiver')

    def __init__(self, message, properties, deaths=(), first_death=None, source=None):
        super().__init__(message, confirmed=True)
        self.properties = properties
        self.deaths = list(deaths)  # As x-death has them, the last one first.
        self.first_death = first_death
        self.source = source  # What this is the dead letter of.
        self.queue = None
        self.lifetime = FOREVER
        self.position = None
        self.deliveries = 0
        self.doubts_deliveries = False  # The last of them may have been forgotten.
        self.redelivered = False  # None: either.
        self.receiver = None

    @property
    def name(self):
        return self.message.name

    def is_short_lived(self):
        return self.lifetime <= SOON_MS

    def dies_if_requeued(self):
        return self.is_short_lived() or self.reaches_limit()

    def reaches_limit(self):
        """Given back once more it dies at once; what has expired dies when that is seen."""
        return self.deliveries >= self.queue.delivery_limit

    def turn(self):
        """What comes first in the queue is lowest."""
        return -self.queue.level(self.message), self.position

    def place(self):
        return '', self.position

    def stand_behind(self):
        """Behind those whose place it has shared: one of them came first."""
        self.position += (1,)

    def must_be_gone(self, killed_at):
        if self.settled and self.is_short_lived():
            return 'has expired'
        return super().must_be_gone(killed_at)

    def differences(self, method):
        message = self.message
        if (method.exchange, method.routing_key) != (message.exchange, message.key):
            yield (f'exchange {method.exchange!r} and key {method.routing_key!r}, '
                   f'not {message.exchange!r} and {message.key!r}')
        if method.body != message.body:
            yield f'another body: {method.body[:40]!r}'
        properties = codec.plain(dict(method.properties))
        headers = properties.pop('headers', {})
        if properties != self.properties:
            yield f'properties {properties}, not {self.properties}'
        count = headers.pop('x-delivery-count', None)
        if not self.may_count(count):
            yield f'x-delivery-count {count}, not {self.expected_count()}'
        deaths = [{key: death[key] for key in DEATH_KEYS if key in death}
                  for death in headers.pop('x-death', [])]
        if deaths != self.deaths:
            yield f'x-death {deaths}, not {self.deaths}'
        first = tuple(headers.pop(key) for key in FIRST_DEATH_KEYS if key in headers)
        if (first or None) != self.first_death:
            yield f'first death {first}, not {self.first_death}'
        if headers:
            yield f'headers {headers}'
        if self.redelivered is not None and method.redelivered != self.redelivered:
            yield f'redelivered {method.redelivered}, not {self.redelivered}'

    def expected_count(self):
        return self.deliveries if self.queue.counts_deliveries else None

    def may_count(self, count):
        if self.doubts_deliveries and self.queue.counts_deliveries:
            return count is not None and count <= self.deliveries
        return count == self.expected_count()

    def letter(self, reason):
        """What this becomes when it dies, or None if nobody gets it."""
        old, queue = self.message, self.queue
        exchange, key, target = queue.dead_letters
        same = [death for death in self.deaths
                if (death['reason'], death['queue']) == (reason, queue.name)]
        death = dict(zip(DEATH_KEYS, (reason, queue.name, 1, old.exchange, [old.key])))
        if 'expiration' in self.properties:
            death['original-expiration'] = self.properties['expiration']
        if same:
            death = {**same[0], 'count': same[0]['count'] + 1}
        deaths = [death, *(other for other in self.deaths if other not in same)]
        if reason != REJECTED and goes_round(deaths, target.name):
            return None
        properties = {key: value for key, value in self.properties.items() if key != 'expiration'}
        message = Message(old.name, old.publisher, old.number, exchange,
                          old.key if key is None else key, properties, old.body)
        return Entry(message, properties, deaths,
                     self.first_death or (reason, queue.name, old.exchange), source=self)


def goes_round(deaths, name):
    """Whether a message has been in a queue before, and nobody has rejected it since."""
    for death in deaths:
        if death['reason'] == REJECTED:
            return False
        if death['queue'] == name:
            return True
    return False


class Consumer:
    def __init__(self, session, tag, prefetch, no_ack, priority, since):
        self.session = session
        self.tag = tag
        self.prefetch = prefetch
        self.no_ack = no_ack
        self.priority = priority
        self.since = since  # When it became the last in line.
        self.held = 0

    def credit(self):
        return math.inf if self.no_ack or not self.prefetch else self.prefetch - self.held


class Queue:
    def __init__(self, name, durable, arguments):
        self.name = name
        self.durable = durable
        self.arguments = arguments
        self.ttl = arguments.get('x-message-ttl', FOREVER)
        self.max_length = arguments.get('x-max-length', FOREVER)
        self.max_octets = arguments.get('x-max-length-bytes', FOREVER)
        self.overflow = arguments.get('x-overflow', 'drop-head')
        self.priorities = arguments.get('x-max-priority', 0)
        self.delivery_limit = arguments.get('x-delivery-limit', FOREVER)
        self.is_quorum = arguments.get('x-queue-type') == 'quorum'
        self.has_one_active = arguments.get('x-single-active-consumer', False)
        self.counts_deliveries = self.is_quorum or self.delivery_limit < FOREVER
        self.dead_letters = None  # (exchange, key or None, Queue)
        self.ready = []
        self.flights = []
        self.consumers = []
        self.dead = []     # (entry, reason) of the operation.
        self.batches = []  # Of the dead, not moved yet.
        self.gone = []
        self.arrived = []  # Dead letters of this step.
        self.sequence = itertools.count()
        self.ticks = itertools.count()
        self.sent = -1
        self.has_crashed = False

    def level(self, message):
        return min(message.priority, self.priorities)

    def is_limited(self):
        return min(self.max_length, self.max_octets) < FOREVER

    def octets(self):
        return sum(len(entry.message.body) for entry in self.ready)

    # Arrivals.

    def append(self, entries):
        """Appends what comes together; whether each was accepted."""
        if self.overflow != 'drop-head':
            accepted = [self.append_or_reject(entry) for entry in entries]
        else:
            self.append_all(entries)
            self.drop_head()
            accepted = [True] * len(entries)
        self.seal()
        return accepted

    def append_all(self, entries):
        for entry in entries:
            entry.queue = self
            entry.position = (next(self.sequence),)
            entry.message.persistent = self.durable and (
                self.is_quorum or entry.properties.get('delivery_mode') == 2)
            entry.lifetime = min(self.ttl, int(entry.properties.get('expiration', FOREVER)))
            bisect.insort(self.ready, entry, key=Entry.turn)
        self.pump()
        while self.ready and self.ready[0].lifetime == 0:
            self.die(self.ready.pop(0), EXPIRED)

    def append_or_reject(self, entry):
        size = len(entry.message.body)
        if len(self.ready) < self.max_length and self.octets() + size <= self.max_octets:
            self.append_all([entry])
            return True
        entry.queue = self
        entry.refused = True
        if self.overflow == 'reject-publish-dlx' and self.dead_letters:
            self.dead.append((entry, MAXLEN))
        return False

    def is_over_with(self, entries):
        """Whether giving these back might make it drop its head."""
        octets = self.octets() + sum(len(entry.message.body) for entry in entries)
        return self.overflow == 'drop-head' and (
            len(self.ready) + len(entries) > self.max_length or octets > self.max_octets)

    def may_overflow(self, entries):
        """Whether giving these back might make the target of their dead letters drop or reject some."""
        return (self.dead_letters is not None and self.dead_letters[2].is_limited() and
                any(map(Entry.dies_if_requeued, entries)))

    def drop_head(self):
        while len(self.ready) > self.max_length or self.octets() > self.max_octets:
            self.die(self.ready.pop(0), MAXLEN)

    # Departures.

    def leave(self, entry):
        entry.settled = True
        self.gone.append(entry)

    def die(self, entry, reason):
        self.leave(entry)
        if self.dead_letters:
            self.dead.append((entry, reason))

    def seal(self):
        if self.dead:
            self.batches.append(self.dead)
            self.dead = []

    def expire(self):
        for entry in [entry for entry in self.ready if entry.is_short_lived()]:
            self.ready.remove(entry)
            self.die(entry, EXPIRED)
        self.seal()

    def purge(self):
        count = len(self.ready)
        for entry in self.ready:
            self.leave(entry)
        self.ready.clear()
        return count

    def end(self, helds, fate):
        """What consumers or getters had is acknowledged, discarded or given back, all at once."""
        for held in helds:
            if held.consumer:
                self.give_credit(held.consumer)
            if fate == 'ack':
                self.leave(held.entry)
            elif fate == 'discard':
                self.die(held.entry, REJECTED)
            else:
                self.requeue(held.entry)
        self.pump()
        if fate == 'requeue' and self.overflow == 'drop-head':
            self.drop_head()
        self.seal()

    def give_credit(self, consumer):
        if consumer.credit() <= 0:
            consumer.since = next(self.ticks)
        consumer.held -= 1

    def requeue(self, entry):
        entry.redelivered = True
        entry.deliveries += 1
        if entry.deliveries > self.delivery_limit:
            self.die(entry, LIMIT)
        elif entry.is_short_lived():
            self.die(entry, EXPIRED)
        else:
            bisect.insort(self.ready, entry, key=Entry.turn)

    # Deliveries.

    def candidates(self):
        """Messages that may be the first of the queue."""
        return [entry for entry in self.ready if entry.turn() == self.ready[0].turn()]

    def allowed(self):
        return self.consumers[:1] if self.has_one_active else self.consumers

    def pump(self):
        credit = sum(max(0, consumer.credit()) for consumer in self.allowed()) - len(self.flights)
        count = max(0, min(len(self.ready), credit))
        self.flights += self.ready[:count]
        del self.ready[:count]

    def match(self, observed):
        """Compares deliveries, as (consumer, method) in the order of each session, with the flights.
        Returns the entry of each."""
        ranks = list(range(len(self.flights)))
        for index in range(1, len(self.flights)):
            if self.flights[index].turn() == self.flights[index - 1].turn():
                ranks[index] = ranks[index - 1]
        last = {}
        entries = []
        for consumer, method in observed:
            index = self.find_flight(method)
            entry = self.flights[index]
            expect(entry.receiver is None, f'{entry.name} was delivered twice')
            expect(last.get(consumer.session, 0) <= ranks[index],
                   f'{entry.name} was overtaken on session {consumer.session}')
            last[consumer.session] = ranks[index]
            self.see(entry, method)
            entry.receiver = consumer
            entries.append(entry)
        self.tell_places(entries)
        for entry in self.flights:
            expect(entry.receiver is not None, f'{entry.name} was not delivered')
        for entry, rank in self.handed_out(ranks):
            self.check_turn(entry.receiver, entry, ranks.count(rank) == 1)
            self.deliver(entry)
        self.flights = []
        return entries

    def handed_out(self, ranks):
        """The flights in turn: of those that share a place, the one first whose receiver was next."""
        for rank in sorted(set(ranks)):
            same = [entry for entry, other in zip(self.flights, ranks) if other == rank]
            while same:
                entry = min(same, key=lambda entry: (-entry.receiver.priority,
                                                     entry.receiver.since))
                same.remove(entry)
                yield entry, rank

    def tell_places(self, seen):
        """Which of those that share a place came first, as far as that can be seen: one session tells
        the order of what it got."""
        for index, entry in enumerate(seen):
            same = [other for other in seen if other.turn() == entry.turn()]
            sessions = {other.receiver.session for other in same}
            behind = [other for other in self.ready if other.turn() == entry.turn()]
            if len(sessions) == 1:
                behind += [other for other in seen[index + 1:] if other.turn() == entry.turn()]
            for other in behind:
                other.stand_behind()

    def find_flight(self, method):
        name = method.properties.get('message_id')
        for index, entry in enumerate(self.flights):
            if entry.name == name:
                return index
        for other, entry in enumerate(self.ready):
            if entry.name != name:
                continue
            for index, flight in enumerate(self.flights):
                if flight.receiver is None and flight.turn() == entry.turn():
                    self.flights[index], self.ready[other] = entry, flight
                    return index
        where = 'not its turn' if any(entry.name == name for entry in self.ready) else 'not ready'
        raise amqp.Mismatch(f'{name} was delivered from {self.name}, but is {where}; '
                            f'expected {[entry.name for entry in self.flights]}')

    def see(self, entry, method):
        """Its content is compared, and its place known."""
        for difference in entry.differences(method):
            raise amqp.Mismatch(f'{entry.name} from {self.name} has {difference}')
        if entry.message.persistent:
            self.sent = max(self.sent, entry.position[0])
        entry.delivered = True
        entry.redelivered = method.redelivered

    def check_turn(self, consumer, entry, is_order_known):
        allowed = self.allowed()
        expect(consumer in allowed and consumer.credit() > 0,
               f'{entry.name} went to {consumer.tag}, which may not have it')
        for other in allowed:
            if other is consumer or other.credit() <= 0 or not is_order_known:
                continue
            expect(other.priority <= consumer.priority,
                   f'{entry.name} went to {consumer.tag}, not to {other.tag} of higher priority')
            expect(other.priority < consumer.priority or consumer.since <= other.since,
                   f'{entry.name} went to {consumer.tag}, but it was the turn of {other.tag}')

    def deliver(self, entry):
        consumer, entry.receiver = entry.receiver, None
        consumer.since = next(self.ticks)
        if consumer.no_ack:
            self.leave(entry)
        else:
            consumer.held += 1

    # Restarts.

    def survive(self, crashed):
        """The process has ended; everybody has let go."""
        self.has_crashed = self.has_crashed or crashed
        self.consumers = []
        self.ready = [entry for entry in self.ready if entry.message.persistent]
        for entry in self.ready:
            if not entry.redelivered and (self.has_crashed or entry.position[0] <= self.sent):
                entry.redelivered = None


class Held:
    __slots__ = ('entry', 'consumer')

    def __init__(self, entry, consumer):
        self.entry = entry
        self.consumer = consumer


class Model:
    """The queues, and what each session holds: {delivery tag: Held}."""

    def __init__(self, queues, sessions):
        self.queues = queues
        self.held = [{} for _ in range(sessions)]
        self.has_expired = False
        self.rounds = 0         # How often the dead were moved in the last step.
        self.is_unseen = False  # Not all of that can be seen in counts.

    def end(self, session, tags, fate):
        """ack, requeue or discard."""
        helds = [self.held[session][tag] for tag in tags]
        if fate == 'requeue':
            self.refuse_chance(helds)
        for tag in tags:
            del self.held[session][tag]
        for queue in self.queues:
            mine = [held for held in helds if held.entry.queue is queue]
            if mine:
                queue.end(mine, fate)

    def refuse_chance(self, helds, leaver=None):
        """Raises Void if what comes of giving these back is left to chance; all that `leaver` has, if
        that is a session."""
        for queue in self.queues:
            entries = [held.entry for held in helds if held.entry.queue is queue]
            if self.is_chancy(queue, entries) or self.is_race(queue, entries, helds, leaver) or (
                    not TRIMS_RETURNED and queue.is_over_with(entries) and entries):
                raise Void

    @staticmethod
    def is_race(queue, entries, helds, leaver=None):
        """What dies when it is given back may come to another queue before or after what is given back
        to that one, or what dies for another reason: consumers see in which order, and a limit counts.
        Or it is meant for a consumer that is about to leave."""
        target = queue.dead_letters and queue.dead_letters[2]
        dying = [entry for entry in entries if entry.dies_if_requeued()]
        if not target or not dying:
            return False
        if any(consumer.session == leaver for consumer in target.consumers):
            return True
        has_order = target.is_limited() or bool(target.consumers)
        return has_order and (len({entry.reaches_limit() for entry in dying}) > 1 or
                              any(held.entry.queue is target for held in helds))

    @staticmethod
    def is_chancy(queue, entries):
        """What has expired may or may not count when a limit is looked at."""
        return queue.is_limited() and any(entry.is_short_lived() for entry in entries)

    def leave(self, session):
        """The channel of a session ends."""
        self.refuse_chance(self.held[session].values(), session)
        for queue in self.queues:
            queue.consumers = [consumer for consumer in queue.consumers
                               if consumer.session != session]
        for held in self.held[session].values():
            held.consumer = None
        self.end(session, list(self.held[session]), 'requeue')

    def cancel(self, queue, consumer):
        queue.consumers.remove(consumer)
        for held in self.held[consumer.session].values():
            if held.consumer is consumer:
                held.consumer = None
        queue.pump()

    def settle_down(self):
        """Everything that comes of an operation by itself."""
        self.rounds = 0
        self.is_unseen = False
        moving = True
        while moving:
            for queue in self.queues:
                queue.pump()
                before = len(queue.ready)
                queue.expire()
                self.has_expired = self.has_expired or len(queue.ready) < before
            moving = any(queue.batches for queue in self.queues)
            self.rounds += moving
            for queue in self.queues:
                batches, queue.batches = queue.batches, []
                for batch in batches:
                    self.move(queue, batch)
        for queue in self.queues:
            if self.has_expired:
                self.share_place(queue, [entry for entry in queue.arrived if entry.position])
            queue.arrived = []
        self.has_expired = False

    def move(self, queue, batch):
        target = queue.dead_letters[2]
        self.has_expired = self.has_expired or any(reason == EXPIRED for _, reason in batch)
        letters = [letter for letter in (entry.letter(reason) for entry, reason in batch) if letter]
        target.append(letters)
        target.arrived += letters
        self.is_unseen = self.is_unseen or self.rounds > 1 or target.is_limited()

    @staticmethod
    def share_place(queue, entries):
        for entry in entries:
            entry.position = entries[0].position
        queue.ready.sort(key=Entry.turn)

    def note_settled(self, now):
        """The broker has taken all settlements so far."""
        for queue in self.queues:
            for entry in queue.gone:
                entry.settled_at = entry.settled_at or now

    def stop(self, kind):
        """The process ends: `stop` in order, `quiet` by a crash when all is known to be durable."""
        for session, held in enumerate(self.held):
            for queue in self.queues:
                queue.consumers = []
            if kind == 'stop':
                self.end(session, list(held), 'requeue')
                continue
            for one in held.values():
                one.entry.redelivered = True
                bisect.insort(one.entry.queue.ready, one.entry, key=Entry.turn)
            held.clear()
        self.has_expired = True  # The order of what dies is not known.
        if kind == 'stop':
            self.settle_down()
        for queue in self.queues:
            queue.survive(kind != 'stop')

    def crash(self):
        """What is there will be read."""
        for held in self.held:
            held.clear()
        for queue in self.queues:
            queue.has_crashed = True
            queue.consumers = []
            queue.ready.clear()
