"""What a crash may and may not do to messages: every copy of a message in a queue, what its publisher
was told, what was done with it, and the judgement after the restart. The crash tests and the model
keep the same books."""

import codec

# Settlements are durable a second after the broker has taken them; half a second is the margin.
SETTLE_WINDOW_S = 1.5


class Message:
    """What was published, as it must come back."""

    __slots__ = ('name', 'publisher', 'number', 'persistent', 'priority', 'exchange', 'key',
                 'properties', 'body')

    def __init__(self, name, publisher, number, exchange, key, properties, body):
        self.name = name
        self.publisher = publisher
        self.number = number
        self.persistent = properties.get('delivery_mode') == 2
        self.priority = properties.get('priority', 0)
        self.exchange = exchange
        self.key = key
        self.properties = codec.encode_properties(properties)
        self.body = body

    def differences(self, method):
        """In what a delivery is not what was published."""
        if method.exchange != self.exchange:
            yield f'exchange {method.exchange!r}, not {self.exchange!r}'
        if method.routing_key != self.key:
            yield f'routing key {method.routing_key!r}, not {self.key!r}'
        if method.raw_properties != self.properties:
            yield f'properties {method.raw_properties!r}, not {self.properties!r}'
        if method.body != self.body:
            yield f'a body of {len(method.body)} octets, not the {len(self.body)} published'


class Copy:
    """A message in one queue."""

    __slots__ = ('message', 'confirmed', 'refused', 'delivered', 'settled', 'settled_at',
                 'settled_durably')

    def __init__(self, message, confirmed=False, delivered=False):
        self.message = message
        self.confirmed = confirmed
        self.refused = False        # Nacked or rolled back: it may never appear.
        self.delivered = delivered  # It may have reached a client.
        self.settled = False        # Its settlement is on its way.
        self.settled_at = None      # The broker is known to have taken it.
        self.settled_durably = False

    def differences(self, method):
        """In what a delivery is not what this copy must look like."""
        return self.message.differences(method)

    def place(self):
        """A line, and the number in it: within a line copies come in the order of their numbers."""
        return self.message.publisher, self.message.number

    def may_be_gone(self):
        return self.settled or not self.confirmed or not self.message.persistent

    def must_be_gone(self, killed_at):
        """Why it may not be there, or None."""
        if self.refused:
            return 'was refused or rolled back'
        if not self.message.persistent:
            return 'is transient'
        if self.settled_durably:
            return 'was settled for good'
        if self.settled_at is not None and killed_at - self.settled_at > SETTLE_WINDOW_S:
            return f'was settled {killed_at - self.settled_at:.2f} s before the crash'
        return None


class QueueBook:
    """The copies of one queue, by name of the message."""

    def __init__(self, name, priorities=0, lossy=False, refuses=False):
        self.name = name
        self.priorities = priorities
        self.refuses = refuses  # Its publisher may die before it is told.
        self.lossy = lossy  # Consumed without acknowledgements: anything may be missing.
        self.copies = {}

    def add(self, message, confirmed=False):
        copy = self.copies[message.name] = Copy(message, confirmed)
        return copy

    def find(self, method):
        """The copy that a delivery is of, with complaints about what is wrong with it."""
        name = (method.properties or {}).get('message_id')
        copy = self.copies.get(name)
        if copy is None:
            return None, [f'{self.name}: message {name!r} was never published to it, '
                          f'exchange {method.exchange!r}, key {method.routing_key!r}, '
                          f'{len(method.body)} octets']
        return copy, [f'{self.name}: message {name} came back with {difference}'
                      for difference in copy.differences(method)]

    def level(self, message):
        return min(message.priority, self.priorities)

    def judge(self, deliveries, killed_at):
        """Complaints about what is in the queue after a crash; from then on that is its content."""
        complaints = []
        found = {}
        for method in deliveries:
            copy, wrong = self.find(method)
            complaints += wrong
            if copy is None:
                continue
            name = copy.message.name
            if name in found:
                complaints.append(f'{self.name}: message {name} is there twice')
            found[name] = copy
            reason = copy.must_be_gone(killed_at)
            if reason:
                complaints.append(f'{self.name}: message {name} is back, but it {reason}')
            if copy.delivered and not method.redelivered:
                complaints.append(f'{self.name}: message {name} was delivered before the crash, '
                                  'but is not marked as redelivered')
        complaints += self.judge_missing(found)
        complaints += self.judge_order(list(found.values()))
        self.copies = {name: Copy(copy.message, confirmed=True, delivered=True)
                       for name, copy in found.items()}
        return complaints

    def judge_missing(self, found):
        if self.lossy:
            return
        last = {}
        for copy in found.values():
            message = copy.message
            last[message.publisher] = max(last.get(message.publisher, -1), message.number)
        for name, copy in self.copies.items():
            message = copy.message
            if name in found or copy.settled or copy.refused or not message.persistent:
                continue
            if not copy.may_be_gone():
                yield (f'{self.name}: confirmed message {name} is lost '
                       f'({"delivered" if copy.delivered else "never delivered"})')
            elif message.number < last.get(message.publisher, -1) and not self.refuses:
                yield (f'{self.name}: message {name} is missing, but a later one of its publisher '
                       'is there')

    def judge_order(self, copies):
        before = {}
        for copy in copies:
            message = copy.message
            publisher, number = copy.place()
            line = (publisher, self.level(message))
            if line in before and before[line] > number:
                yield (f'{self.name}: message {message.name} came after number {before[line]} of '
                       'its publisher')
            before[line] = number
        levels = [self.level(copy.message) for copy in copies]
        if levels != sorted(levels, reverse=True):
            yield f'{self.name}: messages did not come in order of priority'
