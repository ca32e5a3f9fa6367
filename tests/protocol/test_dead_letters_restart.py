"""What dies in a queue, and what is to come later, over an end in order and over kill -9."""

import contextlib
import json
import os
import signal

import amqp
from audit import ConfirmAuditor
from harness import test, check, equal, eventually, settle
from test_configuration import Ground
from test_dead_letters import deaths, headers_of, letter

WEIGHT = 4
PERSISTENT = {'delivery_mode': 2}
HOUR = '3600000'
SMALL_MEMORY = 'limits: {message_memory: 64KiB}\n'
ENDS = {'in order': False, 'killed': True}
# Far less than what the test of paging publishes; each thread of the broker may owe 64 KiB.
MEMORY_LEFT = 512 * 1024


@contextlib.contextmanager
def a_broker(t, text=''):
    with Ground(t, text) as ground:
        yield ground
        hang_up(t)


def revive(t, ground, killed):
    """Ends the broker and starts it again on what it has left."""
    hang_up(t)
    if not killed:
        ground.restart()
        return
    os.kill(ground.broker.pid, signal.SIGKILL)
    ground.broker.wait()
    check(ground.broker.launch(), ground.broker.log_tail())


def hang_up(t):
    """An end in order would wait for connections that do not answer."""
    for connection in t.sockets:
        connection.close()
    t.sockets.clear()


def open_channel(t, ground):
    connection = amqp.Connection(ground.broker.address)
    t.sockets.append(connection)
    return connection.channel()


def durable_pair(channel, **arguments):
    """A queue, and where its dead letters go."""
    channel.declare('dead', durable=True)
    channel.declare('q', durable=True, arguments={
        'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead', **arguments})


def count(channel, queue):
    return channel.declare(queue, passive=True).message_count


def row_of(ground, queue):
    """What is in a queue as the broker tells: messages, octets."""
    rows = json.loads(ground.run('list-queues', '--format', 'json', 'name', 'messages',
                                 'message_bytes_ready'))
    return next((row['messages'], row['message_bytes_ready'])
                for row in rows if row['name'] == queue)


def message_memory(ground):
    return json.loads(ground.run('status', '--format', 'json'))['memory']['messages_bytes']


def take_all(channel, queue):
    return [channel.get(queue) for _ in range(count(channel, queue))]


def take_until(channel, queue, wanted):
    """Messages of the queue, until all of these numbers have come."""
    messages = []

    def missing():
        messages.extend(take_all(channel, queue))
        return wanted - set(numbers(messages))
    eventually(missing, set(), f'numbers that are missing in {queue}')
    return messages


def stamped(number, size=0):
    return f'{number:08d}'.encode().ljust(size, b'.')


def numbers(messages):
    return [int(message.body[:8]) for message in messages]


def publish_mixed(t, channel, total, size=0, short_ms=400):
    """Confirmed messages: a third never expires, a third not for long, a third soon. Returns the
    numbers of the last third."""
    auditor = ConfirmAuditor(channel)
    soon = set()
    for number in range(total):
        properties = dict(PERSISTENT)
        kind = t.random.randrange(3)
        if kind == 1:
            properties['expiration'] = HOUR
        elif kind == 2:
            properties['expiration'] = str(t.random.randint(1, short_ms))
            soon.add(number)
        auditor.publish('q', stamped(number, size), properties=properties)
    auditor.wait()
    equal(auditor.nacked, set(), 'nacked')
    return soon


@test(process=True, rows=ENDS)
def what_expires_is_not_lost(t, killed):
    """It is in one queue or the other, also when the broker ends in the midst of the expiries."""
    total = 600
    with a_broker(t) as ground:
        channel = open_channel(t, ground)
        durable_pair(channel)
        soon = publish_mixed(t, channel, total)
        goal = t.random.randint(1, len(soon))
        eventually(lambda: count(channel, 'dead') >= goal, True, 'some are dead')
        revive(t, ground, killed)
        channel = open_channel(t, ground)
        settle(channel, 'q', total - len(soon))
        equal(numbers(take_all(channel, 'q')), [n for n in range(total) if n not in soon], 'kept')
        dead = take_until(channel, 'dead', soon)
        equal(set(numbers(dead)), soon, 'dead letters')
        # After a kill one may have been moved twice.
        check(killed or len(dead) == len(soon), f'{len(dead)} dead letters of {len(soon)}')
        equal({tuple(deaths(message)) for message in dead}, {(('q', 'expired', 1),)}, 'x-death')


