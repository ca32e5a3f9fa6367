"""basic.qos: a limit for each consumer, a limit for all of a channel, and both."""

from harness import test, equal


def filled(t, channel, count):
    """A queue with count messages, each with its number as body."""
    queue = t.queue(channel)
    for index in range(count):
        channel.publish(queue, b'%d' % index)
    channel.sync()
    return queue


@test
def per_consumer(t):
    """Each ack lets one more through."""
    channel = t.channel()
    queue = filled(t, channel, 10)
    channel.qos(3)
    channel.consume(queue)
    equal(channel.bodies(3), [b'0', b'1', b'2'], 'first deliveries')
    channel.idle(queue)
    for index in range(3, 10):
        channel.ack(index - 2)
        equal(channel.bodies(1), [b'%d' % index], 'delivery after an ack')
        channel.idle(queue)


@test
def one(t):
    channel = t.channel()
    queue = filled(t, channel, 50)
    channel.qos(1)
    channel.consume(queue)
    for index in range(50):
        message = channel.deliver()
        equal(message.body, b'%d' % index, 'body')
        channel.idle()
        channel.ack(message.delivery_tag)


@test
def each_consumer_has_its_own(t):
    channel = t.channel()
    queue = filled(t, channel, 20)
    channel.qos(2)
    channel.consume(queue, 'a')
    channel.consume(queue, 'b')
    tags = [channel.deliver().consumer_tag for _ in range(4)]
    equal(sorted(tags), ['a', 'a', 'b', 'b'], 'tags')
    channel.idle(queue)
    channel.ack(0, multiple=True)
    tags = [channel.deliver().consumer_tag for _ in range(4)]
    equal(sorted(tags), ['a', 'a', 'b', 'b'], 'tags')


@test
def consumers_keep_the_limit_they_were_born_with(t):
    channel = t.channel()
    queue, other = filled(t, channel, 10), filled(t, channel, 10)
    channel.qos(1)
    channel.consume(queue, 'old')
    channel.qos(4)
    channel.consume(other, 'new')
    tags = [channel.deliver().consumer_tag for _ in range(5)]
    equal(sorted(tags), ['new'] * 4 + ['old'], 'tags')
    channel.idle(queue)
    channel.idle(other)
    channel.qos(0)
    channel.idle(queue)


@test
def zero_is_no_limit(t):
    channel = t.channel()
    queue = filled(t, channel, 500)
    channel.qos(5)
    channel.qos(0)
    channel.consume(queue)
    equal(len(channel.bodies(500)), 500, 'deliveries')


@test
def no_ack_is_not_limited(t):
    channel = t.channel()
    queue = filled(t, channel, 100)
    channel.qos(1)
    channel.consume(queue, no_ack=True)
    equal(len(channel.bodies(100)), 100, 'deliveries')


@test
def nack_and_reject_make_room(t):
    channel = t.channel()
    queue = filled(t, channel, 4)
    channel.qos(1)
    channel.consume(queue)
    channel.nack(channel.deliver().delivery_tag, requeue=False)
    channel.send('basic.reject', delivery_tag=channel.deliver().delivery_tag)
    message = channel.deliver()
    channel.nack(message.delivery_tag, requeue=True)
    again = channel.deliver()
    equal((message.body, again.body, again.redelivered), (b'2', b'2', True), 'requeued')
    channel.idle(queue)


@test
def get_does_not_count(t):
    channel = t.channel()
    queue = filled(t, channel, 5)
    channel.qos(1)
    for _ in range(3):
        channel.get(queue, no_ack=False)
    channel.consume(queue)
    equal(channel.bodies(1), [b'3'], 'delivery')
    channel.ack(1)
    channel.idle(queue)
    equal(channel.get(queue).body, b'4', 'message by get')


@test
def cancel_gives_nothing_back(t):
    """The unacked of a cancelled consumer stay with the channel."""
    channel = t.channel()
    queue = filled(t, channel, 4)
    channel.qos(2)
    channel.consume(queue, 'a')
    channel.bodies(2)
    channel.call('basic.cancel', consumer_tag='a')
    channel.consume(queue, 'b')
    equal(channel.bodies(2), [b'2', b'3'], 'deliveries of the new consumer')
    channel.ack(1)
    channel.ack(2)
    channel.idle(queue)


