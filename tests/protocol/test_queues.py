"""Names, counts, and the three ways a queue ends by itself."""

import re

from audit import ConfirmAuditor
from harness import test, check, equal, eventually, settle


def missing(channel, queue):
    channel.send('queue.declare', queue=queue, passive=True)
    channel.expect_close(404, None, 'queue.declare')
    channel.call('channel.open')


def exists(channel, queue):
    """False without an exception: a channel of its own asks."""
    probe = channel.connection.channel()
    probe.send('queue.declare', queue=queue, passive=True)
    method = probe.take('queue.declare-ok', 'channel.close')
    probe.send('channel.close-ok' if method.name == 'channel.close' else 'channel.close')
    return method.name == 'queue.declare-ok'


@test
def server_named(t):
    channel = t.channel()
    names = [channel.declare(exclusive=True).queue for _ in range(50)]
    equal(len(set(names)), 50, 'different names')
    for name in names:
        check(re.fullmatch(r'amq\.gen-[A-Za-z0-9_-]{22}', name), f'name: {name!r}')
    channel.publish(names[7], b'x')
    equal(channel.get(names[7]).body, b'x', 'message')


@test
def counts(t):
    """declare-ok, get-ok, purge-ok and delete-ok count what is ready."""
    channel = t.channel()
    queue = t.queue(channel)
    for index in range(5):
        channel.publish(queue, b'%d' % index)
    settle(channel, queue, 5)
    reply = channel.declare(queue, exclusive=True)
    equal((reply.queue, reply.message_count, reply.consumer_count), (queue, 5, 0), 'declare-ok')
    equal(channel.get(queue, no_ack=False).message_count, 4, 'get-ok')
    equal(channel.declare(queue, passive=True).message_count, 4, 'count after get')
    equal(channel.get(queue, no_ack=True).message_count, 3, 'get-ok')
    equal(channel.call('queue.purge', queue=queue).message_count, 3, 'purge-ok')
    channel.nack(1)
    settle(channel, queue, 1)
    equal(channel.call('queue.delete', queue=queue).message_count, 1, 'delete-ok')


@test
def consumer_counts(t):
    connection = t.connect()
    channel, other = connection.channel(), connection.channel()
    queue = t.queue(channel)
    channel.consume(queue, 'a')
    channel.consume(queue, 'b')
    other.consume(queue, 'a')
    equal(channel.declare(queue, passive=True).consumer_count, 3, 'consumers')
    channel.call('basic.cancel', consumer_tag='a')
    equal(channel.declare(queue, passive=True).consumer_count, 2, 'consumers after cancel')
    other.close()
    equal(channel.declare(queue, passive=True).consumer_count, 1, 'consumers after close')


@test
def purge_spares_what_is_unacked(t):
    channel = t.channel()
    queue = t.queue(channel)
    for body in (b'0', b'1', b'2'):
        channel.publish(queue, body)
    channel.get(queue, no_ack=False)
    equal(channel.call('queue.purge', queue=queue).message_count, 2, 'purged')
    channel.nack(1)
    message = channel.get(queue)
    equal((message.body, message.redelivered), (b'0', True), 'message')
    equal(channel.call('queue.purge', queue=queue).message_count, 0, 'purged')


@test
def unacked_of_a_deleted_queue(t):
    """They may still be settled, in every way, and come back nowhere."""
    channel = t.channel()
    queue = t.queue(channel)
    for index in range(4):
        channel.publish(queue, b'%d' % index)
        channel.get(queue, no_ack=False)
    channel.call('queue.delete', queue=queue)
    channel.declare(queue, exclusive=True)
    channel.ack(1)
    channel.nack(2)
    channel.send('basic.reject', delivery_tag=3)
    channel.call('basic.recover', requeue=True)
    channel.idle(queue)
    equal(channel.get(queue), None, 'message in the new queue')


@test
def exclusive_belongs_to_the_connection(t):
    connection = t.connect()
    channel, other = connection.channel(), connection.channel()
    queue = t.queue(channel)
    channel.close()
    other.publish(queue, b'x')
    equal(other.get(queue).body, b'x', 'message after the channel was closed')


@test(rows={'finish': 'finish', 'close': 'close', 'reset': 'reset'})
def exclusive_ends_with_the_connection(t, how):
    owner, other = t.channel(), t.channel()
    queues = [t.queue(owner) for _ in range(20)]
    getattr(owner.connection, how)()
    if how == 'finish':
        for queue in queues:
            missing(other, queue)
    for queue in queues:
        eventually(lambda queue=queue: exists(other, queue), False, 'queue exists')


@test
def exclusive_may_be_declared_again_after_close_ok(t):
    """By another connection, at once, and again and again."""
    queue = t.name()
    for _ in range(30):
        channel = t.channel()
        equal(channel.declare(queue, exclusive=True).message_count, 0, 'messages')
        channel.publish(queue, b'x')
        settle(channel, queue, 1)
        channel.connection.finish()


@test
def others_may_publish_to_an_exclusive_queue(t):
    owner, other = t.channel(), t.channel()
    queue = t.queue(owner)
    owner.bind(queue, 'amq.direct', queue)
    other.publish(queue, b'1')
    other.publish(queue, b'2', 'amq.direct')
    other.call('queue.unbind', queue=queue, exchange='amq.direct', routing_key='never bound')
    settle(owner, queue, 2)


