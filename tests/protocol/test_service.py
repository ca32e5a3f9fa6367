"""What the service manager is told, with a socket in its place."""

import contextlib
import os
import signal
import socket

import amqp
from broker import Broker
from harness import test, check, equal


class Manager:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(30)
        self.sock.bind(address)

    def next(self, wanted):
        """The next message with that line; what comes before it is skipped."""
        seen = []
        while True:
            try:
                lines = self.sock.recv(4096).decode().split('\n')
            except TimeoutError:
                raise amqp.Mismatch(f'expected {wanted}, got {seen}') from None
            if wanted in lines:
                return dict(line.split('=', 1) for line in lines)
            seen.append(lines)

    def rest(self):
        self.sock.setblocking(False)
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self.sock.recv(4096).decode())
        return messages


@contextlib.contextmanager
def managed(t, address, variables=None, arguments=()):
    """A broker that is told of a manager."""
    manager = Manager(address)
    broker = Broker(t.broker.railmq)
    broker.arguments = list(arguments)
    broker.environment = {**(variables or {}), 'NOTIFY_SOCKET':
                          '@' + address[1:] if address[0] == '\0' else address}
    broker.start()
    try:
        yield manager, broker
    finally:
        broker.kill()
        manager.sock.close()


@test(process=True, rows={'path': '', 'abstract': '\0'})
def ready_reloading_stopping(t, kind):
    path = os.path.join(t.broker.directory, t.name('yaml'))
    with open(path, 'w', encoding='utf-8') as file:
        file.write('version: 1\n')
    address = kind + os.path.join('' if kind else t.broker.directory, t.name('notify'))
    with managed(t, address, arguments=['--config', path]) as (manager, broker):
        equal(manager.next('READY=1')['STATUS'], 'Serving', 'status')
        amqp.Connection(broker.address).close()
        broker.process.send_signal(signal.SIGHUP)
        reloading = manager.next('RELOADING=1')
        check(int(reloading['MONOTONIC_USEC']) > 0, f'reloading: {reloading}')
        manager.next('READY=1')
        broker.terminate()
        manager.next('STOPPING=1')
        equal(broker.stop(), None, 'failure')
        check(not any('WATCHDOG' in message for message in manager.rest()), 'a watchdog unasked for')


@test(process=True)
def watchdog(t):
    address = os.path.join(t.broker.directory, t.name('notify'))
    with managed(t, address, {'WATCHDOG_USEC': '200000'}) as (manager, broker):
        manager.next('READY=1')
        for _ in range(5):
            manager.next('WATCHDOG=1')
        broker.terminate()
        equal(broker.stop(), None, 'failure')


@test(process=True)
def watchdog_of_another_process(t):
    address = os.path.join(t.broker.directory, t.name('notify'))
    with managed(t, address, {'WATCHDOG_USEC': '2000', 'WATCHDOG_PID': '1'}) as (manager, broker):
        manager.next('READY=1')
        broker.terminate()
        manager.next('STOPPING=1')
        equal(broker.stop(), None, 'failure')
        check(not any('WATCHDOG' in message for message in manager.rest()), 'a watchdog unasked for')


@test(process=True, rows={'nobody': 'gone', 'relative': 'some/where', 'long': '/' + 'x' * 300,
                          'empty': ''})
def a_manager_that_is_not_there(t, address):
    """It starts and serves as it would on a terminal."""
    if address == 'gone':
        address = os.path.join(t.broker.directory, 'gone')
    broker = Broker(t.broker.railmq)
    broker.environment = {'NOTIFY_SOCKET': address}
    broker.start()
    amqp.Connection(broker.address).close()
    equal(broker.stop(), None, 'failure')


@test(process=True)
def signals_while_it_stops(t):
    """Reload and reopen come too late, and do not kill it."""
    broker = Broker(t.broker.railmq).start()
    connection = amqp.Connection(broker.address)
    broker.terminate()
    connection.take(0, 'connection.close')
    for number in (signal.SIGHUP, signal.SIGUSR1):
        broker.process.send_signal(number)
    connection.send(amqp.method_frame(0, 'connection.close-ok'))
    connection.close()
    equal(broker.stop(), None, 'failure')
