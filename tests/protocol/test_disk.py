"""A disk that gets short, and then full, and has room again: publishers are held back and told,
everybody else goes on, nothing that was confirmed is lost, and it lifts itself. How much is free
is what a file says, or, for root, what a small file system of its own really has."""

import os
import subprocess
import tempfile

import amqp
from amqp import publish_frames
from audit import ConfirmAuditor
from broker import Broker
from harness import test, check, equal, eventually

WEIGHT = 10
MEGABYTE = 1 << 20
PLENTY = 10000 * MEGABYTE
LOW = 400 * MEGABYTE  # Below the default watermark, and enough to write.
NONE = MEGABYTE


class DiskBroker(Broker):
    """A broker that believes what a file says about its disk."""

    def spawn(self, address, data):
        self.gauge = os.path.join(self.directory, 'free')
        if not os.path.exists(self.gauge):
            self.say(PLENTY)
        settings = os.path.join(self.directory, 'railmq.yaml')
        with open(settings, 'w', encoding='utf-8') as file:
            file.write(f'version: 1\ntesting:\n  disk_free: {self.gauge}\n')
        command = [self.railmq, 'serve', '--config', settings, '--data-dir', data,
                   *self.listening(address)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, errors='replace')

    def say(self, octets):
        with open(self.gauge + '.new', 'w', encoding='ascii') as file:
            file.write(f'{octets}\n')
        os.rename(self.gauge + '.new', self.gauge)

    def logged(self, text):
        return any(text in line for line in self.lines)

    def turn(self, octets, text):
        """Changes what is free and waits until it has been noticed."""
        self.say(octets)
        eventually(lambda: self.logged(text), True, text)


    def close(self):
        self.kill()


def start(t):
    """Killed after the test, whatever becomes of that."""
    broker = DiskBroker(t.broker.railmq)
    t.sockets.append(broker)
    return broker.start()


def end(broker, *channels):
    for channel in channels:
        channel.connection.finish()
    equal(broker.stop(), None, 'failure')


class HalfSent:
    """A publish that has begun when the alarm comes, and so goes on to the store."""

    def __init__(self, channel, queue, body):
        self.connection = channel.connection
        octets = publish_frames(1, queue, body, properties={'delivery_mode': 2})
        self.rest = amqp.body_frames(1, body, len(body))
        self.connection.send(octets.removesuffix(self.rest))
        channel.connection.channel(2).sync()

    def finish(self):
        self.connection.send(self.rest)


@test(process=True)
def publishers_are_blocked_and_others_are_not(t):
    broker = start(t)
    publisher, consumer = (amqp.Connection(broker.address).channel() for _ in range(2))
    queue = consumer.declare(durable=True).queue
    auditor = ConfirmAuditor(publisher)
    for _ in range(10):
        auditor.publish(queue, b'before', properties={'delivery_mode': 2})
    auditor.wait()
    broker.turn(LOW, 'event=alarm.disk state=on')
    publisher.connection.send(publish_frames(1, queue, b'held back',
                                             properties={'delivery_mode': 2}))
    equal(publisher.connection.take(0, 'connection.blocked').reason, 'low on disk', 'reason')
    consumer.consume(queue)
    for _ in range(10):
        message = consumer.deliver()
        equal(message.body, b'before', 'body')
        consumer.ack(message.delivery_tag)
    consumer.declare('while.low', durable=True)
    consumer.call('queue.delete', queue='while.low')
    broker.turn(PLENTY, 'event=alarm.disk state=off')
    publisher.connection.take(0, 'connection.unblocked')
    equal(consumer.deliver().body, b'held back', 'body')
    consumer.call('queue.delete', queue=queue)
    end(broker, publisher, consumer)


@test(process=True)
def without_the_capability_it_just_waits(t):
    broker = start(t)
    publisher = amqp.Connection(broker.address, capabilities=()).channel()
    other = amqp.Connection(broker.address).channel()
    queue = other.declare(durable=True).queue
    broker.turn(LOW, 'event=alarm.disk state=on')
    publisher.publish(queue, b'1')
    other.sync()
    broker.turn(PLENTY, 'event=alarm.disk state=off')
    eventually(lambda: other.declare(queue, passive=True).message_count, 1, 'messages')
    end(broker, publisher, other)


@test(process=True)
def nothing_is_confirmed_without_room(t):
    """A durable publish waits for room, and is confirmed when there is some."""
    broker = start(t)
    publisher, other = (amqp.Connection(broker.address).channel() for _ in range(2))
    queue = other.declare(durable=True).queue
    publisher.call('confirm.select')
    message = HalfSent(publisher, queue, b'12345')
    broker.turn(NONE, 'event=alarm.disk state=on')
    message.finish()
    eventually(lambda: broker.logged('event=store.wait state=on'), True, 'waiting')
    check(not broker.logged('store.failed'), 'expected nothing to have failed')
    equal(other.declare(queue, passive=True).queue, queue, 'queue')
    broker.say(PLENTY)
    publisher.take('basic.ack')
    eventually(lambda: broker.logged('event=store.wait state=off'), True, 'going on')
    end(broker, publisher, other)


