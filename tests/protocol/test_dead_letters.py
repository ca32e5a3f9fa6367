"""What dies in a queue and where it goes: rejected, expired, in excess, come back too often."""

import codec
from harness import test, check, equal, eventually, settle

PERSISTENT = {'delivery_mode': 2}


def grave(t, channel, exchange='', key=None):
    """A queue for dead letters and the arguments that send them there."""
    queue = t.queue(channel)
    arguments = {'x-dead-letter-exchange': exchange}
    if not exchange:
        arguments['x-dead-letter-routing-key'] = queue
    elif key is not None:
        channel.bind(queue, exchange, key)
    return queue, arguments


def letter(channel, queue):
    """The next message of a queue, however long it takes to come."""
    got = []

    def one():
        message = channel.get(queue)
        if message is not None:
            got.append(message)
        return bool(got)
    eventually(one, True, f'a message in {queue}')
    return got[0]


def plain(value):
    """Values without the tags they came with."""
    if isinstance(value, codec.Tagged):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def headers_of(message):
    return plain(message.properties['headers'])


def deaths(message):
    return [(death['queue'], death['reason'], death['count'])
            for death in headers_of(message)['x-death']]


@test
def rejected(t):
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.queue(channel, arguments=arguments)
    channel.publish(queue, b'one', properties={'headers': {'a': 1}, 'type': 'kind',
                                               'priority': 3})
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.nack(tag, requeue=False)
    got = letter(channel, dead)
    equal((got.body, got.exchange, got.routing_key, got.redelivered),
          (b'one', '', dead, False), 'dead letter')
    headers = headers_of(got)
    equal(deaths(got), [(queue, 'rejected', 1)], 'x-death')
    entry = headers['x-death'][0]
    equal((entry['exchange'], entry['routing-keys']), ('', [queue]), 'where it came from')
    equal((headers['x-first-death-queue'], headers['x-first-death-reason'],
           headers['x-first-death-exchange'], headers['a']), (queue, 'rejected', '', 1), 'headers')
    equal((got.properties['type'], got.properties['priority']), ('kind', 3), 'other properties')


@test(rows={'one by one': False, 'all at once': True})
def rejected_in_order(t, multiple):
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.queue(channel, arguments=arguments)
    for number in range(600):
        channel.publish(queue, b'%d' % number)
    settle(channel, queue, 600)
    tags = [channel.get(queue, no_ack=False).delivery_tag for _ in range(600)]
    if multiple:
        channel.nack(tags[-1], multiple=True, requeue=False)
    else:
        for tag in tags:
            channel.nack(tag, requeue=False)
    settle(channel, dead, 600)
    equal([channel.get(dead).body for _ in range(600)], [b'%d' % n for n in range(600)], 'order')


@test
def expired(t):
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.queue(channel, arguments={'x-message-ttl': 30, **arguments})
    channel.publish(queue, b'all')
    channel.publish(queue, b'own', properties={'expiration': '1'})
    got = {}
    for _ in range(2):
        message = letter(channel, dead)
        got[message.body] = message
    check('expiration' not in got[b'own'].properties, 'the property expiration goes')
    equal(headers_of(got[b'own'])['x-death'][0]['original-expiration'], '1', 'kept')
    equal(deaths(got[b'all']), [(queue, 'expired', 1)], 'x-death')
    settle(channel, queue, 0)


@test
def expires_behind_one_that_does_not(t):
    """RabbitMQ looks only at the head; here what has expired goes wherever it stands."""
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.queue(channel, arguments=arguments)
    channel.publish(queue, b'stays')
    channel.publish(queue, b'goes', properties={'expiration': '20'})
    channel.publish(queue, b'stays too')
    equal(letter(channel, dead).body, b'goes', 'dead letter')
    settle(channel, queue, 2)
    equal([channel.get(queue).body for _ in range(2)], [b'stays', b'stays too'], 'what is left')


@test
def expires_while_more_comes(t):
    """New messages bring timers forward: none of those set before may be forgotten over that."""
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queues = [t.queue(channel, durable=True, arguments=arguments) for _ in range(8)]
    total, soon = 600, dict.fromkeys(queues, 0)
    for queue in queues:
        for number in range(total):
            properties = dict(PERSISTENT)
            kind = t.random.randrange(3)
            if kind == 1:
                properties['expiration'] = '3600000'
            elif kind == 2:
                properties['expiration'] = str(t.random.randint(1, 400))
                soon[queue] += 1
            channel.publish(queue, b'%d' % number, properties=properties)
    for queue in queues:
        settle(channel, queue, total - soon[queue])
    settle(channel, dead, sum(soon.values()))
    for queue in queues:
        channel.call('queue.delete', queue=queue)


