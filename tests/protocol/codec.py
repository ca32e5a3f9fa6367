"""AMQP 0-9-1 encodings: field tables with explicit tags, basic properties, and
the method table with its argument codec. Independent of the broker's sources on
purpose: both sides must agree with the protocol, not with each other."""

import struct
from typing import Any, NamedTuple


class Malformed(Exception):
    """The broker sent octets that do not decode."""


class Tagged(NamedTuple):
    """A field value together with its wire tag, for example Tagged('s', -1)."""

    tag: str
    value: Any


FIXED = {
    't': '>?', 'b': '>b', 'B': '>B', 's': '>h', 'u': '>H', 'I': '>i', 'i': '>I',
    'l': '>q', 'L': '>q', 'f': '>f', 'd': '>d', 'D': '>BI', 'T': '>Q',
}


def to_bytes(text):
    return text if isinstance(text, bytes) else text.encode('utf-8', 'surrogateescape')


def to_text(octets):
    return octets.decode('utf-8', 'surrogateescape')


def tagged(value):
    """Gives a plain Python value the tag that a client would choose."""
    if isinstance(value, Tagged):
        if value.tag == 'F':
            return Tagged('F', tagged_table(value.value))
        if value.tag == 'A':
            return Tagged('A', [tagged(item) for item in value.value])
        return value
    if value is None:
        return Tagged('V', None)
    if isinstance(value, bool):
        return Tagged('t', value)
    if isinstance(value, int):
        return Tagged('I' if -2**31 <= value < 2**31 else 'l', value)
    if isinstance(value, float):
        return Tagged('d', value)
    if isinstance(value, str):
        return Tagged('S', value)
    if isinstance(value, bytes):
        return Tagged('x', value)
    if isinstance(value, dict):
        return Tagged('F', tagged_table(value))
    if isinstance(value, list):
        return Tagged('A', [tagged(item) for item in value])
    raise TypeError(f'no field tag for {value!r}')


def tagged_table(table):
    return {name: tagged(value) for name, value in table.items()}


def plain(value):
    """The inverse of tagged(): drops the tags."""
    if isinstance(value, Tagged):
        value = value.value
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def encode_shortstr(text):
    octets = to_bytes(text)
    return bytes([len(octets)]) + octets


def encode_longstr(text):
    octets = to_bytes(text)
    return struct.pack('>I', len(octets)) + octets


def encode_value(value):
    tag, inner = tagged(value)
    head = tag.encode()
    if tag in FIXED:
        fields = inner if isinstance(inner, tuple) else (inner,)
        return head + struct.pack(FIXED[tag], *fields)
    if tag in 'Sx':
        return head + encode_longstr(inner)
    if tag == 'F':
        return head + encode_table(inner)
    if tag == 'A':
        return head + encode_longstr(b''.join(encode_value(item) for item in inner))
    if tag == 'V':
        return head
    raise TypeError(f'unknown field tag {tag!r}')


def encode_entries(table):
    """The body of a table, without its length. Octets pass through unchanged, and a
    list of pairs stands for a table with repeated keys."""
    if isinstance(table, bytes):
        return table
    pairs = table.items() if isinstance(table, dict) else table
    return b''.join(encode_shortstr(name) + encode_value(value) for name, value in pairs)


def encode_table(table):
    return encode_longstr(encode_entries(table))


class Reader:
    def __init__(self, octets):
        self.octets = octets
        self.at = 0

    def take(self, count):
        if self.at + count > len(self.octets):
            raise Malformed(f'{count} octets wanted at {self.at} of {self.octets!r}')
        self.at += count
        return self.octets[self.at - count:self.at]

    def unpack(self, form):
        fields = struct.unpack(form, self.take(struct.calcsize(form)))
        return fields[0] if len(fields) == 1 else fields

    def left(self):
        return len(self.octets) - self.at

    def shortstr(self):
        return to_text(self.take(self.unpack('>B')))

    def longstr(self):
        return to_text(self.take(self.unpack('>I')))

    def value(self):
        tag = chr(self.unpack('>B'))
        if tag in FIXED:
            return Tagged(tag, self.unpack(FIXED[tag]))
        if tag == 'S':
            return Tagged(tag, self.longstr())
        if tag == 'x':
            return Tagged(tag, self.take(self.unpack('>I')))
        if tag == 'F':
            return Tagged(tag, self.table())
        if tag == 'A':
            inner = Reader(self.take(self.unpack('>I')))
            items = []
            while inner.left():
                items.append(inner.value())
            return Tagged(tag, items)
        if tag == 'V':
            return Tagged(tag, None)
        raise Malformed(f'field tag {tag!r}')

    def table(self):
        inner = Reader(self.take(self.unpack('>I')))
        entries = {}
        while inner.left():
            name = inner.shortstr()
            entries.setdefault(name, inner.value())
        return entries


