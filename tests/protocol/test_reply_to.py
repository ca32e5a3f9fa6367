"""Direct reply-to: the pseudo-queue amq.rabbitmq.reply-to."""

from harness import test, check, equal

REPLY_TO = 'amq.rabbitmq.reply-to'


def requester(t):
    """A channel with a reply consumer."""
    channel = t.channel()
    channel.consume(REPLY_TO, 'replies', no_ack=True)
    return channel


def address(channel, server, queue):
    """Sends a request; returns the reply address that the server sees."""
    channel.publish(queue, b'request', properties={'reply_to': REPLY_TO, 'correlation_id': 'c'})
    request = server.deliver()
    equal(request.properties['correlation_id'], 'c', 'correlation-id')
    return request.properties['reply_to']


def service(t):
    server = t.channel()
    queue = t.queue(server)
    server.consume(queue, no_ack=True)
    return server, queue


@test
def request_and_reply(t):
    channel, (server, queue) = requester(t), service(t)
    for index in range(20):
        to = address(channel, server, queue)
        check(to.startswith(REPLY_TO + '.') and len(to) > len(REPLY_TO) + 10, f'address: {to!r}')
        server.publish(to, b'%d' % index, properties={'correlation_id': 'c'})
        reply = channel.deliver()
        equal((reply.consumer_tag, reply.exchange, reply.routing_key, reply.redelivered),
              ('replies', '', to, False), 'reply')
        equal((reply.body, reply.properties), (b'%d' % index, {'correlation_id': 'c'}), 'content')


@test
def addresses_differ(t):
    server, queue = service(t)
    addresses = {address(requester(t), server, queue) for _ in range(10)}
    equal(len(addresses), 10, 'different addresses')


@test
def replies_by_several(t):
    """From any connection, any number, any size."""
    channel, (server, queue) = requester(t), service(t)
    to = address(channel, server, queue)
    bodies = [t.random.randbytes(size) for size in (0, 1, 200000)]
    for body in bodies:
        other = t.channel()
        other.publish(to, body)
        other.sync()
        equal(channel.deliver().body == body, True, 'same body')


@test
def requests_keep_their_other_properties(t):
    channel, (server, queue) = requester(t), service(t)
    channel.publish(queue, b'x', properties={'reply_to': REPLY_TO, 'headers': {'a': 1},
                                             'app_id': 'tests', 'priority': 3})
    properties = server.deliver().properties
    equal({name: value for name, value in properties.items() if name not in
           ('reply_to', 'headers')}, {'app_id': 'tests', 'priority': 3}, 'properties')


@test
def other_reply_addresses_are_left_alone(t):
    channel, (server, queue) = requester(t), service(t)
    for to in ('somewhere', 'amq.rabbitmq.reply-to.made-up', 'amq.rabbitmq.reply-tox'):
        channel.publish(queue, b'x', properties={'reply_to': to})
        equal(server.deliver().properties['reply_to'], to, 'reply-to')


@test
def consumer_must_not_acknowledge(t):
    channel = t.channel()
    channel.send('basic.consume', queue=REPLY_TO, no_ack=False)
    channel.expect_close(406, 'PRECONDITION_FAILED - reply consumer cannot acknowledge',
                         'basic.consume')


@test
def one_consumer_a_channel(t):
    channel = requester(t)
    channel.send('basic.consume', queue=REPLY_TO, no_ack=True, consumer_tag='second')
    channel.expect_close(406, 'PRECONDITION_FAILED - reply consumer already set',
                         'basic.consume')


@test
def declare_is_a_liveness_check(t):
    channel, (server, queue) = requester(t), service(t)
    to = address(channel, server, queue)
    for passive in (True, False):
        reply = server.declare(to, passive=passive)
        equal((reply.queue, reply.message_count, reply.consumer_count), (to, 0, 1), 'declare-ok')
    channel.close()
    server.send('queue.declare', queue=to, passive=True)
    server.expect_close(404, None, 'queue.declare')


@test
def replies_to_one_who_is_gone(t):
    """Dropped in silence."""
    channel, (server, queue) = requester(t), service(t)
    to = address(channel, server, queue)
    channel.connection.finish()
    server.publish(to, b'x')
    server.publish(REPLY_TO + '.made-up', b'x')
    server.publish(REPLY_TO, b'x')
    server.idle()


@test
def cancelled_consumer_gets_no_replies(t):
    channel, (server, queue) = requester(t), service(t)
    to = address(channel, server, queue)
    channel.call('basic.cancel', consumer_tag='replies')
    server.publish(to, b'x')
    server.sync()
    channel.idle()
    channel.publish(queue, b'x', properties={'reply_to': REPLY_TO})
    channel.expect_close(406, 'PRECONDITION_FAILED - fast reply consumer does not exist',
                         'basic.publish')


@test
def consumer_may_be_set_again(t):
    channel, (server, queue) = requester(t), service(t)
    channel.call('basic.cancel', consumer_tag='replies')
    channel.consume(REPLY_TO, 'again', no_ack=True)
    server.publish(address(channel, server, queue), b'x')
    equal(channel.deliver().consumer_tag, 'again', 'tag')


@test(rail_only=True)
def mandatory_reply_is_not_returned(t):
    channel, (server, queue) = requester(t), service(t)
    to = address(channel, server, queue)
    server.publish(to, b'x', mandatory=True)
    equal(channel.deliver().body, b'x', 'body')
    server.idle()


@test
def consumer_of_another_channel_does_not_serve(t):
    connection = t.connect()
    first, second = connection.channel(), connection.channel()
    first.consume(REPLY_TO, no_ack=True)
    second.publish('k', b'x', 'amq.fanout', {'reply_to': REPLY_TO})
    second.expect_close(406, 'PRECONDITION_FAILED - fast reply consumer does not exist',
                        'basic.publish')


@test
def replies_are_confirmed(t):
    channel, (server, queue) = requester(t), service(t)
    to = address(channel, server, queue)
    server.call('confirm.select')
    for number in (1, 2):
        server.publish(to, b'x')
        equal(server.take('basic.ack').delivery_tag, number, 'number')
        channel.deliver()
