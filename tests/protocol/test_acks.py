"""Delivery tags, settling, and where requeued messages go."""

from harness import test, equal, settle


def filled(t, channel, count, **arguments):
    queue = t.queue(channel, **arguments)
    for index in range(count):
        channel.publish(queue, b'%d' % index)
    settle(channel, queue, count)
    return queue


def drain(channel, queue):
    """(number, redelivered) of all ready messages."""
    found = []
    while message := channel.get(queue):
        found.append((int(message.body), message.redelivered))
    return found


def fresh(*numbers):
    return [(number, False) for number in numbers]


def again(*numbers):
    return [(number, True) for number in numbers]


@test
def tags_count_every_delivery(t):
    """Of all queues, by consumer and by get, acknowledged or not."""
    channel = t.channel()
    queue, other = filled(t, channel, 3), filled(t, channel, 3)
    tags = [channel.get(queue, no_ack=True).delivery_tag,
            channel.get(other, no_ack=False).delivery_tag]
    channel.ack(2)
    channel.consume(queue, 'a', no_ack=True)
    tags += [channel.deliver().delivery_tag for _ in range(2)]
    tags.append(channel.get(other, no_ack=False).delivery_tag)
    channel.nack(5)
    tags.append(channel.get(other, no_ack=False).delivery_tag)
    equal(tags, [1, 2, 3, 4, 5, 6], 'tags')


@test
def tags_start_again_with_a_new_channel(t):
    channel = t.channel()
    queue = filled(t, channel, 1)
    for _ in range(3):
        equal(channel.get(queue, no_ack=False).delivery_tag, 1, 'tag')
        channel.close()
        channel.call('channel.open')
    channel.ack(0, multiple=True)


@test
def ack_one_by_one_in_any_order(t):
    channel = t.channel()
    queue = filled(t, channel, 20)
    tags = [channel.get(queue, no_ack=False).delivery_tag for _ in range(20)]
    t.random.shuffle(tags)
    for tag in tags:
        channel.ack(tag)
    channel.call('basic.recover', requeue=True)
    equal(drain(channel, queue), [], 'messages')


@test
def ack_multiple(t):
    """All up to the tag, which needs to be the last one only; 0 means all."""
    channel = t.channel()
    queue = filled(t, channel, 10)
    for _ in range(10):
        channel.get(queue, no_ack=False)
    channel.ack(2)
    channel.ack(4, multiple=True)
    channel.ack(6)
    channel.call('basic.recover', requeue=True)
    equal(drain(channel, queue), again(4, 6, 7, 8, 9), 'messages')
    for index in range(3):
        channel.publish(queue, b'%d' % index)
        channel.get(queue, no_ack=False)
    channel.ack(0, multiple=True)
    channel.call('basic.recover', requeue=True)
    equal(drain(channel, queue), [], 'messages after ack of all')


@test
def ack_multiple_with_a_tag_that_is_settled(t):
    """Refused, although earlier and later tags are outstanding; nothing is settled by it."""
    connection = t.connect()
    channel, other = connection.channel(), connection.channel()
    queue = filled(t, other, 5)
    for _ in range(5):
        channel.get(queue, no_ack=False)
    channel.ack(3)
    channel.ack(3, multiple=True)
    channel.expect_close(406, 'PRECONDITION_FAILED - unknown delivery tag 3', 'basic.ack')
    settle(other, queue, 4)
    equal(drain(other, queue), again(0, 1, 3, 4), 'messages')


@test
def nack_multiple(t):
    channel = t.channel()
    queue = filled(t, channel, 8)
    for _ in range(6):
        channel.get(queue, no_ack=False)
    channel.nack(3, multiple=True, requeue=False)
    channel.nack(0, multiple=True, requeue=True)
    settle(channel, queue, 5)
    equal(drain(channel, queue), again(3, 4, 5) + fresh(6, 7), 'messages')


@test
def requeued_messages_return_to_their_place(t):
    """In whatever order they are given back."""
    for _ in range(5):
        channel = t.channel()
        queue = filled(t, channel, 12)
        tags = [channel.get(queue, no_ack=False).delivery_tag for _ in range(9)]
        t.random.shuffle(tags)
        for tag in tags[:6]:
            channel.nack(tag)
        settle(channel, queue, 9)
        expected = sorted(tag - 1 for tag in tags[:6])
        equal(drain(channel, queue), again(*expected) + fresh(9, 10, 11),
              f'seed {t.seed}: messages')


@test
def requeued_by_several_channels(t):
    """Their interleaved messages come back in the queue's order."""
    connection = t.connect()
    channels = [connection.channel() for _ in range(3)]
    queue = filled(t, channels[0], 30)
    for index in range(24):
        channels[index % 3].get(queue, no_ack=False)
    channels[2].close()
    channels[1].nack(0, multiple=True)
    channels[0].call('basic.recover', requeue=True)
    channels[1].sync()
    settle(channels[0], queue, 30)
    equal(drain(channels[0], queue), again(*range(24)) + fresh(*range(24, 30)), 'messages')


@test
def reject(t):
    channel = t.channel()
    queue = filled(t, channel, 3)
    for _ in range(2):
        channel.get(queue, no_ack=False)
    channel.send('basic.reject', delivery_tag=2, requeue=True)
    channel.send('basic.reject', delivery_tag=1, requeue=False)
    settle(channel, queue, 2)
    equal(drain(channel, queue), again(1) + fresh(2), 'messages')


