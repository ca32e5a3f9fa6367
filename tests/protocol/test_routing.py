"""Which binding takes which message, by exchange type."""

from codec import Tagged
from harness import test, equal

TOPIC_KEYS = ('', '.', '..', 'a', 'a.', '.a', '.b', 'ab', 'a.b', 'a.b.c', 'a..b', 'a.x.b',
              'a.x.y.b', 'b', '*', '#', 'a.*', 'a.#', 'A', 'a#', 'a*', 'a.b.a.b', 'ü.b')

TOPIC = {
    '#': TOPIC_KEYS,
    '#.#': TOPIC_KEYS,
    '': ('',),
    '*': ('a', 'ab', 'b', '*', '#', 'A', 'a#', 'a*'),
    '*.*': ('.', 'a.', '.a', '.b', 'a.b', 'a.*', 'a.#', 'ü.b'),
    'a.*': ('a.', 'a.b', 'a.*', 'a.#'),
    'a.#': ('a', 'a.', 'a.b', 'a.b.c', 'a..b', 'a.x.b', 'a.x.y.b', 'a.*', 'a.#', 'a.b.a.b'),
    'a.#.b': ('a.b', 'a..b', 'a.x.b', 'a.x.y.b', 'a.b.a.b'),
    '*.#': tuple(key for key in TOPIC_KEYS if key),
    '#.*': tuple(key for key in TOPIC_KEYS if key),
    'a.*.b': ('a..b', 'a.x.b'),
    'a..b': ('a..b',),
    '#.': ('.', '..', 'a.'),
    'a#': ('a#',),
    'a*': ('a*',),
    '*.*.*': ('..', 'a.b.c', 'a..b', 'a.x.b'),
    '#.b.#': ('.b', 'a.b', 'a.b.c', 'a..b', 'a.x.b', 'a.x.y.b', 'b', 'a.b.a.b', 'ü.b'),
    'ü.*': ('ü.b',),
}


def routed(channel, exchange, queue, keys, **arguments):
    """Which keys reach the queue; everything is published before the first is read."""
    for key in keys:
        channel.publish(key, key.encode(), exchange, **arguments)
    found = []
    while message := channel.get(queue):
        equal((message.exchange, message.routing_key), (exchange, message.body.decode()), 'origin')
        found.append(message.routing_key)
    return found


@test(rows={pattern or 'empty': (pattern, keys) for pattern, keys in TOPIC.items()})
def topic(t, row):
    pattern, expected = row
    channel = t.channel()
    queue, exchange = t.queue(channel), t.exchange(channel, 'topic')
    channel.bind(queue, exchange, pattern)
    equal(routed(channel, exchange, queue, TOPIC_KEYS), list(expected), f'keys for {pattern!r}')


@test
def topic_patterns_together(t):
    """All patterns on one exchange: a queue each, and one copy for a queue with them all."""
    channel = t.channel()
    exchange, everything = t.exchange(channel, 'topic'), t.queue(channel)
    queues = {pattern: t.queue(channel) for pattern in TOPIC}
    for pattern, queue in queues.items():
        channel.bind(queue, exchange, pattern)
        channel.bind(everything, exchange, pattern)
    equal(routed(channel, exchange, everything, TOPIC_KEYS), list(TOPIC_KEYS), 'all keys, once')
    for pattern, queue in queues.items():
        equal(routed(channel, exchange, queue, ()), list(TOPIC[pattern]), f'keys for {pattern!r}')
    for pattern in list(TOPIC)[::2]:
        channel.call('queue.unbind', queue=queues[pattern], exchange=exchange,
                     routing_key=pattern)
        channel.call('queue.unbind', queue=everything, exchange=exchange, routing_key=pattern)
    for queue in (everything, *queues.values()):
        channel.call('queue.purge', queue=queue)
    routed(channel, exchange, everything, TOPIC_KEYS)
    for pattern, queue in queues.items():
        expected = list(TOPIC[pattern]) if pattern in list(TOPIC)[1::2] else []
        equal(routed(channel, exchange, queue, ()), expected,
              f'keys for {pattern!r} after every second pattern was unbound')


