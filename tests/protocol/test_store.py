"""`railmq store`: what it tells of a store, what it finds wrong with one, backups and restoring
them; and the control socket behind it, with clients that mean no good."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import amqp
from audit import ConfirmAuditor
from broker import Broker, free_port
from harness import test, check, equal, eventually
from test_process import expect_refusal

WEIGHT = 6
STORED = True
PERSISTENT = {'delivery_mode': 2}


class Ground:
    """A directory for data directories and backups, and the brokers on them."""

    def __init__(self, railmq):
        self.railmq = railmq
        self.directory = tempfile.mkdtemp(prefix='rail-store-')
        self.brokers = []

    def path(self, name):
        return os.path.join(self.directory, name)

    def serve(self, name='data'):
        broker = Broker(self.railmq)
        data = self.path(name)
        spawn = broker.spawn
        broker.spawn = lambda address, _: spawn(address, data)
        broker.start()
        self.brokers.append(broker)
        return broker

    def run(self, *words, status=0):
        """Output of a store command, on both streams, after a check of its exit status."""
        done = subprocess.run([self.railmq, 'store', *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        equal(done.returncode, status, f'exit status of store {" ".join(words)}:\n{done.stdout}'
              f'{done.stderr}')
        return done.stdout + done.stderr

    def info(self, name='data', status=0):
        output = self.run('info', '--json', '--data-dir', self.path(name), status=status)
        return json.loads(output[:output.rindex('}') + 1])

    def verify(self, name='data', status=0):
        return self.run('verify', '--data-dir', self.path(name), status=status)

    def left(self, name='data'):
        """What commands have left in a data directory."""
        return [entry for entry in os.listdir(self.path(name)) if entry.startswith('tmp-')]


@contextlib.contextmanager
def ground(t):
    g = Ground(t.broker.railmq)
    try:
        yield g
    finally:
        for broker in g.brokers:
            broker.kill()
        shutil.rmtree(g.directory)


def stop(broker):
    equal(broker.stop(), None, 'failure')


def fill(broker, queue, count, size=100, first=0, at_once=1000):
    """Publishes numbered persistent messages and waits for their confirms."""
    channel = amqp.Connection(broker.address).channel()
    channel.declare(queue, durable=True)
    auditor = ConfirmAuditor(channel)
    for number in range(first, first + count):
        auditor.publish(queue, body(number, size), properties=PERSISTENT)
        if number % at_once == 0:
            auditor.wait()
    auditor.wait()
    channel.connection.finish()


def body(number, size=100):
    return f'{number:08d}'.encode().ljust(size, b'.')


def numbers(broker, queue):
    """The numbers of all messages of a queue, which are taken out of it."""
    channel = amqp.Connection(broker.address).channel()
    found = []
    for _ in range(channel.declare(queue, passive=True).message_count):
        found.append(int(channel.get(queue).body[:8]))
    channel.connection.finish()
    return found


def counts(info):
    return {queue['name']: (queue['messages'], queue['octets']) for queue in info['queues']}


@test(process=True)
def info_counts(t):
    """The same, whether the broker runs or not; what is settled does not count."""
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'full', 30)
        channel = amqp.Connection(broker.address).channel()
        channel.declare('empty', durable=True)
        channel.declare('transient', durable=False)
        channel.exchange('x', 'topic', durable=True)
        channel.bind('empty', 'x', key='a')
        for _ in range(10):
            channel.get('full')
        channel.connection.finish()
        expected = {'empty': (0, 0), 'full': (20, 2000)}
        eventually(lambda: counts(g.info()), expected, 'queues of the running broker')
        running = g.info()
        equal((running['running'], running['messages'], running['exchanges'], running['bindings']),
              (True, 20, 1, 1), 'running, messages, exchanges, bindings')
        check('full\t20\t2000' in g.run('info', '--data-dir', g.path('data')), 'no row of a queue')
        stop(broker)
        stopped = g.info()
        equal((stopped['running'], counts(stopped)), (False, expected), 'stopped, queues')
        equal((stopped['format'], stopped['damaged']), (running['format'], 0), 'format, damage')
        check(stopped['wal']['octets'] + stopped['tables']['octets'] > 0, 'no octets on disk')


@test(process=True)
def priorities(t):
    """Each priority of a queue has a log of its own."""
    with ground(t) as g:
        broker = g.serve()
        channel = amqp.Connection(broker.address).channel()
        channel.declare('levels', durable=True, arguments={'x-max-priority': 5})
        auditor = ConfirmAuditor(channel)
        for priority in range(8):
            auditor.publish('levels', body(priority), properties={**PERSISTENT,
                                                                  'priority': priority})
        auditor.wait()
        channel.connection.finish()
        for end in (lambda: stop(broker), lambda: None):
            check('is sound' in g.verify(), 'expected it to be sound')
            equal(counts(g.info()), {'levels': (8, 800)}, 'queues')
            end()
        g.run('backup', '--data-dir', g.path('data'), g.path('backup'))


@test(process=True)
def nothing_is_left_behind(t):
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 10)
        g.info()
        check('is sound' in g.verify(), 'expected it to be sound')
        eventually(g.left, [], 'what is left')
        before = sorted(os.listdir(g.path('data/store')))
        g.info()
        equal(sorted(os.listdir(g.path('data/store'))), before, 'files of the store')
        stop(broker)
        before = {name: os.stat(g.path(f'data/store/{name}')).st_mtime_ns
                  for name in os.listdir(g.path('data/store'))}
        check('is sound' in g.verify(), 'expected it to be sound')
        after = {name: os.stat(g.path(f'data/store/{name}')).st_mtime_ns
                 for name in os.listdir(g.path('data/store'))}
        equal(after, before, 'files of a store that was looked at')


@test(process=True)
def leftovers_go_at_the_start(t):
    with ground(t) as g:
        stop(g.serve())
        for name in ('tmp-checkpoint-0', 'tmp-restore-1'):
            os.makedirs(g.path(f'data/{name}/store'))
            with open(g.path(f'data/{name}/store/000001.sst'), 'wb'):
                pass
        broker = g.serve()
        equal(g.left(), [], 'what is left')
        stop(broker)


def flip(path, offset):
    with open(path, 'r+b') as file:
        file.seek(offset)
        octet = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([octet ^ 0x10]))


def files(g, suffix):
    return [g.path(f'data/store/{name}') for name in os.listdir(g.path('data/store'))
            if name.endswith(suffix)]


@test(process=True)
def a_flipped_bit_in_the_log(t):
    """RocksDB takes it for the end of the log; what is missing then is known nevertheless."""
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 200)
        stop(broker)
        check('is sound' in g.verify(), 'expected it to be sound')
        path = max(files(g, '.log'), key=os.path.getsize)
        flip(path, os.path.getsize(path) // 2)
        output = g.verify(status=1)
        check('witness: the store lacks what was confirmed' in output, f'not told of:\n{output}')
        check(g.info(status=1)['damaged'] > 0, 'expected info to say so')
        output = g.run('backup', '--data-dir', g.path('data'), g.path('backup'), status=1)
        check('there is no backup' in output, f'not told of:\n{output}')
        equal(os.listdir(g.path('backup')), [], 'what is in the backup')


def store_in_tables(g):
    """A stopped store whose messages lie in tables: a start writes what is in the log as one."""
    broker = g.serve()
    fill(broker, 'q', 400, size=1000, at_once=5)
    stop(broker)
    stop(g.serve())
    return max(files(g, '.sst'), key=os.path.getsize)


@test(process=True)
def flipped_bits_in_a_table(t):
    """Each is told of, with the row before it, and what is whole is read all the same."""
    with ground(t) as g:
        table = store_in_tables(g)
        size = os.path.getsize(table)
        check(size > 300000, f'expected the messages in a table, it has {size} octets')
        for part in (1, 2, 3):
            flip(table, size * part // 4)
        output = g.verify(status=1)
        found = re.findall(r'^J [0-9a-f]{16}: rows behind it cannot be read: .*Corruption', output,
                           re.MULTILINE)
        equal(len(found), 3, f'findings in:\n{output}')
        check('is damaged: ' in output, f'no summary:\n{output}')
        broken = g.info(status=1)
        check(200 < broken['messages'] < 400, f'{broken["messages"]} messages can be read')


@test(process=True)
def no_store(t):
    with ground(t) as g:
        for command in ('info', 'verify'):
            output = g.run(command, '--data-dir', g.path('none'), status=1)
            check('there is no store' in output, f'unclear:\n{output}')
        equal(os.listdir(g.directory), [], 'what was made')
        g.run('backup', '--data-dir', g.path('none'), g.path('backup'), status=1)
        output = g.run('restore', '--data-dir', g.path('data'), g.path('none'), status=1)
        check('is not a backup' in output, f'unclear:\n{output}')
        check(not os.path.exists(g.path('data')), 'something was made')


@test(process=True)
def backup_while_publishing(t):
    """What was confirmed before it began is in it, in order and without holes up to its end."""
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 300)
        channel = amqp.Connection(broker.address).channel()
        auditor = ConfirmAuditor(channel)
        command = subprocess.Popen(
            [g.railmq, 'store', 'backup', '--data-dir', g.path('data'), g.path('backup')],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        number = 300
        while command.poll() is None:
            for _ in range(50):
                auditor.publish('q', body(number), properties=PERSISTENT)
                number += 1
            auditor.wait()
        output = command.communicate()[0]
        equal(command.returncode, 0, f'exit status:\n{output}')
        check('is sound' in output, f'not verified:\n{output}')
        channel.connection.finish()
        equal(sorted(os.listdir(g.path('backup'))), ['store', 'witness'], 'the backup')
        equal(numbers(broker, 'q'), list(range(number)), 'messages that the broker has')
        stop(broker)
        g.run('restore', '--data-dir', g.path('again'), g.path('backup'))
        equal(sorted(os.listdir(g.path('again'))), ['store', 'witness'], 'what was restored')
        restored = g.serve('again')
        found = numbers(restored, 'q')
        check(300 <= len(found) <= number, f'{len(found)} messages of {number}')
        equal(found, list(range(len(found))), 'messages that were restored')
        fill(restored, 'q', 10)
        stop(restored)
        check('is sound' in g.verify('again'), 'expected it to be sound')
        check('is sound' in g.verify('backup'), 'expected the backup to be as it was')


@test(process=True)
def backup_of_a_stopped_store(t):
    """Even with the store in tables, which backup and store then share."""
    with ground(t) as g:
        store_in_tables(g)
        g.run('backup', '--no-verify', '--data-dir', g.path('data'), g.path('backup'))
        stop(g.serve())
        g.run('restore', '--data-dir', g.path('again'), g.path('backup'))
        broker = g.serve('again')
        equal(numbers(broker, 'q'), list(range(400)), 'messages')
        stop(broker)


@test(process=True)
def backups_of_backups(t):
    """A backup is a data directory, for every command."""
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 5)
        g.run('backup', '--data-dir', g.path('data'), g.path('one'))
        stop(broker)
        g.run('backup', '--data-dir', g.path('one'), g.path('two'))
        equal(counts(g.info('two')), {'q': (5, 500)}, 'queues')


@test(process=True)
def a_damaged_backup_is_not_restored(t):
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 50)
        g.run('backup', '--data-dir', g.path('data'), g.path('backup'))
        stop(broker)
        log = [name for name in os.listdir(g.path('backup/store')) if name.endswith('.log')][0]
        flip(g.path(f'backup/store/{log}'), os.path.getsize(g.path(f'backup/store/{log}')) // 2)
        output = g.run('restore', '--data-dir', g.path('again'), g.path('backup'), status=1)
        check('nothing was restored' in output, f'unclear:\n{output}')
        equal(os.listdir(g.path('again')), [], 'what was restored')


@test(process=True)
def restore_refuses(t):
    """To touch a store, whether a broker runs on it or not, and a directory that is used."""
    with ground(t) as g:
        broker = g.serve()
        fill(broker, 'q', 5)
        g.run('backup', '--data-dir', g.path('data'), g.path('backup'))
        fill(broker, 'q', 5, first=5)
        output = g.run('restore', '--data-dir', g.path('data'), g.path('backup'), status=1)
        check('a broker runs on' in output, f'unclear:\n{output}')
        output = g.run('backup', '--data-dir', g.path('data'), g.path('backup'), status=1)
        check('is not empty' in output, f'unclear:\n{output}')
        stop(broker)
        output = g.run('restore', '--data-dir', g.path('data'), g.path('backup'), status=1)
        check('is not empty, there is "store"' in output, f'unclear:\n{output}')
        equal(counts(g.info()), {'q': (10, 1000)}, 'queues')
        shutil.rmtree(g.path('data/store'))
        g.run('restore', '--data-dir', g.path('data'), g.path('backup'))
        broker = g.serve()
        equal(numbers(broker, 'q'), list(range(5)), 'messages')
        stop(broker)


def ask(path, request):
    """The answer to a request, all of it, unless too many others wait for one."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        try:
            client.connect(path)
        except BlockingIOError:
            return b'queued'
        client.sendall(request)
        answer = b''
        while not answer.endswith(b'\n') or not last_line(answer).startswith((b'ok', b'error')):
            octets = client.recv(4096)
            if not octets:
                return answer
            answer += octets
        return answer


