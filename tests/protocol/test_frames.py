"""Framing: what ends a connection, and all the ways content may be cut into frames."""

import codec
from amqp import frame, header_frame, method_frame, publish_frames
from harness import test, check, equal

CHANNEL_OPEN = method_frame(1, 'channel.open')
PUBLISH = method_frame(1, 'basic.publish', exchange='amq.fanout')
NO_METHOD = 'UNEXPECTED_FRAME - expected method frame, got non method frame instead'
NO_HEADER = ('UNEXPECTED_FRAME - expected content header for class 60, '
             'got non content header frame instead')
NO_BODY = 'UNEXPECTED_FRAME - expected content body, got non content body frame instead'

FATAL = {
    'frame end': (CHANNEL_OPEN[:-1] + b'\0', 501, 'FRAME_ERROR - type 1, *', None),
    'frame end of a heartbeat': (b'\x08\0\0\0\0\0\0\xcf', 501, 'FRAME_ERROR - type 8, *', None),
    'unknown type': (frame(9, 1, b'abc'), 501, 'FRAME_ERROR - type 9, *', None),
    'unknown type 0': (frame(0, 1), 501, 'FRAME_ERROR - type 0, *', None),
    'unknown type on channel 0': (frame(4, 0), 501, 'FRAME_ERROR - type 4, *', None),
    'frame too large': (b'\x03\0\x01\0\x02\0\x01', 501, 'FRAME_ERROR - type 3, *', None),
    'frame of 4 GiB': (b'\x03\0\x01\xff\xff\xff\xff', 501, 'FRAME_ERROR - type 3, *', None),
    'header on channel 0': (header_frame(0, 0), 505, 'UNEXPECTED_FRAME - type 2, *', None),
    'body on channel 0': (frame(3, 0, b'x'), 505, 'UNEXPECTED_FRAME - type 3, *', None),
    'heartbeat on a channel': (frame(8, 1), 505,
                               'UNEXPECTED_FRAME - type 8, all octets = <<>>', None),
    'heartbeat with payload': (frame(8, 0, b'x'), 501, 'FRAME_ERROR - type 8, *', None),
    'header for a method': (header_frame(1, 0), 505, NO_METHOD, None),
    'body for a method': (frame(3, 1, b'x'), 505, NO_METHOD, None),
    'method for a header': (PUBLISH + method_frame(1, 'channel.flow', active=True), 505,
                            NO_HEADER, 'basic.publish'),
    'body for a header': (PUBLISH + frame(3, 1, b'x'), 505, NO_HEADER, 'basic.publish'),
    'weight': (PUBLISH + header_frame(1, 0, weight=1), 505, NO_HEADER, 'basic.publish'),
    'header of another class': (
        PUBLISH + header_frame(1, 0, class_id=10), 505, 'UNEXPECTED_FRAME - expected content '
        'header for class 60, got one for class 10 instead', 'basic.publish'),
    'method for a body': (PUBLISH + header_frame(1, 5) + CHANNEL_OPEN, 505, NO_BODY,
                          'basic.publish'),
    'method for the rest of a body': (PUBLISH + header_frame(1, 5) + frame(3, 1, b'1234') +
                                      CHANNEL_OPEN, 505, NO_BODY, 'basic.publish'),
    'header for a body': (PUBLISH + header_frame(1, 5) + header_frame(1, 5), 505, NO_BODY,
                          'basic.publish'),
}


@test(rows=FATAL)
def fatal_frame(t, row):
    octets, code, text, cause = row
    connection = t.connect()
    connection.channel(1)
    connection.send(octets)
    connection.expect_close(code, text, cause)


@test(rail_only=True, rows={
    'one frame': PUBLISH + header_frame(1, 3) + frame(3, 1, b'1234'),
    'two frames': PUBLISH + header_frame(1, 3) + frame(3, 1, b'12') + frame(3, 1, b'34')})
def body_larger_than_declared(t, octets):
    connection = t.connect()
    connection.channel(1)
    connection.send(octets)
    connection.expect_close(505, None, '*')


@test(rail_only=True, rows={'class': b'\0\x63\0\x0a', 'method': b'\0\x32\0\x63',
                            'credit': b'\0\x3c\0\xc9', 'zero': b'\0\0\0\0'})
def unknown_method(t, payload):
    connection = t.connect()
    connection.channel(1)
    connection.send(frame(1, 1, payload))
    connection.expect_close(503, 'COMMAND_INVALID - *', '*')


