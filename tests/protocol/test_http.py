"""Metrics and health over HTTP, and clients that mean no good."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess

import amqp
import prometheus
from broker import Broker
from harness import test, check, equal, eventually, settle
from test_process import expect_refusal


class Served:
    """A broker with an HTTP listener."""

    def __init__(self, t, config=None):
        self.broker = Broker(t.broker.railmq)
        self.broker.arguments = ['--http', '127.0.0.1:0']
        if config is not None:
            path = os.path.join(t.broker.directory, t.name('yaml'))
            with open(path, 'w', encoding='utf-8') as file:
                file.write('version: 1\n' + config)
            self.broker.arguments = ['--config', path]
        self.connections = []
        self.broker.start()

    def connect(self):
        self.connections.append(amqp.Connection(self.broker.address))
        return self.connections[-1]

    def hang_up(self):
        for connection in self.connections:
            connection.close()

    def ports(self):
        return [int(found[1]) for line in self.broker.lines
                if (found := re.search(r'protocol=http .*port=(\d+)', line))]

    def ask(self, path, method='GET', port=None, body=None):
        connection = http.client.HTTPConnection('127.0.0.1', port or self.ports()[0], timeout=30)
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer, text

    def metrics(self, path='/metrics'):
        answer, text = self.ask(path)
        equal(answer.status, 200, 'status')
        equal(answer.getheader('Content-Type'), 'text/plain; version=0.0.4; charset=utf-8', 'type')
        return prometheus.read(text)

    def value(self, name, **labels):
        rows = [value for found, value in self.metrics()[name] if found == labels]
        equal(len(rows), 1, f'samples of {name}')
        return rows[0]


@contextlib.contextmanager
def served(t, config=None):
    s = Served(t, config)
    try:
        yield s
        s.hang_up()
        equal(s.broker.stop(), None, 'failure')
    finally:
        s.broker.kill()


@test(process=True)
def metrics_count_what_happened(t):
    with served(t) as s:
        connection = s.connect()
        channel = connection.channel()
        queue = channel.declare(durable=True, queue=t.name()).queue
        channel.call('confirm.select')
        for _ in range(7):
            channel.publish(queue, b'12345', properties={'delivery_mode': 2})
        channel.publish('nowhere', b'x')
        channel.publish('nowhere', b'x', mandatory=True)
        settle(channel, queue, 7)
        tags = [channel.get(queue, no_ack=False).delivery_tag for _ in range(3)]
        channel.get(queue)
        channel.ack(tags[0])
        channel.nack(tags[1], requeue=False)
        settle(channel, queue, 3)
        eventually(lambda: s.value('rabbitmq_global_messages_confirmed_total'), 9, 'confirmed')
        found = {name: rows[0][1] for name, rows in s.metrics().items() if rows[0][0] == {}}
        wanted = {
            'rabbitmq_queue_messages_ready': 3, 'rabbitmq_queue_messages_unacked': 1,
            'rabbitmq_queue_messages': 4, 'rabbitmq_queue_messages_ready_bytes': 15,
            'rabbitmq_queues': 1, 'rabbitmq_connections': 1, 'rabbitmq_consumers': 0,
            'rabbitmq_connections_opened_total': 1, 'rabbitmq_connections_closed_total': 0,
            'rabbitmq_channels_opened_total': 1, 'rabbitmq_global_messages_received_total': 9,
            'rabbitmq_global_messages_received_confirm_total': 9,
            'rabbitmq_global_messages_routed_total': 7,
            'rabbitmq_global_messages_unroutable_returned_total': 1,
            'rabbitmq_global_messages_unroutable_dropped_total': 1,
            'rabbitmq_global_messages_delivered_get_manual_ack_total': 3,
            'rabbitmq_global_messages_delivered_get_auto_ack_total': 1,
            'rabbitmq_global_messages_acknowledged_total': 1, 'rail_messages_rejected_total': 1,
            'rabbitmq_alarms_memory_used_watermark': 0, 'rail_phase': 1, 'rail_store_failed': 0}
        equal({name: found.get(name) for name in wanted}, wanted, 'metrics')
        check(found['rail_commit_seconds_count'] > 0, 'no commits')
        check(found['rail_committed_bytes_total'] > 35, 'no octets committed')
        for name in ('rabbitmq_process_resident_memory_bytes', 'rabbitmq_process_open_fds',
                     'rabbitmq_process_max_fds', 'rabbitmq_disk_space_available_bytes',
                     'process_cpu_seconds_total', 'rabbitmq_resident_memory_limit_bytes'):
            check(found[name] > 0, f'{name} is {found[name]}')


@test(process=True)
def consumers_are_counted(t):
    with served(t) as s:
        channel = s.connect().channel()
        queue = channel.declare(exclusive=True).queue
        channel.consume(queue, no_ack=True)
        for _ in range(5):
            channel.publish(queue, b'x')
        channel.bodies(5)
        equal(s.value('rabbitmq_global_messages_delivered_consume_auto_ack_total'), 5, 'delivered')
        equal(s.value('rabbitmq_consumers'), 1, 'consumers')
        channel.connection.close()
        eventually(lambda: s.value('rabbitmq_connections_closed_total'), 1, 'closed')


@test(process=True)
def refused_logins_are_counted(t):
    with served(t) as s:
        for user, password in (('guest', 'wrong'), ('nobody', 'guest')):
            try:
                amqp.Connection(s.broker.address, user=user, password=password)
            except amqp.Closed as closed:
                equal(closed.code, 403, 'answer')
        equal(s.value('rail_logins_refused_total'), 2, 'refused')
        s.connect()
        equal(s.value('rail_logins_refused_total'), 2, 'refused')


@test(process=True)
def metrics_of_each_queue(t):
    with served(t) as s:
        channel = s.connect().channel()
        name = 'a "quoted"\\ name'
        channel.declare(name, exclusive=True)
        channel.publish(name, b'x')
        settle(channel, name, 1)
        found = s.metrics('/metrics/per-object')
        equal(found['rabbitmq_queue_messages_ready'], [({'vhost': '/', 'queue': name}, 1.0)],
              'rows')
        equal(found['rail_queues_not_shown'], [({}, 0.0)], 'not shown')
        check(all(labels == {} for labels, _ in s.metrics()['rabbitmq_queue_messages_ready']),
              'the plain page names queues')


DRIFTING = '''
apply: {prune: owned}
listeners: [{protocol: amqp, bind: "127.0.0.1:0"}, {protocol: http, bind: "127.0.0.1:0"}]
users: {app: {password: secret}}
vhosts: {/: {queues: {q: {}, r: {}}, permissions: {app: {read: a}}}}
'''


@test(process=True, stored=True)
def metrics_tell_of_drift(t):
    """1 once programs, or another file, have changed what the file of the broker says."""
    with served(t, DRIFTING) as s:
        railmq, data = t.broker.railmq, os.path.join(s.broker.directory, 'data')
        path = s.broker.arguments[1]

        def drift(expected, what):
            eventually(lambda: s.value('rail_topology_drift'), expected, what)

        def apply(text):
            other = path + '.other'
            with open(other, 'w', encoding='utf-8') as file:
                file.write('version: 1\n' + text)
            subprocess.run([railmq, 'apply', '--data-dir', data, other], check=True,
                           capture_output=True, timeout=60)

        def reload(text, event):
            with open(path, 'w', encoding='utf-8') as file:
                file.write('version: 1\n' + text)
            before = sum(event in line for line in s.broker.lines)
            os.kill(s.broker.pid, signal.SIGHUP)
            eventually(lambda: sum(event in line for line in s.broker.lines), before + 1, event)
        drift(0, 'at the start')
        channel = s.connect().channel()
        channel.declare('somebodys.own', durable=True)
        drift(0, 'with a queue that the file does not know')
        channel.call('queue.delete', queue='q')
        drift(1, 'without a queue of the file')
        channel.declare('q', durable=True)
        drift(0, 'with the queue again')
        apply('users: {app: {password: other}}\n')
        drift(1, 'with another password')
        reload(DRIFTING, 'event=config.reloaded')
        drift(0, 'after a reload')
        channel.publish('r', b'x', properties={'delivery_mode': 2})
        channel.sync()
        reload(DRIFTING.replace(', r: {}', ''), 'event=config.reload_failed')
        drift(1, 'while the file is refused')
        channel.get('r')
        reload(DRIFTING.replace(', r: {}', ''), 'event=config.reloaded')
        drift(0, 'once it is not')
    with served(t) as s:
        check('rail_topology_drift' not in s.metrics(), 'there is no file')


@test(process=True)
def health_of_a_running_broker(t):
    with served(t) as s:
        for path, text in (('/health/live', 'alive\n'), ('/health/ready', 'ready\n')):
            answer, got = s.ask(path)
            equal((answer.status, got), (200, text), path)
            equal(s.ask(path, 'HEAD')[0].status, 200, f'HEAD {path}')


@test(process=True)
def connections_are_kept(t):
    with served(t) as s:
        connection = http.client.HTTPConnection('127.0.0.1', s.ports()[0], timeout=30)
        connection.connect()
        port = connection.sock.getsockname()[1]
        for path in ('/health/live', '/metrics', '/nowhere'):
            connection.request('GET', path)
            connection.getresponse().read()
            check(connection.sock is not None, f'closed after {path}')
            equal(connection.sock.getsockname()[1], port, 'port')
        connection.close()


@test(process=True)
def not_ready_while_it_stops(t):
    """It stays alive, and says so, until the last connection has gone."""
    with served(t) as s:
        connection = s.connect()
        s.broker.terminate()
        connection.take(0, 'connection.close')
        answer, text = s.ask('/health/ready')
        equal((answer.status, text.split(':')[0]), (503, 'stopping'), 'ready')
        equal(s.ask('/health/live')[0].status, 200, 'live')
        equal(s.value('rail_phase'), 2, 'phase')
        connection.send(amqp.method_frame(0, 'connection.close-ok'))


@test(process=True)
def pages_that_are_not_there(t):
    with served(t, 'listeners:\n'
                   '  - {protocol: amqp, bind: "127.0.0.1:0"}\n'
                   '  - {protocol: http, bind: "127.0.0.1:0", serve: [health]}\n'
                   '  - {protocol: http, bind: "127.0.0.1:0", serve: metrics}\n') as s:
        health, metrics = s.ports()
        for path, port, status in (('/health/live', health, 200), ('/metrics', health, 404),
                                   ('/metrics', metrics, 200), ('/health/ready', metrics, 404),
                                   ('/', health, 404), ('/../metrics', metrics, 404),
                                   ('/metrics/', metrics, 404), ('/%6detrics', metrics, 200)):
            equal(s.ask(path, port=port)[0].status, status, f'{path} on {port}')
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS', 'BREW'):
            answer, _ = s.ask('/metrics', method, metrics, body=b'x' * 100)
            equal((answer.status, answer.getheader('Allow')), (405, 'GET, HEAD'), method)


@test(process=True)
def requests_that_are_none(t):
    """They are refused or dropped, and the next one is served."""
    with served(t) as s:
        for octets in (b'\x00' * 100, b'GET\r\n\r\n', b'GET /metrics HTTP/9.9\r\n\r\n',
                       b'GET /metrics HTTP/1.1\r\n\r\n', b'AMQP\x00\x00\x09\x01',
                       b'GET /' + b'a' * 100_000 + b' HTTP/1.1\r\nHost: x\r\n\r\n',
                       b'GET / HTTP/1.1\r\nHost: x\r\n' + b'A: b\r\n' * 10_000 + b'\r\n',
                       b'POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nx',
                       b'GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'):
            with socket.create_connection(('127.0.0.1', s.ports()[0]), timeout=1) as sock:
                with contextlib.suppress(OSError):  # It may wait for more, or hang up at once.
                    sock.sendall(octets)
                    while sock.recv(65536):
                        pass
            equal(s.ask('/health/live')[0].status, 200, f'after {octets[:40]}')


@test(process=True)
def idle_connections_do_not_lock_others_out(t):
    """One address has only so many; they are closed, and AMQP does not notice."""
    with served(t) as s:
        idle = []
        for _ in range(80):
            idle.append(socket.create_connection(('127.0.0.1', s.ports()[0]), timeout=30))
        s.connect().channel()
        for sock in idle:
            sock.close()
        eventually(lambda: reachable(s), True, 'served again')


def reachable(s):
    try:
        return s.ask('/health/live')[0].status == 200
    except (OSError, http.client.HTTPException):
        return False


@test(process=True)
def a_taken_port_is_one_line(t):
    with served(t) as s:
        port = s.ports()[0]
        other = Broker(t.broker.railmq)
        other.arguments = ['--http', f'127.0.0.1:{port}']
        process = other.spawn(('127.0.0.1', 0), os.path.join(t.broker.directory, t.name('data')))
        expect_refusal(process, f'cannot listen on 127.0.0.1 port {port}')


@test(process=True)
def serve_belongs_to_http_alone(t):
    path = os.path.join(t.broker.directory, t.name('yaml'))
    for listener, words in (
            ('{protocol: amqp, bind: "127.0.0.1:0", serve: [metrics]}', 'only an http listener'),
            ('{protocol: http, bind: "127.0.0.1:0", serve: [metrics, ui]}', 'a list of what is'),
            ('{protocol: http, bind: "127.0.0.1:0", serve: []}', 'a list of what is')):
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'version: 1\nlisteners:\n  - {listener}\n')
        done = subprocess.run([t.broker.railmq, 'check', path], capture_output=True, text=True)
        equal(done.returncode, 1, f'exit status: {done.stderr}')
        check(words in done.stderr and f'{path}:3:' in done.stderr, done.stderr)