@test(process=True)
def acknowledgements_go_on_without_room(t):
    """They use the ballast; after a restart they count."""
    broker = start(t)
    publisher, consumer = (amqp.Connection(broker.address).channel() for _ in range(2))
    queue = consumer.declare('settled', durable=True).queue
    auditor = ConfirmAuditor(publisher)
    for index in range(20):
        auditor.publish(queue, b'%d' % index, properties={'delivery_mode': 2})
    auditor.wait()
    check(os.path.exists(os.path.join(broker.directory, 'data', 'ballast')), 'no ballast')
    broker.turn(12 * MEGABYTE, 'event=alarm.disk state=on')
    consumer.consume(queue)
    for _ in range(15):
        message = consumer.deliver()
    consumer.ack(message.delivery_tag, multiple=True)
    eventually(lambda: broker.logged('event=store.ballast state=dropped'), True, 'ballast')
    broker.turn(PLENTY, 'event=alarm.disk state=off')
    check(os.path.exists(os.path.join(broker.directory, 'data', 'ballast')), 'no new ballast')
    publisher.connection.finish()
    consumer.connection.finish()
    broker.terminate()
    equal(broker.wait(), 0, 'exit status')
    check(broker.launch(), 'it does not start again')
    again = amqp.Connection(broker.address).channel()
    for index in range(15, 20):
        equal(again.get(queue).body, b'%d' % index, 'body')
    again.call('queue.delete', queue=queue)
    end(broker, again)


@test(process=True)
def stopping_without_room(t):
    """It ends soon, with status 1, and what was confirmed is there afterwards."""
    broker = start(t)
    publisher = amqp.Connection(broker.address).channel()
    queue = publisher.declare('stopped', durable=True).queue
    auditor = ConfirmAuditor(publisher)
    for _ in range(10):
        auditor.publish(queue, b'confirmed', properties={'delivery_mode': 2})
    auditor.wait()
    message = HalfSent(publisher, queue, b'unconfirmed')
    broker.turn(NONE, 'event=alarm.disk state=on')
    message.finish()
    eventually(lambda: broker.logged('event=store.wait state=on'), True, 'waiting')
    broker.terminate()
    equal(broker.wait(), 1, 'exit status')
    check(broker.logged('event=store.unwritten'), 'expected a line about what was not written')
    check(broker.launch(), 'it does not start without room')
    check(broker.logged('event=alarm.disk state=on'), 'expected it to start with the alarm on')
    again = amqp.Connection(broker.address).channel()
    equal(again.declare(queue, passive=True).message_count, 10, 'messages')
    broker.turn(PLENTY, 'event=alarm.disk state=off')
    again.call('queue.delete', queue=queue)
    end(broker, again)


class Mounted(Broker):
    """A broker on a file system of its own."""

    def mounted(self):
        self.mount = tempfile.mkdtemp(prefix='rail-protocol-disk-')
        command = ['mount', '-t', 'tmpfs', '-o', 'size=384m', 'tmpfs', self.mount]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False

    def spawn(self, address, data):
        return super().spawn(address, os.path.join(self.mount, 'data'))

    def remove(self):
        self.kill()
        if os.path.ismount(self.mount):
            subprocess.run(['umount', '-l', self.mount], check=False)
        os.rmdir(self.mount)


def numbered(index):
    return b'%08d' % index + bytes(100000)


def fill(channel, queue, index):
    """Publishes one message after the other, each when the one before is confirmed, until
    blocked: the number of the one that is held back."""
    connection = channel.connection
    while True:
        channel.publish(queue, numbered(index), properties={'delivery_mode': 2})
        while not channel.inbox and not connection.inbox[0]:
            connection.pump(amqp.DEADLINE)
        if connection.inbox[0]:
            equal(connection.take(0, 'connection.blocked').reason, 'low on disk', 'reason')
            return index
        channel.take('basic.ack')
        index += 1


def drain(channel, first, last):
    """Receives and acknowledges what must be there, in order."""
    for index in range(first, last + 1):
        message = channel.deliver()
        equal(message.body, numbered(index), 'body')
        channel.ack(message.delivery_tag)


def go_on(channel):
    channel.connection.take(0, 'connection.unblocked', timeout=4 * amqp.DEADLINE)
    channel.take('basic.ack')


def fill_and_drain(broker):
    publisher, consumer = (amqp.Connection(broker.address).channel() for _ in range(2))
    queue = consumer.declare('filled', durable=True).queue
    publisher.call('confirm.select')
    first = fill(publisher, queue, 0)
    check(first > 100, f'expected to be blocked later than after {first} messages')
    consumer.qos(100)
    tag = consumer.consume(queue)
    drain(consumer, 0, first - 1)
    go_on(publisher)
    drain(consumer, first, first)
    consumer.call('basic.cancel', consumer_tag=tag)

    second = fill(publisher, queue, first + 1)
    most = second - (second - first) // 4
    consumer.consume(queue)
    drain(consumer, first + 1, most)
    check(not any('store.failed' in line for line in broker.lines), 'the store has failed')
    go_on(publisher)
    publisher.connection.finish()
    consumer.connection.finish()
    broker.terminate()
    equal(broker.wait(), 0, 'exit status')

    check(broker.launch(), 'it does not start again')
    again = amqp.Connection(broker.address).channel()
    again.consume(queue)
    drain(again, most + 1, second)
    again.sync()
    equal(again.declare(queue, passive=True).message_count, 0, 'messages')
    end(broker, again)