@test(rail_only=True, rows={'empty': b'', 'class only': b'\0\x14', 'three': b'\0\x14\0'})
def method_frame_without_ids(t, payload):
    connection = t.connect()
    connection.channel(1)
    connection.send(frame(1, 1, payload))
    method = connection.next(0, lambda method: method.name == 'connection.close')
    check(method.reply_code in (501, 502, 503), f'{method}')


SERVER_ONLY = ('basic.deliver', 'basic.return', 'basic.get-ok', 'queue.declare-ok',
               'channel.open-ok', 'connection.open', 'connection.close', 'exchange.unbind-ok',
               'tx.commit-ok', 'confirm.select-ok', 'channel.close-ok')


@test(rows={name: name for name in SERVER_ONLY})
def method_that_is_not_for_a_server(t, name):
    connection = t.connect()
    connection.channel(1)
    connection.send_method(1, name)
    if name in codec.WITH_CONTENT:
        connection.send(header_frame(1, 0))
    connection.expect_close(503, 'COMMAND_INVALID - unimplemented method', name)


@test(rows={name: name for name in ('channel.open', 'queue.declare', 'basic.publish')})
def channel_method_on_channel_0(t, name):
    connection = t.connect()
    connection.send_method(0, name)
    connection.expect_close(
        504, 'CHANNEL_ERROR - unexpected method in connection state running', name)


TRUNCATED = {
    'missing octets': method_frame(1, 'queue.declare', queue='name')[7:-4],
    'ids only': b'\0\x32\0\x0a',
    'trailing octet': method_frame(1, 'queue.declare', queue='name')[7:-1] + b'\0',
    'trailing octets': b'\0\x5a\0\x0a' + b'\0\0',
}


@test(rows=TRUNCATED)
def method_of_wrong_length(t, payload):
    """The queue that it would have declared does not come to be."""
    connection = t.connect()
    connection.channel(1)
    connection.send(frame(1, 1, payload))
    connection.expect_close(501, 'FRAME_ERROR - *', '*')


@test(rows={'name': ('queue.declare', {'queue': b'\xff\xfe', 'exclusive': True}),
            'key': ('queue.bind', {'exchange': 'amq.direct', 'routing_key': b'a\xc3'}),
            'tag': ('basic.cancel', {'consumer_tag': b'\x80'}),
            'overlong': ('queue.delete', {'queue': b'\xc0\xaf'})})
def shortstr_that_is_not_utf8(t, row):
    name, arguments = row
    connection = t.connect()
    connection.channel(1)
    connection.send_method(1, name, **arguments)
    connection.expect_close(501, 'FRAME_ERROR - Malformed UTF-8 in shortstr', None)


@test
def routing_key_of_a_publish_is_not_checked(t):
    channel = t.channel()
    queue = t.queue(channel)
    exchange = t.exchange(channel, 'fanout')
    channel.bind(queue, exchange)
    channel.publish(b'\xff\xfe', b'x', exchange)
    equal(channel.get(queue).routing_key, b'\xff\xfe'.decode('utf-8', 'surrogateescape'), 'key')


@test
def frame_of_exactly_frame_max(t):
    connection = t.connect(frame_max=4096)
    channel = connection.channel()
    queue = t.queue(channel)
    body = t.random.randbytes(4088 * 3)
    connection.send(publish_frames(1, queue, body, piece=4088))
    equal(channel.get(queue).body, body, 'body')


@test
def frame_larger_than_negotiated(t):
    """The payload is never waited for."""
    connection = t.connect(frame_max=4096)
    connection.channel(1)
    connection.send(PUBLISH + header_frame(1, 5000) + b'\x03\0\x01\0\0\x10\x01')
    connection.expect_close(501, 'FRAME_ERROR - *', None)


PIECES = {'1': 1, '2': 2, '7': 7, '100': 100, '4087': 4087}


@test(rows=PIECES)
def body_in_many_frames(t, piece):
    channel = t.channel()
    queue = t.queue(channel)
    body = t.random.randbytes(min(9000, piece * 1500))
    channel.connection.send(publish_frames(channel.number, queue, body, piece=piece))
    equal(channel.get(queue).body, body, 'body')


@test
def empty_body_frames_are_skipped(t):
    channel = t.channel()
    queue = t.queue(channel)
    empty = frame(3, 1)
    channel.connection.send(
        method_frame(1, 'basic.publish', routing_key=queue) + header_frame(1, 4) + empty * 3 +
        frame(3, 1, b'ab') + empty + frame(3, 1, b'cd'))
    equal(channel.get(queue).body, b'abcd', 'body')


@test(rows={'0': 0, '1': 1, '4088': 4088, '4089': 4089, '131064': 131064, '131065': 131065,
            '1 MB': 1000000})
