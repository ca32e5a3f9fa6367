"""Exchanges bound to exchanges, alternates, binding identity, and what deletes itself."""

from harness import test, equal


def gone(channel, exchange):
    channel.send('exchange.declare', exchange=exchange, passive=True)
    channel.expect_close(404, None, 'exchange.declare')
    channel.call('channel.open')


def link(channel, source, destination, key='', **arguments):
    channel.call('exchange.bind', source=source, destination=destination, routing_key=key,
                 **arguments)


def unlink(channel, source, destination, key='', **arguments):
    channel.call('exchange.unbind', source=source, destination=destination, routing_key=key,
                 **arguments)


def bodies(channel, queue):
    found = []
    while message := channel.get(queue):
        found.append(message.body)
    return found


@test
def exchange_to_exchange(t):
    """Each exchange routes by its own bindings; the delivery names the first one."""
    channel = t.channel()
    topic, direct, queue = t.exchange(channel, 'topic'), t.exchange(channel), t.queue(channel)
    link(channel, topic, direct, 'a.#')
    channel.bind(queue, direct, 'a.b')
    for key in ('a.b', 'a.c', 'b.b'):
        channel.publish(key, key.encode(), topic)
    message = channel.get(queue)
    equal((message.exchange, message.routing_key, message.body), (topic, 'a.b', b'a.b'), 'message')
    equal(channel.get(queue), None, 'second message')


@test
def long_chain_of_exchanges(t):
    channel = t.channel()
    chain = [t.exchange(channel, 'fanout') for _ in range(100)]
    for source, destination in zip(chain, chain[1:]):
        link(channel, source, destination)
    queue = t.queue(channel)
    channel.bind(queue, chain[-1])
    channel.publish('k', b'x', chain[0])
    equal(bodies(channel, queue), [b'x'], 'messages')


@test
def cycles_end(t):
    channel = t.channel()
    ring = [t.exchange(channel, 'fanout', auto_delete=False) for _ in range(3)]
    queues = [t.queue(channel) for _ in ring]
    for index, exchange in enumerate(ring):
        link(channel, exchange, ring[(index + 1) % 3])
        link(channel, exchange, exchange)
        channel.bind(queues[index], exchange)
    for exchange in ring:
        channel.publish('k', exchange.encode(), exchange)
    for queue in queues:
        equal(bodies(channel, queue), [exchange.encode() for exchange in ring], 'messages')
    for exchange in ring:
        channel.call('exchange.delete', exchange=exchange)


@test
def diamond_gives_one_copy(t):
    channel = t.channel()
    top, left, right = (t.exchange(channel, 'fanout') for _ in range(3))
    queue = t.queue(channel)
    for side in (left, right):
        link(channel, top, side)
        channel.bind(queue, side)
    channel.bind(queue, top)
    channel.publish('k', b'x', top)
    equal(bodies(channel, queue), [b'x'], 'messages')


@test
def exchange_and_queue_of_one_name(t):
    """A binding's destination is a queue or an exchange, and both may exist."""
    channel = t.channel()
    source, name = t.exchange(channel, 'fanout', auto_delete=False), t.name()
    channel.declare(name, exclusive=True)
    channel.exchange(name, 'fanout')
    queue = t.queue(channel)
    channel.bind(queue, name)
    link(channel, source, name)
    channel.publish('k', b'1', source)
    equal((bodies(channel, name), bodies(channel, queue)), ([], [b'1']), 'by exchange binding')
    channel.bind(name, source)
    unlink(channel, source, name)
    channel.publish('k', b'2', source)
    equal((bodies(channel, name), bodies(channel, queue)), ([b'2'], []), 'by queue binding')
    channel.call('exchange.delete', exchange=source)
    channel.call('exchange.delete', exchange=name)


@test
def deleting_an_exchange_removes_its_bindings(t):
    channel = t.channel()
    source, middle = t.exchange(channel, 'fanout', auto_delete=False), t.name()
    queue = t.queue(channel)
    for _ in range(2):
        channel.exchange(middle, 'fanout')
        channel.publish('k', b'x', source)
        equal(bodies(channel, queue), [], 'messages')
        link(channel, source, middle)
        channel.bind(queue, middle)
        channel.call('exchange.delete', exchange=middle)
    channel.call('exchange.delete', exchange=source, if_unused=True)