@test(process=True, rows=ENDS)
def what_is_rejected_is_not_lost(t, killed):
    total = 400
    with a_broker(t) as ground:
        channel = open_channel(t, ground)
        durable_pair(channel)
        auditor = ConfirmAuditor(channel)
        for number in range(total):
            auditor.publish('q', stamped(number), properties=PERSISTENT)
        auditor.wait()
        consumer = open_channel(t, ground)
        consumer.consume('q')
        for _ in range(t.random.randint(1, total)):
            consumer.nack(consumer.deliver().delivery_tag, requeue=False)
        eventually(lambda: count(channel, 'dead') > 0, True, 'some are dead')
        revive(t, ground, killed)
        channel = open_channel(t, ground)
        left = numbers(take_all(channel, 'q'))
        dead = numbers(take_until(channel, 'dead', set(range(total)) - set(left)))
        equal(set(left + dead), set(range(total)), 'messages of both queues')
        check(killed or len(left) + len(dead) == total, 'a message is in both queues')
        equal(left, sorted(left), 'order of what is left')


@test(process=True, rows=ENDS)
def time_passes_while_the_broker_is_down(t, killed):
    with a_broker(t) as ground:
        channel = open_channel(t, ground)
        durable_pair(channel)
        channel.declare('of the queue', durable=True, arguments={
            'x-message-ttl': 250, 'x-dead-letter-exchange': '',
            'x-dead-letter-routing-key': 'dead'})
        auditor = ConfirmAuditor(channel)
        auditor.publish('q', b'stays', properties={'expiration': HOUR, **PERSISTENT})
        auditor.publish('q', b'own', properties={'expiration': '250', **PERSISTENT})
        auditor.publish('of the queue', b'all', properties=PERSISTENT)
        auditor.wait()
        revive(t, ground, killed)
        channel = open_channel(t, ground)
        settle(channel, 'dead', 2)
        equal({message.body for message in take_all(channel, 'dead')}, {b'own', b'all'}, 'dead')
        kept = channel.get('q')
        equal((kept.body, kept.properties['expiration']), (b'stays', HOUR), 'what stays')


@test(process=True, rows=ENDS)
def deliveries_stay_counted(t, killed):
    with a_broker(t) as ground:
        channel = open_channel(t, ground)
        durable_pair(channel, **{'x-queue-type': 'quorum', 'x-delivery-limit': 3})
        auditor = ConfirmAuditor(channel)
        auditor.publish('q', b'poison', properties=PERSISTENT)
        auditor.wait()
        for expected in range(2):
            message = channel.get('q', no_ack=False)
            equal(headers_of(message)['x-delivery-count'], expected, 'deliveries before')
            channel.nack(message.delivery_tag)
        # What is confirmed after it is kept after it.
        auditor.publish('q', b'behind', properties=PERSISTENT)
        auditor.wait()
        revive(t, ground, killed)
        channel = open_channel(t, ground)
        for expected in (2, 3):
            message = channel.get('q', no_ack=False)
            equal((message.body, message.redelivered, headers_of(message)['x-delivery-count']),
                  (b'poison', True, expected), 'delivery after')
            channel.nack(message.delivery_tag)
        dead = letter(channel, 'dead')
        equal((dead.body, deaths(dead)), (b'poison', [('q', 'delivery_limit', 1)]), 'dead letter')
        equal(channel.get('q').body, b'behind', 'what is left')