@test
def auto_delete_needs_a_consumer(t):
    channel = t.channel()
    queue = t.queue(channel, auto_delete=True)
    channel.publish(queue, b'x')
    channel.get(queue)
    channel.declare(queue, auto_delete=True)
    equal(channel.call('queue.delete', queue=queue).message_count, 0, 'messages')


@test(rows={name: name for name in ('cancel', 'channel', 'finish', 'reset')})
def auto_delete_with_the_last_consumer(t, how):
    """Messages that are left go with it."""
    channel, other = t.channel(), t.channel()
    queue = t.queue(channel, auto_delete=True)
    channel.qos(1)
    channel.consume(queue, 'a')
    channel.consume(queue, 'b')
    for _ in range(5):
        channel.publish(queue, b'x')
    channel.call('basic.cancel', consumer_tag='a')
    equal(channel.declare(queue, passive=True).consumer_count, 1, 'consumers')
    if how == 'cancel':
        channel.call('basic.cancel', consumer_tag='b')
    elif how == 'channel':
        channel.close()
    else:
        getattr(channel.connection, how)()
    eventually(lambda: exists(other, queue), False, 'queue exists')


@test
def delete_tells_the_consumers(t):
    """basic.cancel with nowait, once for each, and no cancel-ok is expected."""
    connection = t.connect()
    channel, other = connection.channel(), connection.channel()
    queue = t.queue(channel)
    channel.consume(queue, 'a')
    channel.consume(queue, 'b')
    other.consume(queue, 'a')
    other.call('queue.delete', queue=queue)
    cancels = [channel.take('basic.cancel') for _ in range(2)]
    equal({cancel.consumer_tag for cancel in cancels}, {'a', 'b'}, 'cancelled')
    cancels.append(other.take('basic.cancel'))
    equal({cancel.nowait for cancel in cancels}, {True}, 'nowait')
    for each in (channel, other):
        each.idle()
    channel.declare(queue, exclusive=True)
    equal(channel.consume(queue, 'a'), 'a', 'tag that was cancelled')


@test
def delete_tells_only_those_who_asked(t):
    """Without the capability the consumer is gone in silence."""
    channel = t.channel(capabilities=['basic.nack'])
    queue = t.queue(channel)
    channel.consume(queue, 'a')
    channel.call('queue.delete', queue=queue)
    channel.idle()
    channel.declare(queue, exclusive=True)
    channel.consume(queue, 'a')


@test
def delete_by_another_connection_tells_the_consumers(t):
    channel, other = t.channel(), t.channel()
    queue = t.queue(channel, durable=False)
    channel.consume(queue, 'a')
    other.call('queue.delete', queue=queue)
    equal(channel.take('basic.cancel').consumer_tag, 'a', 'cancelled')


@test(rows={'ack': False, 'no ack': True})
def delete_while_deliveries_are_under_way(t, no_ack):
    """The consumer is told once, after whatever was sent before."""
    owner, consumer = t.channel(), t.channel()
    for round_ in range(20):
        queue = t.queue(owner, durable=False)
        consumer.consume(queue, 'c', no_ack=no_ack)
        for index in range(300):
            owner.publish(queue, b'%d.' % index + bytes(t.random.choice((10, 5000))))
        owner.call('queue.delete', queue=queue)
        bodies = []
        while (method := consumer.take('basic.deliver', 'basic.cancel')).name == 'basic.deliver':
            bodies.append(int(method.body.split(b'.')[0]))
        equal(bodies, list(range(len(bodies))), f'round {round_}: bodies')
        consumer.ack(0, multiple=True)
        consumer.idle()


@test
def messages_stay_in_order(t):
    channel = t.channel()
    queue = t.queue(channel)
    for index in range(1000):
        channel.publish(queue, b'%d' % index)
    equal([int(channel.get(queue).body) for _ in range(1000)], list(range(1000)), 'bodies')


@test
def queues_come_and_go_while_others_publish(t):
    """Publishing to a name that is being declared and deleted: lost or delivered, never stuck."""
    auditor, owner = ConfirmAuditor(t.channel()), t.channel()
    queue = t.name()
    for _ in range(30):
        for _ in range(10):
            auditor.publish(queue, b'x')
        owner.declare(queue)
        for _ in range(10):
            auditor.publish(queue, b'x')
        owner.call('queue.delete', queue=queue)
    auditor.wait()
    equal((len(auditor.acked), auditor.nacked), (600, set()), 'acked, nacked')


@test
def redeclared_queue_is_empty(t):
    channel = t.channel()
    queue = t.name()
    for _ in range(20):
        equal(channel.declare(queue, exclusive=True).message_count, 0, 'messages')
        channel.publish(queue, b'x')
        channel.call('queue.delete', queue=queue)


@test
def a_thousand_queues(t):
    channel = t.channel()
    queues = [t.name() for _ in range(1000)]
    for queue in queues:
        channel.send('queue.declare', queue=queue, exclusive=True)
        channel.send('queue.bind', queue=queue, exchange='amq.topic', routing_key=f'{queues[0]}.#')
    for queue in queues:
        equal(channel.take('queue.declare-ok').queue, queue, 'queue')
        channel.take('queue.bind-ok')
    channel.publish(f'{queues[0]}.x', b'x', 'amq.topic')
    for queue in queues:
        channel.send('basic.get', queue=queue, no_ack=True)
    for queue in queues:
        equal(channel.take('basic.get-ok').body, b'x', 'body')
    channel.connection.finish()
    missing(t.channel(), queues[500])
