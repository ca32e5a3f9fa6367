#!/usr/bin/python3
"""Writes the seed inputs of the fuzz targets to tests/fuzz/corpus.

The seeds are in the repository; run this again after a change of the protocol or of what a target
reads. Files that it does not write stay: an input that once crashed a target belongs there too.
"""

import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'protocol'))

import codec  # noqa: E402
from codec import Tagged  # noqa: E402

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
SMALLEST_FRAMES, LARGE_FRAMES, ANY_FRAMES = b'\0', b'\1', b'\2'

ONE_OF_EACH = {
    't': Tagged('t', True),
    'b': Tagged('b', -128),
    'B': Tagged('B', 255),
    's': Tagged('s', -32768),
    'u': Tagged('u', 65535),
    'I': Tagged('I', -2**31),
    'i': Tagged('i', 2**32 - 1),
    'l': Tagged('l', -2**63),
    'L': Tagged('L', 2**63 - 1),
    'f': Tagged('f', 1.5),
    'd': Tagged('d', -2.5e300),
    'D': Tagged('D', (2, 314)),
    'S': Tagged('S', 'text'),
    'x': Tagged('x', b'\0\xff'),
    'T': Tagged('T', 1700000000),
    'F': Tagged('F', {'inner': 'value'}),
    'A': Tagged('A', [1, 'two', None]),
    'V': None,
}

X_DEATH = {
    'x-death': [
        {'count': Tagged('l', 3), 'reason': 'expired', 'queue': 'q', 'exchange': '',
         'time': Tagged('T', 1700000000), 'routing-keys': ['q', 'other']},
        {'count': Tagged('l', 1), 'reason': 'rejected', 'queue': 'p', 'exchange': 'x',
         'routing-keys': []},
    ],
    'x-first-death-reason': 'expired',
    'CC': ['a', 'b'],
    'BCC': ['c'],
}

ARGUMENTS = {
    'o': 9, 's': 513, 'l': 16909060, 'L': 2**40 + 7, 'S': 'n\u00e4me', 'T': 'long text', 'b': True,
    'F': {'x-max-length': 10, 'x-dead-letter-exchange': 'dlx', 'flag': True},
}


def frame(kind, channel, payload, end=0xCE):
    return struct.pack('>BHI', kind, channel, len(payload)) + payload + bytes([end])


def method(name, channel=1, **values):
    return frame(METHOD, channel, codec.encode_method(name, **values))


def full_method(spec):
    values = {name: ARGUMENTS[kind] for name, kind in spec.arguments}
    return codec.encode_method(spec.name, **values)


def header(body_size, properties=None, channel=1, class_id=60, weight=0):
    head = struct.pack('>HHQ', class_id, weight, body_size)
    return frame(HEADER, channel, head + codec.encode_properties(properties or {}))


def body(octets, channel=1):
    return frame(BODY, channel, octets)


def all_methods():
    """One stream a class, with every argument set; content follows where it has to."""
    streams = {}
    for spec in codec.BY_NAME.values():
        octets = frame(METHOD, 0 if spec.ids[0] == 10 else 1, full_method(spec))
        if spec.name in codec.WITH_CONTENT:
            octets += header(3, {'headers': {'k': 'v'}}) + body(b'abc')
        name = 'methods-' + spec.name.split('.')[0]
        streams[name] = streams.get(name, LARGE_FRAMES) + octets
    return streams


def handshake():
    client = {'product': 'seed', 'capabilities': {'publisher_confirms': True}}
    return LARGE_FRAMES + b''.join([
        method('connection.start-ok', 0, client_properties=client, mechanism='PLAIN',
               response='\0guest\0guest', locale='en_US'),
        method('connection.tune-ok', 0, channel_max=2047, frame_max=131072, heartbeat=60),
        method('connection.open', 0, virtual_host='/'),
        method('channel.open'),
        frame(HEARTBEAT, 0, b''),
    ])


def contents():
    publish = method('basic.publish', routing_key='q')
    return {
        'content': publish + header(5, {'delivery_mode': 2}) + body(b'hello'),
        'content-empty': publish + header(0) + publish + header(0),
        'content-in-parts': publish + header(5) + body(b'he') + body(b'') + body(b'llo'),
        'content-too-long': publish + header(2) + body(b'abc'),
        'content-of-most': publish + header(2**64 - 1) + body(b'abc') + body(b''),
        'content-other-class': publish + header(1, class_id=10),
        'content-weight': publish + header(1, weight=1),
        'content-header-cut': publish + frame(HEADER, 1, b'\0\x3c\0\0\0'),
        'content-no-method': header(1) + body(b'a'),
        'content-body-first': body(b'a'),
        'content-no-header': publish + body(b'a'),
        'content-interrupted': publish + publish,
        'content-body-interrupted': publish + header(3) + body(b'a') + publish,
        'content-bad-properties': publish + header(1, b'\x80\0\xff'),
    }


