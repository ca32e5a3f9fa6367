"""Work queue whose broker is restarted in order in the middle: nothing confirmed is lost, nothing
done is done again, and what was in work comes back marked as redelivered.

Prints `restart` when the broker should be restarted and reads the new port."""

import os
import sys

import pika

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'clients', 'pika'))
sys.dont_write_bytecode = True

from support import connect, unique  # noqa: E402

EXCHANGE = unique('restart')
QUEUE = unique('restart')
PROPERTIES = pika.BasicProperties(
    delivery_mode=2, content_type='text/plain', headers={'origin': 'pika', 'list': [1, 'two']})


def open_channel(port):
    channel = connect(port=port).channel()
    channel.confirm_delivery()
    channel.basic_qos(prefetch_count=10)
    channel.exchange_declare(EXCHANGE, 'topic', durable=True)
    channel.queue_declare(QUEUE, durable=True, arguments={'x-max-priority': 3})
    return channel


def publish(channel, numbers):
    for number in numbers:
        channel.basic_publish(EXCHANGE, 'task.%d' % number, b'%d' % number, PROPERTIES,
                              mandatory=True)


def take(channel, count):
    """That many deliveries, none of them acknowledged."""
    taken = []
    for delivery in channel.consume(QUEUE):
        taken.append(delivery)
        if len(taken) == count:
            return taken


def wait_for_close(channel):
    """The broker says goodbye in order: 320."""
    try:
        while True:
            channel.connection.process_data_events(time_limit=1)
    except pika.exceptions.ConnectionClosed as closed:
        assert closed.reply_code == 320, closed


def restart(channel):
    print('restart', flush=True)
    wait_for_close(channel)
    return open_channel(int(sys.stdin.readline()))


def main():
    channel = open_channel(int(os.environ['AMQP_PORT']))
    channel.queue_bind(QUEUE, EXCHANGE, 'task.*')
    publish(channel, range(30))
    taken = take(channel, 10)
    channel.basic_ack(taken[4][0].delivery_tag, multiple=True)
    # A round trip: the broker has the acknowledgements.
    channel.queue_declare(QUEUE, passive=True)

    channel = restart(channel)
    publish(channel, range(30, 35))
    assert channel.queue_declare(QUEUE, passive=True).method.message_count == 30
    taken = []
    for delivery in channel.consume(QUEUE):
        taken.append(delivery)
        channel.basic_ack(delivery[0].delivery_tag)
        if len(taken) == 30:
            break
    assert [int(body) for _, _, body in taken] == list(range(5, 35)), taken
    for method, properties, body in taken:
        assert method.exchange == EXCHANGE and method.routing_key == 'task.%d' % int(body), method
        assert properties.headers == PROPERTIES.headers and properties.delivery_mode == 2
        assert properties.content_type == 'text/plain'
    assert all(delivery[0].redelivered for delivery in taken[:5])
    assert not any(delivery[0].redelivered for delivery in taken[25:])
    channel.queue_declare(QUEUE, passive=True)

    channel = restart(channel)
    assert channel.queue_declare(QUEUE, passive=True).method.message_count == 0
    channel.queue_delete(QUEUE)
    channel.exchange_delete(EXCHANGE)
    channel.connection.close()


main()