@test(process=True, stored=True)
def a_disk_that_is_really_full(t):
    """Filled with confirmed messages until blocked, drained, and it lifts itself; then the same
    once more, and what is left is there after a restart. Nobody else takes room meanwhile: under a
    flush that is something the broker can do nothing about. Needs root, to mount a small file
    system."""
    broker = Mounted(t.broker.railmq)
    try:
        if broker.mounted():
            fill_and_drain(broker.start())
        else:
            print('disk.a_disk_that_is_really_full: nothing can be mounted here, left out')
    finally:
        broker.remove()


class Blind(Mounted, DiskBroker):
    """On a file system of its own, of which it believes that there is room."""

    def spawn(self, address, data):
        return DiskBroker.spawn(self, address, os.path.join(self.mount, 'data'))

    @property
    def filler(self):
        return os.path.join(self.mount, 'filler')

    def fill(self):
        """Somebody else takes all that is free, to the last octet."""
        with open(self.filler, 'ab', buffering=0) as file:
            try:
                while file.write(bytes(1 << 16)):
                    pass
            except OSError:
                pass

    def make_room(self):
        os.unlink(self.filler)


def run_into_full_disk(broker):
    publisher, consumer = (amqp.Connection(broker.address).channel() for _ in range(2))
    queue = consumer.declare('full', durable=True).queue
    publisher.call('confirm.select')
    broker.fill()
    first = fill(publisher, queue, 0)
    check(broker.logged('event=store.full state=on'), 'expected the store to have met a full disk')
    check(broker.alive(), 'it has ended')
    consumer.consume(queue)
    drain(consumer, 0, first // 2)
    broker.make_room()
    go_on(publisher)
    check(not broker.logged('event=store.failed'), 'expected nothing to have failed')
    drain(consumer, first // 2 + 1, first // 2 + 10)
    for channel in (publisher, consumer):
        channel.connection.finish()
    return first


def publish_until_stuck(broker, publisher, queue):
    """Until not even the ballast gives the store room: how many messages are confirmed."""
    count = 0
    while True:
        broker.fill()
        publisher.publish(queue, numbered(count), properties={'delivery_mode': 2})
        try:
            publisher.take('basic.ack', timeout=2)
            count += 1
        except amqp.Timeout:
            said = [line for line in broker.lines if 'event=store.full' in line]
            check(said and 'state=on' in said[-1], f'no answer:\n{broker.log_tail()}')
            return count


def judge_full_disk(broker, first, taken):
    broker.terminate()
    broker.wait()
    check(broker.launch(), f'it does not start again:\n{broker.log_tail()}')
    again = amqp.Connection(broker.address).channel()
    again.consume('full')
    drain(again, taken, first)
    again.sync()
    equal(again.declare('full', passive=True).message_count, 0, 'messages')
    end(broker, again)


@test(process=True)
def a_store_that_runs_into_a_full_disk(t):
    """Somebody else takes the room that the broker counted upon: it confirms nothing, blocks
    publishers, and goes on by itself when there is room. What was confirmed is there afterwards."""
    broker = Blind(t.broker.railmq)
    try:
        if broker.mounted():
            first = run_into_full_disk(broker.start())
            judge_full_disk(broker, first, first // 2 + 11)
        else:
            print('disk.a_store_that_runs_into_a_full_disk: nothing can be mounted here, left out')
    finally:
        broker.remove()


@test(process=True)
def stopping_while_the_disk_is_full(t):
    """It ends soon, with status 1, and a start says what is wrong. With room what was confirmed is
    there."""
    broker = Blind(t.broker.railmq)
    try:
        if not broker.mounted():
            print('disk.stopping_while_the_disk_is_full: nothing can be mounted here, left out')
            return
        broker.start()
        publisher = amqp.Connection(broker.address).channel()
        publisher.declare('full', durable=True)
        publisher.call('confirm.select')
        first = publish_until_stuck(broker, publisher, 'full')
        broker.terminate()
        equal(broker.wait(), 1, 'exit status')
        broker.fill()
        check(not broker.launch() or not broker.logged('Server startup complete'),
              'expected no start on a disk without one free octet')
        equal(broker.wait(), 1, 'exit status of a start on the full disk')
        check(broker.logged('the disk is full; make room'), f'unclear:\n{broker.log_tail()}')
        broker.make_room()
        check(broker.launch(), f'it does not start again:\n{broker.log_tail()}')
        again = amqp.Connection(broker.address).channel()
        again.consume('full')
        drain(again, 0, first - 1)
        again.sync()
        end(broker, again)
    finally:
        broker.remove()