def broken_frames():
    declare = codec.encode_method('queue.declare', queue='q', arguments={'a': 1})
    return {
        'end-marker': frame(METHOD, 1, declare, end=0),
        'end-missing': frame(METHOD, 1, declare)[:-1],
        'head-cut': b'\1\0\1\0\0',
        'type-unknown': frame(9, 1, b'abc'),
        'type-unknown-long': frame(9, 1, bytes(range(250, 256)) * 4),
        'type-zero': frame(0, 0, b''),
        'size-tolerated': frame(BODY, 1, b'x' * 4096),
        'size-too-large': struct.pack('>BHI', BODY, 1, 4097),
        'header-on-zero': header(1, channel=0),
        'body-on-zero': body(b'text', channel=0),
        'heartbeat-on-channel': frame(HEARTBEAT, 1, b''),
        'heartbeat-with-payload': frame(HEARTBEAT, 0, b'x'),
        'method-empty': frame(METHOD, 1, b''),
        'method-no-arguments': frame(METHOD, 1, b'\0\x32\0\x0a'),
        'method-unknown': frame(METHOD, 1, b'\0\x3c\xff\xff') + method('tx.select'),
        'method-cut': frame(METHOD, 1, declare[:-3]),
        'method-trailing': frame(METHOD, 1, declare + b'\0'),
        'method-bad-text': method('queue.delete', queue=b'\xc0\x80'),
        'method-bad-table': method('queue.declare', arguments=b'\1nU\0\0'),
        'method-spare-bits': frame(METHOD, 1, codec.encode_method('basic.ack')[:-1] + b'\xff'),
    }


def frame_seeds():
    seeds = {name: SMALLEST_FRAMES + octets
             for name, octets in {**contents(), **broken_frames()}.items()}
    seeds['size-without-limit'] = ANY_FRAMES + struct.pack('>BHI', BODY, 1, 2**32 - 1) + b'abc'
    seeds['handshake'] = handshake()
    return {**seeds, **all_methods()}


AFTER_HANDSHAKE, AFTER_HANDSHAKE_SMALL, FROM_THE_START = b'\1', b'\3', b'\0'


def publish(key, octets, properties=None, exchange='', **flags):
    return (method('basic.publish', exchange=exchange, routing_key=key, **flags) +
            header(len(octets), properties) + (body(octets) if octets else b''))