@test
def deleting_a_queue_removes_its_bindings(t):
    channel = t.channel()
    exchange, queue = t.exchange(channel, 'fanout', auto_delete=False), t.name()
    for _ in range(2):
        channel.declare(queue, exclusive=True)
        channel.publish('k', b'x', exchange)
        equal(bodies(channel, queue), [], 'messages')
        channel.bind(queue, exchange)
        channel.call('queue.delete', queue=queue)
    channel.call('exchange.delete', exchange=exchange, if_unused=True)


@test
def binding_identity(t):
    """Source, destination, key and arguments: the unbind must name them all."""
    channel = t.channel()
    exchange, queue = t.exchange(channel, auto_delete=False), t.queue(channel)
    arguments = {'a': 1, 'b': 'x', 'c': [True]}
    for _ in range(3):
        channel.bind(queue, exchange, 'k', arguments=arguments)
    channel.bind(queue, exchange, 'k')
    channel.bind(queue, exchange, 'k', arguments={'a': 2})

    def unbind(**values):
        channel.call('queue.unbind', queue=queue, exchange=exchange,
                     **({'routing_key': 'k'} | values))

    def reachable():
        channel.publish('k', b'x', exchange)
        return bodies(channel, queue) == [b'x']

    unbind()
    unbind(arguments={'a': 2})
    equal(reachable(), True, 'reachable by the binding that is left')
    unbind(arguments={'a': 1})
    unbind(routing_key='K', arguments=arguments)
    equal(reachable(), True, 'reachable after unbinding what was never bound')
    unbind(arguments=dict(reversed(arguments.items())))
    equal(reachable(), False, 'reachable after the last unbind')
    channel.call('exchange.delete', exchange=exchange, if_unused=True)


@test
def unbind_of_headers_needs_the_arguments(t):
    channel = t.channel()
    exchange, queue = t.exchange(channel, 'headers', auto_delete=False), t.queue(channel)
    channel.bind(queue, exchange, arguments={'x-match': 'any', 'a': 1})
    channel.call('queue.unbind', queue=queue, exchange=exchange, arguments={'a': 1})
    channel.publish('', b'1', exchange, {'headers': {'a': 1}})
    channel.call('queue.unbind', queue=queue, exchange=exchange,
                 arguments={'a': 1, 'x-match': 'any'})
    channel.publish('', b'2', exchange, {'headers': {'a': 1}})
    equal(bodies(channel, queue), [b'1'], 'messages')
    channel.call('exchange.delete', exchange=exchange)


@test
def auto_delete_exchange(t):
    """Gone with its last binding as a source, never before it had one."""
    channel = t.channel()
    exchange, queues = t.exchange(channel), [t.queue(channel) for _ in range(2)]
    upstream = t.exchange(channel, 'fanout', auto_delete=False)
    link(channel, upstream, exchange)
    unlink(channel, upstream, exchange)
    for queue in queues:
        channel.bind(queue, exchange, 'k')
    channel.bind(queues[0], exchange, 'other')
    channel.call('queue.unbind', queue=queues[1], exchange=exchange, routing_key='k')
    channel.call('queue.unbind', queue=queues[0], exchange=exchange, routing_key='k')
    channel.exchange(exchange, passive=True)
    channel.call('queue.unbind', queue=queues[0], exchange=exchange, routing_key='other')
    gone(channel, exchange)
    channel.call('exchange.delete', exchange=upstream)


@test
def auto_delete_cascades(t):
    """Through a chain of exchanges, when the queue at its end is deleted."""
    channel = t.channel()
    chain = [t.exchange(channel, 'fanout') for _ in range(4)]
    for source, destination in zip(chain, chain[1:]):
        link(channel, source, destination)
    queue = t.queue(channel)
    channel.bind(queue, chain[-1])
    channel.call('queue.delete', queue=queue)
    for exchange in chain:
        gone(channel, exchange)


@test
def auto_delete_by_the_end_of_a_connection(t):
    """An exclusive queue goes with its owner, its exchange with the queue."""
    owner, other = t.channel(), t.channel()
    exchange = t.exchange(owner)
    owner.bind(t.queue(owner), exchange, 'k')
    owner.connection.finish()
    gone(other, exchange)


@test
def auto_delete_by_deletion_of_the_destination(t):
    channel = t.channel()
    source, destination = t.exchange(channel), t.exchange(channel, auto_delete=False)
    link(channel, source, destination)
    channel.call('exchange.delete', exchange=destination)
    gone(channel, source)


