"""Queues of type stream: what has been read stays, every consumer has a place of its own, offsets go on
across restarts, and what is old goes by retention."""

import os
import signal
import time

import codec
from audit import ConfirmAuditor
from harness import test, check, equal
from test_configuration import Ground
from test_unacked_memory import hang_up, open_channel

STREAM = {'x-queue-type': 'stream'}
SMALL_MEMORY = 'limits: {message_memory: 1MiB, outbox_bytes: 256KiB}\n'


def declare(t, channel, **arguments):
    named = {f'x-{key.replace("_", "-")}': value for key, value in arguments.items()}
    return t.queue(channel, durable=True, arguments={**STREAM, **named})


def fill(channel, queue, bodies, **properties):
    auditor = ConfirmAuditor(channel)
    for body in bodies:
        auditor.publish(queue, body, properties=properties)
    auditor.wait()


def numbered(first, last):
    return [f'{number}'.encode() for number in range(first, last)]


def consume(channel, queue, tag, offset=None, prefetch=100, **arguments):
    channel.call('basic.qos', prefetch_count=prefetch)
    wanted = {f'x-{key.replace("_", "-")}': value for key, value in arguments.items()}
    if offset is not None:
        wanted['x-stream-offset'] = offset
    channel.call('basic.consume', queue=queue, consumer_tag=tag, arguments=wanted)


def take(channel, count):
    """Bodies and offsets of so many deliveries; acknowledges them."""
    found = []
    for _ in range(count):
        method = channel.deliver()
        check(not method.redelivered, 'a delivery of a stream is marked as redelivered')
        found.append((method.body, method.properties['headers']['x-stream-offset'].value))
        channel.send('basic.ack', delivery_tag=method.delivery_tag)
    return found


def expected(first, last):
    return [(f'{number}'.encode(), number) for number in range(first, last)]


def ready(channel, queue):
    return channel.call('queue.declare', queue=queue, passive=True).message_count


@test
def consumers_have_places_of_their_own(t):
    channel = t.channel()
    queue = declare(t, channel)
    fill(channel, queue, numbered(0, 10))
    consume(channel, queue, 'first', 'first')
    equal(take(channel, 10), expected(0, 10), 'from the first')
    consume(channel, queue, 'number', 7)
    equal(take(channel, 3), expected(7, 10), 'from an offset')
    consume(channel, queue, 'last', 'last')
    equal(take(channel, 1), expected(9, 10), 'the last')
    consume(channel, queue, 'hour', '1h')
    equal(take(channel, 10), expected(0, 10), 'of the last hour')
    for tag in ('first', 'number', 'last', 'hour'):
        channel.call('basic.cancel', consumer_tag=tag)
    consume(channel, queue, 'next')
    fill(t.channel(), queue, numbered(10, 12))
    equal(take(channel, 2), expected(10, 12), 'what came after it')
    equal(ready(channel, queue), 12, 'messages kept')


@test
def a_moment_is_found(t):
    """The clock of a message is in milliseconds, a timestamp in seconds."""
    channel = t.channel()
    queue = declare(t, channel)
    fill(channel, queue, numbered(0, 2))
    consume(channel, queue, 'past', codec.Tagged('T', int(time.time()) - 3600))
    equal(take(channel, 2), expected(0, 2), 'since an hour ago')
    consume(channel, queue, 'future', codec.Tagged('T', int(time.time()) + 3600))
    channel.call('basic.cancel', consumer_tag='past')
    fill(t.channel(), queue, numbered(2, 3))
    consume(channel, queue, 'last', 'last')
    method = channel.deliver()
    equal((method.consumer_tag, method.body), ('last', b'2'), 'who gets a message of today')


@test
def credit_comes_back_and_nothing_is_requeued(t):
    channel = t.channel()
    queue = declare(t, channel)
    fill(channel, queue, numbered(0, 6))
    consume(channel, queue, 'c', 'first', prefetch=2)
    tags = [channel.deliver().delivery_tag for _ in range(2)]
    channel.send('basic.nack', delivery_tag=tags[0], requeue=True)
    equal(channel.deliver().body, b'2', 'after a requeue')
    channel.send('basic.reject', delivery_tag=tags[1], requeue=False)
    equal(channel.deliver().body, b'3', 'after a rejection')
    channel.send('basic.ack', delivery_tag=0, multiple=True)
    equal([channel.deliver().body for _ in range(2)], [b'4', b'5'], 'after an acknowledgement')


@test
def filters(t):
    channel = t.channel()
    queue = declare(t, channel)
    for value in ('a', 'b', 'c', None):
        headers = {} if value is None else {'x-stream-filter-value': value}
        fill(t.channel(), queue, [str(value).encode()], headers=headers)
    consume(channel, queue, 'one', 'first', stream_filter='b')
    equal(take(channel, 1), [(b'b', 1)], 'of one value')
    consume(channel, queue, 'two', 'first', stream_filter=['c', 'a'],
            stream_match_unfiltered=True)
    equal(take(channel, 3), [(b'a', 0), (b'c', 2), (b'None', 3)], 'of two values, or of none')


@test(process=True)
def offsets_go_on_after_a_crash(t):
    with Ground(t, SMALL_MEMORY) as ground:
        channel = open_channel(t, ground)
        channel.call('queue.declare', queue='s', durable=True, arguments=STREAM)
        fill(channel, 's', [b'%04d' % n * 1000 for n in range(1000)])
        hang_up(t)
        os.kill(ground.broker.pid, signal.SIGKILL)
        ground.broker.wait()
        check(ground.broker.launch(), ground.broker.log_tail())
        channel = open_channel(t, ground)
        equal(ready(channel, 's'), 1000, 'messages kept')
        fill(open_channel(t, ground), 's', [b'more'])
        consume(channel, 's', 'all', 'first')
        found = take(channel, 1001)
        equal([offset for _, offset in found], list(range(1001)), 'offsets')
        equal([body[:4] for body, _ in found[:1000]], [b'%04d' % n for n in range(1000)], 'bodies')
        equal(found[1000][0], b'more', 'the last body')
        hang_up(t)


@test
def retention(t):
    channel = t.channel()
    queue = declare(t, channel, max_length_bytes=80_000)
    for first in range(0, 400, 10):
        fill(t.channel(), queue, [b'%04d' % n * 250 for n in range(first, first + 10)])
    kept = ready(channel, queue)
    check(60 <= kept <= 80, f'80 messages are allowed, {kept} are kept')
    consume(channel, queue, 'c', 0)
    found = take(channel, kept)
    equal([offset for _, offset in found], list(range(400 - kept, 400)), 'offsets that are kept')


@test
def many_consumers_at_the_end(t):
    channel = t.channel()
    queue = declare(t, channel)
    consumers = [t.channel() for _ in range(5)]
    for consumer in consumers:
        consume(consumer, queue, 'c')
    fill(channel, queue, numbered(0, 500))
    for consumer in consumers:
        equal(take(consumer, 500), expected(0, 500), 'what each gets')
    channel.call('queue.delete', queue=queue)
    for consumer in consumers:
        equal(consumer.take('basic.cancel').consumer_tag, 'c', 'the consumer that is told')
