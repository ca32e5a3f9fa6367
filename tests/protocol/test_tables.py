"""Field tables and basic properties: every type, everywhere, whole and cut short."""

import struct

import amqp
import codec
from amqp import frame, header_frame, method_frame
from codec import Tagged
from harness import test, check, equal

VALUES = {
    'bool true': Tagged('t', True), 'bool false': Tagged('t', False),
    'byte': Tagged('b', -128), 'unsignedbyte': Tagged('B', 255),
    'short': Tagged('s', -32768), 'unsignedshort': Tagged('u', 65535),
    'signedint': Tagged('I', -2**31), 'unsignedint': Tagged('i', 2**32 - 1),
    'long': Tagged('l', -2**63), 'long max': Tagged('l', 2**63 - 1),
    'float': Tagged('f', -0.15625), 'double': Tagged('d', 3.141592653589793),
    'decimal': Tagged('D', (2, 31415)), 'longstr': Tagged('S', 'grüße'),
    'longstr empty': Tagged('S', ''), 'longstr with zero': Tagged('S', 'a\0b'),
    'binary': Tagged('x', bytes(range(256))), 'binary empty': Tagged('x', b''),
    'timestamp': Tagged('T', 2**63 - 1), 'void': Tagged('V', None),
    'table': Tagged('F', {'a': 1, 'b': {'c': [True, None, 'x']}}), 'table empty': Tagged('F', {}),
    'array': Tagged('A', [1, 'two', 3.0, None, True, [], {}]), 'array empty': Tagged('A', []),
}


@test(rows=VALUES)
def header_value_round_trip(t, value):
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish(queue, b'x', properties={'headers': {'k': value, 'last': 1}})
    expected = codec.tagged_table({'k': value, 'last': 1})
    equal(channel.get(queue).properties, {'headers': expected}, 'properties')


@test(rows=VALUES)
def argument_value_is_accepted(t, value):
    """In the tables of methods, where the broker reads them all."""
    channel = t.channel()
    arguments = {'x-unknown': value, 'z': value}
    queue = channel.declare(t.name(), exclusive=True, arguments=arguments).queue
    exchange = channel.exchange(t.name(), 'headers', auto_delete=True, arguments=arguments)
    channel.bind(queue, exchange, arguments=arguments)
    channel.consume(queue, arguments=arguments)
    channel.publish('', b'x', exchange, {'headers': {'z': value}})
    equal(channel.deliver().body, b'x', 'body')


