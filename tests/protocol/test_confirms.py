"""Publisher confirms."""

from audit import ConfirmAuditor
from harness import test, check, equal, settle


@test
def first_publish_is_one(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish(queue, b'before')
    channel.call('confirm.select')
    for number in (1, 2, 3):
        channel.publish(queue, b'x')
        ack = channel.take('basic.ack')
        equal(ack.delivery_tag, number, 'number')


@test
def select_again_does_not_start_again(t):
    channel = t.channel()
    auditor = ConfirmAuditor(channel)
    auditor.publish('nowhere')
    channel.call('confirm.select')
    auditor.publish('nowhere')
    auditor.wait()
    equal(auditor.acked, {1, 2}, 'acked')


@test
def select_with_nowait(t):
    channel = t.channel()
    channel.send('confirm.select', nowait=True)
    channel.publish('nowhere', b'x')
    equal(channel.take('basic.ack').delivery_tag, 1, 'number')


MODES = {'transient': {}, 'persistent': {'delivery_mode': 2}}


@test(rows=MODES)
def one_by_one(t, properties):
    channel = t.channel()
    queue = t.queue(channel, durable=True)
    auditor = ConfirmAuditor(channel)
    for _ in range(100):
        auditor.publish(queue, b'x', properties=properties)
        auditor.wait()
    equal(len(auditor.acked), 100, 'acked')
    channel.call('queue.delete', queue=queue)


@test(rows=MODES)
def many_in_flight(t, properties):
    channel = t.channel()
    queue = t.queue(channel, durable=True)
    auditor = ConfirmAuditor(channel)
    for index in range(5000):
        auditor.publish(queue, b'%d' % index, properties=properties)
        auditor.drain()
    auditor.wait()
    equal((len(auditor.acked), auditor.nacked), (5000, set()), 'acked, nacked')
    equal(channel.call('queue.delete', queue=queue).message_count, 5000, 'messages')


@test
def routed_and_unroutable_mixed(t):
    channel = t.channel()
    durable, transient = t.queue(channel, durable=True), t.queue(channel)
    auditor = ConfirmAuditor(channel)
    for _ in range(2000):
        key = t.random.choice((durable, transient, 'nowhere'))
        auditor.publish(key, b'x' * t.random.choice((0, 10, 5000)),
                        properties={'delivery_mode': t.random.choice((1, 2))})
    auditor.wait()
    equal(len(auditor.acked), 2000, f'seed {t.seed}: acked')
    channel.call('queue.delete', queue=durable)


@test
def confirmed_means_in_the_queue(t):
    """Another connection finds the message as soon as it is confirmed."""
    channel, other = t.channel(), t.channel()
    queue = t.queue(channel, durable=False)
    auditor = ConfirmAuditor(channel)
    for index in range(50):
        auditor.publish(queue, b'%d' % index)
        auditor.wait()
        message = other.get(queue)
        equal(message and message.body, b'%d' % index, 'message')
    channel.call('queue.delete', queue=queue)


@test
def return_comes_before_the_confirm(t):
    channel = t.channel()
    auditor = ConfirmAuditor(channel)
    for number in range(1, 101):
        auditor.publish('nowhere', b'%d' % number, mandatory=True)
    returned = 0
    while auditor.waiting:
        method = channel.take('basic.return', 'basic.ack')
        if method.name == 'basic.return':
            returned += 1
            equal(int(method.body), returned, 'returned')
        else:
            numbers = auditor.settle(method)
            check(max(numbers) <= returned, f'{max(numbers)} confirmed before it was returned')
    equal(returned, 100, 'returns')


@test
def channels_confirm_their_own(t):
    connection = t.connect()
    auditors = [ConfirmAuditor(connection.channel()) for _ in range(10)]
    queue = t.queue(auditors[0].channel)
    for _ in range(1000):
        t.random.choice(auditors).publish(queue, b'x')
    for auditor in auditors:
        auditor.wait()
        equal(len(auditor.acked), auditor.published, 'acked')


@test
def a_publish_that_fails_is_never_confirmed(t):
    """Those before it are answered or not, it and those after it are not."""
    channel = t.channel()
    auditor = ConfirmAuditor(channel)
    for _ in range(10):
        auditor.publish('nowhere', b'x')
    channel.publish('k', b'x', t.name('missing'))
    channel.publish('nowhere', b'x')
    for method in iter(lambda: channel.take('basic.ack', 'channel.close'), None):
        if method.name == 'channel.close':
            break
        auditor.settle(method)
    channel.send('channel.close-ok')
    channel.call('channel.open')
    channel.idle()


@test
def numbers_start_again_with_a_new_channel(t):
    channel = t.channel()
    for _ in range(5):
        auditor = ConfirmAuditor(channel)
        auditor.publish('nowhere')
        auditor.wait()
        channel.close()
        channel.call('channel.open')
    channel.publish('nowhere', b'x')
    channel.idle()


@test
def confirms_while_consuming(t):
    """Publishing, confirming, delivering and acknowledging on one channel."""
    channel = t.channel()
    queue = t.queue(channel, durable=True)
    auditor = ConfirmAuditor(channel)
    channel.qos(50)
    channel.consume(queue)
    delivered = 0
    for index in range(1000):
        auditor.publish(queue, b'%d' % index, properties={'delivery_mode': 2})
    while delivered < 1000 or auditor.waiting:
        method = channel.take('basic.deliver', 'basic.ack')
        if method.name == 'basic.ack':
            auditor.settle(method)
        else:
            equal(int(method.body), delivered, 'body')
            delivered += 1
            channel.ack(method.delivery_tag)
    channel.idle(queue)
    channel.call('queue.delete', queue=queue)


@test
def messages_without_ack_are_confirmed(t):
    """Consumed and gone before any disk was reached: confirmed all the same."""
    channel, consumer = t.channel(), t.channel()
    queue = t.queue(channel, durable=True)
    consumer.consume(queue, no_ack=True)
    auditor = ConfirmAuditor(channel)
    for _ in range(500):
        auditor.publish(queue, b'x', properties={'delivery_mode': 2})
    auditor.wait()
    equal(len(consumer.bodies(500)), 500, 'deliveries')
    channel.call('queue.delete', queue=queue)


@test
def fanout_is_confirmed_once(t):
    channel = t.channel()
    exchange = t.exchange(channel, 'fanout')
    queues = [t.queue(channel) for _ in range(20)]
    for queue in queues:
        channel.bind(queue, exchange)
    auditor = ConfirmAuditor(channel)
    for _ in range(100):
        auditor.publish('k', b'x', exchange)
    auditor.wait()
    for queue in queues:
        settle(channel, queue, 100)


@test
def confirms_of_a_connection_that_is_gone(t):
    """The broker has nobody to tell, and goes on."""
    other = t.channel()
    queue = t.queue(other, durable=True)
    for _ in range(10):
        auditor = ConfirmAuditor(t.channel())
        for _ in range(100):
            auditor.publish(queue, b'x', properties={'delivery_mode': 2})
        auditor.channel.connection.reset()
    auditor = ConfirmAuditor(other)
    auditor.publish(queue, b'last')
    auditor.wait()
    other.call('queue.delete', queue=queue)
