"""Peers that do not read, or ask for more than they take: the others work on, and the
broker's memory stays bounded."""

import socket
import time

import amqp
from amqp import header_frame, method_frame, publish_frames
from audit import ConfirmAuditor
from broker import Broker
from harness import test, check, equal, settle

WEIGHT = 15
MEGABYTE = 1 << 20


class Memory:
    """How much the broker has grown since the beginning of a test."""

    def __init__(self, broker):
        self.broker = broker
        self.measured = broker.own and not broker.sanitized()
        self.start = broker.resident() if self.measured else 0

    def limit(self, megabytes, what):
        if self.measured:
            grown = (self.broker.resident() - self.start) / MEGABYTE
            check(grown < megabytes, f'{what}: expected growth below {megabytes} MB, '
                                     f'got {grown:.0f} MB')


def push(connection, octets, patience=0.3):
    """Writes without ever reading, until all is sent or the broker takes no more for a while.
    Returns the number of octets sent."""
    sent, view = 0, memoryview(octets)
    connection.sock.settimeout(patience)
    try:
        while sent < len(view):
            sent += connection.sock.send(view[sent:sent + 262144])
    except (socket.timeout, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        connection.sock.settimeout(connection.deadline)
    return sent


def works(t):
    """A round trip of a message between two other connections."""
    publisher, consumer = t.channel(), t.channel()
    queue = t.queue(consumer)
    consumer.consume(queue, no_ack=True)
    for index in range(20):
        publisher.publish(queue, b'%d' % index)
        equal(consumer.deliver().body, b'%d' % index, 'body')


@test
def consumers_that_never_read(t):
    """64 of them, with 50 messages of 100 KB each due, whose octets all queues share."""
    channel = t.channel()
    exchange = t.exchange(channel, 'fanout', auto_delete=False)
    readers = []
    for _ in range(64):
        reader = t.channel()
        reader.consume(queue := t.queue(reader), no_ack=True)
        reader.bind(queue, exchange)
        readers.append(reader)
    memory = Memory(t.broker)
    auditor = ConfirmAuditor(channel)
    body = bytes(100000)
    for _ in range(50):
        auditor.publish('', body, exchange)
    auditor.wait()
    works(t)
    memory.limit(120, '64 consumers that do not read')
    channel.call('exchange.delete', exchange=exchange)


@test
def consumer_that_never_reads_costs_little_beyond_its_queue(t):
    channel = t.channel()
    queue = t.queue(channel, durable=False)
    auditor = ConfirmAuditor(channel)
    body = bytes(100000)
    for _ in range(400):
        auditor.publish(queue, body)
    auditor.wait()
    memory = Memory(t.broker)
    for _ in range(10):
        reader = t.channel()
        reader.send('basic.consume', queue=queue)
    works(t)
    memory.limit(40, '10 consumers with 40 MB due to them')
    channel.call('queue.delete', queue=queue)


@test
def reader_beside_one_that_never_reads(t):
    """Both consume one queue without limits: the reader gets its part."""
    channel, lazy, reader = t.channel(), t.channel(), t.channel()
    queue = t.queue(channel, durable=False)
    lazy.consume(queue, no_ack=True)
    reader.consume(queue, no_ack=True)
    auditor = ConfirmAuditor(channel)
    for _ in range(2000):
        auditor.publish(queue, bytes(10000))
        auditor.drain()
    auditor.wait()
    for _ in range(900):
        reader.deliver()
    channel.call('queue.delete', queue=queue)


@test
def reader_that_starts_late(t):
    """30 MB for a consumer that reads nothing until the publisher is done."""
    channel, reader = t.channel(), t.channel(frame_max=4096)
    queue = t.queue(reader)
    reader.consume(queue, no_ack=True)
    for index in range(300):
        channel.publish(queue, b'%d.' % index + bytes(100000))
    channel.sync()
    for index in range(300):
        number, _, rest = reader.deliver().body.partition(b'.')
        equal((int(number), len(rest)), (index, 100000), 'message')


@test
def getter_that_never_reads(t):
    """One message of 100 KB, asked for and given back 2000 times."""
    connection = t.connect()
    channel = connection.channel()
    queue = t.queue(channel)
    channel.publish(queue, bytes(100000))
    settle(channel, queue, 1)
    memory = Memory(t.broker)
    requests = b''.join(method_frame(1, 'basic.get', queue=queue) +
                        method_frame(1, 'basic.nack', delivery_tag=tag, requeue=True)
                        for tag in range(1, 2001))
    push(connection, requests)
    works(t)
    memory.limit(40, '200 MB of messages due to one that does not read')


@test
def requests_without_reading_the_replies(t):
    """Up to a million of them; the broker stops taking more when the replies pile up."""
    connection = t.connect()
    channel = connection.channel()
    queue = t.queue(channel)
    memory = Memory(t.broker)
    block = method_frame(1, 'queue.declare', queue=queue, passive=True) * 20000
    for _ in range(50):
        if push(connection, block) < len(block):
            break
    works(t)
    memory.limit(32, 'a flood of requests')


@test
def channel_opens_without_reading_the_replies(t):
    connection = t.connect()
    memory = Memory(t.broker)
    block = (method_frame(1, 'channel.open') + method_frame(1, 'channel.close')) * 20000
    for _ in range(20):
        if push(connection, block) < len(block):
            break
    works(t)
    memory.limit(32, 'a flood of channels')


@test
def returns_that_nobody_reads(t):
    """2000 unroutable messages of 100 KB with the mandatory flag."""
    connection = t.connect()
    connection.channel(1)
    memory = Memory(t.broker)
    octets = publish_frames(1, 'nowhere', bytes(100000), mandatory=True) * 20
    for _ in range(100):
        if push(connection, octets) < len(octets):
            break
    works(t)
    memory.limit(40, '200 MB of returns')


@test
def confirms_that_nobody_reads(t):
    connection = t.connect()
    channel = connection.channel()
    channel.call('confirm.select')
    memory = Memory(t.broker)
    block = publish_frames(1, 'nowhere', b'') * 10000
    for _ in range(30):
        if push(connection, block) < len(block):
            break
    works(t)
    memory.limit(32, '300 000 confirms')


@test
def flood_continues_after_reading(t):
    """A client that was held back goes on where it stopped, and misses nothing."""
    connection = t.connect()
    channel = connection.channel()
    queue = t.queue(channel)
    count = 200000
    octets = method_frame(1, 'queue.declare', queue=queue, passive=True) * count
    sent = push(connection, octets)
    connection.send(octets[sent:])
    connection.send_method(1, 'basic.qos')
    size = len(method_frame(1, 'queue.declare-ok', queue=queue))
    for _ in range(count // 1000):
        equal(len(connection.read_octets(size * 1000)), size * 1000, 'octets')
    channel.take('basic.qos-ok')


@test
def announced_bodies_take_no_memory(t):
    """Hundreds of content headers that promise 100 MB each, and no octet of a body."""
    memory = Memory(t.broker)
    for _ in range(3):
        connection = t.connect()
        numbers = range(1, 101)
        connection.send(b''.join(
            method_frame(number, 'channel.open') +
            method_frame(number, 'basic.publish', exchange='amq.fanout') +
            header_frame(number, 100 << 20) for number in numbers))
        for number in numbers:
            connection.take(number, 'channel.open-ok')
    works(t)
    memory.limit(60, '30 GB of announced bodies')


MESSAGE_LIMIT = 128 << 20


def stream(channel, size, limit):
    """Announces a body and sends it, up to a limit, or until the broker answers."""
    channel.connection.send(method_frame(1, 'basic.publish', exchange='amq.fanout') +
                            header_frame(1, size))
    left = min(size, limit)
    while left and not channel.connection.buffer:
        octets = bytes(min(131064, left))
        channel.connection.send(amqp.frame(amqp.FRAME_BODY, 1, octets))
        left -= len(octets)


@test
def body_larger_than_allowed(t):
    """By one octet. Whether it is refused when announced or when complete is the broker's
    choice; octets that still follow are swallowed."""
    channel, size = t.channel(), MESSAGE_LIMIT + 1
    stream(channel, size, size)
    channel.expect_close(406, f'PRECONDITION_FAILED - message size {size} is larger than '
                              f'configured max size {MESSAGE_LIMIT}', 'basic.publish')
    channel.call('channel.open')
    channel.sync()


@test(process=True, rows={'1 TB': 1 << 40, 'largest': (1 << 64) - 1})
def body_that_never_ends(t, size):
    """Refused or swallowed, but not kept."""
    memory = Memory(t.broker)
    stream(t.channel(), size, 2 * MESSAGE_LIMIT)
    works(t)
    memory.limit(160, f'a body of {size} octets')


@test
def publisher_that_is_faster_than_its_consumer(t):
    """Without confirms, small messages, as fast as it goes: nothing is lost or reordered."""
    publisher, consumer = t.channel(), t.channel()
    queue = t.queue(consumer)
    consumer.qos(200)
    consumer.consume(queue)
    count = 50000
    for start in range(0, count, 1000):
        publisher.connection.send(b''.join(publish_frames(1, queue, b'%d' % index)
                                           for index in range(start, start + 1000)))
    for index in range(count):
        message = consumer.deliver()
        if int(message.body) != index:
            equal(int(message.body), index, 'message')
        if index % 100 == 99:
            consumer.ack(message.delivery_tag, multiple=True)


@test
def one_busy_connection_does_not_starve_others(t):
    """A flood of publishes on one connection, round trips on another."""
    flooder, other = t.connect(), t.channel()
    flooder.channel(1)
    queue = t.queue(other)
    octets = publish_frames(1, 'nowhere', bytes(100)) * 2000
    slowest = 0.0
    for _ in range(50):
        push(flooder, octets, patience=5)
        began = time.monotonic()
        other.declare(queue, passive=True)
        slowest = max(slowest, time.monotonic() - began)
    check(slowest < amqp.DEADLINE / 2, f'a round trip took {slowest:.1f} s')


@test(process=True)
def long_work_leaves_room_for_others(t):
    """Pairs of methods that are short, but each means something for all that is under way: what
    another connection of the same worker asks is answered before the last of them."""
    count, rounds = 20000, 3000
    broker = Broker(t.broker.railmq)
    broker.arguments = ['--workers', '1']
    broker.start()
    busy, other = amqp.Connection(broker.address), amqp.Connection(broker.address).channel()
    channel = busy.channel()
    queue = channel.declare(exclusive=True).queue
    channel.consume(queue)
    busy.send(publish_frames(1, queue) * count)
    channel.bodies(count)
    channel.call('tx.select')
    busy.sock.sendall((method_frame(1, 'basic.ack', delivery_tag=0, multiple=True) +
                       method_frame(1, 'tx.rollback')) * rounds)
    other.sync()
    busy.sock.setblocking(False)
    try:
        while len(busy.buffer) < rounds * len(method_frame(1, 'tx.rollback-ok')):
            busy.buffer += busy.sock.recv(262144)
        check(False, 'the other connection had to wait until all was done')
    except BlockingIOError:
        busy.sock.settimeout(amqp.DEADLINE)
    for _ in range(rounds):
        channel.take('tx.rollback-ok', timeout=60)
    equal(broker.stop(), None, 'failure')


@test
def connections_that_say_nothing(t):
    """A few hundred open sockets without a header do not keep others out."""
    for _ in range(300):
        t.wire()
    works(t)
