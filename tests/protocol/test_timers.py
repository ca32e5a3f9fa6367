"""Heartbeats and the broker's deadlines. These tests wait for the broker's clock, so
their bounds are wide: they tell a timer that works from one that does not."""

import time

import amqp
from harness import test, check

WEIGHT = 20


def seconds_until_end(wire, timeout):
    began = time.monotonic()
    wire.expect_end(timeout)
    return time.monotonic() - began


@test(timed=True)
def broker_beats(t):
    """At least once an interval, while nothing else is sent."""
    connection = t.connect(heartbeat=1)
    for _ in range(3):
        got = connection.read_frame(timeout=1.9)
        check(got and got.type == amqp.FRAME_HEARTBEAT, f'expected a heartbeat, got {got}')
        connection.send(amqp.frame(amqp.FRAME_HEARTBEAT, 0))


@test(timed=True)
def heartbeat_zero_disables(t):
    connection = t.connect(heartbeat=0)
    try:
        got = connection.read_frame(timeout=2.5)
    except amqp.Timeout:
        got = None
    check(got is None, f'expected nothing, got {got}')
    connection.finish()


@test(timed=True)
def silent_peer_is_dropped(t):
    """After two to three intervals, without connection.close."""
    connection = t.connect(heartbeat=1)
    watch, queue = t.channel(), t.name()
    connection.channel().declare(queue, exclusive=True)
    waited = seconds_until_end(connection, 8)
    check(waited > 1.5, f'dropped after {waited:.1f} s')
    watch.send('queue.declare', queue=queue, passive=True)
    watch.expect_close(404, None, 'queue.declare')


@test(timed=True)
def any_octet_is_a_sign_of_life(t):
    """A frame that arrives octet by octet keeps the connection alive."""
    connection = t.connect(heartbeat=1)
    channel = connection.channel()
    for octet in amqp.method_frame(1, 'basic.qos', prefetch_count=1)[:10]:
        connection.send(bytes([octet]))
        time.sleep(0.45)
    connection.send(amqp.method_frame(1, 'basic.qos', prefetch_count=1)[10:])
    channel.reply('basic.qos-ok')


@test(timed=True)
def beats_keep_an_idle_peer(t):
    connection = t.connect(heartbeat=1)
    channel = connection.channel()
    for _ in range(5):
        connection.send(amqp.frame(amqp.FRAME_HEARTBEAT, 0))
        time.sleep(0.9)
    channel.sync()


@test(timed=True)
def deliveries_do_not_hide_a_dead_peer(t):
    """What the broker sends is no sign of life of the peer."""
    connection = t.connect(heartbeat=1)
    queue = t.queue(consumer := connection.channel(), durable=False)
    consumer.consume(queue, no_ack=True)
    publisher = t.channel()
    end = time.monotonic() + 8
    try:
        while time.monotonic() < end:
            publisher.publish(queue, b'x')
            connection.next(consumer.number, timeout=0.5)
            time.sleep(0.1)
    except amqp.ConnectionLost:
        return
    except amqp.Timeout:
        connection.expect_end(5)
        return
    raise amqp.Mismatch('a silent consumer was kept for 8 s')


HANDSHAKES = {
    'nothing sent': b'',
    'part of the header': b'AMQP',
    'header': amqp.PROTOCOL_HEADER,
    'part of start-ok': amqp.PROTOCOL_HEADER + amqp.start_ok('guest', 'guest')[:20],
    'start-ok': amqp.PROTOCOL_HEADER + amqp.start_ok('guest', 'guest'),
    'tune-ok': amqp.PROTOCOL_HEADER + amqp.start_ok('guest', 'guest') +
               amqp.method_frame(0, 'connection.tune-ok', channel_max=10, frame_max=4096),
}


@test(slow=True, rows=HANDSHAKES)
def handshake_has_ten_seconds(t, octets):
    wire = t.wire()
    wire.send(octets)
    began = time.monotonic()
    while wire.read_octets(1, timeout=14):
        pass
    waited = time.monotonic() - began
    check(8 < waited < 13, f'expected the end after 10 s, got it after {waited:.1f} s')


@test(slow=True)
def handshake_timer_ends_with_the_handshake(t):
    channel = t.channel()
    time.sleep(11)
    channel.sync()


@test(slow=True)
def close_ok_is_not_awaited_forever(t):
    """The heartbeat bounds the wait; heartbeats of a peer that ignores the close do not."""
    connection = t.connect(heartbeat=4)
    connection.send(amqp.frame(9, 0))
    connection.next(0, lambda method: method.name == 'connection.close')
    began = time.monotonic()
    connection.expect_end(15)
    waited = time.monotonic() - began
    check(waited > 2, f'dropped {waited:.1f} s after connection.close, with no time to answer')


@test(timed=True, rail_only=True)
def broker_does_not_beat_before_open_ok(t):
    """Some clients take the first frame after tune-ok for open-ok, whatever it is."""
    wire = t.wire()
    wire.send(amqp.PROTOCOL_HEADER + amqp.start_ok('guest', 'guest'))
    wire.read_method('connection.start')
    wire.read_method('connection.tune')
    wire.send(amqp.method_frame(0, 'connection.tune-ok', channel_max=1, frame_max=4096,
                                heartbeat=1))
    time.sleep(1.5)
    wire.send(amqp.method_frame(0, 'connection.open', virtual_host='/'))
    wire.read_method('connection.open-ok')