def more_dialogues():
    """What meets less often: ends in the middle of something, refusals, several channels."""
    declare = method('queue.declare', queue='q')
    consume = method('basic.consume', queue='q', consumer_tag='c')
    get = method('basic.get', queue='q')
    second = method('channel.open', 2)
    return {
        'priorities': method('queue.declare', queue='p', arguments={'x-max-priority': 5}) +
        b''.join(publish('p', b'x', {'priority': n}) for n in (0, 9, 3)) +
        method('basic.consume', queue='p', consumer_tag='l') +
        method('basic.consume', queue='p', consumer_tag='h', arguments={'x-priority': 7}) +
        publish('p', b'y'),
        'delete-while-delivering': method('basic.qos', prefetch_count=1) + declare + consume +
        publish('q', b'a') * 3 + method('queue.delete', queue='q', if_unused=True) +
        method('channel.close-ok') + method('channel.open') + declare + consume +
        publish('q', b'a') * 3 + method('queue.delete', queue='q') +
        method('basic.ack', delivery_tag=1) + declare,
        'cancel-then-settle': declare + consume + publish('q', b'a') * 3 +
        method('basic.cancel', consumer_tag='c') + method('basic.ack', delivery_tag=1) +
        method('basic.nack', delivery_tag=3, multiple=True, requeue=True) + get +
        method('queue.purge', queue='q'),
        'two-channels': declare + second + method('basic.consume', 2, queue='q', consumer_tag='c') +
        publish('q', b'a') * 2 + method('basic.ack', 2, delivery_tag=1) +
        method('channel.close', 2, reply_code=200) + consume + second +
        method('basic.publish', 2, routing_key='q') + publish('q', b'between') +
        header(2, channel=2) + body(b'ok', 2),
        'tx-settles': declare + publish('q', b'a') * 3 + method('tx.select') + get * 3 +
        method('basic.ack', delivery_tag=1) + method('basic.reject', delivery_tag=2, requeue=True) +
        method('tx.rollback') + method('basic.nack', delivery_tag=2, multiple=True, requeue=True) +
        method('basic.reject', delivery_tag=3) + publish('none', b'b', mandatory=True) +
        method('tx.commit') + get,
        'tx-partial': method('queue.declare', queue='f', arguments={
            'x-max-length': 1, 'x-overflow': 'reject-publish'}) + method('tx.select') +
        publish('f', b'a') * 2 + method('tx.commit'),
        'qos-shared': declare + consume + method('basic.qos', prefetch_count=1, global_=True) +
        method('basic.consume', queue='q', consumer_tag='d') + publish('q', b'a') * 4 +
        method('basic.nack', delivery_tag=1, requeue=True) +
        method('basic.ack', delivery_tag=0, multiple=True) +
        method('basic.qos', prefetch_count=0, global_=True) + method('basic.recover-async'),
        'reply-to-answer': method('basic.consume', queue='amq.rabbitmq.reply-to', no_ack=True) +
        publish('amq.rabbitmq.reply-to.token', b'gone', mandatory=True) +
        method('queue.declare', queue='amq.rabbitmq.reply-to.token', passive=True),
        'refused-settle': declare + publish('q', b'a') + get +
        method('basic.ack', delivery_tag=9) + method('channel.close-ok') +
        method('channel.open') + get + method('basic.reject', delivery_tag=1) +
        method('basic.get', queue='q', no_ack=True),
        'refused-publish': method('confirm.select') +
        publish('q', b'a', {'expiration': '12x'}) + method('channel.close-ok') +
        method('channel.open') + publish('q', b'a', {'user_id': 'other'}) +
        method('channel.close-ok') + method('channel.open') +
        publish('q', b'a', exchange='none') + publish('q', b'swallowed'),
        'refused-tag': declare + consume + consume,
        'refused-exclusive': declare + consume +
        method('basic.consume', queue='q', exclusive=True),
        'alternates': method('exchange.declare', exchange='a', type='fanout',
                             arguments={'alternate-exchange': 'b'}) +
        method('exchange.declare', exchange='b', type='direct', internal=True,
               arguments={'alternate-exchange': 'a'}) + declare +
        publish('k', b'1', exchange='a') +
        method('queue.bind', queue='q', exchange='b', routing_key='k') +
        publish('k', b'2', exchange='a') + publish('k', b'3', exchange='b'),
        'bound-in-circles': method('exchange.declare', exchange='a', type='fanout',
                                   auto_delete=True) +
        method('exchange.declare', exchange='b', type='topic', auto_delete=True, durable=True) +
        method('exchange.bind', destination='b', source='a') +
        method('exchange.bind', destination='a', source='b', routing_key='#') + declare +
        method('queue.bind', queue='q', exchange='a') + publish('z', b'1', exchange='b') +
        method('exchange.unbind', destination='b', source='a') + method('queue.delete', queue='q'),
        'swept-away': method('queue.declare', queue='e', exclusive=True, auto_delete=True) +
        method('basic.consume', queue='e', consumer_tag='c') + publish('e', b'x' * 20000) * 3 +
        method('connection.close', 0, reply_code=200),
    }


