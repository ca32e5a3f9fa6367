"""Transactions: what waits for commit, what does not, and rollback."""

from harness import test, equal, settle


def transactional(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.call('tx.select')
    return channel, queue


def count(channel, queue):
    return channel.declare(queue, passive=True).message_count


@test
def publishes_wait_for_commit(t):
    channel, queue = transactional(t)
    for index in range(5):
        channel.publish(queue, b'%d' % index)
    channel.idle(queue)
    equal(count(channel, queue), 0, 'messages before commit')
    channel.call('tx.commit')
    equal([channel.get(queue).body for _ in range(5)], [b'%d' % index for index in range(5)],
          'bodies')
    channel.call('tx.commit')
    equal(count(channel, queue), 0, 'messages after the second commit')


@test
def rollback_drops_publishes(t):
    channel, queue = transactional(t)
    channel.publish(queue, b'dropped')
    channel.call('tx.rollback')
    channel.publish(queue, b'kept')
    channel.call('tx.commit')
    equal(channel.get(queue).body, b'kept', 'body')
    equal(channel.get(queue), None, 'second message')


@test
def commit_is_seen_by_others(t):
    channel, other = t.channel(), t.channel()
    queue = t.queue(channel, durable=True)
    channel.call('tx.select')
    for _ in range(20):
        channel.publish(queue, b'x', properties={'delivery_mode': 2})
        channel.call('tx.commit')
        equal(other.get(queue).body, b'x', 'body')
    channel.call('queue.delete', queue=queue)


@test
def acks_wait_for_commit(t):
    channel, other = t.channel(), t.channel()
    queue = t.queue(channel, durable=False)
    for index in range(3):
        other.publish(queue, b'%d' % index)
    settle(other, queue, 3)
    channel.call('tx.select')
    for _ in range(3):
        channel.get(queue, no_ack=False)
    channel.ack(1)
    channel.call('tx.commit')
    channel.ack(2)
    channel.connection.finish()
    settle(other, queue, 2)
    messages = [other.get(queue) for _ in range(2)]
    equal([(message.body, message.redelivered) for message in messages],
          [(b'1', True), (b'2', True)], 'messages')
    other.call('queue.delete', queue=queue)


@test
def requeues_wait_for_commit(t):
    channel, queue = transactional(t)
    for index in range(4):
        channel.publish(queue, b'%d' % index)
    channel.call('tx.commit')
    for _ in range(4):
        channel.get(queue, no_ack=False)
    channel.nack(1)
    channel.send('basic.reject', delivery_tag=2, requeue=False)
    channel.nack(3, requeue=False)
    channel.idle(queue)
    equal(count(channel, queue), 0, 'messages before commit')
    channel.call('tx.commit')
    settle(channel, queue, 1)
    equal(channel.get(queue).body, b'0', 'requeued')


@test
def rollback_makes_tags_outstanding_again(t):
    """They may be acked again; nothing is redelivered."""
    channel, queue = transactional(t)
    for _ in range(3):
        channel.publish(queue, b'x')
    channel.call('tx.commit')
    channel.consume(queue)
    for _ in range(3):
        channel.deliver()
    channel.ack(1)
    channel.nack(3)
    channel.call('tx.rollback')
    channel.idle(queue)
    channel.ack(1)
    channel.ack(3, multiple=True)
    channel.call('tx.commit')
    channel.call('basic.recover', requeue=True)
    channel.idle(queue)


@test
def bad_tags_fail_at_once(t):
    channel, queue = transactional(t)
    channel.publish(queue, b'x')
    channel.call('tx.commit')
    channel.get(queue, no_ack=False)
    channel.ack(1)
    channel.ack(1)
    channel.expect_close(406, 'PRECONDITION_FAILED - unknown delivery tag 1', 'basic.ack')


@test
def routing_errors_fail_at_once(t):
    channel, queue = transactional(t)
    missing = t.name()
    channel.publish(queue, b'x')
    channel.publish('k', b'x', missing)
    channel.expect_close(404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'",
                         'basic.publish')
    channel.call('channel.open')
    equal(count(channel, queue), 0, 'messages of the lost transaction')


@test
def returns_come_before_commit_ok(t):
    channel, queue = transactional(t)
    for index in range(10):
        channel.publish('nowhere' if index % 2 else queue, b'%d' % index, mandatory=True)
    channel.idle()
    channel.send('tx.commit')
    for index in range(1, 10, 2):
        equal(channel.take('basic.return').body, b'%d' % index, 'returned')
    channel.take('tx.commit-ok')
    equal(count(channel, queue), 5, 'messages')


@test
def rollback_returns_nothing(t):
    channel, _ = transactional(t)
    channel.publish('nowhere', b'x', mandatory=True)
    channel.call('tx.rollback')
    channel.call('tx.commit')
    channel.idle()


@test
def publishes_keep_their_order(t):
    channel, queue = transactional(t)
    expected = []
    for _ in range(20):
        bodies = [b'%d' % t.random.randrange(1000) for _ in range(t.random.randrange(10))]
        for body in bodies:
            channel.publish(queue, body)
        if t.random.random() < 0.5:
            channel.call('tx.commit')
            expected += bodies
        else:
            channel.call('tx.rollback')
    equal([channel.get(queue).body for _ in expected], expected, f'seed {t.seed}: bodies')
    equal(channel.get(queue), None, 'message more')


@test
def queue_that_is_deleted_before_the_commit(t):
    """It takes its part of the transaction along."""
    channel, queue = transactional(t)
    channel.publish(queue, b'x')
    channel.call('queue.delete', queue=queue)
    channel.call('tx.commit')
    channel.declare(queue, exclusive=True)
    equal(count(channel, queue), 0, 'messages')


@test
def other_methods_do_not_wait(t):
    channel, _ = transactional(t)
    other = t.name()
    channel.declare(other, exclusive=True)
    channel.bind(other, 'amq.direct', other)
    channel.call('tx.rollback')
    channel.publish(other, b'x', 'amq.direct')
    channel.call('tx.commit')
    equal(channel.get(other).body, b'x', 'body')


@test
def closing_a_channel_rolls_back(t):
    channel, queue = transactional(t)
    channel.publish(queue, b'x')
    channel.close()
    channel.call('channel.open')
    channel.idle(queue)
    equal(count(channel, queue), 0, 'messages')


@test
def deliveries_do_not_wait(t):
    """A consumer on a transactional channel gets messages before any commit."""
    channel, queue = transactional(t)
    channel.consume(queue, no_ack=True)
    other = channel.connection.channel()
    other.publish(queue, b'x')
    equal(channel.deliver().body, b'x', 'body')


@test
def large_transaction(t):
    channel, queue = transactional(t)
    for index in range(5000):
        channel.publish(queue, b'%d' % index)
    channel.call('tx.commit')
    settle(channel, queue, 5000)
    channel.consume(queue)
    channel.bodies(5000)
    channel.ack(0, multiple=True)
    channel.call('tx.commit')
    channel.call('basic.recover', requeue=True)
    channel.idle(queue)


@test
def ranges_may_overlap(t):
    """Each delivery goes with the first range, or the first tag, that names it; after a rollback
    all of them can be named again."""
    channel, queue = transactional(t)
    for index in range(8):
        channel.publish(queue, b'%d' % index)
    channel.call('tx.commit')
    channel.consume(queue, 'c')
    channel.bodies(8)
    channel.call('basic.cancel', consumer_tag='c')

    def settle_some():
        channel.nack(5)
        channel.ack(3, multiple=True)
        channel.ack(3 + 1, multiple=True)
        channel.nack(6, multiple=True)
    settle_some()
    channel.call('tx.rollback')
    settle_some()
    channel.call('tx.commit')
    equal([channel.get(queue).body for _ in range(2)], [b'4', b'5'], 'what went back')
    channel.idle(queue)
    channel.ack(7)
    channel.call('basic.recover', requeue=True)
    equal(channel.get(queue).body, b'7', 'what is in no transaction')
    channel.idle(queue)
    channel.call('tx.rollback')
    channel.ack(7)
    channel.call('tx.commit')
