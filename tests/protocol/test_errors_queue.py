"""What queue methods refuse: code, text and method of every exception, in order of check."""

from codec import Tagged
from harness import test, equal

PREVIOUS = 'NOT_FOUND - no previously declared queue'


def queue_text(name):
    return f"queue '{name}' in vhost '/'"


def locked(name):
    text = (f'RESOURCE_LOCKED - cannot obtain exclusive access to locked {queue_text(name)}. '
            'It could be originally declared on another connection or the exclusive property '
            'value does not match that of the original declaration.')
    return text if len(text) <= 255 else text[:252] + '...'


def refuse(channel, code, text, name, **arguments):
    channel.send(name, **arguments)
    channel.expect_close(code, text, name)


WITHOUT_NAME = {
    'queue.bind': {'exchange': 'amq.direct'}, 'queue.unbind': {'exchange': 'amq.direct'},
    'queue.purge': {}, 'queue.delete': {}, 'basic.consume': {}, 'basic.get': {},
}


@test(rows={name: (name, arguments) for name, arguments in WITHOUT_NAME.items()})
def no_previously_declared_queue(t, row):
    name, arguments = row
    refuse(t.channel(), 404, PREVIOUS, name, **arguments)


@test
def last_declared_queue_is_per_channel(t):
    connection = t.connect()
    first, second = connection.channel(), connection.channel()
    queue = t.queue(first)
    equal(first.call('queue.purge').message_count, 0, 'purged')
    refuse(second, 404, PREVIOUS, 'queue.purge')
    second.call('channel.open')
    second.declare(queue, passive=True)
    second.call('queue.purge')


@test
def last_declared_queue_follows_the_declares(t):
    channel = t.channel()
    names = [t.queue(channel) for _ in range(2)]
    channel.publish(names[0], b'0')
    channel.publish(names[1], b'1')
    equal(channel.get('').body, b'1', 'message of the last declared')
    channel.declare(names[0], passive=True)
    equal(channel.get('').body, b'0', 'message of the last declared, passively')
    channel.consume('', 'tag')
    equal(channel.declare(names[0], passive=True).consumer_count, 1, 'consumers')


@test
def passive_declare_of_the_empty_name(t):
    channel = t.channel()
    t.queue(channel)
    refuse(channel, 404, f'NOT_FOUND - no {queue_text("")}', 'queue.declare', passive=True)


@test
def bind_with_empty_names(t):
    """Without queue and key the queue's name is the key; with a queue the key stays empty."""
    channel = t.channel()
    queue, exchange = t.queue(channel), t.exchange(channel)
    channel.bind('', exchange, '')
    channel.publish(queue, b'1', exchange)
    channel.publish('', b'2', exchange)
    equal(channel.get(queue).body, b'1', 'message')
    equal(channel.get(queue), None, 'second message')
    channel.bind(queue, exchange, '')
    channel.publish('', b'3', exchange)
    equal(channel.get(queue).body, b'3', 'message')
    channel.call('queue.unbind', queue='', exchange=exchange, routing_key='')


MISSING = {
    'declare passive': ('queue.declare', {'passive': True}),
    'bind': ('queue.bind', {'exchange': 'amq.direct'}),
    'purge': ('queue.purge', {}), 'consume': ('basic.consume', {}), 'get': ('basic.get', {}),
}


@test(rows=MISSING)
def missing_queue(t, row):
    name, arguments = row
    missing = t.name()
    refuse(t.channel(), 404, f'NOT_FOUND - no {queue_text(missing)}', name, queue=missing,
           **arguments)


@test
def bind_to_a_missing_exchange(t):
    channel = t.channel()
    missing = t.name()
    refuse(channel, 404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'", 'queue.bind',
           queue=t.queue(channel), exchange=missing)