PROPERTIES = (
    ('content_type', 'S'), ('content_encoding', 'S'), ('headers', 'F'), ('delivery_mode', 'o'),
    ('priority', 'o'), ('correlation_id', 'S'), ('reply_to', 'S'), ('expiration', 'S'),
    ('message_id', 'S'), ('timestamp', 'L'), ('type', 'S'), ('user_id', 'S'), ('app_id', 'S'),
    ('cluster_id', 'S'),
)

ENCODERS = {
    'o': lambda value: struct.pack('>B', value),
    's': lambda value: struct.pack('>H', value),
    'l': lambda value: struct.pack('>I', value),
    'L': lambda value: struct.pack('>Q', value),
    'S': encode_shortstr,
    'T': encode_longstr,
    'F': encode_table,
}

DECODERS = {
    'o': lambda reader: reader.unpack('>B'),
    's': lambda reader: reader.unpack('>H'),
    'l': lambda reader: reader.unpack('>I'),
    'L': lambda reader: reader.unpack('>Q'),
    'S': Reader.shortstr,
    'T': Reader.longstr,
    'F': Reader.table,
}


def encode_properties(properties):
    """Property flags and list; octets pass through unchanged."""
    if isinstance(properties, bytes):
        return properties
    unknown = set(properties) - {name for name, _ in PROPERTIES}
    if unknown:
        raise TypeError(f'unknown properties {unknown}')
    flags, octets = 0, b''
    for index, (name, kind) in enumerate(PROPERTIES):
        if name in properties:
            flags |= 0x8000 >> index
            octets += ENCODERS[kind](properties[name])
    return struct.pack('>H', flags) + octets


def decode_properties(octets):
    reader = Reader(octets)
    flags = reader.unpack('>H')
    if flags & 3:
        raise Malformed(f'reserved property flags set: {flags:#06x}')
    properties = {name: DECODERS[kind](reader) for index, (name, kind) in enumerate(PROPERTIES)
                  if flags & (0x8000 >> index)}
    if reader.left():
        raise Malformed(f'{reader.left()} octets after the properties')
    return properties