@test
def internal_exchange_may_be_bound(t):
    channel = t.channel()
    internal = t.exchange(channel, 'fanout', internal=True)
    outer, queue = t.exchange(channel, 'fanout'), t.queue(channel)
    link(channel, outer, internal)
    channel.bind(queue, internal)
    channel.publish('k', b'x', outer)
    equal(bodies(channel, queue), [b'x'], 'messages')


def alternate(name):
    return {'alternate-exchange': name}


@test
def alternate_exchanges_form_a_chain(t):
    channel = t.channel()
    last = t.exchange(channel, 'fanout')
    middle = t.exchange(channel, arguments=alternate(last), auto_delete=False)
    first = t.exchange(channel, arguments=alternate(middle), auto_delete=False)
    queues = {key: t.queue(channel) for key in ('first', 'middle', 'last')}
    channel.bind(queues['first'], first, 'first')
    channel.bind(queues['middle'], middle, 'middle')
    channel.bind(queues['last'], last)
    for key in ('first', 'middle', 'other'):
        channel.publish(key, key.encode(), first, mandatory=True)
    channel.idle()
    message = channel.get(queues['last'])
    equal((message.exchange, message.routing_key), (first, 'other'), 'origin')
    equal((bodies(channel, queues['first']), bodies(channel, queues['middle'])),
          ([b'first'], [b'middle']), 'messages')
    for exchange in (first, middle):
        channel.call('exchange.delete', exchange=exchange)


@test
def alternate_that_does_not_exist(t):
    """Declared late it takes effect; missing, the message is unroutable."""
    channel = t.channel()
    name = t.name()
    exchange = t.exchange(channel, arguments=alternate(name), auto_delete=False)
    channel.publish('k', b'1', exchange, mandatory=True)
    equal(channel.take('basic.return').reply_code, 312, 'reply code')
    channel.exchange(name, 'fanout')
    queue = t.queue(channel)
    channel.bind(queue, name)
    channel.publish('k', b'2', exchange, mandatory=True)
    equal(bodies(channel, queue), [b'2'], 'messages')
    channel.idle()
    channel.call('exchange.delete', exchange=exchange)


@test
def alternates_in_a_circle(t):
    channel = t.channel()
    names = [t.name() for _ in range(2)]
    for name, other in (names, reversed(names)):
        channel.exchange(name, arguments=alternate(other))
    own = t.name()
    channel.exchange(own, arguments=alternate(own))
    for name in (*names, own):
        channel.publish('k', b'x', name, mandatory=True)
        equal(channel.take('basic.return').reply_code, 312, 'reply code')
        channel.call('exchange.delete', exchange=name)


@test
def alternate_of_a_destination(t):
    """An exchange reached by a binding uses its own alternate when it routes to nothing."""
    channel = t.channel()
    spare, queue = t.exchange(channel, 'fanout'), t.queue(channel)
    inner = t.exchange(channel, arguments=alternate(spare), auto_delete=False)
    outer = t.exchange(channel, 'fanout')
    channel.bind(queue, spare)
    link(channel, outer, inner)
    channel.publish('k', b'x', outer)
    equal(bodies(channel, queue), [b'x'], 'messages')
    channel.call('exchange.delete', exchange=inner)


@test
def alternate_is_not_used_when_something_matched(t):
    channel = t.channel()
    spare, queue = t.exchange(channel, 'fanout'), t.queue(channel)
    exchange = t.exchange(channel, arguments=alternate(spare))
    target = t.queue(channel)
    channel.bind(queue, spare)
    channel.bind(target, exchange, 'k')
    channel.publish('k', b'x', exchange)
    equal((bodies(channel, queue), bodies(channel, target)), ([], [b'x']), 'messages')


@test
def bindings_change_while_messages_flow(t):
    """Every publish sees the bindings as the same channel left them."""
    channel = t.channel()
    exchange, queue = t.exchange(channel, 'topic', auto_delete=False), t.queue(channel)
    expected = []
    for index in range(200):
        bound = t.random.random() < 0.5
        name = 'queue.bind' if bound else 'queue.unbind'
        channel.send(name, queue=queue, exchange=exchange, routing_key='a.*')
        channel.publish('a.b', b'%d' % index, exchange)
        if bound:
            expected.append(b'%d' % index)
    for index in range(200):
        channel.reply('queue.bind-ok', 'queue.unbind-ok')
    equal(bodies(channel, queue), expected, f'seed {t.seed}: messages')
    channel.call('exchange.delete', exchange=exchange)
