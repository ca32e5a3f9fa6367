"""Connections that end at any point, while others work and must not notice."""

import threading

import amqp
from amqp import frame, method_frame, publish_frames
from audit import ConfirmAuditor
from harness import test, equal, eventually, settle


@test
def close_ok_comes_after_the_cleanup(t):
    """Queues, consumers and bindings are gone when close-ok arrives; unacked are back."""
    other = t.channel()
    shared = t.queue(other, durable=False)
    for index in range(10):
        other.publish(shared, b'%d' % index)
    settle(other, shared, 10)
    for _ in range(10):
        channel = t.channel()
        queue = t.queue(channel)
        channel.bind(queue, 'amq.fanout')
        channel.consume(shared, exclusive=True)
        channel.bodies(10)
        channel.connection.finish()
        other.consume(shared, 'c', exclusive=True)
        equal([int(body) for body in other.bodies(10)], list(range(10)), 'bodies')
        other.call('basic.cancel', consumer_tag='c')
        other.nack(0, multiple=True)
        settle(other, shared, 10)
        other.declare(queue, exclusive=True)
    other.call('queue.delete', queue=shared)


@test
def close_with_everything_pipelined(t):
    """Work, connection.close and more work after it in one segment."""
    other = t.channel()
    queue = t.queue(other)
    connection = t.connect()
    connection.send(method_frame(1, 'channel.open') + publish_frames(1, queue, b'x') * 50 +
                    method_frame(0, 'connection.close', reply_code=200) +
                    publish_frames(1, queue, b'late') * 5)
    connection.next(0, lambda method: method.name == 'connection.close-ok')
    settle(other, queue, 50)


@test
def nothing_follows_close_ok(t):
    connection = t.connect()
    channel = connection.channel()
    queue = t.queue(channel)
    channel.consume(queue, no_ack=True)
    connection.send(publish_frames(1, queue, b'x' * 5000) * 50)
    connection.send_method(0, 'connection.close', reply_code=200)
    connection.next(0, lambda method: method.name == 'connection.close-ok')
    connection.sock.shutdown(1)
    connection.expect_end()


@test
def half_closed_socket(t):
    """A client that shuts down its writing side is gone: its exclusive queue too."""
    connection, other = t.connect(), t.channel()
    queue = t.queue(connection.channel())
    connection.sock.shutdown(1)
    probe = other.connection

    def exists():
        channel = probe.channel()
        channel.send('queue.declare', queue=queue, passive=True)
        method = channel.take('queue.declare-ok', 'channel.close')
        channel.send('channel.close-ok' if method.name == 'channel.close' else 'channel.close')
        return method.reply_code if method.name == 'channel.close' else 200
    eventually(lambda: exists() == 404, True, 'queue is gone')


def session(t, shared):
    """The octets of a client that does a bit of everything."""
    own = t.name()
    body = t.random.randbytes(300)
    return b''.join((
        method_frame(1, 'channel.open'), method_frame(2, 'channel.open'),
        method_frame(1, 'queue.declare', queue=own, exclusive=True),
        method_frame(1, 'exchange.declare', exchange=own, type='topic', auto_delete=True),
        method_frame(1, 'queue.bind', queue=own, exchange=own, routing_key='a.#'),
        method_frame(1, 'confirm.select'),
        publish_frames(1, 'a.b', body, own, {'delivery_mode': 2}, piece=50) * 3,
        method_frame(1, 'basic.qos', prefetch_count=2),
        method_frame(1, 'basic.consume', queue=own, consumer_tag='c'),
        method_frame(1, 'basic.ack', delivery_tag=0, multiple=True),
        method_frame(2, 'basic.consume', queue=shared, consumer_tag='s'),
        method_frame(2, 'basic.recover', requeue=True),
        method_frame(2, 'tx.select'), publish_frames(2, own, body), method_frame(2, 'tx.commit'),
        method_frame(1, 'basic.consume', queue='amq.rabbitmq.reply-to', no_ack=True),
        publish_frames(1, own, body, '', {'reply_to': 'amq.rabbitmq.reply-to'}),
        method_frame(2, 'queue.delete', queue=own), method_frame(1, 'channel.close'),
        method_frame(0, 'connection.close', reply_code=200)))