@test
def long_is_relayed_under_its_old_tag(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish(queue, b'x', properties={'headers': {'k': Tagged('L', -5)}})
    equal(channel.get(queue).properties['headers']['k'].value, -5, 'value')


PROPERTIES = {
    'content_type': 'text/plain', 'content_encoding': 'utf-8', 'headers': {}, 'delivery_mode': 1,
    'priority': 9, 'correlation_id': 'c' * 255, 'reply_to': 'somewhere', 'expiration': '1000000',
    'message_id': '', 'timestamp': 2**64 - 1, 'type': 'ü', 'user_id': 'guest', 'app_id': 'tests',
    'cluster_id': 'cluster',
}


@test(rows={name: {name: value} for name, value in PROPERTIES.items()} |
      {'all': PROPERTIES, 'none': {},
       'every second': dict(list(PROPERTIES.items())[::2])})
def properties_round_trip(t, properties):
    """Octet for octet: an empty headers table stays, an absent one does not appear."""
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish(queue, b'x', properties=properties)
    equal(channel.get(queue).raw_properties, codec.encode_properties(properties), 'octets')


@test
def property_strings_are_not_checked(t):
    channel = t.channel()
    queue = t.queue(channel)
    octets = codec.encode_properties({'content_type': b'\xff\xfe', 'message_id': b'\0'})
    channel.publish(queue, b'x', properties=octets)
    equal(channel.get(queue).raw_properties, octets, 'octets')


@test(rail_only=True)
def reserved_property_flags_are_ignored(t):
    channel = t.channel()
    queue = t.queue(channel)
    octets = codec.encode_properties({'priority': 3})
    for flag in (1, 2, 3):
        channel.publish(queue, b'x', properties=struct.pack(
            '>H', struct.unpack('>H', octets[:2])[0] | flag) + octets[2:])
        equal(channel.get(queue).properties, {'priority': 3}, 'properties')


@test
def large_headers(t):
    channel = t.channel()
    queue = t.queue(channel)
    headers = {f'key-{index}': 'v' * 20 for index in range(2000)}
    channel.publish(queue, b'x', properties={'headers': headers})
    equal(channel.get(queue).properties['headers'], codec.tagged_table(headers), 'headers')


@test
def deep_headers(t):
    """Either relayed or refused, but not a crash."""
    connection = t.connect()
    channel = connection.channel()
    queue = t.queue(channel)
    deep = b''
    for _ in range(9000):
        deep = codec.encode_shortstr('d') + b'F' + codec.encode_longstr(deep)
    connection.send(amqp.publish_frames(1, queue, b'x', properties={'headers': deep}) +
                    method_frame(1, 'basic.get', queue=queue, no_ack=True))
    name, values = codec.decode_method(connection.read_frame().payload)
    check(name in ('basic.get-ok', 'connection.close', 'channel.close'), f'{name} {values}')
    t.channel().sync()


def expect_fatal(connection):
    """The connection ends; whatever comes before the end is a connection.close."""
    try:
        method = connection.next(0)
    except amqp.ConnectionLost:
        return None
    equal(method.name, 'connection.close', 'method')
    check(method.reply_code in (501, 502, 503, 505, 541), f'hard error expected, got {method}')
    connection.send_method(0, 'connection.close-ok')
    connection.expect_end()
    return method


def bystander(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.consume(queue, no_ack=True)

    def undisturbed():
        channel.publish(queue, b'still here')
        equal(channel.deliver().body, b'still here', 'message of the other connection')
    return undisturbed


EVERYTHING = {
    'a': Tagged('t', True), 'b': Tagged('l', 7), 'c': 'text', 'd': Tagged('x', b'xyz'),
    'e': {'f': [1, {'g': None}, 'h']}, 'i': Tagged('D', (1, 2)), 'j': Tagged('T', 5),
}


@test
def table_cut_at_each_octet(t):
    """A method whose table ends too early inside a frame of the right size."""
    undisturbed = bystander(t)
    entries = codec.encode_entries(EVERYTHING)
    head = codec.encode_method('queue.declare', queue=t.name(), exclusive=True)[:-4]
    boundaries = {len(codec.encode_entries(list(EVERYTHING.items())[:count]))
                  for count in range(len(EVERYTHING) + 1)}
    for cut in range(len(entries)):
        connection = t.connect()
        connection.channel(1)
        connection.send(frame(1, 1, head + codec.encode_longstr(entries[:cut])))
        if cut in boundaries:
            connection.take(1, 'queue.declare-ok')
            connection.finish()
            head = codec.encode_method('queue.declare', queue=t.name(), exclusive=True)[:-4]
        else:
            expect_fatal(connection)
    undisturbed()


@test
def table_length_that_lies(t):
    undisturbed = bystander(t)
    entries = codec.encode_entries(EVERYTHING)
    head = codec.encode_method('queue.declare', queue=t.name(), exclusive=True)[:-4]
    for size in (1, len(entries) - 1, len(entries) + 1, 0x7fffffff, 0x80000000, 0xffffffff):
        connection = t.connect()
        connection.channel(1)
        connection.send(frame(1, 1, head + struct.pack('>I', size) + entries))
        expect_fatal(connection)
    undisturbed()


INNER = {
    'longstr': b'S\xff\xff\xff\xff', 'binary': b'x\x00\x00\x00\x09a', 'array': b'A\0\0\0\x05I\0\0',
    'table': b'F\0\0\0\x02\x05a', 'array of cut': b'A\0\0\0\x01I', 'name': b'',
    'long': b'l\0\0\0', 'bool': b't', 'decimal': b'D\x01\0\0',
}


@test(rows=INNER)
def inner_length_that_lies(t, octets):
    connection = t.connect()
    connection.channel(1)
    head = codec.encode_method('queue.declare', queue=t.name(), exclusive=True)[:-4]
    connection.send(frame(1, 1, head + codec.encode_longstr(b'\x01k' + octets)))
    expect_fatal(connection)


@test(rail_only=True, rows={hex(ord(tag)): tag for tag in 'UzZ0\0\xff'})
def unknown_tag(t, tag):
    connection = t.connect()
    connection.channel(1)
    head = codec.encode_method('queue.declare', queue=t.name(), exclusive=True)[:-4]
    entry = b'\x01k' + tag.encode('latin-1') + bytes(8)
    connection.send(frame(1, 1, head + codec.encode_longstr(entry)))
    connection.expect_close(502, 'SYNTAX_ERROR - *', '*')


@test
def properties_cut_at_each_octet(t):
    undisturbed = bystander(t)
    other = t.channel()
    queue = t.queue(other, durable=False)
    octets = codec.encode_properties(PROPERTIES | {'headers': EVERYTHING,
                                                   'correlation_id': 'corr'})
    for cut in range(2, len(octets)):
        connection = t.connect()
        connection.channel(1)
        connection.send(method_frame(1, 'basic.publish', routing_key=queue) +
                        header_frame(1, 0, octets[:cut]) +
                        method_frame(1, 'basic.get', queue=queue, no_ack=True))
        expect_fatal(connection)
    undisturbed()
    equal(other.call('queue.delete', queue=queue).message_count, 0, 'messages that got through')


@test(rail_only=True, rows={'trailing': codec.encode_properties({'priority': 1}) + b'x',
                            'cut': codec.encode_properties({'message_id': 'abc'})[:-1],
                            'no flags': b'\0'})
def malformed_properties(t, octets):
    connection = t.connect()
    connection.channel(1)
    connection.send(method_frame(1, 'basic.publish', exchange='amq.fanout') +
                    header_frame(1, 0, octets) + method_frame(1, 'basic.qos'))
    connection.expect_close(502, 'SYNTAX_ERROR - *', '*')


@test
def start_ok_cut_at_each_octet(t):
    """An untrusted peer's client-properties. Ends at once or after the broker's delay."""
    payload = amqp.start_ok('guest', 'guest')[7:-1]
    wires = []
    for cut in range(0, len(payload), 5):
        wire = t.wire()
        wire.send(amqp.PROTOCOL_HEADER + frame(1, 0, payload[:cut]))
        wire.read_method('connection.start')
        wires.append(wire)
    for wire in wires:
        got = wire.read_frame()
        if got is not None:
            equal(codec.decode_method(got.payload)[0], 'connection.close', 'answer')
    t.connect().finish()


@test
def duplicate_keys(t):
    """Order stays, and the first one counts."""
    channel = t.channel()
    queue = t.queue(channel)
    exchange = t.exchange(channel, 'headers')
    channel.bind(queue, exchange, arguments={'k': 'first'})
    headers = codec.encode_entries([('k', 'first'), ('k', 'second')])
    channel.publish('', b'x', exchange, {'headers': headers})
    message = channel.get(queue)
    equal(message.raw_properties, codec.encode_properties({'headers': headers}), 'octets')
    channel.publish('', b'x', exchange,
                    {'headers': codec.encode_entries([('k', 'second'), ('k', 'first')])})
    equal(channel.get(queue), None, 'message whose first k differs')
