"""Policies and operator policies from the configuration file: in force at once on queues and
exchanges that are there, and together with arguments; and queue features over a kill."""

import os
import signal

import amqp
from harness import test, check, equal, eventually
from test_configuration import Ground
from test_dead_letters import deaths, headers_of, letter

WEIGHT = 3
PERSISTENT = {'delivery_mode': 2}


def policies(*rows, operators=()):
    """The file with these policies: name, pattern, definition, and more."""
    lines = ['vhosts:', '  /:']
    for section, some in (('policies', rows), ('operator_policies', operators)):
        if some:
            lines.append(f'    {section}:')
            lines += [f'      {name}: {{pattern: "{pattern}", definition: {{{definition}}}{more}}}'
                      for name, pattern, definition, more in some]
    return '\n'.join(lines) + '\n'


def set_policies(ground, *rows, operators=()):
    ground.write(policies(*rows, operators=operators) if rows or operators else 'apply: {}\n')
    ground.hang_up('config.reloaded')


def open_channel(ground):
    return amqp.Connection(ground.broker.address).channel()


def ready(channel, queue):
    return channel.declare(queue, passive=True).message_count


@test(process=True)
def lengths_count_at_once(t):
    with Ground(t, 'apply: {prune: owned}\n') as ground:
        channel = open_channel(ground)
        for queue in ('short', 'other'):
            channel.declare(queue, durable=True)
            for number in range(10):
                channel.publish(queue, b'%d' % number)
        eventually(lambda: ready(channel, 'short'), 10, 'before')
        ground.write('apply: {prune: owned}\n' +
                     policies(('a', '^sh', 'max-length: 3', ', apply_to: queues')))
        ground.hang_up('config.reloaded')
        eventually(lambda: ready(channel, 'short'), 3, 'dropped at the head')
        equal(channel.get('short').body, b'7', 'the oldest that is left')
        equal(ready(channel, 'other'), 10, 'another name')
        # The argument and two policies: the least counts.
        channel.declare('short-too', durable=True, arguments={'x-max-length': 5})
        for number in range(10):
            channel.publish('short-too', b'')
        eventually(lambda: ready(channel, 'short-too'), 3, 'the policy is stricter')
        ground.write('apply: {prune: owned}\n' +
                     policies(('a', '^sh', 'max-length: 9', ', apply_to: queues'),
                              operators=(('o', '.*', 'max-length: 2', ', apply_to: queues'),)))
        ground.hang_up('config.reloaded')
        for queue in ('short', 'short-too', 'other'):
            eventually(lambda queue=queue: ready(channel, queue), 2, f'{queue}: the operator')
        ground.write('apply: {prune: owned}\nvhosts: {/: {}}\n')
        ground.hang_up('config.reloaded')
        for _ in range(20):
            channel.publish('short', b'')
        eventually(lambda: ready(channel, 'short'), 22, 'without policies')


@test(process=True)
def priority_and_apply_to(t):
    with Ground(t, policies(('low', '.*', 'max-length: 1', ', apply_to: queues, priority: 1'),
                            ('high', '.*', 'max-length: 2', ', apply_to: queues, priority: 9'),
                            ('quorum', '.*', 'max-length: 3',
                             ', apply_to: quorum_queues, priority: 99'))) as ground:
        channel = open_channel(ground)
        for queue, arguments, expected in (('c', {}, 2), ('q', {'x-queue-type': 'quorum'}, 3)):
            channel.declare(queue, durable=True, arguments=arguments)
            for _ in range(9):
                channel.publish(queue, b'')
            eventually(lambda queue=queue: ready(channel, queue), expected, queue)


@test(process=True)
def dead_letters_by_policy(t):
    with Ground(t, policies(('dead', '^work$', 'dead-letter-exchange: "", '
                             'dead-letter-routing-key: grave, message-ttl: 20ms', ''))) as ground:
        channel = open_channel(ground)
        for queue in ('work', 'grave'):
            channel.declare(queue, durable=True)
        channel.publish('work', b'late')
        equal(deaths(letter(channel, 'grave')), [('work', 'expired', 1)], 'by message-ttl')


@test(process=True)
def alternate_exchange_by_policy(t):
    with Ground(t, policies(('ae', '^source$', 'alternate-exchange: other',
                             ', apply_to: exchanges'))) as ground:
        channel = open_channel(ground)
        channel.exchange('source', 'direct')
        channel.exchange('other', 'fanout')
        channel.declare('lost')
        channel.bind('lost', 'other')
        channel.publish('nobody', b'x', exchange='source')
        eventually(lambda: ready(channel, 'lost'), 1, 'in the alternate')


