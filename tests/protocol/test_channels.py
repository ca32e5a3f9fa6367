"""The life of a channel: opening, failing, closing, and numbers used again."""

import amqp
from amqp import method_frame, publish_frames
from harness import test, equal

SECOND = "CHANNEL_ERROR - second 'channel.open' seen"
EXPECTED = "CHANNEL_ERROR - expected 'channel.open'"


def fail(t, channel):
    """Makes the broker close the channel; returns before close-ok is sent."""
    channel.send('queue.declare', queue=t.name('missing'), passive=True)
    return channel.take('channel.close')


@test
def open_ok_carries_an_empty_longstr(t):
    channel = t.connect().unopened()
    equal(channel.call('channel.open').reserved_1, '', 'channel.open-ok')


@test
def close_and_open_the_same_number(t):
    channel = t.channel()
    for _ in range(50):
        channel.close()
        channel.call('channel.open')
    channel.sync()


@test(rail_only=True)
def close_and_open_pipelined(t):
    channel = t.channel()
    channel.connection.send((method_frame(1, 'channel.close') +
                             method_frame(1, 'channel.open')) * 100)
    for _ in range(100):
        channel.take('channel.close-ok')
        channel.take('channel.open-ok')
    channel.sync()


@test
def any_number_of_channel_errors(t):
    connection = t.connect()
    bystander = connection.channel()
    for _ in range(50):
        channel = connection.channel(7)
        fail(t, channel)
        channel.send('channel.close-ok')
        bystander.sync()


@test
def frames_for_a_failed_channel_are_dropped(t):
    """Publishes too, and with their content, until close-ok."""
    channel, other = t.channel(), t.channel()
    queue = t.queue(other, auto_delete=True)
    fail(t, channel)
    channel.connection.send(publish_frames(1, queue, b'x' * 1000, piece=100) * 20 +
                            method_frame(1, 'queue.declare', queue=t.name()) +
                            method_frame(1, 'basic.ack', delivery_tag=77) +
                            method_frame(1, 'channel.close-ok'))
    channel.call('channel.open')
    channel.sync()
    equal(channel.declare(queue, passive=True).message_count, 0, 'messages published meanwhile')


@test
def pipelined_after_the_failure(t):
    """The same with everything sent before the failure is known, a publish cut in two."""
    channel = t.channel()
    queue = t.queue(channel)
    publish = publish_frames(1, queue, b'x' * 100, piece=10)
    channel.connection.send(method_frame(1, 'queue.declare', queue=t.name(), passive=True) +
                            publish * 3 + publish[:-57])
    channel.expect_close(404, None, 'queue.declare')


@test
def failure_in_the_middle_of_a_content(t):
    """A publish to a missing exchange: its header and body are swallowed."""
    channel = t.channel()
    channel.connection.send(publish_frames(1, 'k', b'x' * 1000, exchange=t.name(), piece=10))
    channel.expect_close(404, None, 'basic.publish')
    channel.call('channel.open')
    channel.sync()


@test
def close_crosses_close(t):
    """A close for a channel the broker is closing is answered, and close-ok still awaited."""
    channel = t.channel()
    fail(t, channel)
    channel.send('channel.close')
    channel.take('channel.close-ok')
    channel.send('channel.close-ok')
    channel.call('channel.open')
    channel.sync()


@test
def open_before_close_ok(t):
    channel = t.channel()
    fail(t, channel)
    channel.send('channel.open')
    channel.connection.expect_close(504, SECOND, 'channel.open')


@test
def channel_that_is_never_closed_by_its_client(t):
    """Some clients send close-ok late or never: the rest of the connection goes on."""
    connection = t.connect()
    failed = connection.channel()
    fail(t, failed)
    for _ in range(20):
        channel = connection.channel()
        channel.sync()
    equal(list(failed.inbox), [], 'further methods on the failed channel')


@test
def open_twice(t):
    channel = t.channel()
    channel.send('channel.open')
    channel.connection.expect_close(504, SECOND, 'channel.open')


@test(rows={name: name for name in (
    'queue.declare', 'basic.publish', 'basic.qos', 'channel.close', 'channel.flow', 'tx.select',
    'basic.ack')})
def method_on_a_channel_that_was_never_opened(t, name):
    connection = t.connect()
    connection.send_method(3, name)
    if name == 'basic.publish':
        connection.send(amqp.header_frame(3, 0))
    connection.expect_close(504, EXPECTED, name)


@test
def method_on_a_channel_that_was_closed(t):
    channel = t.channel()
    channel.close()
    channel.send('basic.qos')
    channel.connection.expect_close(504, EXPECTED, 'basic.qos')


@test(rows={'1': 1, '2': 2, '10': 10})
def channel_max_limits_the_count(t, limit):
    connection = t.connect(channel_max=limit)
    for _ in range(limit):
        connection.channel()
    connection.unopened().send('channel.open')
    connection.expect_close(
        530, f'NOT_ALLOWED - number of channels opened ({limit}) has reached the negotiated '
             f'channel_max ({limit})', None)