@test(process=True, rows=ENDS)
def delayed_messages_arrive(t, killed):
    """Also those whose time comes while the broker is down; once each, if its end was in order."""
    with a_broker(t) as ground:
        channel = open_channel(t, ground)
        channel.exchange('later', 'x-delayed-message', durable=True,
                         arguments={'x-delayed-type': 'direct'})
        channel.declare('q', durable=True)
        channel.bind('q', 'later', 'k')
        delays = [t.random.randint(1, 600) for _ in range(100)]
        auditor = ConfirmAuditor(channel)
        for number, delay in enumerate([*delays, int(HOUR)]):
            auditor.publish('k', stamped(number), exchange='later',
                            properties={'headers': {'x-delay': delay}, **PERSISTENT})
        auditor.wait()
        revive(t, ground, killed)
        channel = open_channel(t, ground)
        messages = take_until(channel, 'q', set(range(len(delays))))
        came = numbers(messages)
        # What was on its way when the broker was killed may have arrived, and start once more.
        check(killed or len(came) == len(delays), f'{len(came)} messages of {len(delays)}')
        for message in messages:
            equal((message.exchange, message.routing_key, headers_of(message)['x-delay']),
                  ('later', 'k', -delays[int(message.body)]), 'address and delay')
        equal(row_of(ground, 'amq.delayed.later')[0], 1, 'messages that are still delayed')


@test(process=True, rows={'in one go': None, **ENDS})
def mixed_expirations_of_a_paged_queue(t, killed):
    """More than fits into memory: what expires goes wherever it stands and is, and what stays comes
    in its order."""
    total, size = 3000, 1024
    with a_broker(t, SMALL_MEMORY) as ground:
        channel = open_channel(t, ground)
        durable_pair(channel)
        soon = publish_mixed(t, channel, total, size, short_ms=1500)
        if killed is not None:
            revive(t, ground, killed)
            channel = open_channel(t, ground)
        settle(channel, 'q', total - len(soon))
        equal(row_of(ground, 'q'), (total - len(soon), size * (total - len(soon))), 'q holds')
        if not killed:
            settle(channel, 'dead', len(soon))
            equal(row_of(ground, 'dead'), (len(soon), size * len(soon)), 'dead holds')
        equal(numbers(take_all(channel, 'q')), [n for n in range(total) if n not in soon], 'kept')
        dead = take_until(channel, 'dead', soon)
        equal(set(numbers(dead)), soon, 'dead letters')
        equal({len(message.body) for message in dead}, {size}, 'octets of each')
        for queue in ('q', 'dead'):
            equal(row_of(ground, queue), (0, 0), f'{queue} holds in the end')
        eventually(lambda: message_memory(ground) <= MEMORY_LEFT, True, 'memory has come back')


@test(process=True, rows=ENDS)
def an_unused_queue_expires(t, killed):
    """Its time begins again at the start, and once it is gone it stays away."""
    with a_broker(t) as ground:
        channel = open_channel(t, ground)
        channel.declare('unused', durable=True, arguments={'x-expires': 300})
        channel.declare('later', durable=True, arguments={'x-expires': int(HOUR)})
        auditor = ConfirmAuditor(channel)
        auditor.publish('later', b'x', properties=PERSISTENT)
        auditor.wait()
        revive(t, ground, killed)
        channel = open_channel(t, ground)
        channel.call('confirm.select')

        def is_there():
            channel.publish('unused', b'?', mandatory=True)
            if channel.take('basic.ack', 'basic.return').name == 'basic.ack':
                return True
            channel.take('basic.ack')
            return False
        eventually(is_there, False, 'whether the unused queue is there')
        # What is confirmed behind it says that its end is on disk.
        channel.publish('later', b'y', properties=PERSISTENT)
        channel.take('basic.ack')
        equal(count(channel, 'later'), 2, 'messages of the other one')
        revive(t, ground, killed)
        channel = open_channel(t, ground)
        channel.send('queue.declare', queue='unused', passive=True)
        channel.expect_close(404, cause='queue.declare')


@test(process=True)
def keeps_its_priority(t):
    """Also where it died none was told apart: the queue of dead letters may."""
    with a_broker(t) as ground:
        channel = open_channel(t, ground)
        channel.declare('dead', durable=True, arguments={'x-max-priority': 5})
        channel.declare('q', durable=True, arguments={
            'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead'})
        for priority in (1, 3, 2):
            channel.publish('q', b'%d' % priority, properties={**PERSISTENT, 'priority': priority})
        channel.sync()
        revive(t, ground, killed=False)
        channel = open_channel(t, ground)
        for _ in range(3):
            channel.nack(channel.get('q', no_ack=False).delivery_tag, requeue=False)
        settle(channel, 'dead', 3)
        equal([channel.get('dead').body for _ in range(3)], [b'3', b'2', b'1'], 'order')
