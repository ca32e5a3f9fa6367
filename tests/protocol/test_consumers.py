"""Consumers: tags, turns, priorities, exclusiveness, cancelling."""

import re

import amqp
from codec import Tagged
from harness import test, check, equal, settle


def publish(channel, queue, count, start=0):
    for index in range(start, start + count):
        channel.publish(queue, b'%d' % index)


@test
def delivery_says_where_it_came_from(t):
    channel = t.channel()
    queue, exchange = t.queue(channel), t.exchange(channel, 'fanout')
    channel.bind(queue, exchange)
    channel.consume(queue, 'tag')
    channel.publish('key', b'body', exchange, {'message_id': 'm', 'headers': {'a': 1}})
    message = channel.deliver()
    equal((message.consumer_tag, message.delivery_tag, message.redelivered), ('tag', 1, False),
          'delivery')
    equal((message.exchange, message.routing_key, message.body), (exchange, 'key', b'body'),
          'origin')
    equal(message.properties, {'message_id': 'm', 'headers': {'a': Tagged('I', 1)}}, 'properties')


@test
def server_tags(t):
    channel = t.channel()
    queue = t.queue(channel)
    tags = [channel.consume(queue) for _ in range(20)]
    equal(len(set(tags)), 20, 'different tags')
    for tag in tags:
        check(re.fullmatch(r'amq\.ctag-[A-Za-z0-9_-]{22}', tag), f'tag: {tag!r}')


