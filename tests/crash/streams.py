"""Streams whose broker dies or loses power while it writes, reads and lets go of segments: what was
confirmed and is not too old is there, at its offset, and offsets go on without a hole."""

import os
import random
import signal
import time

import amqp
import power
import server

POINTS = ('stream.',)
ARGUMENTS = {'x-queue-type': 'stream', 'x-max-length-bytes': 200_000}
PERSISTENT = {'delivery_mode': 2}
FIRE_SECONDS = 30
ROUNDS = 6
WINDOW = 20
BODY_MOST = 2000


def declare(subject):
    channel = amqp.Connection(subject.address).channel()
    return channel, channel.declare('s', durable=True, arguments=ARGUMENTS).message_count


def body_of(number):
    """Of a length that follows from the number."""
    return f'{number:08d}'.encode() * (1 + number * 31 % (BODY_MOST // 8))


def publish(subject, first, kill_after):
    """Publishes messages that are numbered as their offsets will be, until the broker dies; it is
    killed after so many confirms. Returns the highest number that was confirmed, and whether the
    broker died by itself."""
    confirmed = first - 1
    number = first
    deadline = time.monotonic() + FIRE_SECONDS
    try:
        channel, _ = declare(subject)
        consumer = amqp.Connection(subject.address).channel()
        consumer.call('basic.qos', prefetch_count=50)
        consumer.call('basic.consume', queue='s', arguments={'x-stream-offset': 'first'})
        channel.call('confirm.select')
        while time.monotonic() < deadline:
            while number - confirmed <= WINDOW:
                channel.publish('s', body_of(number), properties=PERSISTENT)
                number += 1
            confirmed = first - 1 + channel.take('basic.ack').delivery_tag
            while consumer.inbox:
                consumer.ack(consumer.deliver().delivery_tag)
            if kill_after is not None and confirmed - first >= kill_after:
                break
    except (amqp.ConnectionLost, OSError):
        if kill_after is not None:
            raise
        subject.wait()
    return confirmed, not subject.alive()


def judge(subject, confirmed):
    """Reads all of the stream. What is wrong, and the offset that comes next."""
    channel, count = declare(subject)
    complaints = []
    channel.call('basic.qos', prefetch_count=200)
    channel.call('basic.consume', queue='s', arguments={'x-stream-offset': 'first'})
    expected = None
    for _ in range(count):
        method = channel.deliver()
        offset = method.properties['headers']['x-stream-offset'].value
        if expected is not None and offset != expected:
            complaints.append(f'offset {offset} follows {expected - 1}')
        if method.body != body_of(offset):
            complaints.append(f'offset {offset} has the body {method.body[:8]}')
        if method.redelivered:
            complaints.append(f'offset {offset} is marked as redelivered')
        expected = offset + 1
        channel.ack(method.delivery_tag)
    if (expected or 0) <= confirmed:
        complaints.append(f'{confirmed} was confirmed, {expected} comes next')
    channel.connection.finish()
    return complaints[:5], expected or 0


def judge_end(subject):
    """Nothing is left of a stream that was deleted, not even for a start."""
    channel, _ = declare(subject)
    channel.call('queue.delete', queue='s')
    channel.connection.finish()
    subject.end(signal.SIGTERM)
    subject.start()
    _, count = declare(subject)
    return [f'{count} messages of a deleted stream'] if count else []


def play(subject, rounds, doomed):
    """`rounds` are the counts of a fault, or of confirms before a kill."""
    complaints, number = [], 0
    for count in rounds:
        if doomed:
            subject.configure(fault=f'{doomed}:{count}')
        subject.start()
        confirmed, is_dead = publish(subject, number, None if doomed else count)
        if doomed and not is_dead:
            complaints.append(f'{doomed}:{count}: it never came there\n{subject.log_tail()}')
        subject.end(signal.SIGKILL)
        if isinstance(subject, power.PoweredServer):
            subject.lose_power()
        subject.configure()
        subject.start()
        wrong, number = judge(subject, confirmed)
        complaints += [f'after {count}: {text}' for text in wrong]
        if complaints:
            return complaints
        subject.end(signal.SIGTERM)
    subject.start()
    return judge_end(subject)


def doomed_stream(options, seed, point):
    rand = random.Random(seed)
    subject = server.Server(os.path.abspath(options.railmq))
    try:
        return play(subject, [1, *(rand.randint(2, 40) for _ in range(3))], point)
    finally:
        subject.remove()


def streams_killed(options, seed):
    """Killed at random moments."""
    rand = random.Random(seed)
    subject = server.Server(os.path.abspath(options.railmq))
    try:
        return play(subject, [rand.randint(1, 1500) for _ in range(ROUNDS)], None)
    finally:
        subject.remove()


def streams_without_power(options, seed):
    """The same, and what was not synced is lost."""
    rand = random.Random(seed)
    subject = power.PoweredServer(os.path.abspath(options.railmq), options.library, rand)
    try:
        return play(subject, [rand.randint(1, 1500) for _ in range(ROUNDS)], None)
    finally:
        subject.remove()


CASES = {case.__name__: case for case in (streams_killed, streams_without_power)}