@test
def reset_at_any_point(t):
    """Clients that vanish after a random number of octets; a worker counts its messages."""
    worker = t.channel()
    shared, private = t.queue(worker, durable=False), t.queue(worker)
    for index in range(20):
        worker.publish(shared, b'%d' % index)
    worker.consume(private, no_ack=True)
    for round_ in range(150):
        octets = session(t, shared)
        connection = t.connect()
        connection.send(octets[:t.random.randrange(len(octets) + 1)])
        if t.random.random() < 0.5:
            connection.sock.settimeout(0.2)
            connection.read_frame() if connection.buffer else None
        connection.reset() if t.random.random() < 0.7 else connection.close()
        worker.publish(private, b'%d' % round_)
        equal(worker.deliver().body, b'%d' % round_, f'seed {t.seed}: body')
    found = []

    def collect():
        """Some clients may still be on their way out: what they hold comes back later."""
        while message := worker.get(shared):
            found.append(int(message.body))
        return len(found)
    eventually(collect, 20, 'messages')
    equal(sorted(found), list(range(20)), f'seed {t.seed}: messages')
    worker.call('queue.delete', queue=shared)


@test
def reset_during_deliveries(t):
    """Nothing is lost that was not acknowledged, whoever dies while it is on its way."""
    publisher = t.channel()
    queue = t.queue(publisher, durable=False)
    auditor = ConfirmAuditor(publisher)
    body = bytes(2000)
    for index in range(600):
        auditor.publish(queue, b'%d.' % index + body)
    auditor.wait()
    for _ in range(20):
        victim = t.channel()
        prefetch = t.random.choice((0, 1, 10, 100))
        victim.qos(prefetch)
        victim.consume(queue)
        for _ in range(t.random.randrange(min(prefetch or 5, 5) + 1)):
            victim.deliver()
        victim.connection.reset()
    settle(publisher, queue, 600)
    numbers = [int(publisher.get(queue).body.split(b'.')[0]) for _ in range(600)]
    equal(numbers, list(range(600)), f'seed {t.seed}: numbers')
    publisher.call('queue.delete', queue=queue)


@test
def connections_come_and_go_while_messages_flow(t):
    """Publishers and consumers of one queue in threads: each message arrives exactly once."""
    owner = t.channel()
    queue = t.queue(owner, durable=False)
    failures, seen = [], []
    count, publishers = 200, 4

    def publish(number):
        for index in range(count):
            if index % 40 == 0:
                auditor = ConfirmAuditor(t.channel())
            auditor.publish(queue, b'%d' % (number * count + index))
            if index % 40 == 39:
                auditor.wait()
                auditor.channel.connection.finish()

    def consume():
        while len(seen) < count * publishers:
            channel = t.channel()
            channel.qos(10)
            channel.consume(queue)
            for _ in range(30):
                try:
                    message = channel.deliver(timeout=0.3)
                except amqp.Timeout:
                    break
                seen.append(int(message.body))
                channel.ack(message.delivery_tag)
            channel.connection.finish()

    def guarded(function, *arguments):
        try:
            function(*arguments)
        except Exception as error:  # Told by the test's own thread.
            failures.append(error)
            seen.extend(range(count * publishers))

    threads = [threading.Thread(target=guarded, args=(publish, number))
               for number in range(publishers)]
    threads += [threading.Thread(target=guarded, args=(consume,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    equal(sorted(seen), list(range(count * publishers)), 'messages')
    owner.call('queue.delete', queue=queue)


@test
def many_connections_at_once(t):
    connections = [t.connect() for _ in range(200)]
    channels = [connection.channel() for connection in connections]
    queue = t.queue(channels[0])
    for index, channel in enumerate(channels):
        channel.publish(queue, b'%d' % index)
    settle(channels[0], queue, 200)
    for connection in connections[1:]:
        connection.reset()
    channels[0].sync()


@test
def random_octets_after_open(t):
    """No sequence of octets harms anybody else."""
    bystander = t.channel()
    queue = t.queue(bystander)
    bystander.consume(queue, no_ack=True)
    for round_ in range(60):
        connection = t.connect()
        octets = bytearray(session(t, queue))
        for _ in range(t.random.randrange(1, 6)):
            octets[t.random.randrange(len(octets))] = t.random.randrange(256)
        try:
            connection.send(bytes(octets) + frame(9, 0))
            connection.next(0, timeout=0.2)
        except (amqp.Mismatch, UnicodeError):
            pass
        connection.close()
        bystander.publish(queue, b'%d' % round_)
        while bystander.deliver().body != b'%d' % round_:
            pass
