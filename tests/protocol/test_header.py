"""The eight octets that open a connection."""

import amqp
from harness import test, check, equal

UNKNOWN = {
    '0-9-2': b'AMQP\x00\x00\x09\x02',
    'amqp 1.0': b'AMQP\x00\x01\x00\x00',
    'sasl': b'AMQP\x03\x01\x00\x00',
    'future': b'AMQP\x00\x02\x00\x00',
    'lower case': b'amqp\x00\x00\x09\x01',
    'http': b'GET / HT',
    'http request': b'GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n',
    'tls': b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'zeros': bytes(8),
}


@test(rows=UNKNOWN)
def unknown_header_is_answered_with_ours(t, header):
    wire = t.wire()
    wire.send(header)
    equal(wire.read_octets(8), amqp.PROTOCOL_HEADER, 'answer')
    equal(wire.read_octets(1), b'', 'octets after the answer')


@test(rows={'0-9-1': amqp.PROTOCOL_HEADER, '0-9': b'AMQP\x01\x01\x00\x09'})
def known_header_starts(t, header):
    wire = t.wire()
    wire.send(header)
    start = wire.read_method('connection.start')
    equal((start.version_major, start.version_minor), (0, 9), 'version')


@test
def header_octet_by_octet(t):
    wire = t.wire()
    for octet in amqp.PROTOCOL_HEADER:
        wire.send(bytes([octet]))
    wire.read_method('connection.start')


@test
def server_is_silent_before_the_header(t):
    wire = t.wire()
    wire.send(amqp.PROTOCOL_HEADER[:7])
    try:
        got = wire.read_octets(1, timeout=0.2)
    except amqp.Timeout:
        got = None
    equal(got, None, 'octets before the whole header was sent')
    wire.send(amqp.PROTOCOL_HEADER[7:])
    wire.read_method('connection.start')


@test(rows={'nothing': b'', 'part': b'AMQP\x00', 'whole': amqp.PROTOCOL_HEADER})
def end_of_stream_harms_nobody(t, octets):
    for how in ('close', 'reset'):
        wire = t.wire()
        wire.send(octets)
        getattr(wire, how)()
    t.connect().finish()


@test
def hundreds_of_health_checks(t):
    for _ in range(300):
        t.wire().close()
    t.connect().finish()
    if t.broker.own:
        check(len(t.broker.lines) < 200, f'health checks filled the log: {t.broker.log_tail()}')