def connection_seeds():
    """Dialogues of one client, from declaring to closing."""
    declare = method('queue.declare', queue='q')
    durable = method('queue.declare', queue='d', durable=True)
    persistent = {'delivery_mode': 2, 'headers': {'CC': ['q'], 'BCC': ['d'], 'n': 1}}
    consume = method('basic.consume', queue='q', consumer_tag='c')
    seeds = {
        'publish-get': declare + publish('q', b'abc') + method('basic.get', queue='q') +
        method('basic.ack', delivery_tag=1),
        'consume': declare + consume + publish('q', b'a') + publish('q', b'b') +
        method('basic.ack', delivery_tag=2, multiple=True) +
        method('basic.cancel', consumer_tag='c') + method('channel.close'),
        'no-ack-delete': declare +
        method('basic.consume', queue='q', consumer_tag='c', no_ack=True) + publish('q', b'a') * 5 +
        method('queue.delete', queue='q'),
        'requeue': declare + publish('q', b'a') * 3 + consume +
        method('basic.nack', delivery_tag=2, requeue=True) +
        method('basic.reject', delivery_tag=1, requeue=True) +
        method('basic.recover', requeue=True),
        'confirm': method('confirm.select') + durable + publish('d', b'x', persistent) * 3 +
        publish('nowhere', b'y', mandatory=True),
        'tx': method('tx.select') + durable + publish('d', b'x', persistent) +
        method('basic.get', queue='d') + method('tx.commit') + method('basic.get', queue='d') +
        method('basic.ack', delivery_tag=1) + method('tx.rollback') +
        method('basic.ack', delivery_tag=1) + method('tx.commit'),
        'prefetch': method('basic.qos', prefetch_count=1) + declare + consume +
        publish('q', b'a') * 4 + method('basic.qos', prefetch_count=2, global_=True) +
        method('basic.ack', delivery_tag=1),
        'topology': method('exchange.declare', exchange='x', type='topic', auto_delete=True) +
        method('exchange.declare', exchange='y', type='headers', durable=True,
               arguments={'alternate-exchange': 'x'}) +
        method('exchange.bind', destination='y', source='x', routing_key='a.#') + declare +
        method('queue.bind', queue='q', exchange='y', arguments={'x-match': 'any', 'k': 1}) +
        publish('a.b', b'z', {'headers': {'k': 1}}, 'x') +
        method('queue.unbind', queue='q', exchange='y', arguments={'x-match': 'any', 'k': 1}) +
        method('exchange.delete', exchange='y'),
        'exclusive': method('queue.declare', queue='e', exclusive=True) + publish('e', b'1') +
        method('queue.declare', exclusive=True, arguments={'x-max-priority': 5}) +
        publish('', b'2', {'priority': 9}) + method('basic.consume', exclusive=True) +
        method('queue.purge'),
        'limits': method('queue.declare', queue='l', arguments={
            'x-max-length': 2, 'x-overflow': 'reject-publish'}) + method('confirm.select') +
        publish('l', b'a') * 4,
        'drop-head': method('queue.declare', queue='h', arguments={'x-max-length-bytes': 3}) +
        publish('h', b'ab') * 4,
        'single-active': method('queue.declare', queue='s', arguments={
            'x-single-active-consumer': True}) +
        method('basic.consume', queue='s', consumer_tag='1') +
        method('basic.consume', queue='s', consumer_tag='2') + publish('s', b'a') * 2 +
        method('basic.cancel', consumer_tag='1'),
        'reply-to': method('basic.consume', queue='amq.rabbitmq.reply-to', consumer_tag='r',
                           no_ack=True) + declare +
        publish('q', b'?', {'reply_to': 'amq.rabbitmq.reply-to', 'correlation_id': '1'}) +
        method('basic.get', queue='q', no_ack=True),
        'auto-delete': method('queue.declare', queue='a', auto_delete=True) +
        method('basic.consume', queue='a', consumer_tag='x') +
        method('basic.cancel', consumer_tag='x') + method('queue.declare', queue='a', passive=True),
        'channel-error': method('queue.declare', queue='none', passive=True) + declare +
        publish('q', b'late') + method('channel.close-ok') + method('channel.open') + declare,
        'close': method('connection.close', 0, reply_code=200) + declare,
        'large-body': declare + publish('q', b'x' * 40000) + method('basic.get', queue='q'),
        'body-never-ends': declare + method('basic.publish', routing_key='q') + header(100000) +
        body(b'some'),
    }
    seeds = {name: AFTER_HANDSHAKE + octets
             for name, octets in {**seeds, **more_dialogues()}.items()}
    seeds['small-frames'] = (AFTER_HANDSHAKE_SMALL + declare + publish('q', b'x' * 4000) * 2 +
                             consume)
    seeds['handshake'] = FROM_THE_START + b'AMQP\0\0\x09\x01' + handshake()[1:]
    seeds['no-amqp'] = FROM_THE_START + b'GET / HTTP/1.1\r\n\r\n'
    for name, octets in {**contents(), **broken_frames(), **all_methods()}.items():
        seeds[name] = AFTER_HANDSHAKE + octets.removeprefix(LARGE_FRAMES)
    return seeds


def nested(levels, tag):
    """Tables or arrays in each other; the outermost table counts as a level."""
    value = Tagged(tag, {} if tag == 'F' else [])
    for _ in range(levels - 2):
        value = Tagged(tag, {'n': value} if tag == 'F' else [value])
    return {'n': value}