def matches(pattern, key):
    """The rule of topic exchanges, as plainly as possible."""
    def words(text):
        return text.split('.') if text else []

    def match(pattern, key):
        if not pattern:
            return not key
        if pattern[0] == '#':
            return any(match(pattern[1:], key[at:]) for at in range(len(key) + 1))
        return bool(key) and pattern[0] in ('*', key[0]) and match(pattern[1:], key[1:])
    return match(words(pattern), words(key))


@test
def topic_at_random(t):
    channel = t.channel()
    exchange = t.exchange(channel, 'topic')
    patterns = {'.'.join(t.random.choices(('a', 'b', '*', '#', ''), k=t.random.randrange(6)))
                for _ in range(40)}
    keys = ['.'.join(t.random.choices(('a', 'b', ''), k=t.random.randrange(7)))
            for _ in range(60)]
    queues = {pattern: t.queue(channel) for pattern in sorted(patterns)}
    for pattern, queue in queues.items():
        channel.bind(queue, exchange, pattern)
    for key in keys:
        channel.publish(key, key.encode(), exchange)
    for pattern, queue in queues.items():
        equal(routed(channel, exchange, queue, ()),
              [key for key in keys if matches(pattern, key)],
              f'seed {t.seed}: keys for {pattern!r}')


@test
def direct_is_exact(t):
    channel = t.channel()
    queue, exchange = t.queue(channel), t.exchange(channel)
    for key in ('k', 'k' * 255, '*', ''):
        channel.bind(queue, exchange, key)
    keys = ('k', 'K', 'kk', '', 'k ', '*', '#', 'k' * 254, 'k' * 255)
    equal(routed(channel, exchange, queue, keys), ['k', '', '*', 'k' * 255], 'keys')


@test
def fanout_ignores_keys(t):
    channel = t.channel()
    queue, exchange = t.queue(channel), t.exchange(channel, 'fanout')
    channel.bind(queue, exchange, 'one')
    channel.bind(queue, exchange, 'two')
    equal(routed(channel, exchange, queue, ('', 'one', 'three')), ['', 'one', 'three'], 'keys')


@test
def default_exchange_knows_every_queue(t):
    channel = t.channel()
    queues = [t.queue(channel) for _ in range(3)]
    for queue in queues:
        channel.publish(queue, queue.encode())
    for queue in queues:
        message = channel.get(queue)
        equal((message.exchange, message.body), ('', queue.encode()), 'message')
        equal(message.message_count, 0, 'messages left')


