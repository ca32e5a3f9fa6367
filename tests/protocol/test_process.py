"""The process: starting, refusing to start, and stopping."""

import os
import subprocess
import time

import amqp
from audit import ConfirmAuditor
from broker import STARTED, Broker, free_port
from harness import test, check, equal

WEIGHT = 5
SHUTDOWN = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"


def fresh(t):
    return Broker(t.broker.railmq).start()


def finished(process):
    """Exit status and log of a process that ends by itself."""
    try:
        _, log = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise amqp.Mismatch('expected the process to end, it still runs after 20 s') from None
    return process.returncode, log


def expect_refusal(process, word):
    """Not zero, not by a signal, and one line says what is wrong."""
    status, log = finished(process)
    check(status > 0, f'expected an exit status above 0, got {status}:\n{log}')
    check(STARTED not in log, f'it claims to have started:\n{log}')
    lines = [line for line in log.splitlines() if word in line]
    equal(len(lines), 1, f'lines with {word!r} in:\n{log}')


@test(process=True)
def sigterm_closes_connections(t):
    """With 320, whatever they are doing; the exit status is 0."""
    broker = fresh(t)
    connections = [amqp.Connection(broker.address) for _ in range(5)]
    channels = [connection.channel() for connection in connections]
    queue = channels[0].declare(exclusive=True).queue
    channels[0].consume(queue)
    channels[1].connection.send(amqp.method_frame(1, 'basic.publish', exchange='amq.fanout'))
    channels[2].call('tx.select')
    channels[3].send('queue.declare', queue='none', passive=True)
    channels[3].take('channel.close')
    broker.terminate()
    for connection in connections:
        connection.expect_close(320, SHUTDOWN, None)
    equal(broker.stop(), None, 'failure')


@test(process=True)
def sigterm_with_handshakes_going_on(t):
    broker = fresh(t)
    wires = [amqp.Wire(broker.address) for _ in range(5)]
    for index, wire in enumerate(wires):
        wire.send((amqp.PROTOCOL_HEADER + amqp.start_ok('guest', 'guest'))[:index * 20])
    broker.terminate()
    equal(broker.stop(), None, 'failure')
    for wire in wires:
        wire.close()


@test(process=True, timed=True)
def sigterm_with_a_peer_that_never_answers(t):
    """Nor reads: the broker goes all the same, before anybody would kill it."""
    broker = fresh(t)
    stuck = amqp.Connection(broker.address)
    channel = stuck.channel()
    queue = channel.declare(exclusive=True).queue
    channel.consume(queue, no_ack=True)
    publisher = ConfirmAuditor(amqp.Connection(broker.address).channel())
    for _ in range(200):
        publisher.publish(queue, bytes(100000))
    publisher.wait()
    broker.terminate()
    equal(broker.stop(), None, 'failure')
    stuck.close()


@test(process=True)
def sigterm_while_everybody_publishes(t):
    broker = fresh(t)
    auditors = [ConfirmAuditor(amqp.Connection(broker.address).channel()) for _ in range(4)]
    queue = auditors[0].channel.declare('busy').queue
    for _ in range(300):
        for auditor in auditors:
            auditor.publish(queue, bytes(1000))
    broker.terminate()
    for auditor in auditors:
        auditor.channel.connection.expect_close(320, SHUTDOWN, None)
    equal(broker.stop(), None, 'failure')


@test(process=True, stored=True)
def sigterm_hands_nothing_to_those_who_are_next(t):
    """What was never sent to anybody is not marked as if it had been, though its queue had other
    consumers when the connection of the active one was closed."""
    broker = fresh(t)
    channels = [amqp.Connection(broker.address).channel() for _ in range(8)]
    queue = channels[0].declare('handed', durable=True,
                                arguments={'x-single-active-consumer': True}).queue
    channels[0].qos(1)
    for channel in channels:
        channel.consume(queue)
    publisher = ConfirmAuditor(channels[0])
    for _ in range(5):
        publisher.publish(queue, b'x', properties={'delivery_mode': 2})
    publisher.wait()
    broker.terminate()
    for channel in channels:
        channel.connection.expect_close(320, SHUTDOWN, None)
    equal(broker.wait(), 0, 'exit status')
    check(broker.launch(), broker.log_tail())
    channel = amqp.Connection(broker.address).channel()
    equal([channel.get(queue).redelivered for _ in range(5)], [True] + [False] * 4, 'redelivered')
    equal(broker.stop(), None, 'failure')


@test(process=True)
def new_connections_are_refused_while_stopping(t):
    """A connection that has not answered the close keeps the process for a moment. Others
    are turned away meanwhile, and not left waiting."""
    broker = fresh(t)
    connection = amqp.Connection(broker.address)
    broker.terminate()
    connection.next(0, lambda method: method.name == 'connection.close')
    try:
        wire = amqp.Wire(broker.address, deadline=3)
        wire.send(amqp.PROTOCOL_HEADER)
        equal(wire.read_octets(1), b'', 'octets for a new connection')
    except (ConnectionError, amqp.ConnectionLost):
        pass
    connection.send_method(0, 'connection.close-ok')
    connection.close()
    equal(broker.stop(), None, 'failure')


@test(process=True)
def port_may_be_used_again_at_once(t):
    broker = fresh(t)
    for _ in range(3):
        connection = amqp.Connection(broker.address)
        connection.channel()
        broker.terminate()
        connection.expect_close(320, SHUTDOWN, None)
        equal(broker.wait(), 0, 'exit status')
        again = Broker(broker.railmq)
        again.directory, again.address = broker.directory, broker.address
        again.launch()
        check(again.alive(), f'it did not start again:\n{again.log_tail()}')
        broker = again
    equal(broker.stop(), None, 'failure')


@test(process=True)
def port_is_taken(t):
    process = t.broker.spawn(t.broker.address, os.path.join(t.broker.directory, t.name()))
    expect_refusal(process, str(t.broker.address[1]))
    t.connect().finish()


@test(process=True)
def data_directory_cannot_be_made(t):
    path = os.path.join(t.broker.directory, t.name('file'))
    with open(path, 'w', encoding='ascii'):
        pass
    expect_refusal(t.broker.spawn(('127.0.0.1', free_port()), os.path.join(path, 'data')), path)


@test(process=True)
def data_directory_is_a_file(t):
    path = os.path.join(t.broker.directory, t.name('file'))
    with open(path, 'w', encoding='ascii'):
        pass
    expect_refusal(t.broker.spawn(('127.0.0.1', free_port()), path), path)


@test(process=True, rows={'port': ('127.0.0.1', 'nonsense'), 'large port': ('127.0.0.1', 70000),
                          'address': ('not an address', 5672)})
def listen_address_that_makes_no_sense(t, address):
    path = os.path.join(t.broker.directory, t.name('data'))
    status, log = finished(t.broker.spawn(address, path))
    check(status > 0, f'expected an exit status above 0, got {status}:\n{log}')
    check(str(address[1]) in log or address[0] in log, f'nothing names the address:\n{log}')


@test(process=True)
def nothing_is_written_outside_the_data_directory(t):
    """Nor does the broker leave threads or sockets behind that keep it from ending soon."""
    broker = fresh(t)
    before = set(os.listdir(os.getcwd()))
    amqp.Connection(broker.address).finish()
    began = time.monotonic()
    equal(broker.stop(), None, 'failure')
    check(time.monotonic() - began < amqp.DEADLINE, 'an idle broker took long to stop')
    equal(set(os.listdir(os.getcwd())) - before, set(), 'new files in the working directory')