def table_seeds():
    tables = {
        'one-of-each': ONE_OF_EACH,
        'numbers': {tag: ONE_OF_EACH[tag] for tag in 'tbBsuIilL'},
        'other-fixed': {tag: ONE_OF_EACH[tag] for tag in 'fdDTV'},
        'array-of-each': {'a': list(ONE_OF_EACH.values())},
        'table-of-each': {'t': {'t': ONE_OF_EACH}},
        'x-death': X_DEATH,
        'x-match': {'x-match': 'any-with-x', 'a': 1, 'b': None},
        'queue-arguments': {'x-message-ttl': 1000, 'x-max-length': Tagged('l', 5),
                            'x-overflow': 'reject-publish', 'x-queue-type': 'classic'},
        'descending': [(name, None) for name in 'zyxaA'] + [('', 1)],
        'same-names': [('n', Tagged('B', value)) for value in range(9)],
        'tables-descending': {'z': {'z': 1, 'a': {'c': 1, 'b': 2}}, 'a': [{'d': 1, 'c': 2}]},
        'longest-name': {'n' * 255: 1},
        'depth-32-tables': nested(32, 'F'),
        'depth-33-tables': nested(33, 'F'),
        'depth-32-arrays': nested(32, 'A'),
        'depth-33-arrays': nested(33, 'A'),
        'text-of-any-octets': {b'\xff\0': bytes(range(256))},
    }
    seeds = {name: codec.encode_entries(table) for name, table in tables.items()}
    seeds.update({
        'empty': b'',
        'name-cut': b'\5name',
        'no-tag': b'\1n',
        'tag-unknown': b'\1nU\0\0',
        'value-cut': b'\1nI\0\0\0',
        'length-cut': b'\1nS\0\0\0',
        'length-too-large': b'\1nS\xff\xff\xff\xffabc',
        'length-too-small': b'\1nF\0\0\0\1\1mV',
        'inner-beyond-outer': b'\1nA\0\0\0\6S\0\0\0\2z',
    })
    return seeds


def property_seeds():
    values = {'S': 'text', 'o': 2, 'L': 1700000000, 'F': {'k': 'v'}}
    seeds = {f'only-{name}': codec.encode_properties({name: values[kind]})
             for name, kind in codec.PROPERTIES}
    complete = codec.encode_properties({name: values[kind] for name, kind in codec.PROPERTIES})
    seeds.update({
        'none': b'\0\0',
        'all': complete,
        'all-empty': codec.encode_properties(
            {name: {'S': '', 'o': 0, 'L': 0, 'F': {}}[kind] for name, kind in codec.PROPERTIES}),
        'lowest-flags': b'\0\3',
        'all-and-lowest-flags': bytes([complete[0], complete[1] | 3]) + complete[2:],
        'one-of-each-header': codec.encode_properties({'headers': ONE_OF_EACH}),
        'death-headers': codec.encode_properties({'headers': X_DEATH, 'delivery_mode': 2}),
        'text-of-any-octets': codec.encode_properties({'content_type': bytes(range(255))}),
        'flags-cut': b'\x80',
        'cut': complete[:-1],
        'trailing': complete + b'\0',
        'bad-headers': b'\x20\0\0\0\0\3\1nU',
    })
    return seeds


def sasl_seeds():
    def login(fields):
        return codec.encode_entries(fields)

    both = [('LOGIN', 'guest'), ('PASSWORD', 'secret')]
    return {
        'plain': b'\0guest\0guest',
        'plain-empty': b'\0\0',
        'plain-no-password': b'\0guest\0',
        'plain-no-separator': b'\0guest',
        'plain-identity': b'other\0guest\0guest',
        'plain-three-zeroes': b'\0guest\0gue\0st',
        'plain-any-octets': b'\0' + bytes(range(1, 256)) + b'\0\xff',
        'none': b'',
        'amqplain': login(both),
        'amqplain-backwards': login(both[::-1] + [('LOCALE', 'en_US')]),
        'amqplain-twice': login(both + both),
        'amqplain-login-only': login(both[:1]),
        'amqplain-binary': login([('LOGIN', b'guest'), ('PASSWORD', b'secret')]),
        'amqplain-cut': login(both)[:-1],
        'amqplain-with-length': codec.encode_table(both),
    }


def main():
    seeds = {
        'fuzz_frame': frame_seeds(),
        'fuzz_table': table_seeds(),
        'fuzz_properties': property_seeds(),
        'fuzz_sasl': sasl_seeds(),
        'fuzz_connection': connection_seeds(),
    }
    for target, inputs in seeds.items():
        folder = HERE / 'corpus' / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, octets in inputs.items():
            (folder / name).write_bytes(octets)
        print(f'{target}: {len(inputs)} inputs')


if __name__ == '__main__':
    main()
