"""The log: its formats, its files, and names that would like to write lines of their own."""

import contextlib
import json
import os
import re
import signal
import subprocess

import amqp
from broker import STARTED, Broker, free_port
from harness import test, check, equal, eventually
from test_process import expect_refusal

PLAIN = True  # Its brokers have ports of their own.

TIME = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z')
PAIR = re.compile(r'([a-z_.0-9]+)=(?:"((?:[^"\\]|\\(?:["\\]|u[0-9a-f]{4}))*)"|([^\s"=]*))(?: |$)')
FORGED = 'x" level=error msg="forged\nts=2000 level=error'


@contextlib.contextmanager
def broker_with(t, *arguments):
    broker = Broker(t.broker.railmq)
    broker.arguments = list(arguments)
    broker.start()
    try:
        yield broker
        equal(broker.stop(), None, 'failure')
    finally:
        broker.kill()


def read_logfmt(line):
    pairs, at = {}, 0
    while at < len(line):
        found = PAIR.match(line, at)
        check(found, f'no pair at {line[at:]!r} of {line!r}')
        value = found[3] if found[2] is None else json.loads(f'"{found[2]}"')
        check(found[1] not in pairs, f'{found[1]} twice in {line!r}')
        pairs[found[1]], at = value, found.end()
    return pairs


def use(broker):
    """Connections that come, work, make a mistake, and go, under a forged name."""
    connection = amqp.Connection(broker.address, properties={'connection_name': FORGED})
    channel = connection.channel()
    channel.send('queue.declare', queue='none', passive=True)
    channel.expect_close(404, None, 'queue.declare')
    connection.send_method(0, 'connection.close', reply_code=200, reply_text='', class_id=0,
                           method_id=0)
    connection.take(0, 'connection.close-ok')
    connection.close()


def check_events(events):
    """What every format must tell of `use`: the phrases of RabbitMQ, and who it was."""
    by_message = {event.get('msg'): event for event in events}
    for phrase in ('accepting AMQP connection', 'authenticated and granted access',
                   'closing AMQP connection'):
        check(phrase in by_message, f'no {phrase!r} in {list(by_message)}')
    opened = by_message['authenticated and granted access']
    equal((opened['user'], opened['vhost'], opened['level']), ('guest', '/', 'info'), 'opened')
    equal(opened['name'], FORGED, 'name')
    failed = [event for event in events if event['event'] == 'channel.error'][0]
    equal((str(failed['chan']), failed['level']), ('1', 'warning'), 'channel error')
    check('no queue' in failed['err'], f'err: {failed}')
    equal(failed['conn'], opened['conn'], 'conn')
    check(not any(event['level'] == 'error' for event in events), f'forged: {events}')
    for event in events:
        check(TIME.fullmatch(event['ts']), f'ts: {event}')


@test(process=True)
def logfmt(t):
    with broker_with(t) as broker:
        use(broker)
    check_events([read_logfmt(line) for line in broker.lines])


@test(process=True)
def json_lines(t):
    with broker_with(t, '--log-format', 'json') as broker:
        use(broker)
    events = [json.loads(line) for line in broker.lines]
    check_events(events)
    equal([type(event['conn']) for event in events if 'conn' in event][0], int, 'type of conn')


@test(process=True)
def text(t):
    with broker_with(t, '--log-format', 'text') as broker:
        use(broker)
    for line in broker.lines:
        check(re.match(TIME.pattern + r' \[(info|warning)\] \S', line), f'line: {line!r}')
    opened = [line for line in broker.lines if 'authenticated and granted access' in line]
    equal(len(opened), 1, 'lines')
    check(' user="guest" vhost="/" ' in opened[0], opened[0])


@test(process=True)
def levels(t):
    with broker_with(t, '--log-level', 'debug') as broker:
        use(broker)
    check(any('level=debug' in line for line in broker.lines), 'no debug line')


def contents(path):
    try:
        with open(path, encoding='utf-8') as file:
            return file.read()
    except FileNotFoundError:
        return ''


@test(process=True)
def a_file_that_is_rotated(t):
    """After SIGUSR1 lines go into a new file; none is lost, none is in both."""
    path = os.path.join(t.broker.directory, t.name('log'))
    broker = Broker(t.broker.railmq)
    broker.address = ('127.0.0.1', 0)
    broker.directory = t.broker.directory
    broker.arguments = ['--log-output', path]
    process = broker.spawn(broker.address, os.path.join(t.broker.directory, t.name('data')))
    try:
        eventually(lambda: STARTED in contents(path), True, 'a start in the file')
        equal(os.stat(path).st_mode & 0o777, 0o640, 'mode')
        address = ('127.0.0.1', int(re.search(r'port=(\d+)', contents(path))[1]))
        for turn in range(3):
            moved = f'{path}.{turn}'
            amqp.Connection(address, properties={'connection_name': f'before-{turn}'}).close()
            eventually(lambda: f'before-{turn}"' in contents(path), True, 'a line before')
            os.rename(path, moved)
            process.send_signal(signal.SIGUSR1)
            eventually(lambda: os.path.exists(path), True, 'a new file')
            amqp.Connection(address, properties={'connection_name': f'after-{turn}'}).close()
            eventually(lambda: f'after-{turn}"' in contents(path), True, 'a line after')
            check(f'before-{turn}"' in contents(moved), 'the line before is lost')
            check(f'after-{turn}"' not in contents(moved), 'the line after is in the old file')
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
    equal((process.returncode, rest), (0, ''), 'end, and stderr')
    check('event=server.stopped' in contents(path), 'the last line is missing')


@test(process=True)
def a_file_that_cannot_be_made(t):
    broker = Broker(t.broker.railmq)
    broker.arguments = ['--log-output', '/nowhere/at/all.log']
    process = broker.spawn(('127.0.0.1', 0), os.path.join(t.broker.directory, t.name('data')))
    expect_refusal(process, 'cannot open the log /nowhere/at/all.log')


@test(process=True)
def a_format_that_is_none(t):
    broker = Broker(t.broker.railmq)
    broker.arguments = ['--log-format', 'xml']
    process = broker.spawn(('127.0.0.1', 0), os.path.join(t.broker.directory, t.name('data')))
    expect_refusal(process, 'write one of logfmt, json, text')


@test(process=True)
def a_log_that_nobody_reads(t):
    """stderr is a pipe that is full: connections are served all the same, and it stops."""
    port = free_port()
    process = subprocess.Popen(
        [t.broker.railmq, 'serve', '--listen', f'127.0.0.1:{port}', '--log-level', 'debug',
         '--data-dir', os.path.join(t.broker.directory, t.name('data'))],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while STARTED.encode() not in process.stderr.readline():
            pass
        for _ in range(400):  # Some 250 octets a line, seven lines a connection: far beyond 64 KiB.
            amqp.Connection(('127.0.0.1', port)).close()
        process.send_signal(signal.SIGTERM)
        equal(process.wait(30), 0, 'exit status')
    finally:
        process.kill()
        process.communicate()
