"""Consumers that keep what they got: after a time their channel is closed, and others get it."""

import os
import re

import amqp
from broker import Broker
from harness import test, check, equal, eventually

WEIGHT = 3


class ImpatientBroker(Broker):
    """It looks for the overdue as often as its own timeout is long."""

    def spawn(self, address, data):
        settings = os.path.join(self.directory, 'railmq.yaml')
        with open(settings, 'w', encoding='utf-8') as file:
            file.write('version: 1\nlimits: {consumer_timeout: 200ms}\n')
        self.arguments = ['--config', settings]
        return super().spawn(address, data)

    def close(self):
        self.kill()


def start(t):
    broker = ImpatientBroker(t.broker.railmq)
    t.sockets.append(broker)
    broker.start()
    return broker, amqp.Connection(broker.address)


def hold(connection, queue, **arguments):
    """A channel with a consumer of the queue that has got a message and keeps it."""
    channel = connection.channel()
    channel.call('queue.declare', queue=queue, arguments=arguments)
    channel.consume(queue, 'tag')
    channel.publish(queue, b'kept')
    channel.deliver()
    return channel


def expect_timeout(channel, milliseconds):
    channel.expect_close(
        406, f'PRECONDITION_FAILED - delivery acknowledgement on channel {channel.number} timed '
             f'out. Timeout value used: {milliseconds} ms. This timeout value can be configured, '
             'see consumers doc guide to learn more')


@test
def the_broker_has_a_timeout(t):
    """The channel closes, the message goes back, and the log says what it was."""
    broker, connection = start(t)
    channel = hold(connection, 'held')
    expect_timeout(channel, 200)
    message = connection.channel().get('held')
    equal((message.body, message.redelivered), (b'kept', True), 'what came back')
    eventually(lambda: sum('consumer.timeout' in line for line in broker.lines), 1, 'timeouts')
    lines = [line for line in broker.lines if 'consumer.timeout' in line]
    found = re.search(r'queue="held" consumer="tag" delivery_tag=1 age_ms=(\d+)', lines[0])
    check(found is not None and int(found.group(1)) >= 200, lines[0])
    connection.finish()
    equal(broker.stop(), None, 'failure')


@test
def a_queue_may_be_more_patient_or_less(t):
    broker, connection = start(t)
    patient = hold(connection, 'patient', **{'x-consumer-timeout': 3600_000})
    hurried = hold(connection, 'hurried', **{'x-consumer-timeout': 20})
    ordinary = hold(connection, 'ordinary')
    expect_timeout(hurried, 20)
    expect_timeout(ordinary, 200)
    patient.call('basic.qos', prefetch_count=1)  # It is still open.
    eventually(lambda: sum('consumer.timeout' in line for line in broker.lines), 2, 'timeouts')
    connection.finish()
    equal(broker.stop(), None, 'failure')