# class method name arguments; kinds: o octet, s short, l long, L longlong, S shortstr,
# T longstr, F table, b bit.
SPEC = '''
10 10 connection.start version_major:o version_minor:o server_properties:F mechanisms:T locales:T
10 11 connection.start-ok client_properties:F mechanism:S response:T locale:S
10 20 connection.secure challenge:T
10 21 connection.secure-ok response:T
10 30 connection.tune channel_max:s frame_max:l heartbeat:s
10 31 connection.tune-ok channel_max:s frame_max:l heartbeat:s
10 40 connection.open virtual_host:S reserved_1:S reserved_2:b
10 41 connection.open-ok known_hosts:S
10 50 connection.close reply_code:s reply_text:S class_id:s method_id:s
10 51 connection.close-ok
10 60 connection.blocked reason:S
10 61 connection.unblocked
10 70 connection.update-secret new_secret:T reason:S
10 71 connection.update-secret-ok
20 10 channel.open reserved_1:S
20 11 channel.open-ok reserved_1:T
20 20 channel.flow active:b
20 21 channel.flow-ok active:b
20 40 channel.close reply_code:s reply_text:S class_id:s method_id:s
20 41 channel.close-ok
30 10 access.request realm:S exclusive:b passive:b active:b write:b read:b
30 11 access.request-ok ticket:s
40 10 exchange.declare ticket:s exchange:S type:S passive:b durable:b auto_delete:b internal:b \
nowait:b arguments:F
40 11 exchange.declare-ok
40 20 exchange.delete ticket:s exchange:S if_unused:b nowait:b
40 21 exchange.delete-ok
40 30 exchange.bind ticket:s destination:S source:S routing_key:S nowait:b arguments:F
40 31 exchange.bind-ok
40 40 exchange.unbind ticket:s destination:S source:S routing_key:S nowait:b arguments:F
40 51 exchange.unbind-ok
50 10 queue.declare ticket:s queue:S passive:b durable:b exclusive:b auto_delete:b nowait:b \
arguments:F
50 11 queue.declare-ok queue:S message_count:l consumer_count:l
50 20 queue.bind ticket:s queue:S exchange:S routing_key:S nowait:b arguments:F
50 21 queue.bind-ok
50 30 queue.purge ticket:s queue:S nowait:b
50 31 queue.purge-ok message_count:l
50 40 queue.delete ticket:s queue:S if_unused:b if_empty:b nowait:b
50 41 queue.delete-ok message_count:l
50 50 queue.unbind ticket:s queue:S exchange:S routing_key:S arguments:F
50 51 queue.unbind-ok
60 10 basic.qos prefetch_size:l prefetch_count:s global_:b
60 11 basic.qos-ok
60 20 basic.consume ticket:s queue:S consumer_tag:S no_local:b no_ack:b exclusive:b nowait:b \
arguments:F
60 21 basic.consume-ok consumer_tag:S
60 30 basic.cancel consumer_tag:S nowait:b
60 31 basic.cancel-ok consumer_tag:S
60 40 basic.publish ticket:s exchange:S routing_key:S mandatory:b immediate:b
60 50 basic.return reply_code:s reply_text:S exchange:S routing_key:S
60 60 basic.deliver consumer_tag:S delivery_tag:L redelivered:b exchange:S routing_key:S
60 70 basic.get ticket:s queue:S no_ack:b
60 71 basic.get-ok delivery_tag:L redelivered:b exchange:S routing_key:S message_count:l
60 72 basic.get-empty reserved_1:S
60 80 basic.ack delivery_tag:L multiple:b
60 90 basic.reject delivery_tag:L requeue:b
60 100 basic.recover-async requeue:b
60 110 basic.recover requeue:b
60 111 basic.recover-ok
60 120 basic.nack delivery_tag:L multiple:b requeue:b
85 10 confirm.select nowait:b
85 11 confirm.select-ok
90 10 tx.select
90 11 tx.select-ok
90 20 tx.commit
90 21 tx.commit-ok
90 30 tx.rollback
90 31 tx.rollback-ok
'''


class Spec(NamedTuple):
    ids: tuple
    name: str
    arguments: tuple


def parse_spec(text):
    for line in text.replace('\\\n', '').strip().splitlines():
        class_id, method_id, name, *arguments = line.split()
        kinds = tuple(tuple(argument.split(':')) for argument in arguments)
        yield Spec((int(class_id), int(method_id)), name, kinds)


BY_NAME = {spec.name: spec for spec in parse_spec(SPEC)}
BY_IDS = {spec.ids: spec for spec in BY_NAME.values()}
WITH_CONTENT = {'basic.publish', 'basic.return', 'basic.deliver', 'basic.get-ok'}
ASYNCHRONOUS = {'basic.deliver', 'basic.return', 'basic.ack', 'basic.nack', 'basic.cancel',
                'connection.blocked', 'connection.unblocked'}
DEFAULTS = {'o': 0, 's': 0, 'l': 0, 'L': 0, 'S': '', 'T': '', 'F': {}, 'b': False}


def encode_method(name, **values):
    """A method frame's payload. Arguments that are not named are zero or empty."""
    spec = BY_NAME[name]
    unknown = set(values) - {argument for argument, _ in spec.arguments}
    if unknown:
        raise TypeError(f'{name} has no argument {unknown}')
    octets = struct.pack('>HH', *spec.ids)
    bits = []
    for argument, kind in (*spec.arguments, ('', '')):
        if kind == 'b':
            bits.append(values.get(argument, False))
            continue
        if bits:
            octets += bytes([sum(bit << index for index, bit in enumerate(bits))])
            bits = []
        if kind:
            octets += ENCODERS[kind](values.get(argument, DEFAULTS[kind]))
    return octets


def decode_method(payload):
    """Returns the method's name and its arguments as a dict."""
    reader = Reader(payload)
    ids = reader.unpack('>HH')
    if ids not in BY_IDS:
        raise Malformed(f'unknown method {ids}')
    spec = BY_IDS[ids]
    values, bits, used = {}, 0, 8
    for argument, kind in spec.arguments:
        if kind == 'b':
            if used == 8:
                bits, used = reader.unpack('>B'), 0
            values[argument] = bool(bits >> used & 1)
            used += 1
        else:
            used = 8
            values[argument] = DECODERS[kind](reader)
    if reader.left():
        raise Malformed(f'{reader.left()} octets after {spec.name}')
    return spec.name, values
