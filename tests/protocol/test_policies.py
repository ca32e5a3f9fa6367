"""Policies and operator policies, from the configuration file onto queues and exchanges that are
there already: what each key does, which policy is in force, what wins beside an argument."""

import contextlib
import os
import subprocess
import tempfile

import amqp
from harness import test, equal, eventually, settle
from test_configuration import Ground
from test_dead_letters import deaths, grave, letter

WEIGHT = 3


def quoted(name):
    """A pattern for just this name. A dollar sign is doubled in the file."""
    return '"^' + name.replace('.', '\\\\.') + '$$"'


def policy(pattern, definition, apply_to='all', priority=0):
    return (f'{{pattern: {pattern}, apply_to: {apply_to}, priority: {priority}, '
            f'definition: {{{definition}}}}}')


def apply(broker, *policies, operators=()):
    """Makes these the policies of the virtual host, and no others."""
    def section(kind, entries):
        pairs = (f'{kind}{number}: {entry}' for number, entry in enumerate(entries))
        return f'{kind}: {{{", ".join(pairs)}}}'
    text = (f'version: 1\nvhosts:\n  /:\n    {section("policies", policies)}\n'
            f'    {section("operator_policies", operators)}\n')
    with tempfile.NamedTemporaryFile('w', suffix='.yaml', encoding='utf-8') as file:
        file.write(text)
        file.flush()
        done = subprocess.run(
            [broker.railmq, 'apply', '--data-dir', os.path.join(broker.directory, 'data'),
             '--prune', '--origin', 'policies', file.name], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            check=False)
    equal(done.returncode, 0, f'exit status of apply:\n{text}{done.stdout}{done.stderr}')


@contextlib.contextmanager
def policies(t):
    """Whatever a test applies is gone after it: its file's other tests have the same broker."""
    try:
        yield lambda *entries, operators=(): apply(t.broker, *entries, operators=operators)
    finally:
        apply(t.broker)


def kept(channel, queue, count, body=b'x'):
    """How many of so many messages a queue keeps; it is empty before and after."""
    for _ in range(count):
        channel.publish(queue, body)
    left = channel.declare(queue, passive=True).message_count
    channel.call('queue.purge', queue=queue)
    return left


def outcome(channel, queue):
    """What becomes of a message: the method that confirms it."""
    channel.publish(queue, b'x')
    return channel.take('basic.ack', 'basic.nack').name


@test(process=True, rows={'messages': 'max-length: 2', 'octets': 'max-length-bytes: 25'})
def excess_goes_at_once(t, definition):
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.queue(channel, arguments=arguments)
    for number in range(5):
        channel.publish(queue, b'%010d' % number)
    settle(channel, queue, 5)
    with policies(t) as put:
        put(policy(quoted(queue), definition))
        settle(channel, queue, 2)
        settle(channel, dead, 3)
        got = [letter(channel, dead) for _ in range(3)]
        equal([message.body for message in got], [b'%010d' % n for n in range(3)], 'dropped')
        equal(deaths(got[0]), [(queue, 'maxlen', 1)], 'x-death')
        equal([channel.get(queue).body for _ in range(2)], [b'%010d' % n for n in (3, 4)], 'kept')
        equal(kept(channel, queue, 5, b'0123456789'), 2, 'of further messages')


@test(process=True)
def excess_does_not_count_what_is_delivered(t):
    channel = t.channel()
    queue = t.queue(channel)
    for number in range(4):
        channel.publish(queue, b'%d' % number)
    tags = [channel.get(queue, no_ack=False).delivery_tag for _ in range(3)]
    with policies(t) as put:
        put(policy(quoted(queue), 'max-length: 1'))
        settle(channel, queue, 1)
        channel.nack(tags[-1], multiple=True)
        channel.publish(queue, b'last')
        settle(channel, queue, 1)
        equal(channel.get(queue).body, b'last', 'what is kept')


@test(process=True)
def time_to_live_of_new_messages(t):
    """What is in the queue keeps the time that it came with."""
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish(queue, b'old')
    settle(channel, queue, 1)
    with policies(t) as put:
        put(policy(quoted(queue), 'message-ttl: 20ms'))
        channel.publish(queue, b'new')
        settle(channel, queue, 1)
        channel.publish(queue, b'own', properties={'expiration': '3600000'})
        settle(channel, queue, 1)
        put()
        channel.publish(queue, b'later')
        settle(channel, queue, 2)
        equal([channel.get(queue).body for _ in range(2)], [b'old', b'later'], 'kept')