@test
def recover(t):
    """Everything unacked of the channel comes back, perhaps to the same consumer."""
    connection = t.connect()
    channel, other = connection.channel(), connection.channel()
    queue = filled(t, channel, 4)
    channel.consume(queue, 'c')
    first = [channel.deliver() for _ in range(4)]
    channel.ack(2)
    channel.call('basic.recover', requeue=True)
    second = [channel.deliver() for _ in range(3)]
    equal([message.redelivered for message in first + second], [False] * 4 + [True] * 3,
          'redelivered')
    equal([message.body for message in second], [b'0', b'2', b'3'], 'bodies')
    equal([message.delivery_tag for message in second], [5, 6, 7], 'tags')
    other.call('basic.recover', requeue=True)
    channel.idle(queue)


@test
def recover_async(t):
    channel = t.channel()
    queue = filled(t, channel, 2)
    channel.get(queue, no_ack=False)
    channel.send('basic.recover-async', requeue=True)
    settle(channel, queue, 2)
    channel.idle()
    equal(drain(channel, queue), again(0) + fresh(1), 'messages')


@test
def closing_a_channel_requeues(t):
    connection = t.connect()
    channel, other = connection.channel(), connection.channel()
    queue = filled(t, other, 5)
    channel.consume(queue, 'c')
    for _ in range(5):
        channel.deliver()
    channel.ack(2)
    channel.close()
    settle(other, queue, 4)
    equal(drain(other, queue), again(0, 2, 3, 4), 'messages')


@test(rows={how: how for how in ('finish', 'close', 'reset')})
def the_end_of_a_connection_requeues(t, how):
    channel, other = t.channel(), t.channel()
    queue = filled(t, other, 5, durable=False)
    for _ in range(3):
        channel.get(queue, no_ack=False)
    channel.consume(queue, 'c')
    for _ in range(2):
        channel.deliver()
    getattr(channel.connection, how)()
    settle(other, queue, 5)
    equal(drain(other, queue), again(*range(5)), 'messages')
    other.call('queue.delete', queue=queue)


@test
def no_ack_settles_on_sending(t):
    connection = t.connect()
    channel, other = connection.channel(), connection.channel()
    queue = filled(t, other, 4)
    channel.get(queue, no_ack=True)
    channel.consume(queue, 'c', no_ack=True)
    for _ in range(3):
        channel.deliver()
    channel.close()
    other.idle(queue)
    equal(drain(other, queue), [], 'messages')


@test
def ack_after_cancel(t):
    channel = t.channel()
    queue = filled(t, channel, 3)
    channel.consume(queue, 'c')
    for _ in range(3):
        channel.deliver()
    channel.call('basic.cancel', consumer_tag='c')
    channel.ack(1)
    channel.nack(3)
    settle(channel, queue, 1)
    equal(drain(channel, queue), again(2), 'messages')


@test
def redelivered_stays(t):
    """And it is the queue's memory, not the consumer's."""
    connection = t.connect()
    channels = [connection.channel() for _ in range(3)]
    queue = filled(t, channels[0], 1)
    equal(channels[0].get(queue, no_ack=False).redelivered, False, 'redelivered')
    channels[0].nack(1)
    channels[0].sync()
    settle(channels[1], queue, 1)
    equal(channels[1].get(queue, no_ack=False).redelivered, True, 'redelivered')
    channels[1].close()
    settle(channels[2], queue, 1)
    equal(channels[2].get(queue, no_ack=False).redelivered, True, 'redelivered')


@test
def one_message_in_two_queues(t):
    """Each queue settles its own copy."""
    channel = t.channel()
    exchange, queues = t.exchange(channel, 'fanout'), [t.queue(channel) for _ in range(2)]
    for queue in queues:
        channel.bind(queue, exchange)
    channel.publish('k', b'7', exchange)
    equal(channel.get(queues[0], no_ack=False).body, b'7', 'body')
    channel.nack(1)
    settle(channel, queues[0], 1)
    equal(drain(channel, queues[0]), again(7), 'requeued copy')
    equal(drain(channel, queues[1]), fresh(7), 'other copy')


@test
def get_from_an_empty_queue(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.send('basic.get', queue=queue)
    channel.take('basic.get-empty')
    channel.publish(queue, b'1')
    message = channel.get(queue)
    equal((message.message_count, message.redelivered, message.exchange, message.routing_key),
          (0, False, '', queue), 'get-ok')


@test
def many_gets_pipelined(t):
    channel = t.channel()
    queue = filled(t, channel, 300)
    for _ in range(310):
        channel.send('basic.get', queue=queue)
    for index in range(300):
        message = channel.take('basic.get-ok')
        equal((message.delivery_tag, int(message.body), message.message_count),
              (index + 1, index, 299 - index), 'get-ok')
    for _ in range(10):
        channel.take('basic.get-empty')
    channel.ack(300, multiple=True)
    channel.sync()


@test
def many_acks_back_to_front(t):
    """Settling in reverse order, which is the worst for a list that is kept in order."""
    channel = t.channel()
    queue = t.queue(channel)
    channel.consume(queue)
    count = 5000
    for _ in range(count):
        channel.publish(queue, b'')
    for _ in range(count):
        channel.deliver()
    for tag in range(count, 0, -1):
        channel.ack(tag)
    channel.call('basic.recover', requeue=True)
    channel.idle(queue)