@test(process=True)
def overflow_and_expires_by_policy(t):
    with Ground(t, policies(('o', '^full', 'max-length: 1, overflow: reject-publish', ''),
                            ('e', '^short-lived', 'expires: 50ms', ''))) as ground:
        channel = open_channel(ground)
        channel.declare('full')
        channel.call('confirm.select')
        answers = []
        for _ in range(2):
            channel.publish('full', b'')
            answers.append(channel.take('basic.ack', 'basic.nack').name)
        equal(answers, ['basic.ack', 'basic.nack'], 'confirms')
        channel.declare('short-lived')
        other = open_channel(ground)

        def gone():
            other.send('queue.bind', queue='short-lived', exchange='amq.direct', routing_key='k')
            method = other.take('queue.bind-ok', 'channel.close')
            if method.name == 'channel.close':
                other.send('channel.close-ok')
                other.call('channel.open')
            return method.name == 'channel.close'
        eventually(gone, True, 'it has expired')


def confirmed(channel, *publishes):
    channel.call('confirm.select')
    for arguments in publishes:
        channel.publish(**arguments)
        equal(channel.take('basic.ack', 'basic.nack').name, 'basic.ack', 'confirm')


def kill_and_start(ground):
    os.kill(ground.broker.pid, signal.SIGKILL)
    ground.broker.process.wait()
    check(ground.broker.launch(), 'it starts again')


@test(process=True)
def expired_and_dead_letters_survive_a_kill(t):
    with Ground(t, 'limits: {message_memory: 64KiB}\n') as ground:
        channel = open_channel(ground)
        channel.declare('grave', durable=True)
        channel.declare('work', durable=True, arguments={
            'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'grave'})
        count = 300
        confirmed(channel, *({'key': 'work', 'body': b'%d' % n * 300, 'properties':
                              {**PERSISTENT, **({'expiration': '1'} if n % 3 else {})}}
                             for n in range(count)))
        kill_and_start(ground)
        channel = open_channel(ground)
        eventually(lambda: ready(channel, 'work'), count // 3, 'what does not expire')
        # A kill may move one twice, but never lose one.
        bodies = set()

        def all_there():
            while (message := channel.get('grave')) is not None:
                bodies.add(message.body)
            return len(bodies)
        eventually(all_there, count - count // 3, 'what expired')
        left = [channel.get('work').body for _ in range(count // 3)]
        equal(left, [b'%d' % n * 300 for n in range(0, count, 3)], 'in order')


@test(process=True)
def delivery_counts_survive_a_kill(t):
    with Ground(t, '') as ground:
        channel = open_channel(ground)
        channel.declare('q', durable=True, arguments={'x-queue-type': 'quorum'})
        confirmed(channel, {'key': 'q', 'body': b'x'})
        for count in range(3):
            message = channel.get('q', no_ack=False)
            equal(headers_of(message)['x-delivery-count'], count, 'before')
            channel.nack(message.delivery_tag, requeue=True)
        confirmed(channel, {'key': 'q', 'body': b'after'})  # Its round is later than the counts'.
        kill_and_start(ground)
        channel = open_channel(ground)
        message = channel.get('q', no_ack=False)
        equal((message.body, headers_of(message)['x-delivery-count'], message.redelivered),
              (b'x', 3, True), 'after')
        equal(headers_of(channel.get('q'))['x-delivery-count'], 0, 'another message')


@test(process=True)
def delayed_messages_survive_a_kill(t):
    with Ground(t, '') as ground:
        channel = open_channel(ground)
        channel.call('exchange.declare', exchange='later', type='x-delayed-message', durable=True,
                     arguments={'x-delayed-type': 'direct'})
        channel.declare('q', durable=True)
        channel.bind('q', 'later', 'k')
        confirmed(channel, *({'key': 'k', 'exchange': 'later', 'body': b'%d' % delay, 'properties':
                              {**PERSISTENT, 'headers': {'x-delay': delay}}}
                             for delay in (1500, 1, 3600_000)))
        kill_and_start(ground)
        channel = open_channel(ground)
        bodies = [letter(channel, 'q').body for _ in range(2)]
        equal(bodies, [b'1', b'1500'], 'those whose time has come')
        equal(ready(channel, 'amq.delayed.later'), 1, 'the one that waits')
