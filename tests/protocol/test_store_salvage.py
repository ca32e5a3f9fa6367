"""`railmq store salvage`: a new store of what can be read of a damaged one, and brokers on it."""

import hashlib
import os
import re
import subprocess

import amqp
from harness import test, check, equal
from test_store import PERSISTENT, body, counts, fill, files, flip, ground, numbers, stop

WEIGHT = 3
STORED = True
SHOP = 'vhosts: {shop: {permissions: {guest: {configure: ".*", write: ".*", read: ".*"}}}}\n'


def in_tables(g):
    """Where the messages lie that a stopped store had in its log: a start writes them as tables."""
    stop(g.serve())
    return files(g, '.sst')


def digests(g):
    found = {}
    for name in sorted(os.listdir(g.path('data/store'))):
        with open(g.path(f'data/store/{name}'), 'rb') as file:
            found[name] = hashlib.sha256(file.read()).hexdigest()
    return found


def salvage(g, status=0):
    """Its output. The damaged store is as before."""
    before = digests(g)
    output = g.run('salvage', '--data-dir', g.path('data'), g.path('saved'), status=status)
    equal(digests(g), before, 'files of the damaged store')
    equal(g.left('saved'), [], 'what is left behind')
    check('is sound' in g.verify('saved'), 'the new store is not sound')
    return output


def told(output, queue):
    """(saved, lost) as they are told of a queue."""
    found = re.search(rf'^/\t{queue}\t(\d+)\t(\d+)$', output, re.MULTILINE)
    check(found, f'nothing is told of {queue}:\n{output}')
    return int(found[1]), int(found[2])


@test(process=True)
def a_sound_store_is_copied(t):
    """All that is alive, in its order, with what is known of deliveries; nothing that is settled."""
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 300)
        channel = amqp.Connection(broker.address).channel()
        channel.exchange('salvaged', 'topic', durable=True)
        channel.bind('q', 'salvaged', 'a.#')
        for _ in range(100):
            channel.get('q', no_ack=True)
        for _ in range(5):
            channel.get('q', no_ack=False)
        stop(broker)
        equal(told(salvage(g), 'q'), (200, 0), 'messages saved and lost')
        broker = g.serve('saved')
        channel = amqp.Connection(broker.address).channel()
        channel.publish('a.b', body(300), 'salvaged', properties=PERSISTENT)
        channel.connection.finish()
        stop(broker)
        broker = g.serve('saved')
        channel = amqp.Connection(broker.address).channel()
        got = [channel.get('q') for _ in range(201)]
        equal([int(one.body[:8]) for one in got], list(range(100, 301)), 'messages')
        equal([one.redelivered for one in got], [True] * 5 + [False] * 196, 'redelivered')
        channel.connection.finish()
        stop(broker)