def body_sizes(t, size):
    channel = t.channel()
    queue = t.queue(channel)
    body = t.random.randbytes(size)
    channel.publish(queue, body)
    channel.publish(queue, b'next')
    equal(channel.get(queue).body, body, 'body')
    equal(channel.get(queue).body, b'next', 'body after it')


@test
def five_megabytes_in_frames_of_4096(t):
    """In small frames and out in small frames: to a consumer, a getter, and large ones too."""
    small, large = t.channel(frame_max=4096), t.channel()
    queue = t.queue(small, durable=False)
    body = t.random.randbytes(5000000)
    small.publish(queue, body)
    large.consume(queue)
    delivery = large.deliver()
    equal(delivery.body == body, True, 'same body in large frames')
    large.nack(delivery.delivery_tag)
    large.sync()
    large.connection.close()
    small.consume(queue, no_ack=True)
    delivery = small.deliver()
    equal((delivery.redelivered, delivery.body == body), (True, True), 'redelivered, same body')
    small.call('queue.delete', queue=queue)


@test
def contents_of_many_channels_interleaved(t):
    """Frames of different channels in random order: each channel's content is its own."""
    connection = t.connect()
    channels = [connection.channel() for _ in range(20)]
    queues = [t.queue(channel) for channel in channels]
    bodies = [t.random.randbytes(t.random.randrange(3000)) for _ in channels]
    waiting = []
    for channel, queue, body in zip(channels, queues, bodies):
        frames = [method_frame(channel.number, 'basic.publish', routing_key=queue),
                  header_frame(channel.number, len(body), {'message_id': queue})]
        frames += [frame(3, channel.number, body[at:at + 200]) for at in range(0, len(body), 200)]
        waiting.append(frames)
    octets = b''
    while any(waiting):
        frames = t.random.choice([frames for frames in waiting if frames])
        octets += frames.pop(0)
        if t.random.random() < 0.1:
            octets += frame(8, 0)
    connection.send(octets)
    for channel, queue, body in zip(channels, queues, bodies):
        message = channel.get(queue)
        equal((message.properties['message_id'], message.body), (queue, body), 'message')


@test
def interleaved_with_a_failing_channel(t):
    """A channel that fails in the middle of another's content does not disturb it."""
    connection = t.connect()
    good, bad = connection.channel(), connection.channel()
    queue = t.queue(good)
    frames = [method_frame(good.number, 'basic.publish', routing_key=queue),
              header_frame(good.number, 4), frame(3, good.number, b'ab'),
              publish_frames(bad.number, 'x', b'lost', exchange=t.name('missing')),
              frame(3, good.number, b'cd')]
    connection.send(b''.join(frames))
    bad.expect_close(404, None, 'basic.publish')
    equal(good.get(queue).body, b'abcd', 'body')


@test
def any_segmentation(t):
    """One session's octets, sent in pieces of random size, mean the same."""
    for _ in range(5):
        connection = t.connect()
        channel = connection.channel()
        queue = t.queue(channel)
        bodies = [t.random.randbytes(t.random.randrange(60)) for _ in range(30)]
        octets = b''.join(publish_frames(1, queue, body, piece=25) for body in bodies)
        while octets:
            cut = t.random.choice((1, 2, 3, 7, 8, 50, 200))
            connection.send(octets[:cut])
            octets = octets[cut:]
        equal([channel.get(queue).body for _ in bodies], bodies, 'bodies')


@test
def header_larger_than_the_frames_of_its_consumer(t):
    """It cannot be split: whatever the broker does with this consumer, others get theirs."""
    channel = t.channel()
    exchange, queues = t.exchange(channel, 'fanout'), [t.queue(channel, durable=False)
                                                       for _ in range(2)]
    for queue in queues:
        channel.bind(queue, exchange)
    small = t.connect(frame_max=4096)
    small.frame_max = 1 << 20
    small.channel().consume(queues[0], no_ack=True)
    channel.consume(queues[1], no_ack=True)
    headers = {f'key-{index}': 'v' * 90 for index in range(500)}
    channel.publish('', b'x', exchange, {'headers': headers})
    equal(channel.deliver().properties['headers'], codec.tagged_table(headers), 'headers')
    small.read_frame()
    for queue in queues:
        channel.call('queue.delete', queue=queue)
    t.channel().sync()


@test
def after_a_fatal_frame_nothing_more_is_done(t):
    connection = t.connect()
    connection.channel(1)
    other, queue = t.channel(), t.name()
    connection.send(frame(9, 0) + method_frame(1, 'queue.declare', queue=queue))
    connection.expect_close(501, None, None)
    other.send('queue.declare', queue=queue, passive=True)
    other.expect_close(404, None, 'queue.declare')