@test
def global_is_shared(t):
    """One limit for all consumers of the channel; other channels have their own."""
    connection = t.connect()
    channel, other = connection.channel(), connection.channel()
    queues = [filled(t, channel, 5) for _ in range(3)]
    channel.qos(4, global_=True)
    for queue in queues:
        channel.consume(queue)
    tags = [channel.deliver().delivery_tag for _ in range(4)]
    for queue in queues:
        channel.idle(queue)
    other.consume(queues[2])
    other.deliver()
    for tag in tags:
        channel.ack(tag)
        channel.deliver()
    for queue in queues:
        channel.idle(queue)


@test
def global_counts_what_is_unacked_already(t):
    channel = t.channel()
    queue = filled(t, channel, 10)
    channel.qos(3)
    channel.consume(queue, 'a')
    channel.bodies(3)
    channel.qos(4, global_=True)
    channel.consume(queue, 'b')
    equal(channel.bodies(1), [b'3'], 'one more')
    channel.idle(queue)
    channel.ack(0, multiple=True)
    equal(len(channel.bodies(4)), 4, 'after ack of all')
    channel.idle(queue)


@test
def global_raised_at_run_time(t):
    channel = t.channel()
    queue = filled(t, channel, 30)
    channel.qos(1, global_=True)
    channel.consume(queue)
    channel.bodies(1)
    channel.idle(queue)
    channel.qos(6, global_=True)
    equal(len(channel.bodies(5)), 5, 'at once')
    channel.idle(queue)
    channel.qos(0, global_=True)
    equal(len(channel.bodies(24)), 24, 'without limit')


@test
def global_lowered_at_run_time(t):
    """What is out stays out; the next comes when enough is acked."""
    channel = t.channel()
    queue = filled(t, channel, 20)
    channel.qos(6, global_=True)
    channel.consume(queue)
    channel.bodies(6)
    channel.qos(2, global_=True)
    for tag in range(1, 5):
        channel.ack(tag)
        channel.idle(queue)
    channel.ack(5)
    equal(channel.bodies(1), [b'6'], 'delivery')
    channel.idle(queue)


@test
def both_limits(t):
    channel = t.channel()
    queue, other = filled(t, channel, 10), filled(t, channel, 10)
    channel.qos(3)
    channel.qos(5, global_=True)
    channel.consume(queue, 'a')
    channel.bodies(3)
    channel.idle(queue)
    channel.consume(other, 'b')
    channel.bodies(2)
    channel.idle(other)
    channel.ack(1)
    channel.deliver()
    channel.idle(queue)
    channel.idle(other)


@test
def global_does_not_count_gets_nor_no_ack(t):
    channel = t.channel()
    queue, other = filled(t, channel, 10), filled(t, channel, 10)
    channel.qos(1, global_=True)
    channel.consume(other, no_ack=True)
    equal(len(channel.bodies(10)), 10, 'deliveries without ack')
    channel.get(queue, no_ack=False)
    channel.get(queue, no_ack=False)
    channel.consume(queue)
    equal(channel.bodies(1), [b'2'], 'delivery')
    channel.idle(queue)


@test
def limits_end_with_the_channel(t):
    channel = t.channel()
    queue = filled(t, channel, 10)
    channel.qos(1)
    channel.qos(1, global_=True)
    channel.close()
    channel.call('channel.open')
    channel.consume(queue)
    equal(len(channel.bodies(10)), 10, 'deliveries')


@test
def many_channels_with_global_limits(t):
    """Every message is delivered once, and no channel ever holds more than its limit."""
    connection = t.connect()
    channels = [connection.channel() for _ in range(8)]
    queue = t.queue(channels[0])
    for index, channel in enumerate(channels):
        channel.qos(index + 1, global_=True)
        channel.consume(queue, 'a')
        channel.consume(queue, 'b')
    for index in range(500):
        channels[0].publish(queue, b'%d' % index)
    seen, held = set(), {channel.number: [] for channel in channels}
    while len(seen) < 500:
        if not any(channel.inbox for channel in channels):
            connection.pump(connection.deadline)
        for index, channel in enumerate(channels):
            while channel.inbox:
                message = channel.take('basic.deliver')
                equal(message.body in seen, False, f'{message.body} seen before')
                seen.add(message.body)
                held[channel.number].append(message.delivery_tag)
            equal(len(held[channel.number]) <= index + 1, True, 'within the limit')
            while held[channel.number] and t.random.random() < 0.7:
                channel.ack(held[channel.number].pop(0))