@test
def closed_channels_do_not_count(t):
    connection = t.connect(channel_max=2)
    for _ in range(10):
        connection.channel().close()
    first = connection.channel()
    fail(t, first)
    first.send('channel.close-ok')
    channels = [connection.channel(), connection.channel()]
    for channel in channels:
        channel.sync()


@test
def number_above_channel_max(t):
    connection = t.connect(channel_max=2)
    connection.channel(65535).sync()
    connection.channel(1000).sync()


@test
def all_channels(t):
    """As many as the broker offers, all in use."""
    connection = t.connect()
    for start in range(1, 2048, 200):
        numbers = range(start, min(start + 200, 2048))
        connection.send(b''.join(method_frame(number, 'channel.open') for number in numbers))
        for number in numbers:
            connection.take(number, 'channel.open-ok')
    queue = t.queue(connection.unopened(1))
    connection.send(b''.join(publish_frames(number, queue, b'%d' % number)
                             for number in range(1, 2048)))
    getter = connection.unopened(2047)
    for number in range(1, 2048):
        connection.unopened(number).sync()
    bodies = {int(getter.get(queue).body) for _ in range(1, 2048)}
    equal(bodies, set(range(1, 2048)), 'publishing channels')


@test
def replies_come_in_request_order(t):
    channel = t.channel()
    queue = t.queue(channel)
    requests = [('queue.declare', {'queue': queue, 'passive': True}), ('basic.qos', {}),
                ('queue.bind', {'queue': queue, 'exchange': 'amq.direct'}),
                ('queue.unbind', {'queue': queue, 'exchange': 'amq.direct'}),
                ('exchange.declare', {'exchange': 'amq.topic', 'passive': True}),
                ('queue.purge', {'queue': queue}), ('basic.cancel', {'consumer_tag': 'none'}),
                ('channel.flow', {'active': True})]
    sent = [t.random.choice(requests) for _ in range(300)]
    channel.connection.send(b''.join(method_frame(1, name, **arguments)
                                     for name, arguments in sent))
    for name, _ in sent:
        channel.take(name + '-ok')


@test
def failure_ends_the_pipeline(t):
    """What was sent before a failing method is answered, what came after is not."""
    channel = t.channel()
    missing = t.name()
    channel.connection.send(method_frame(1, 'basic.qos') * 3 +
                            method_frame(1, 'queue.purge', queue=missing) +
                            method_frame(1, 'basic.qos') * 3)
    for _ in range(3):
        channel.take('basic.qos-ok')
    channel.expect_close(404, f"NOT_FOUND - no queue '{missing}' in vhost '/'", 'queue.purge')
    channel.call('channel.open')
    channel.idle()


@test
def channels_do_not_share_state(t):
    connection = t.connect()
    first, second = connection.channel(), connection.channel()
    first.call('confirm.select')
    queue = t.queue(first)
    second.call('tx.select')
    second.send('queue.purge', queue='')
    second.expect_close(404, 'NOT_FOUND - no previously declared queue', 'queue.purge')
    first.call('queue.purge', queue='')
    first.publish(queue, b'x')
    equal(first.take('basic.ack').delivery_tag, 1, 'confirm')


@test(rows={'channel.close-ok': None})
def stray_close_ok_is_refused(t, _):
    channel = t.channel()
    channel.send('channel.close-ok')
    channel.connection.expect_close(503, None, 'channel.close-ok')


@test(rail_only=True)
def stray_replies_are_tolerated(t):
    """Late answers to a method the broker might have sent."""
    channel = t.channel()
    channel.send('basic.cancel-ok', consumer_tag='x')
    channel.send('channel.flow-ok', active=True)
    channel.sync()


@test
def access_request_is_answered(t):
    channel = t.channel()
    equal(channel.call('access.request', realm='/data', active=True).ticket, 1, 'ticket')
    queue = t.name()
    channel.declare(queue, ticket=77, exclusive=True)
    channel.call('queue.delete', queue=queue, ticket=65535)


@test
def flow_active_is_confirmed(t):
    channel = t.channel()
    equal(channel.call('channel.flow', active=True).active, True, 'flow-ok')


@test
def abandoned_contents(t):
    """Connections that end inside a content: nothing of it is seen."""
    channel = t.channel()
    queue = t.queue(channel, auto_delete=True)
    octets = publish_frames(1, queue, b'0123456789', piece=3)
    for cut in range(1, len(octets), 9):
        connection = t.connect()
        connection.channel()
        connection.send(octets[:cut])
        connection.reset()
    channel.idle(queue)
    equal(channel.declare(queue, passive=True).message_count, 0, 'messages')


@test
def connection_close_crosses_connection_close(t):
    connection = t.connect()
    connection.send(amqp.frame(9, 0))
    connection.next(0, lambda method: method.name == 'connection.close')
    connection.send_method(0, 'connection.close', reply_code=200)
    connection.take(0, 'connection.close-ok')
    connection.send_method(0, 'connection.close-ok')
    connection.expect_end()