def last_line(answer):
    return answer.rstrip(b'\n').rsplit(b'\n', 1)[-1]


@test(process=True)
def two_brokers(t):
    """The second one refuses, and leaves the first one's socket alone."""
    with ground(t) as g:
        broker = g.serve()
        second = broker.spawn(('127.0.0.1', free_port()), None)
        expect_refusal(second, 'another process uses it')
        check(ask(g.path('data/control.sock'), b'ping\n').startswith(b'ok railmq'), 'no answer')
        broker.process.kill()
        broker.wait()
        check(os.path.exists(g.path('data/control.sock')), 'expected the socket to be left')
        check('is sound' in g.verify(), 'expected it to be sound')
        broker = g.serve()
        check(ask(g.path('data/control.sock'), b'ping\n').startswith(b'ok railmq'), 'no answer')
        stop(broker)
        check(not os.path.exists(g.path('data/control.sock')), 'expected the socket to be gone')


@test(process=True)
def long_path(t):
    """Longer than an address of a socket can be."""
    with ground(t) as g:
        name = os.path.join(*['a-directory-with-a-long-name'] * 8)
        broker = g.serve(name)
        fill(broker, 'q', 3)
        equal(g.info(name)['running'], True, 'running')
        stop(broker)


@test(process=True)
def other_users_are_refused(t):
    if os.geteuid() != 0:
        return
    with ground(t) as g:
        broker = g.serve()
        path = g.path('data/control.sock')
        equal(os.stat(path).st_mode & 0o777, 0o600, 'mode of the socket')
        os.chmod(g.directory, 0o755)
        os.chmod(g.path('data'), 0o755)
        os.chmod(path, 0o666)
        client = ('import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n'
                  'print(s.recv(200).decode())')
        done = subprocess.run([sys.executable, '-c', client, path], user=65534, group=65534,
                              extra_groups=[], capture_output=True, text=True, timeout=20)
        check(done.stdout.startswith('error only root'), f'{done.stdout}{done.stderr}')
        stop(broker)