@test
def what_is_missing_may_be_unbound_and_deleted(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.call('queue.unbind', queue=queue, exchange=t.name(), routing_key='k')
    channel.call('queue.unbind', queue=t.name(), exchange='amq.direct', routing_key='k')
    channel.call('queue.unbind', queue=queue, exchange='amq.direct', routing_key='never bound')
    equal(channel.call('queue.delete', queue=t.name()).message_count, 0, 'messages')
    channel.call('queue.delete', queue=t.name(), if_unused=True, if_empty=True)


@test
def reserved_name(t):
    channel = t.channel()
    existing = channel.declare('', exclusive=True).queue
    for name in ('amq.foo', 'amq.', existing):
        refuse(channel, 403,
               f"ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'",
               'queue.declare', queue=name, exclusive=True)
        channel.call('channel.open')
    channel.declare(existing, passive=True)


OF_ANOTHER = {
    'declare': ('queue.declare', {}), 'declare exclusive': ('queue.declare', {'exclusive': True}),
    'declare passive': ('queue.declare', {'passive': True}),
    'bind': ('queue.bind', {'exchange': 'amq.direct', 'routing_key': 'k'}),
    'purge': ('queue.purge', {}), 'delete': ('queue.delete', {}),
    'delete if unused': ('queue.delete', {'if_unused': True}),
    'consume': ('basic.consume', {}), 'get': ('basic.get', {}),
}


@test(rows=OF_ANOTHER)
def exclusive_queue_of_another_connection(t, row):
    name, arguments = row
    owner, other = t.channel(), t.channel()
    queue = t.queue(owner)
    refuse(other, 405, locked(queue), name, queue=queue, **arguments)
    owner.sync()


@test(rows={'exclusive to shared': True, 'shared to exclusive': False})
def exclusive_flag_differs(t, first):
    channel = t.channel()
    queue = channel.declare(t.name(), exclusive=first).queue
    refuse(channel, 405, locked(queue), 'queue.declare', queue=queue, exclusive=not first)
    channel.call('channel.open')
    channel.call('queue.delete', queue=queue)


INEQUIVALENT = {
    'durable': ({}, {'durable': True}, "'true' but current is 'false'"),
    'durable off': ({'durable': True}, {}, "'false' but current is 'true'"),
    'auto_delete': ({}, {'auto_delete': True}, "'true' but current is 'false'"),
    'durable first': ({}, {'auto_delete': True, 'durable': True}, "'true' but current is 'false'"),
}


@test(rows={name: (name.split(' ')[0], *row) for name, row in INEQUIVALENT.items()})
def inequivalent(t, row):
    argument, first, second, text = row
    channel = t.channel()
    queue = channel.declare(t.name(), **first).queue
    channel.declare(queue, **first)
    refuse(channel, 406, f"PRECONDITION_FAILED - inequivalent arg '{argument}' for "
           f'{queue_text(queue)}: received {text}', 'queue.declare', queue=queue, **second)
    channel.call('channel.open')
    channel.call('queue.delete', queue=queue)


ARGUMENTS = {
    'other value': ({'x-max-length': 10}, {'x-max-length': 11},
                    "'x-max-length' for {}: received '11' but current is '10'"),
    'not given first': ({}, {'x-max-length': 5}, "'x-max-length' for {}: received the value '5' "
                                                 "of type 'signedint' but current is none"),
    'not given then': ({'x-dead-letter-exchange': 'dx'}, {},
                       "'x-dead-letter-exchange' for {}: received none but current is "
                       "the value 'dx' of type 'longstr'"),
}


@test(rows=ARGUMENTS)
def inequivalent_argument(t, row):
    first, second, text = row
    channel = t.channel()
    queue = channel.declare(t.name(), exclusive=True, arguments=first).queue
    refuse(channel, 406, 'PRECONDITION_FAILED - inequivalent arg ' +
           text.format(queue_text(queue)), 'queue.declare', queue=queue, exclusive=True,
           arguments=second)


EQUIVALENT = {
    'integer tags': ({'x-max-length': Tagged('b', 10)}, {'x-max-length': Tagged('l', 10)}),
    'unknown arguments': ({'x-something': 1}, {'x-other': 'y'}),
    'classic by default': ({}, {'x-queue-type': 'classic'}),
    'order': ({'x-max-length': 1, 'x-expires': 60000}, {'x-expires': 60000, 'x-max-length': 1}),
}


@test(rows=EQUIVALENT)
def equivalent_arguments(t, row):
    channel = t.channel()
    queue = t.name()
    for arguments in row:
        channel.declare(queue, exclusive=True, arguments=arguments)


@test
def passive_declare_compares_nothing(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.declare(queue, passive=True, durable=True, auto_delete=True,
                    arguments={'x-max-length': 'many'})


@test
def durable_means_nothing_for_an_exclusive_queue(t):
    channel = t.channel()
    queue = t.queue(channel, exclusive=True, durable=True)
    channel.declare(queue, exclusive=True)
    channel.declare(queue, exclusive=True, durable=True)


@test
def delete_if_unused(t):
    """Checked before if-empty."""
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish(queue, b'x')
    channel.consume(queue, 'c')
    channel.deliver()
    channel.publish(queue, b'y')
    refuse(channel, 406, f'PRECONDITION_FAILED - {queue_text(queue)} in use', 'queue.delete',
           queue=queue, if_unused=True, if_empty=True)
    channel.call('channel.open')
    equal(channel.call('queue.delete', queue=queue, if_unused=True).message_count, 2, 'messages')


@test
def delete_if_empty(t):
    channel = t.channel()
    queue = t.queue(channel)
    channel.publish(queue, b'x')
    refuse(channel, 406, f'PRECONDITION_FAILED - {queue_text(queue)} not empty', 'queue.delete',
           queue=queue, if_empty=True)
    channel.call('channel.open')
    channel.get(queue, no_ack=False)
    equal(channel.call('queue.delete', queue=queue, if_empty=True).message_count, 0, 'messages')


@test
def names_lose_line_ends(t):
    channel = t.channel()
    name = t.name()
    equal(channel.declare(f'{name}\r\n', exclusive=True).queue, name, 'declared name')
    channel.declare(f'\n{name}', passive=True)
    channel.bind(name + '\r', 'amq.direct', name)
    channel.call('queue.delete', queue=f'{name}\n')
    refuse(channel, 404, None, 'queue.declare', queue=name, passive=True)


@test
def names_may_be_anything_else(t):
    channel = t.channel()
    prefix = t.name()
    for name in ('ü', ' ', '*.#', "it's", '"q"', '\t\0', '%s%n', 'n' * (255 - len(prefix))):
        name = prefix + name
        equal(channel.declare(name, exclusive=True).queue, name, 'name')
        channel.publish(name, b'x')
        equal(channel.get(name).routing_key, name, 'routing key')


@test
def nowait_does_not_silence_errors(t):
    channel = t.channel()
    for name, arguments in (('queue.purge', {}), ('queue.declare', {'passive': True}),
                            ('queue.bind', {'exchange': 'amq.direct'}), ('basic.consume', {})):
        refuse(channel, 404, None, name, queue=t.name(), nowait=True, **arguments)
        channel.call('channel.open')


@test
def nowait_is_silent(t):
    channel = t.channel()
    queue = t.name()
    channel.send('queue.declare', queue=queue, exclusive=True, nowait=True)
    channel.send('queue.bind', queue=queue, exchange='amq.direct', routing_key=queue, nowait=True)
    channel.publish(queue, b'x', 'amq.direct')
    channel.idle(queue)
    equal(channel.get(queue).body, b'x', 'body')
    channel.send('queue.purge', queue=queue, nowait=True)
    channel.send('queue.delete', queue=queue, nowait=True)
    channel.idle()
    refuse(channel, 404, None, 'queue.declare', queue=queue, passive=True)