@test(process=True)
def dead_letter_exchange(t):
    channel = t.channel()
    mine, theirs = t.queue(channel), t.queue(channel)
    exchange, other = t.exchange(channel, 'direct'), t.exchange(channel, 'direct')
    channel.bind(mine, exchange, 'key')
    channel.bind(theirs, other, 'own')
    plain = t.queue(channel)
    argued = t.queue(channel, arguments={'x-dead-letter-exchange': other,
                                         'x-dead-letter-routing-key': 'own'})

    def reject(queue):
        channel.publish(queue, queue.encode())
        channel.nack(channel.get(queue, no_ack=False).delivery_tag, requeue=False)
    reject(plain)
    with policies(t) as put:
        put(policy('"."', f'dead-letter-exchange: {exchange}, dead-letter-routing-key: key'))
        for queue in (plain, argued):
            reject(queue)
        equal(letter(channel, mine).body, plain.encode(), 'by the policy')
        equal(letter(channel, theirs).body, argued.encode(), 'by the argument')
        put()
        reject(plain)
        channel.sync()
    for queue in (mine, theirs):
        settle(channel, queue, 0)


@test(process=True)
def unused_queue_expires(t):
    """Mandatory messages ask whether it is there: declaring it would be a use."""
    channel = t.channel()
    queue = t.queue(channel, durable=True)
    used = t.queue(channel, durable=True)
    channel.consume(used, no_ack=True)
    channel.call('confirm.select')

    def exists():
        channel.publish(queue, b'?', mandatory=True)
        return channel.take('basic.ack', 'basic.return').name == 'basic.ack' or \
            not channel.take('basic.ack')
    equal(exists(), True, 'there without a policy')
    with policies(t) as put:
        put(*(policy(quoted(name), 'expires: 100ms') for name in (queue, used)))
        eventually(exists, False, 'whether the queue is there')
        equal(channel.declare(used, passive=True).consumer_count, 1, 'consumers of the used one')
    channel.call('queue.delete', queue=used)


@test(process=True)
def overflow(t):
    channel = t.channel()
    queue = t.queue(channel)
    argued = t.queue(channel, arguments={'x-max-length': 1, 'x-overflow': 'drop-head'})
    channel.call('confirm.select')
    with policies(t) as put:
        put(policy('"."', 'max-length: 1, overflow: reject-publish'))
        equal([outcome(channel, queue) for _ in range(2)], ['basic.ack', 'basic.nack'], 'policy')
        equal([outcome(channel, argued) for _ in range(2)], ['basic.ack'] * 2, 'argument')
        put(policy('"."', 'max-length: 1'))
        equal([outcome(channel, queue) for _ in range(2)], ['basic.ack'] * 2, 'drop-head again')
        settle(channel, queue, 1)


@test(process=True, rows={
    'of the policy': ({}, (), 1), 'of the argument, as it is less': ({'x-delivery-limit': 0}, (), 0),
    'of the policy, as it is less': ({'x-delivery-limit': 5}, (), 1),
    'of the operator': ({'x-delivery-limit': 5}, ('delivery-limit: 0',), 0)})
def delivery_limit(t, row):
    arguments, operators, limit = row
    channel = t.channel()
    dead, letters = grave(t, channel)
    queue = t.queue(channel, durable=True,
                    arguments={'x-queue-type': 'quorum', **letters, **arguments})
    with policies(t) as put:
        put(policy(quoted(queue), 'delivery-limit: 1'),
            operators=[policy(quoted(queue), definition) for definition in operators])
        channel.publish(queue, b'poison')
        channel.consume(queue)
        for delivery in range(limit + 1):
            message = channel.deliver()
            equal(message.properties['headers']['x-delivery-count'].value, delivery, 'deliveries')
            channel.nack(message.delivery_tag)
        equal(deaths(letter(channel, dead)), [(queue, 'delivery_limit', 1)], 'x-death')
    channel.call('queue.delete', queue=queue)