GARBAGE = {
    'nothing': b'\n',
    'unknown': b'reboot now\n',
    'zeros': bytes(100) + b'\n',
    'space': b' ping\n',
    'percent': b'%s%n%s%n\n',
    'overlong': b'x' * 5000,
}


@test(process=True, rows=GARBAGE)
def garbage(t, request):
    answer = ask(os.path.join(t.broker.directory, 'data', 'control.sock'), request)
    check(answer.startswith(b'error '), f'got {answer!r}')
    check(answer.endswith(b'\n') and b'\0' not in answer, f'got {answer!r}')


@test(process=True)
def a_hostile_crowd(t):
    """1000 connections that say nothing, half a line, or ask and do not read: the broker serves
    its clients, and commands as soon as the crowd has gone."""
    path = os.path.join(t.broker.directory, 'data', 'control.sock')
    channel = t.channel()
    queue = t.queue(channel)
    crowd = []
    for number in range(1000):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        crowd.append(client)
        try:
            client.connect(path)
            client.send((b'', b'pi', b'ping\n', b'checkpoint\n')[number % 4])
        except OSError:
            client.close()  # The queue of the socket is full.
    channel.publish(queue, b'still there')
    equal(channel.get(queue).body, b'still there', 'body')
    for client in crowd:
        client.close()
    eventually(lambda: ask(path, b'ping\n')[:3], b'ok ', 'answer', timeout=30)
    data = os.path.join(t.broker.directory, 'data')
    eventually(lambda: [name for name in os.listdir(data) if name.startswith('tmp-')], [],
               'what is left')