@test(process=True)
def flipped_bits_in_tables(t):
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 400, size=1000, at_once=5)
        stop(broker)
        table = max(in_tables(g), key=os.path.getsize)
        for part in (1, 2, 3):
            flip(table, os.path.getsize(table) * part // 4)
        output = salvage(g, status=1)
        equal(len(re.findall('rows behind it cannot be read', output)), 3, f'findings in {output}')
        saved, _ = told(output, 'q')
        check(200 < saved < 400, f'{saved} messages are saved')
        broker = g.serve('saved')
        left = numbers(broker, 'q')
        equal(len(left), saved, 'messages')
        equal(left, sorted(set(left)), 'order')
        stop(broker)


@test(process=True)
def a_flipped_bit_in_the_log(t):
    """Start-up would take it for the end; what is behind it is saved as well."""
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 2000, at_once=10)
        stop(broker)
        path = max(files(g, '.log'), key=os.path.getsize)
        flip(path, os.path.getsize(path) // 2)
        output = salvage(g, status=1)
        check('the row before it is missing' in output, f'not told of:\n{output}')
        broker = g.serve('saved')
        left = numbers(broker, 'q')
        equal(left[-1], 1999, 'last message')
        check(1500 < len(left) < 2000, f'{len(left)} messages')
        equal(told(output, 'q')[0], len(left), 'messages that are told')
        stop(broker)


def apply(g, text, name='data'):
    with open(g.path('applied.yaml'), 'w', encoding='utf-8') as file:
        file.write('version: 1\n' + text)
    done = subprocess.run([g.railmq, 'apply', '--data-dir', g.path(name), file.name],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False)
    equal(done.returncode, 0, f'exit status of apply:\n{done.stdout}{done.stderr}')


@test(process=True)
def definitions_that_are_lost(t):
    """With the row that tells of the virtual host some queues are lost. The others are there, which
    a start would delete with a virtual host that nothing tells of."""
    with ground(t) as g:
        broker = g.serve()
        apply(g, SHOP)
        names = [f'{number:03d}.{"x" * 180}' for number in range(300)]
        channel = amqp.Connection(broker.address, vhost='shop').channel()
        for name in names:
            channel.declare(name, durable=True)
        channel.call('confirm.select')
        for name in names:
            channel.publish(name, b'x', properties=PERSISTENT)
            channel.take('basic.ack')
        channel.connection.finish()
        stop(broker)
        flipped = 0
        for path in in_tables(g):
            with open(path, 'rb') as file:
                content = file.read()
            for found in re.finditer(b'vhost:/', content):
                flip(path, found.start())
                flipped += 1
        check(flipped > 0, 'there is no note of the virtual host in any table')
        output = salvage(g, status=1)
        broker = g.serve('saved')
        apply(g, SHOP, 'saved')  # Permissions are lost as well.
        channel = amqp.Connection(broker.address, vhost='shop').channel()
        there = 0
        for name in names:
            channel.send('queue.declare', queue=name, passive=True)
            answer = channel.take('queue.declare-ok', 'channel.close')
            if answer.name == 'queue.declare-ok':
                there += answer.message_count
            else:
                channel = channel.connection.channel()
        check(0 < there < 300, f'{there} queues are there')
        check(f'\n{there} messages are saved into' in output, f'not {there} in:\n{output}')
        check(f'{300 - there} messages are lost with the queues they were in' in output, output)
        channel.connection.finish()
        stop(broker)


@test(process=True)
def salvage_refuses(t):
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 10)
        output = g.run('salvage', '--data-dir', g.path('data'), g.path('saved'), status=1)
        check('stop it first' in output, f'unclear:\n{output}')
        stop(broker)
        os.mkdir(g.path('full'))
        with open(g.path('full/mine'), 'w', encoding='utf-8'):
            pass
        output = g.run('salvage', '--data-dir', g.path('data'), g.path('full'), status=1)
        check('is not empty' in output, f'unclear:\n{output}')
        output = g.run('salvage', '--data-dir', g.path('none'), g.path('saved'), status=1)
        check('there is no store' in output, f'unclear:\n{output}')
        equal(counts(g.info())['q'][0], 10, 'messages')


@test(process=True, rows={'CURRENT': True, 'a table': False})
def files_that_are_missing(t, is_current):
    """RocksDB does not open such a store. A copy of it is repaired, the store is left alone."""
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'first', 300, size=1000)
        stop(broker)
        tables = set(in_tables(g))
        broker = g.serve()
        fill(broker, 'second', 300, size=1000)
        stop(broker)
        in_tables(g)
        os.remove(g.path('data/store/CURRENT') if is_current else max(tables, key=os.path.getsize))
        output = salvage(g, status=1)
        check('cannot be opened' in output, f'not told of:\n{output}')
        broker = g.serve('saved')
        equal(numbers(broker, 'second'), list(range(300)), 'messages of the second queue')
        if is_current:
            equal(numbers(broker, 'first'), list(range(300)), 'messages of the first queue')
        stop(broker)


@test(process=True)
def the_newest_start_is_lost(t):
    """The log begins with what each start writes first, its epoch. An older one is in the tables:
    numbers that have been given since are no damage, and are not given again. Nor is it known then
    what has been delivered."""
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 100)
        stop(broker)
        broker = g.serve()
        fill(broker, 'q', 200, size=1000, first=100, at_once=10)
        channel = amqp.Connection(broker.address).channel()
        for _ in range(20):
            channel.get('q', no_ack=False)
        channel.connection.finish()
        stop(broker)
        flip(max(files(g, '.log'), key=os.path.getmtime), 20)
        output = salvage(g, status=1)
        check('F: it is missing or damaged' in output, f'not told of:\n{output}')
        check('.log: the write-ahead log is damaged at octet 0' in output, output)
        equal(told(output, 'q'), (300, 0), 'messages saved and lost')
        broker = g.serve('saved')
        fill(broker, 'q', 1, first=300)
        channel = amqp.Connection(broker.address).channel()
        got = [channel.get('q', no_ack=False) for _ in range(301)]
        equal([int(one.body[:8]) for one in got], list(range(301)), 'messages')
        equal([one.redelivered for one in got], [True] * 300 + [False], 'redelivered')
        channel.connection.finish()
        stop(broker)