@test
def ttl_zero(t):
    """Without a consumer it expires at once; one that waits gets it."""
    channel = t.channel()
    queue = t.queue(channel, arguments={'x-message-ttl': 0})
    channel.publish(queue, b'nobody')
    settle(channel, queue, 0)
    channel.consume(queue, 'c', no_ack=True)
    for number in range(100):
        channel.publish(queue, b'%d' % number)
        equal(channel.deliver().body, b'%d' % number, 'delivered')


@test
def requeued_keeps_its_time(t):
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.queue(channel, arguments=arguments)
    channel.publish(queue, b'x', properties={'expiration': '50'})
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.nack(tag, requeue=True)
    equal(deaths(letter(channel, dead)), [(queue, 'expired', 1)], 'x-death')


@test
def unacked_does_not_expire(t):
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.queue(channel, arguments=arguments)
    other = t.queue(channel, arguments=arguments)
    channel.publish(queue, b'held', properties={'expiration': '20'})
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.publish(other, b'later', properties={'expiration': '60'})
    equal(letter(channel, dead).body, b'later', 'what came after it is dead')
    equal(channel.get(dead), None, 'what is held is not')
    channel.nack(tag, requeue=True)
    equal(letter(channel, dead).body, b'held', 'now it is')


@test
def excess_is_dropped_at_the_head(t):
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.queue(channel, arguments={'x-max-length': 2, **arguments})
    for number in range(5):
        channel.publish(queue, b'%d' % number)
    got = [letter(channel, dead) for _ in range(3)]
    equal([message.body for message in got], [b'0', b'1', b'2'], 'dead letters')
    equal(deaths(got[0]), [(queue, 'maxlen', 1)], 'x-death')
    settle(channel, queue, 2)


@test
def excess_is_rejected(t):
    """reject-publish-dlx: the publisher gets a nack, and the message goes on all the same."""
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.queue(channel, arguments={'x-max-length': 1, 'x-overflow': 'reject-publish-dlx',
                                        **arguments})
    channel.call('confirm.select')
    channel.publish(queue, b'fits')
    equal(channel.take('basic.ack', 'basic.nack').name, 'basic.ack', 'confirm')
    channel.publish(queue, b'does not')
    equal(channel.take('basic.ack', 'basic.nack').name, 'basic.nack', 'confirm')
    got = letter(channel, dead)
    equal((got.body, deaths(got)), (b'does not', [(queue, 'maxlen', 1)]), 'dead letter')
    settle(channel, queue, 1)