@test
def server_tag_with_nowait(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.send('basic.consume', queue=queue, nowait=True, no_ack=True)
    channel.publish(queue, b'x')
    message = channel.deliver()
    check(message.consumer_tag, 'expected a tag')
    channel.call('basic.cancel', consumer_tag=message.consumer_tag)
    equal(channel.declare(queue, passive=True).consumer_count, 0, 'consumers')


@test
def consume_ok_comes_before_the_first_delivery(t):
    channel = t.channel()
    queue = t.queue(channel)
    publish(channel, queue, 10)
    for _ in range(20):
        channel.send('basic.consume', queue=queue, consumer_tag='c', no_ack=False)
        channel.take('basic.consume-ok')
        for _ in range(10):
            channel.deliver()
        channel.call('basic.cancel', consumer_tag='c')
        channel.nack(0, multiple=True)


@test
def nothing_is_delivered_after_cancel_ok(t):
    """With messages flowing from another connection all the time."""
    publisher, channel = t.channel(), t.channel()
    queue = t.queue(channel, exclusive=True)
    for _ in range(30):
        channel.send('basic.consume', queue=queue, consumer_tag='c', no_ack=True)
        channel.take('basic.consume-ok')
        publish(publisher, queue, 20)
        channel.deliver()
        channel.send('basic.cancel', consumer_tag='c')
        while channel.take('basic.deliver', 'basic.cancel-ok').name == 'basic.deliver':
            pass
        publish(publisher, queue, 5)
        channel.idle(queue)


@test
def cancelled_tags_may_be_used_again(t):
    channel = t.channel()
    queues = [t.queue(channel) for _ in range(2)]
    for index in range(10):
        queue = queues[index % 2]
        channel.consume(queue, 'c', no_ack=True)
        channel.publish(queue, b'x')
        equal(channel.deliver().routing_key, queue, 'queue')
        equal(channel.call('basic.cancel', consumer_tag='c').consumer_tag, 'c', 'cancel-ok')


@test
def cancel_with_nowait(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.consume(queue, 'c')
    channel.send('basic.cancel', consumer_tag='c', nowait=True)
    channel.send('basic.cancel', consumer_tag='unknown', nowait=True)
    channel.publish(queue, b'x')
    channel.idle(queue)
    equal(channel.declare(queue, passive=True).consumer_count, 0, 'consumers')


@test
def same_tag_on_two_channels(t):
    connection = t.connect()
    first, second = connection.channel(), connection.channel()
    queues = [t.queue(first) for _ in range(2)]
    first.consume(queues[0], 'c', no_ack=True)
    second.consume(queues[1], 'c', no_ack=True)
    first.publish(queues[1], b'second')
    second.publish(queues[0], b'first')
    equal((first.deliver().body, second.deliver().body), (b'first', b'second'), 'bodies')


@test
def turns_within_a_channel(t):
    channel = t.channel()
    queue = t.queue(channel)
    for tag in 'abc':
        channel.consume(queue, tag, no_ack=True)
    publish(channel, queue, 30)
    tags = [channel.deliver().consumer_tag for _ in range(30)]
    equal({tag: tags.count(tag) for tag in 'abc'}, dict.fromkeys('abc', 10), 'turns')


@test
def turns_across_connections(t):
    channels = [t.channel() for _ in range(3)]
    queue = t.queue(channels[0], durable=False)
    for channel in channels:
        channel.qos(1)
        channel.consume(queue)
    publish(channels[0], queue, 3)
    equal(sorted(channel.deliver().body for channel in channels), [b'0', b'1', b'2'], 'bodies')
    channels[0].call('queue.delete', queue=queue)


@test
def turns_skip_those_who_are_busy(t):
    connection = t.connect()
    busy, free = connection.channel(), connection.channel()
    queue = t.queue(busy)
    for channel, prefetch in ((busy, 1), (free, 10)):
        channel.qos(prefetch)
        channel.consume(queue)
    publish(busy, queue, 8)
    busy.deliver()
    equal(len(free.bodies(7)), 7, 'deliveries')
    busy.idle(queue)


PRIORITIES = {'integers': ({'x-priority': 10}, {}, {'x-priority': -5}),
              'small tags': ({'x-priority': Tagged('b', 1)}, {'x-priority': 0},
                             {'x-priority': Tagged('l', -2**40)})}


@test(rows=PRIORITIES)
def priorities(t, arguments):
    """The highest gets everything until its prefetch is full."""
    connection = t.connect()
    channels = [connection.channel() for _ in arguments]
    queue = t.queue(channels[0])
    for channel, table in reversed(list(zip(channels, arguments))):
        channel.qos(2)
        channel.consume(queue, arguments=table)
    publish(channels[0], queue, 6)
    for index, channel in enumerate(channels):
        equal(channel.bodies(2), [b'%d' % (2 * index), b'%d' % (2 * index + 1)], f'level {index}')
    channels[2].ack(1)
    channels[0].ack(2)
    channels[0].sync()
    publish(channels[0], queue, 1, 6)
    equal(channels[0].bodies(1), [b'6'], 'highest again')


@test
def turns_within_a_priority(t):
    channel = t.channel()
    queue = t.queue(channel)
    for tag, priority in (('low', 1), ('a', 5), ('b', 5)):
        channel.consume(queue, tag, no_ack=True, arguments={'x-priority': priority})
    publish(channel, queue, 10)
    tags = [channel.deliver().consumer_tag for _ in range(10)]
    equal((tags.count('a'), tags.count('b')), (5, 5), 'turns')


@test
def exclusive_consumer(t):
    """The only one, until it is cancelled; basic.get is not its business."""
    connection = t.connect()
    first, second = connection.channel(), connection.channel()
    queue = t.queue(first)
    first.qos(1)
    first.consume(queue, 'c', exclusive=True)
    publish(first, queue, 2)
    first.deliver()
    equal(second.get(queue).body, b'1', 'message by basic.get')
    first.call('basic.cancel', consumer_tag='c')
    second.consume(queue, exclusive=True)
    second.close()
    first.consume(queue)


@test
def exclusive_consumer_ends_with_its_connection(t):
    owner, other = t.channel(), t.channel()
    queue = t.queue(other, durable=False)
    owner.consume(queue, exclusive=True)
    owner.connection.finish()
    other.consume(queue, exclusive=True)
    other.call('queue.delete', queue=queue)


@test
def no_local_is_ignored(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.consume(queue, no_local=True, no_ack=True)
    channel.publish(queue, b'mine')
    equal(channel.deliver().body, b'mine', 'body')


@test
def unknown_arguments_are_ignored(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.consume(queue, arguments={'x-something': {'a': 1}, 'x-cancel-on-ha-failover': True})


SINGLE = {'x-single-active-consumer': True}


@test
def single_active_consumer(t):
    """The first gets everything; when it goes, the next in order of registration."""
    connection = t.connect()
    channels = [connection.channel() for _ in range(3)]
    queue = t.queue(channels[0], exclusive=True, arguments=SINGLE)
    for channel in channels:
        channel.consume(queue, 'c', no_ack=True)
    publisher = connection.channel()
    for index, how in enumerate(('cancel', 'close', None)):
        publish(publisher, queue, 10)
        equal(len(channels[index].bodies(10)), 10, f'deliveries of consumer {index}')
        for idle in channels[index + 1:]:
            idle.idle(queue)
        if how == 'cancel':
            channels[index].call('basic.cancel', consumer_tag='c')
        elif how == 'close':
            channels[index].close()


@test
def single_active_consumer_stops_at_its_prefetch(t):
    """What the active one cannot take waits for it, although others are free."""
    connection = t.connect()
    active, spare = connection.channel(), connection.channel()
    queue = t.queue(active, exclusive=True, arguments=SINGLE)
    active.qos(2)
    for channel in (active, spare):
        channel.consume(queue)
    publish(active, queue, 4)
    equal(active.bodies(2), [b'0', b'1'], 'first deliveries')
    spare.idle(queue)
    active.ack(1)
    equal(active.bodies(1), [b'2'], 'delivery after an ack')
    active.close()
    equal(spare.bodies(3), [b'1', b'2', b'3'], 'deliveries of the next')


@test
def messages_of_a_dead_consumer_go_to_the_others(t):
    """In their old order, ahead of what was never delivered, marked as redelivered."""
    watcher, victim = t.channel(), t.channel()
    queue = t.queue(watcher, durable=False)
    victim.qos(5)
    victim.consume(queue)
    publish(watcher, queue, 8)
    victim.bodies(5)
    victim.connection.reset()
    settle(watcher, queue, 8)
    messages = [watcher.get(queue) for _ in range(8)]
    equal([(int(message.body), message.redelivered) for message in messages],
          [(index, index < 5) for index in range(8)], 'messages')
    watcher.call('queue.delete', queue=queue)


@test
def consumer_of_a_channel_that_fails_is_gone(t):
    connection = t.connect()
    failing, other = connection.channel(), connection.channel()
    queue = t.queue(other)
    failing.consume(queue)
    failing.send('queue.purge', queue=t.name())
    failing.expect_close(404, None, 'queue.purge')
    publish(other, queue, 1)
    equal(other.get(queue).body, b'0', 'message')
    equal(other.declare(queue, passive=True).consumer_count, 0, 'consumers')


@test
def many_consumers_on_many_queues(t):
    connection = t.connect()
    channels = [connection.channel() for _ in range(10)]
    queues = [t.queue(channels[0]) for _ in range(30)]
    for channel in channels:
        for queue in queues:
            channel.consume(queue, queue, no_ack=True)
    for queue in queues:
        for _ in range(10):
            channels[0].publish(queue, queue.encode())
    for channel in channels:
        messages = [channel.deliver() for _ in queues]
        equal(sorted(message.consumer_tag for message in messages), sorted(queues), 'tags')
        for message in messages:
            equal(message.body, message.consumer_tag.encode(), 'body')


@test
def deliveries_and_replies_share_a_channel(t):
    """A reply may come between deliveries, but never inside the content of one."""
    channel = t.channel(frame_max=4096)
    queue = t.queue(channel)
    channel.consume(queue, no_ack=True)
    body = t.random.randbytes(20000)
    octets = amqp.publish_frames(channel.number, queue, body, piece=4088)
    channel.connection.send((octets + amqp.method_frame(channel.number, 'basic.qos')) * 100)
    for _ in range(100):
        channel.reply('basic.qos-ok')
    for _ in range(100):
        equal(channel.deliver().body == body, True, 'same body')
