"""Exchange types beyond AMQP's own: delayed, consistent hash, random."""

import collections
import time

from codec import Tagged
from harness import test, check, equal, eventually, settle


def declared(t, channel, kind, **arguments):
    name = t.name(kind)
    channel.exchange(name, kind, auto_delete=True, arguments=arguments)
    return name


def delayed_to_a_queue(t, channel, key, kind='direct'):
    """Names of an exchange that delays, and of a queue that it leads to."""
    exchange = declared(t, channel, 'x-delayed-message', **{'x-delayed-type': kind})
    queue = t.queue(channel)
    channel.bind(queue, exchange, key)
    return exchange, queue


@test
def delayed(t):
    """What is due earlier comes earlier; without the header, at once."""
    channel = t.channel()
    exchange, queue = delayed_to_a_queue(t, channel, 'k')
    channel.consume(queue, 'c', no_ack=True)
    began = time.monotonic()
    for delay in (150, 50, 100):
        channel.publish('k', b'%d' % delay, exchange=exchange,
                        properties={'headers': {'x-delay': delay}})
    channel.publish('k', b'now', exchange=exchange)
    channel.publish('k', b'negative', exchange=exchange, properties={'headers': {'x-delay': -9}})
    got = []
    for _ in range(5):
        message = channel.deliver()
        got.append(message.body)
        if message.body.isdigit():
            waited = (time.monotonic() - began) * 1000
            check(waited >= int(message.body), f'{message.body} came after {waited:.0f} ms')
            equal(message.properties['headers']['x-delay'].value, -int(message.body), 'header')
            equal((message.exchange, message.routing_key), (exchange, 'k'), 'address')
    equal(got, [b'now', b'negative', b'50', b'100', b'150'], 'order')


@test
def a_delay_keeps_its_type(t):
    """And the other headers stay where they are. What cannot be negative becomes a long."""
    channel = t.channel()
    exchange, queue = delayed_to_a_queue(t, channel, 'k')
    channel.consume(queue, 'c', no_ack=True)
    for tag, back in (('b', 'b'), ('B', 'l'), ('s', 's'), ('u', 'l'), ('I', 'I'), ('i', 'l'),
                      ('l', 'l')):
        headers = {'a': 'x', 'x-delay': Tagged(tag, 3), 'z': 'y'}
        channel.publish('k', b'late', exchange=exchange, properties={'headers': headers})
        got = channel.deliver().properties['headers']
        equal(list(got), ['a', 'x-delay', 'z'], 'names')
        equal(got['x-delay'], Tagged(back, -3), f'a delay of type {tag}')


@test
def delayed_ones_are_counted_and_can_be_cancelled(t):
    channel = t.channel()
    exchange, queue = delayed_to_a_queue(t, channel, '', 'fanout')
    for _ in range(10):
        channel.publish('', b'later', exchange=exchange,
                        properties={'headers': {'x-delay': 3600_000}})
    pending = f'amq.delayed.{exchange}'
    settle(channel, pending, 10)
    settle(channel, queue, 0)
    equal(channel.call('queue.purge', queue=pending).message_count, 10, 'cancelled')
    settle(channel, pending, 0)
    channel.send('queue.delete', queue=pending)
    channel.expect_close(403, None, 'queue.delete')
    channel.call('channel.open')
    channel.send('basic.consume', queue=pending)
    channel.expect_close(403, None, 'basic.consume')


@test
def delayed_needs_a_type(t):
    channel = t.channel()
    for arguments in ({}, {'x-delayed-type': 'no-such'}):
        channel.send('exchange.declare', exchange=t.name(), type='x-delayed-message',
                     arguments=arguments)
        channel.expect_close(406, None, 'exchange.declare')
        channel.call('channel.open')


@test
def delayed_is_confirmed(t):
    channel = t.channel()
    exchange = declared(t, channel, 'x-delayed-message', **{'x-delayed-type': 'direct'})
    channel.call('confirm.select')
    channel.publish('k', b'x', exchange=exchange, properties={'headers': {'x-delay': 1}})
    equal(channel.take('basic.ack', 'basic.nack').name, 'basic.ack', 'confirm')


def spread(channel, queues):
    return {queue: channel.declare(queue, passive=True).message_count for queue in queues}


@test
def hash_spreads_by_weight(t):
    channel = t.channel()
    exchange = declared(t, channel, 'x-consistent-hash')
    queues = dict(zip([t.queue(channel) for _ in range(3)], (1, 1, 2)))
    for queue, weight in queues.items():
        channel.bind(queue, exchange, str(weight))
    for number in range(4000):
        channel.publish(f'key {number}', b'', exchange=exchange)
    eventually(lambda: sum(spread(channel, queues).values()), 4000, 'each message once')
    for queue, count in spread(channel, queues).items():
        check(0.8 < count / (1000 * queues[queue]) < 1.2, f'{count} for weight {queues[queue]}')


@test(rows={'key': {}, 'header': {'hash-header': 'h'}, 'property': {'hash-property': 'message_id'}})
def hash_is_stable(t, arguments):
    """The same value always goes the same way, and a new queue takes only its share."""
    channel = t.channel()
    exchange = declared(t, channel, 'x-consistent-hash', **arguments)
    queues = [t.queue(channel) for _ in range(4)]
    for queue in queues[:3]:
        channel.bind(queue, exchange, '10')

    def publish():
        for number in range(300):
            value = f'v{number}'
            channel.publish(value if not arguments else 'same', value.encode(), exchange=exchange,
                            properties={'headers': {'h': value}, 'message_id': value})

    def collect():
        eventually(lambda: sum(spread(channel, queues).values()), 300, 'each message once')
        return {body: queue for queue, count in spread(channel, queues).items()
                for body in [channel.get(queue).body for _ in range(count)]}
    publish()
    first = collect()
    publish()
    equal(collect(), first, 'the same again')
    channel.bind(queues[3], exchange, '10')
    publish()
    second = collect()
    moved = [body for body in first if first[body] != second[body]]
    check(moved and all(second[body] == queues[3] for body in moved), 'only to the new one')
    check(len(moved) < 150, f'{len(moved)} of 300 moved')


@test(rows={'no number': ('x', 'must be an integer'), 'nothing': ('0', 'must be greater than 0'),
            'less': ('-1', 'must be greater than 0')})
def hash_weights_are_checked(t, row):
    key, text = row
    channel = t.channel()
    exchange = declared(t, channel, 'x-consistent-hash')
    queue = t.queue(channel)
    channel.send('queue.bind', queue=queue, exchange=exchange, routing_key=key)
    closed = channel.take('channel.close')
    check(text in closed.reply_text, closed.reply_text)
    channel.send('channel.close-ok')


@test
def random_takes_one(t):
    channel = t.channel()
    exchange = declared(t, channel, 'x-random')
    queues = [t.queue(channel) for _ in range(4)]
    for queue in queues[:3]:
        channel.bind(queue, exchange, 'k')
    channel.bind(queues[3], exchange, 'other')
    for _ in range(600):
        channel.publish('k', b'', exchange=exchange)
    eventually(lambda: sum(spread(channel, queues).values()), 600, 'each message once')
    counts = collections.Counter(spread(channel, queues))
    equal(counts[queues[3]], 0, 'another key')
    check(all(counts[queue] > 100 for queue in queues[:3]), f'{counts}')