@test(process=True)
def alternate_exchange(t):
    channel = t.channel()
    stray, strays = t.queue(channel), t.queue(channel)
    one, other = t.exchange(channel, 'fanout'), t.exchange(channel, 'fanout')
    channel.bind(stray, one)
    channel.bind(strays, other)
    plain = t.exchange(channel, 'direct')
    argued = t.exchange(channel, 'direct', arguments={'alternate-exchange': other})

    def arrive():
        for exchange in (plain, argued):
            channel.publish('nowhere', b'x', exchange=exchange)
        counts = [channel.declare(queue, passive=True).message_count for queue in (stray, strays)]
        for queue in (stray, strays):
            channel.call('queue.purge', queue=queue)
        return counts
    equal(arrive(), [0, 1], 'without a policy')
    with policies(t) as put:
        names = f'"^({plain}|{argued})$$"'
        put(policy(names, f'alternate-exchange: {one}', 'exchanges'))
        equal(arrive(), [1, 1], 'with one')
        put(policy(names, f'alternate-exchange: {one}', 'queues'))
        equal(arrive(), [0, 1], 'with one that is for queues')
        put(policy(names, f'alternate-exchange: {one}'))
        equal(arrive(), [1, 1], 'with one for all')
        put()
        equal(arrive(), [0, 1], 'once it is gone')


CLASSIC = {}
QUORUM = {'x-queue-type': 'quorum'}


@test(process=True, rows={
    'all': ('all', 1, 1), 'queues': ('queues', 1, 1), 'exchanges': ('exchanges', 4, 4),
    'classic queues': ('classic_queues', 1, 4), 'quorum queues': ('quorum_queues', 4, 1),
    'streams': ('streams', 4, 4)})
def apply_to(t, row):
    kind, *expected = row
    channel = t.channel()
    queues = [t.queue(channel, durable=True, arguments=arguments)
              for arguments in (CLASSIC, QUORUM)]
    # Of the two definitions one is for what the policy is about, whatever that is.
    definition = 'alternate-exchange: amq.fanout' if kind == 'exchanges' else 'max-length: 1'
    if kind == 'streams':
        definition = 'max-length-bytes: 1'
    with policies(t) as put:
        put(policy('"."', definition, kind))
        equal([kept(channel, queue, 4) for queue in queues], expected, 'messages kept')
    for queue in queues:
        channel.call('queue.delete', queue=queue)


@test(process=True)
def the_highest_priority_is_in_force(t):
    """As a whole: what only the others define does not count."""
    channel = t.channel()
    queue = t.queue(channel)
    with policies(t) as put:
        low = policy('"."', 'max-length: 1, overflow: reject-publish', priority=-1)
        middle = policy(quoted(queue), 'max-length: 3', 'classic_queues', 5)
        high = policy('"^another"', 'max-length: 2', priority=9)
        quorum = policy('"."', 'max-length: 2', 'quorum_queues', 10)
        put(low, middle, high, quorum)
        equal(kept(channel, queue, 5), 3, 'messages kept')
        channel.call('confirm.select')
        equal([outcome(channel, queue) for _ in range(4)], ['basic.ack'] * 4, 'overflow')
        settle(channel, queue, 3)
        put(low, high, quorum)
        equal(outcome(channel, queue), 'basic.nack', 'overflow of the lowest')
        settle(channel, queue, 3)


@test(process=True, rows={
    'the argument': (2, 4, 6, 2), 'the policy': (6, 2, 4, 2), 'the operator': (6, 4, 2, 2),
    'no argument': (None, 5, 3, 3), 'no policy': (5, None, 3, 3), 'only the operator': (None, None, 4, 4),
    'an argument of nothing': (0, 4, 4, 0)})
def the_least_counts(t, row):
    """Of argument, policy and operator policy."""
    argument, users, operators, expected = row
    channel = t.channel()
    queue = t.queue(channel, exclusive=True,
                    arguments={} if argument is None else {'x-max-length': argument})

    def entries(length):
        return () if length is None else (policy(quoted(queue), f'max-length: {length}'),)
    with policies(t) as put:
        put(*entries(users), operators=entries(operators))
        equal(kept(channel, queue, 8), expected, 'messages kept')


