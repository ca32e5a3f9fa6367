"""Publishing: mandatory returns, CC and BCC, and what a delivery keeps of a message."""

import codec
from codec import Tagged
from harness import test, equal, settle

NO_ROUTE = (312, 'NO_ROUTE')


@test
def mandatory_without_a_route(t):
    """Everything comes back: exchange, key, properties octet for octet, body."""
    channel = t.channel()
    properties = {'headers': {'x-seq': Tagged('l', 7), 'n': None}, 'message_id': 'm',
                  'delivery_mode': 2, 'timestamp': 5}
    for exchange in ('', 'amq.topic'):
        for body in (b'', b'body', t.random.randbytes(200000)):
            channel.publish('no.such.key', body, exchange, properties, mandatory=True)
            message = channel.take('basic.return')
            equal((message.reply_code, message.reply_text), NO_ROUTE, 'reason')
            equal((message.exchange, message.routing_key), (exchange, 'no.such.key'), 'origin')
            equal(message.raw_properties, codec.encode_properties(properties), 'properties')
            equal(message.body == body, True, 'same body')
    channel.idle()


@test
def mandatory_with_a_route(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish(queue, b'x', mandatory=True)
    equal(channel.get(queue).body, b'x', 'body')
    channel.idle()


@test
def unroutable_is_dropped_in_silence(t):
    channel = t.channel()
    channel.publish('no.such.key', b'x')
    channel.publish('no.such.key', b'x', 'amq.direct')
    channel.idle()


@test
def returns_come_in_order(t):
    channel = t.channel()
    queue = t.queue(channel)
    for index in range(200):
        channel.publish(queue if index % 3 else 'nowhere', b'%d' % index, mandatory=True)
    returned = [int(channel.take('basic.return').body) for _ in range(0, 200, 3)]
    equal(returned, list(range(0, 200, 3)), 'returned')
    settle(channel, queue, 133)


@test
def return_uses_the_publishing_channel(t):
    connection = t.connect()
    channels = [connection.channel() for _ in range(5)]
    for channel in channels:
        channel.publish('nowhere', b'%d' % channel.number, mandatory=True)
    for channel in channels:
        equal(channel.take('basic.return').body, b'%d' % channel.number, 'body')


def with_cc(channel, *, key, exchange='', **headers):
    channel.publish(key, b'x', exchange, {'headers': headers, 'message_id': 'm'})


@test
def cc_and_bcc(t):
    """More routing keys; CC is shown to all, BCC to nobody, and the key is the published one."""
    channel = t.channel()
    queues = [t.queue(channel) for _ in range(4)]
    with_cc(channel, key=queues[0], CC=[queues[1]], BCC=[queues[2], queues[1]], other=1)
    expected = codec.tagged_table({'CC': [queues[1]], 'other': 1})
    for queue in queues[:3]:
        message = channel.get(queue)
        equal((message.routing_key, message.properties['headers']), (queues[0], expected),
              'message')
        equal(message.properties['message_id'], 'm', 'message-id')
        equal(channel.get(queue), None, 'second copy')
    equal(channel.get(queues[3]), None, 'message')


@test
def bcc_leaves_an_empty_table(t):
    channel = t.channel()
    queue = t.queue(channel)
    with_cc(channel, key='nowhere', BCC=[queue])
    equal(channel.get(queue).properties, {'headers': {}, 'message_id': 'm'}, 'properties')


@test
def cc_gives_one_copy(t):
    channel = t.channel()
    queue, exchange = t.queue(channel), t.exchange(channel, 'topic')
    for key in ('a.*', '*.b', '#'):
        channel.bind(queue, exchange, key)
    with_cc(channel, key='a.b', exchange=exchange, CC=['a.c', 'a.b'], BCC=['z.b'])
    equal(channel.get(queue).message_count, 0, 'copies left')


@test
def cc_with_other_types(t):
    """Elements that are not strings are skipped, empty arrays are fine."""
    channel = t.channel()
    queue = t.queue(channel)
    with_cc(channel, key='nowhere', CC=[1, None, ['x'], queue, True], BCC=[])
    equal(channel.get(queue).routing_key, 'nowhere', 'routing key')


@test
def cc_counts_as_a_route(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish('nowhere', b'x', '', {'headers': {'CC': [queue]}}, mandatory=True)
    channel.idle()
    channel.publish('nowhere', b'x', '', {'headers': {'CC': ['nowhere else']}}, mandatory=True)
    message = channel.take('basic.return')
    equal(message.properties['headers'], codec.tagged_table({'CC': ['nowhere else']}), 'headers')


@test
def publish_to_many_queues(t):
    channel = t.channel()
    exchange = t.exchange(channel, 'fanout')
    queues = [t.queue(channel) for _ in range(200)]
    for queue in queues:
        channel.bind(queue, exchange)
    body = t.random.randbytes(50000)
    channel.publish('k', body, exchange, {'message_id': 'm'})
    for queue in queues:
        message = channel.get(queue)
        equal((message.body == body, message.properties), (True, {'message_id': 'm'}), 'message')


@test
def order_of_one_channel(t):
    """Kept across exchanges, sizes and queues, as a consumer on another connection sees it."""
    consumer, publisher = t.channel(), t.channel()
    queue = t.queue(consumer)
    consumer.bind(queue, 'amq.direct', queue)
    consumer.consume(queue, no_ack=True)
    sizes = [t.random.choice((4, 4, 4, 100, 5000, 70000)) for _ in range(500)]
    for index, size in enumerate(sizes):
        publisher.publish(queue, (b'%04d' % index).ljust(size, b'.'),
                          t.random.choice(('', 'amq.direct')))
    for index, size in enumerate(sizes):
        body = consumer.deliver().body
        equal((body[:4], len(body)), (b'%04d' % index, size), f'seed {t.seed}: message')


@test
def publish_is_seen_by_a_later_get(t):
    """On the same channel, always."""
    channel = t.channel()
    queue = t.queue(channel)
    for index in range(200):
        channel.publish(queue, b'%d' % index)
        equal(channel.get(queue).body, b'%d' % index, 'body')


@test
def priority_is_relayed(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish(queue, b'0', properties={'priority': 0})
    channel.publish(queue, b'9', properties={'priority': 9})
    equal([channel.get(queue).properties['priority'] for _ in range(2)], [0, 9], 'priorities')