@test
def second_death_of_a_kind_is_counted(t):
    channel = t.channel()
    queue, retry = t.name('work'), t.name('retry')
    channel.declare(queue, exclusive=True, arguments={
        'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': retry})
    channel.declare(retry, exclusive=True, arguments={
        'x-message-ttl': 5, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': queue})
    channel.publish(queue, b'job')
    for round_ in range(4):
        message = []

        def taken():
            got = channel.get(queue, no_ack=False)
            if got is not None:
                message.append(got)
            return bool(message)
        eventually(taken, True, f'round {round_}')
        headers = plain(message[0].properties.get('headers', {}))
        counts = {(d['queue'], d['reason']): d['count'] for d in headers.get('x-death', [])}
        equal(counts, {} if round_ == 0 else {(queue, 'rejected'): round_,
                                              (retry, 'expired'): round_}, 'x-death')
        if round_:
            equal(headers['x-death'][0]['queue'], retry, 'the last death comes first')
            equal(headers['x-first-death-queue'], queue, 'the first death stays')
        channel.nack(message[0].delivery_tag, requeue=False)


@test
def circle_ends(t):
    """Nobody rejects it: the second time round it is dropped."""
    channel = t.channel()
    one, two, dead = t.name('one'), t.name('two'), t.queue(channel)
    for queue, other in ((one, two), (two, one)):
        channel.declare(queue, exclusive=True, arguments={
            'x-message-ttl': 1, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': other})
    channel.publish(one, b'round and round')
    channel.publish(dead, b'')
    eventually(lambda: all(channel.declare(queue, passive=True).message_count == 0
                           for queue in (one, two)), True, 'nothing is left')
    # Whatever still went round would be seen now and then.
    for _ in range(50):
        equal([channel.declare(queue, passive=True).message_count for queue in (one, two)],
              [0, 0], 'nothing comes back')


@test(rows={'with a key of its own': True, 'with the key of the message': False})
def further_keys(t, has_key):
    """CC and BCC count for a dead letter, unless its queue names a key."""
    channel = t.channel()
    exchange = t.name('graves')
    channel.exchange(exchange, 'direct', auto_delete=True)
    graves = {key: t.queue(channel) for key in ('main', 'cc', 'bcc', 'own')}
    for key, queue in graves.items():
        channel.bind(queue, exchange, key)
    arguments = {'x-dead-letter-exchange': exchange, 'x-message-ttl': 1}
    if has_key:
        arguments['x-dead-letter-routing-key'] = 'own'
    source = t.name('source')
    channel.exchange(source, 'direct', auto_delete=True)
    channel.bind(t.queue(channel, arguments=arguments), source, 'main')
    channel.publish('main', b'x', exchange=source,
                    properties={'headers': {'CC': ['cc'], 'BCC': ['bcc']}})
    if has_key:
        got = letter(channel, graves['own'])
        check('CC' not in headers_of(got), 'CC goes')
        equal(headers_of(got)['x-death'][0]['routing-keys'], ['main', 'cc', 'bcc'],
              'keys it came with')
    else:
        for key in ('main', 'cc', 'bcc'):
            got = letter(channel, graves[key])
            equal(headers_of(got).get('CC'), ['cc'], 'CC stays')
            check('BCC' not in headers_of(got), 'BCC is not shown')


@test
def without_an_exchange_it_is_gone(t):
    channel = t.channel()
    queue = t.queue(channel, arguments={'x-dead-letter-exchange': t.name('nowhere')})
    channel.publish(queue, b'x')
    channel.nack(channel.get(queue, no_ack=False).delivery_tag, requeue=False)
    settle(channel, queue, 0)
    channel.sync()


@test
def purge_and_delete_do_not_dead_letter(t):
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.queue(channel, arguments=arguments)
    for _ in range(3):
        channel.publish(queue, b'x')
    settle(channel, queue, 3)
    equal(channel.call('queue.purge', queue=queue).message_count, 3, 'purged')
    channel.publish(queue, b'y')
    channel.call('queue.delete', queue=queue)
    other = t.queue(channel, arguments=arguments)
    channel.publish(other, b'z')
    channel.nack(channel.get(other, no_ack=False).delivery_tag, requeue=False)
    equal(letter(channel, dead).body, b'z', 'only this')


@test
def unused_queue_expires(t):
    channel = t.channel()
    queue = t.name('short-lived')
    channel.declare(queue, arguments={'x-expires': 60})
    used = t.name('used')
    channel.declare(used, arguments={'x-expires': 60})
    consumer = t.channel()
    consumer.consume(used)

    def gone():
        probe = channel.connection.channel()
        probe.send('queue.bind', queue=queue, exchange='amq.direct', routing_key='k')
        method = probe.take('queue.bind-ok', 'channel.close')
        probe.send('channel.close-ok' if method.name == 'channel.close' else 'channel.close')
        return method.name == 'channel.close'
    eventually(gone, True, 'the queue has gone')
    equal(channel.declare(used, passive=True).consumer_count, 1, 'who has a consumer stays')
    channel.call('queue.delete', queue=used)


@test
def quorum_queue_counts_deliveries(t):
    channel = t.channel()
    dead, arguments = grave(t, channel)
    queue = t.name('quorum')
    channel.declare(queue, durable=True, arguments={
        'x-queue-type': 'quorum', 'x-delivery-limit': 2, **arguments})
    channel.publish(queue, b'poison')
    for count in range(3):
        message = channel.get(queue, no_ack=False)
        equal(headers_of(message)['x-delivery-count'], count, 'x-delivery-count')
        equal(message.redelivered, count > 0, 'redelivered')
        channel.nack(message.delivery_tag, requeue=True)
    equal(deaths(letter(channel, dead)), [(queue, 'delivery_limit', 1)], 'x-death')
    channel.call('queue.delete', queue=queue)


@test(rail_only=True)
def classic_queue_counts_deliveries_if_asked(t):
    channel = t.channel()
    queue = t.queue(channel, arguments={'x-delivery-limit': 1})
    channel.publish(queue, b'x')
    for count in range(2):
        message = channel.get(queue, no_ack=False)
        equal(headers_of(message)['x-delivery-count'], count, 'x-delivery-count')
        channel.nack(message.delivery_tag, requeue=True)
    settle(channel, queue, 0)


@test(rows={'transient': {'exclusive': True}, 'not shared': {'durable': True, 'auto_delete': True}})
def quorum_queue_is_durable(t, how):
    channel = t.channel()
    channel.send('queue.declare', queue=t.name('q'), arguments={'x-queue-type': 'quorum'}, **how)
    channel.expect_close(406, None, 'queue.declare')