@test(process=True)
def an_operator_limits_time(t):
    channel = t.channel()
    queue = t.queue(channel, exclusive=True, arguments={'x-message-ttl': 3600000})
    with policies(t) as put:
        put(policy(quoted(queue), 'message-ttl: 1h, max-length: 3'),
            operators=[policy('"."', 'message-ttl: 20ms')])
        for number in range(5):
            channel.publish(queue, b'%d' % number)
        settle(channel, queue, 0)
        put(policy(quoted(queue), 'message-ttl: 1h, max-length: 3'))
        equal(kept(channel, queue, 5), 3, 'messages kept')


@test(process=True)
def without_its_policy(t):
    """A queue is as its arguments say again; equivalence never looked at the policy."""
    channel = t.channel()
    queue = t.queue(channel, exclusive=True, arguments={'x-max-length': 4})
    with policies(t) as put:
        put(policy(quoted(queue), 'max-length: 2, overflow: reject-publish'))
        channel.declare(queue, exclusive=True, arguments={'x-max-length': 4})
        equal(kept(channel, queue, 6), 2, 'messages with it')
        put()
        equal(kept(channel, queue, 6), 4, 'messages without it')


@test(process=True)
def of_another_virtual_host(t):
    with Ground(t, 'vhosts:\n  /: {queues: {q: {}}}\n  other:\n    queues: {q: {}}\n'
                   '    permissions: {guest: {configure: ".*", write: ".*", read: ".*"}}\n'
                   '    policies: {p: {pattern: q, definition: {max-length: 1}}}\n') as ground:
        for vhost, expected in (('/', 3), ('other', 1)):
            connection = ground.pika(vhost=vhost)
            channel = connection.channel()
            channel.confirm_delivery()
            for _ in range(3):
                channel.basic_publish('', 'q', b'x')
            equal(channel.queue_declare('q', passive=True).method.message_count, expected, vhost)
            connection.close()


@test(process=True)
def after_a_restart(t):
    """They are kept by the store, and in force before the first message comes."""
    with Ground(t) as ground:
        connection = ground.pika()
        channel = connection.channel()
        channel.queue_declare('q', durable=True)
        channel.queue_declare('dead', durable=True)
        connection.close()
        apply(ground.broker, policy('^q', 'max-length: 2, dead-letter-exchange: "", '
                                          'dead-letter-routing-key: dead'),
              operators=[policy('^q', 'max-length: 1')])
        ground.write('apply: {on_start: false}\n')
        for _ in range(2):
            ground.restart()
            connection = ground.pika()
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare('q2')
            for queue in ('q', 'q2'):
                channel.queue_purge(queue)
                for _ in range(3):
                    channel.basic_publish('', queue, b'x')
                eventually(lambda queue=queue: channel.queue_declare(
                    queue, passive=True).method.message_count, 1, f'messages of {queue}')
            eventually(lambda: channel.queue_purge('dead').method.message_count > 0, True,
                       'dead letters')
            connection.close()


@test(process=True)
def on_hang_up(t):
    """The file of the broker, read again: queues with and without messages, and one to come."""
    head = 'apply: {prune: owned}\nvhosts:\n  /:\n'
    with Ground(t, 'apply: {prune: owned}\n') as ground:
        channel = amqp.Connection(ground.broker.address).channel()
        for queue in ('short', 'other'):
            channel.declare(queue, durable=True)
            for number in range(10):
                channel.publish(queue, b'%d' % number)
            settle(channel, queue, 10)
        users = f'    policies: {{a: {policy("^sh", "max-length: 3", "queues")}}}\n'
        ground.write(head + users)
        ground.hang_up('config.reloaded')
        settle(channel, 'short', 3)
        equal(channel.get('short').body, b'7', 'the oldest that is left')
        settle(channel, 'other', 10)
        channel.declare('short too', durable=True)
        equal(kept(channel, 'short too', 5), 3, 'of one that comes later')
        operators = f'    operator_policies: {{o: {policy(".*", "max-length: 1", "queues")}}}\n'
        ground.write(head + users + operators)
        ground.hang_up('config.reloaded')
        for queue in ('short', 'other'):
            settle(channel, queue, 1)
        ground.write('apply: {prune: owned}\nvhosts: {/: {}}\n')
        ground.hang_up('config.reloaded')
        equal(kept(channel, 'short', 9), 10, 'without policies')
        channel.connection.finish()
