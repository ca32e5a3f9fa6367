"""What basic, confirm and tx methods refuse: code, text and method of every exception."""

import amqp
from harness import test, equal, settle


def queue_text(name):
    return f"queue '{name}' in vhost '/'"


def refuse(channel, code, text, name, **arguments):
    channel.send(name, **arguments)
    channel.expect_close(code, text, name)


def refuse_connection(channel, code, text, name, **arguments):
    channel.send(name, **arguments)
    channel.connection.expect_close(code, text, name)


def refuse_publish(channel, code, text, exchange='amq.fanout', properties=None, **arguments):
    channel.publish('k', b'body', exchange, properties, **arguments)
    channel.expect_close(code, text, 'basic.publish')


@test
def consumer_tag_used_twice(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.consume(queue, 'a')
    refuse_connection(channel, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'a'",
                      'basic.consume', queue=queue, consumer_tag='a')


@test
def exclusive_consumer_exists(t):
    connection = t.connect()
    first, second = connection.channel(), connection.channel()
    queue = t.queue(first)
    first.consume(queue, exclusive=True)
    text = f'ACCESS_REFUSED - {queue_text(queue)} in exclusive use'
    for exclusive in (False, True):
        refuse(second, 403, text, 'basic.consume', queue=queue, exclusive=exclusive)
        second.call('channel.open')


@test
def exclusive_asked_while_consumers_exist(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.consume(queue)
    refuse(channel, 403, f'ACCESS_REFUSED - {queue_text(queue)} in exclusive use',
           'basic.consume', queue=queue, exclusive=True)


@test
def exclusive_consumer_on_a_single_active_consumer_queue(t):
    channel = t.channel()
    queue = t.queue(channel, exclusive=True, arguments={'x-single-active-consumer': True})
    refuse(channel, 403, f'ACCESS_REFUSED - {queue_text(queue)} in exclusive use',
           'basic.consume', queue=queue, exclusive=True)


@test
def priority_that_is_no_integer(t):
    channel = t.channel()
    queue = t.queue(channel)
    refuse(channel, 406, f"PRECONDITION_FAILED - invalid arg 'x-priority' for {queue_text(queue)}: "
           '"expected integer, got longstr"', 'basic.consume', queue=queue,
           arguments={'x-priority': 'high'})


@test
def cancel_of_an_unknown_tag(t):
    channel = t.channel()
    equal(channel.call('basic.cancel', consumer_tag='unknown').consumer_tag, 'unknown', 'tag')


@test
def prefetch_size(t):
    refuse_connection(t.channel(), 540, 'NOT_IMPLEMENTED - prefetch_size!=0 (10)', 'basic.qos',
                      prefetch_size=10)


@test(rows={'recover': 'basic.recover', 'recover-async': 'basic.recover-async'})
def recover_without_requeue(t, name):
    refuse_connection(t.channel(), 540, 'NOT_IMPLEMENTED - requeue=false', name, requeue=False)


@test
def flow_stop(t):
    refuse_connection(t.channel(), 540, 'NOT_IMPLEMENTED - active=false', 'channel.flow')


def unknown_tag(channel, tag, name, **arguments):
    refuse(channel, 406, f'PRECONDITION_FAILED - unknown delivery tag {tag}', name,
           delivery_tag=tag, **arguments)
    channel.call('channel.open')


@test(rows={'ack': 'basic.ack', 'nack': 'basic.nack', 'reject': 'basic.reject'})
def delivery_tag_that_is_not_outstanding(t, name):
    channel = t.channel()
    for tag in (0, 1, 5, 2**64 - 1):
        unknown_tag(channel, tag, name)
    queue = t.queue(channel)
    channel.publish(queue, b'x')
    channel.get(queue, no_ack=True)
    unknown_tag(channel, 1, name)
    channel.publish(queue, b'x')
    channel.get(queue, no_ack=False)
    channel.ack(1)
    unknown_tag(channel, 1, name)


@test(rows={'ack': 'basic.ack', 'nack': 'basic.nack'})
def multiple_beyond_the_last_outstanding(t, name):
    """Nothing is settled by it."""
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish(queue, b'x')
    channel.get(queue, no_ack=False)
    unknown_tag(channel, 2, name, multiple=True)
    message = channel.get(queue)
    equal((message.body, message.redelivered), (b'x', True), 'message')


@test(rows={'ack': 'basic.ack', 'nack': 'basic.nack'})
def multiple_with_nothing_outstanding(t, name):
    channel = t.channel()
    channel.send(name, delivery_tag=0, multiple=True)
    channel.sync()


@test
def tags_are_of_their_channel(t):
    connection = t.connect()
    first, second = connection.channel(), connection.channel()
    queue = t.queue(first)
    first.publish(queue, b'x')
    first.get(queue, no_ack=False)
    unknown_tag(second, 1, 'basic.ack')
    first.ack(1)
    first.sync()


@test
def publish_immediate(t):
    """The first check of all, before the exchange is looked for."""
    connection = t.connect()
    connection.channel(1)
    connection.send(amqp.publish_frames(1, 'k', b'x', t.name(), immediate=True))
    connection.expect_close(540, 'NOT_IMPLEMENTED - immediate=true', 'basic.publish')


@test
def publish_to_a_missing_exchange(t):
    missing = t.name()
    refuse_publish(t.channel(), 404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'", missing)


@test
def publish_to_an_internal_exchange(t):
    channel = t.channel()
    exchange = t.exchange(channel, internal=True, auto_delete=False)
    refuse_publish(channel, 403, 'ACCESS_REFUSED - cannot publish to internal exchange '
                   f"'{exchange}' in vhost '/'", exchange)
    channel.call('channel.open')
    channel.call('exchange.delete', exchange=exchange)


@test
def publish_as_somebody_else(t):
    refuse_publish(t.channel(), 406, "PRECONDITION_FAILED - user_id property set to 'bob' but "
                   "authenticated user was 'guest'", properties={'user_id': 'bob'})


@test
def publish_as_oneself(t):
    channel = t.channel()
    channel.publish('k', b'x', 'amq.fanout', {'user_id': 'guest'})
    channel.sync()


EXPIRATIONS = {
    'abc': "'abc': no_integer", '': "'': no_integer", '12x': '\'12x\': {leftover_string,"x"}',
    '-1': "'-1': {value_negative,-1}", '1.5': "'1.5': *", ' 5': "' 5': *",
    '315360000001': "'315360000001': {value_too_large,315360000001}",
    '99999999999999999999999': "'99999999999999999999999': *",
}


@test(rows={expiration or 'empty': (expiration, text) for expiration, text in EXPIRATIONS.items()})
def bad_expiration(t, row):
    expiration, text = row
    refuse_publish(t.channel(), 406, f'PRECONDITION_FAILED - invalid expiration {text}',
                   properties={'expiration': expiration})


@test(rows={text: text for text in ('0', '+5', '007', '315360000000')})
def good_expiration(t, expiration):
    channel = t.channel()
    channel.publish('k', b'x', 'amq.fanout', {'expiration': expiration})
    channel.sync()


@test(rows={'0': 0, '3': 3, '255': 255})
def bad_delivery_mode(t, mode):
    refuse_publish(t.channel(), 406, 'PRECONDITION_FAILED - invalid message: '
                   f'{{delivery_mode_unknown,{mode}}}', properties={'delivery_mode': mode})


@test(rows={'CC': ('CC', 'a', 'longstr'), 'BCC': ('BCC', 5, 'signedint'),
            'CC table': ('CC', {}, 'table')})
def bad_cc(t, row):
    name, value, kind = row
    refuse_publish(t.channel(), 406, 'PRECONDITION_FAILED - invalid message: '
                   f'{{unacceptable_type_in_header,"{name}",{kind}}}',
                   properties={'headers': {name: value}})


@test
def reply_to_without_a_consumer(t):
    refuse_publish(t.channel(), 406, 'PRECONDITION_FAILED - fast reply consumer does not exist',
                   properties={'reply_to': 'amq.rabbitmq.reply-to'})


@test
def tx_on_a_confirm_channel(t):
    channel = t.channel()
    channel.call('confirm.select')
    channel.call('confirm.select')
    refuse(channel, 406, 'PRECONDITION_FAILED - cannot switch from confirm to tx mode',
           'tx.select')


@test
def confirm_on_a_tx_channel(t):
    channel = t.channel()
    channel.call('tx.select')
    channel.call('tx.select')
    refuse(channel, 406, 'PRECONDITION_FAILED - cannot switch from tx to confirm mode',
           'confirm.select')


@test(rows={'commit': 'tx.commit', 'rollback': 'tx.rollback'})
def channel_that_is_not_transactional(t, name):
    channel = t.channel()
    refuse(channel, 406, 'PRECONDITION_FAILED - channel is not transactional', name)


@test
def errors_requeue_what_is_unacked(t):
    connection = t.connect()
    channel, other = connection.channel(), connection.channel()
    queue = t.queue(other)
    for body in (b'0', b'1', b'2'):
        other.publish(queue, body)
    other.sync()
    for _ in range(3):
        channel.get(queue, no_ack=False)
    refuse(channel, 404, None, 'queue.purge', queue=t.name())
    settle(other, queue, 3)
    messages = [other.get(queue) for _ in range(3)]
    equal([(message.body, message.redelivered) for message in messages],
          [(b'0', True), (b'1', True), (b'2', True)], 'messages')