@test(process=True)
def checkpoints_are_bounded(t):
    """Four at a time; each goes when its client does."""
    data = os.path.join(t.broker.directory, 'data')
    path = os.path.join(data, 'control.sock')
    held = []
    for _ in range(4):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20)
        client.connect(path)
        client.sendall(b'checkpoint\n')
        answer = b''
        while b'ok ' not in answer or not answer.endswith(b'\n'):
            octets = client.recv(4096)
            check(octets, f'no checkpoint: {answer!r}')
            answer += octets
        name = last_line(answer)[3:].decode()
        check(os.path.exists(os.path.join(data, name, 'store', 'CURRENT')), f'no {name}')
        held.append((client, name))
    check(last_line(ask(path, b'checkpoint\n')).startswith(b'error 4 other'), 'expected an error')
    for client, name in held:
        client.close()
        eventually(lambda name=name: os.path.exists(os.path.join(data, name)), False, name)


@test(process=True)
def usage(t):
    with ground(t) as g:
        for command in ('info', 'verify', 'backup', 'restore'):
            check(f'Usage: railmq store {command}' in g.run(command, '--help'), 'no help')
            g.run(command, '--unknown', status=64)
        check('restore' in g.run('--help'), 'no list')
        check('did you mean info' in g.run('inof', status=64), 'no suggestion')
        g.run('backup', status=64)
        g.run('info', 'more', status=64)