HEADERS = {
    'all': ({'x-match': 'all', 'a': 1, 'b': 'x'}, {'a': 1, 'b': 'x', 'c': 2}, True),
    'all is the default': ({'a': 1, 'b': 'x'}, {'a': 1}, False),
    'all, other value': ({'a': 1, 'b': 'x'}, {'a': 1, 'b': 'y'}, False),
    'all of nothing': ({'x-match': 'all'}, {'a': 1}, True),
    'all of nothing, no headers': ({'x-match': 'all'}, None, True),
    'no arguments': ({}, None, True),
    'any': ({'x-match': 'any', 'a': 1, 'b': 'x'}, {'b': 'x'}, True),
    'any, none fits': ({'x-match': 'any', 'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}, False),
    'any of nothing': ({'x-match': 'any'}, {'a': 1}, False),
    'any, no headers': ({'x-match': 'any', 'a': 1}, None, False),
    'all ignores x-': ({'x-match': 'all', 'x-a': 1, 'b': 2}, {'b': 2}, True),
    'any ignores x-': ({'x-match': 'any', 'x-a': 1}, {'x-a': 1}, False),
    'all-with-x': ({'x-match': 'all-with-x', 'x-a': 1}, {'x-a': 1}, True),
    'all-with-x, missing': ({'x-match': 'all-with-x', 'x-a': 1, 'b': 2}, {'b': 2}, False),
    'any-with-x': ({'x-match': 'any-with-x', 'x-a': 1, 'b': 2}, {'x-a': 1}, True),
    'any-with-x, none': ({'x-match': 'any-with-x', 'x-a': 1}, {'x-a': 2}, False),
    'void asks for the key': ({'a': None}, {'a': 'anything'}, True),
    'void and no key': ({'a': None}, {'b': 1}, False),
    'case of keys': ({'a': 1}, {'A': 1}, False),
    'case of values': ({'a': 'x'}, {'a': 'X'}, False),
    'int tags': ({'a': Tagged('I', 1)}, {'a': Tagged('l', 1)}, True),
    'small int tags': ({'a': Tagged('b', 1)}, {'a': Tagged('u', 1)}, True),
    'negative ints': ({'a': Tagged('s', -5)}, {'a': Tagged('l', -5)}, True),
    'int and double': ({'a': Tagged('I', 1)}, {'a': Tagged('d', 1.0)}, True),
    'int and other double': ({'a': Tagged('I', 1)}, {'a': Tagged('d', 1.5)}, False),
    'float and double': ({'a': Tagged('f', 0.5)}, {'a': Tagged('d', 0.5)}, True),
    'timestamp and int': ({'a': Tagged('T', 5)}, {'a': Tagged('I', 5)}, True),
    'longstr and binary': ({'a': Tagged('S', 'ab')}, {'a': Tagged('x', b'ab')}, True),
    'bool': ({'a': True}, {'a': True}, True),
    'bool false': ({'a': True}, {'a': False}, False),
    'bool and int': ({'a': True}, {'a': 1}, False),
    'string and number': ({'a': '1'}, {'a': 1}, False),
    'table': ({'a': {'b': 1, 'c': ['x']}}, {'a': {'b': 1, 'c': ['x']}}, True),
    'other table': ({'a': {'b': 1}}, {'a': {'b': 2}}, False),
    'array': ({'a': [1, 'x']}, {'a': [1, 'x']}, True),
    'array order': ({'a': [1, 2]}, {'a': [2, 1]}, False),
    'array length': ({'a': [1, 2]}, {'a': [1]}, False),
    'empty string': ({'a': ''}, {'a': ''}, True),
    'largest unsigned': ({'a': Tagged('i', 2**32 - 1)}, {'a': Tagged('l', 2**32 - 1)}, True),
    'no sign confusion': ({'a': Tagged('i', 2**32 - 1)}, {'a': Tagged('I', -1)}, False),
}


@test(rows=HEADERS)
def headers(t, row):
    arguments, message, expected = row
    channel = t.channel()
    queue, exchange = t.queue(channel), t.exchange(channel, 'headers')
    channel.bind(queue, exchange, 'ignored', arguments=arguments)
    channel.publish('any', b'x', exchange, None if message is None else {'headers': message})
    equal(channel.get(queue) is not None, expected, f'{message} matches {arguments}')


@test
def headers_bindings_together(t):
    channel = t.channel()
    exchange, everything = t.exchange(channel, 'headers'), t.queue(channel)
    queues = []
    for arguments, message, expected in HEADERS.values():
        queues.append((t.queue(channel), arguments))
        channel.bind(queues[-1][0], exchange, arguments=arguments)
        channel.bind(everything, exchange, arguments=arguments)
    for arguments, message, expected in HEADERS.values():
        properties = None if message is None else {'headers': message}
        for queue in [queue for queue, _ in queues] + [everything]:
            channel.send('queue.purge', queue=queue, nowait=True)
        channel.publish('', b'x', exchange, properties)
        mine = next(queue for queue, bound in queues if bound is arguments)
        equal(channel.get(mine) is not None, expected, f'{message} matches {arguments}')
        equal(channel.declare(everything, passive=True).message_count, 1, 'copies')
