"""A consumer without prefetch that settles nothing, on a backlog several times what messages may take
in memory: memory stays bounded, and everything is there when it is given back, rejected, or found by
the next process."""

import contextlib
import os
import signal

import amqp
from audit import ConfirmAuditor
from harness import test, check, equal, eventually, settle
from test_configuration import Ground
from test_dead_letters import deaths
from test_dead_letters_restart import count, durable_pair, message_memory

WEIGHT = 8
PERSISTENT = {'delivery_mode': 2}
SMALL_MEMORY = 'limits: {message_memory: 1MiB, outbox_bytes: 256KiB}\n'
TOTAL, SIZE = 3000, 4096
# What a thread owes the total, what one channel was sent last, and the heads of queues.
MEMORY_MOST = 3 * 1024 * 1024
PARTS = 10


@contextlib.contextmanager
def a_backlog(t):
    """A broker with a durable queue that holds much more than it may have in memory."""
    with Ground(t, SMALL_MEMORY) as ground:
        channel = open_channel(t, ground)
        durable_pair(channel)
        auditor = ConfirmAuditor(channel)
        for number in range(TOTAL):
            auditor.publish('q', body_of(number), properties=PERSISTENT)
            if number % 500 == 499:
                auditor.wait()
        auditor.wait()
        yield ground
        hang_up(t)


def body_of(number):
    return f'{number:08d}'.encode() * (SIZE // 8)


def open_channel(t, ground):
    connection = amqp.Connection(ground.broker.address)
    t.sockets.append(connection)
    return connection.channel()


def hang_up(t):
    for connection in t.sockets:
        connection.close()
    t.sockets.clear()


def take(channel, ground, redelivered, numbers=range(TOTAL)):
    """Takes deliveries without settling them; memory stays as small as it is. The last tag."""
    method = None
    for place, number in enumerate(numbers):
        method = channel.deliver()
        equal(method.body[:8], b'%08d' % number, 'the next message')
        equal(method.body, body_of(number), f'body of {number}')
        if redelivered is not None:
            equal(method.redelivered, redelivered, f'redelivered of {number}')
        if place % (TOTAL // PARTS) == 0:
            look(ground)
    look(ground)
    return method.delivery_tag


def look(ground):
    """Once a second it is looked after what is not busy."""
    memory = 0

    def is_small():
        nonlocal memory
        memory = message_memory(ground)
        return memory <= MEMORY_MOST
    eventually(is_small, True, f'whether messages take less than {MEMORY_MOST}')


def draw_all(t, ground):
    """All of it is out, with one consumer."""
    channel = open_channel(t, ground)
    channel.consume('q', 'drawer')
    tag = take(channel, ground, False)
    equal(count(channel, 'q'), 0, 'ready messages')
    return channel, tag


def give_back(t, ground, channel, tag):
    channel.nack(tag, multiple=True)


def recover(t, ground, channel, tag):
    channel.send('basic.recover', requeue=True)


def close_channel(t, ground, channel, tag):
    channel.close()


def break_connection(t, ground, channel, tag):
    hang_up(t)


def give_back_piecemeal(t, ground, channel, tag):
    """The odd ones first, and those at the end before those at the front."""
    for number in [*range(tag, 0, -2), *range(tag - 1, 0, -2)]:
        channel.nack(number)


def kill(t, ground, channel, tag):
    hang_up(t)
    os.kill(ground.broker.pid, signal.SIGKILL)
    ground.broker.wait()
    check(ground.broker.launch(), ground.broker.log_tail())


@test(process=True, rows={'nack': give_back, 'recover': recover, 'channel': close_channel,
                          'connection': break_connection, 'piecemeal': give_back_piecemeal,
                          'killed': kill})
def what_goes_back_comes_again(t, part):
    with a_backlog(t) as ground:
        channel, tag = draw_all(t, ground)
        if part not in (close_channel, break_connection, kill):
            channel.call('basic.cancel', consumer_tag='drawer')
        part(t, ground, channel, tag)
        other = open_channel(t, ground)
        settle(other, 'q', TOTAL)
        look(ground)
        other.consume('q')
        tag = take(other, ground, True)
        other.ack(tag, multiple=True)
        other.sync()
        look(ground)


@test(process=True)
def only_some_go_back(t):
    """Every third message comes again while its neighbours are still out with somebody else."""
    with a_backlog(t) as ground:
        channel, _ = draw_all(t, ground)
        channel.call('basic.cancel', consumer_tag='drawer')
        for number in range(0, TOTAL, 3):
            channel.nack(number + 1)
        other = open_channel(t, ground)
        settle(other, 'q', len(range(0, TOTAL, 3)))
        other.consume('q')
        tag = take(other, ground, True, range(0, TOTAL, 3))
        other.ack(tag, multiple=True)
        for number in range(0, TOTAL):
            if number % 3 == 1:
                channel.ack(number + 1)
        channel.close()
        take(other, ground, True, range(2, TOTAL, 3))


@test(process=True, rows={'running': False, 'killed': True})
def what_is_rejected_is_dead_lettered(t, killed):
    with a_backlog(t) as ground:
        channel, tag = draw_all(t, ground)
        channel.nack(tag, multiple=True, requeue=False)
        channel.sync()
        other = open_channel(t, ground)
        if killed:
            kill(t, ground, channel, tag)
            other = open_channel(t, ground)
            equal(count(other, 'q') + count(other, 'dead') >= TOTAL, True, 'nothing is lost')
            return
        settle(other, 'dead', TOTAL)
        auditor = ConfirmAuditor(open_channel(t, ground))
        for number in range(2):  # Once the first is committed, the second has what is before it go.
            auditor.publish('dead', body_of(TOTAL + number), properties=PERSISTENT)
            auditor.wait()
        look(ground)
        other.consume('dead')
        for number in range(TOTAL):
            method = other.deliver()
            equal(method.body, body_of(number), f'body of {number}')
            equal(deaths(method), [('q', 'rejected', 1)], 'deaths')
        equal(count(other, 'q'), 0, 'what is left')


@test(process=True)
def what_is_got_lets_go_as_well(t):
    """basic.get without an acknowledgement; then purge takes what came back."""
    with a_backlog(t) as ground:
        channel = open_channel(t, ground)
        for number in range(TOTAL):
            equal(channel.get('q', no_ack=False).body, body_of(number), f'body of {number}')
        look(ground)
        channel.nack(0, multiple=True)
        settle(channel, 'q', TOTAL)
        equal(channel.call('queue.purge', queue='q').message_count, TOTAL, 'purged')
        equal(channel.get('q'), None, 'what is left')


@test(process=True)
def channels_where_nothing_happens(t):
    """Each has too little to be looked at while it gets it; together it is too much."""
    channels, each = 40, 30
    with a_backlog(t) as ground:
        connection = open_channel(t, ground).connection
        for number in range(channels):
            channel = connection.channel()
            for place in range(number * each, (number + 1) * each):
                equal(channel.get('q', no_ack=False).body, body_of(place), f'body of {place}')
        look(ground)
        hang_up(t)
        other = open_channel(t, ground)
        settle(other, 'q', TOTAL)
        other.consume('q')
        for number in range(TOTAL):
            method = other.deliver()
            equal((method.body, method.redelivered), (body_of(number), number < channels * each),
                  f'message {number}')
