"""What exchange methods refuse: code, text and method of every exception, in order of check."""

from harness import test, equal

DEFAULT = 'ACCESS_REFUSED - operation not permitted on the default exchange'


def in_vhost(kind, name):
    return f"{kind} '{name}' in vhost '/'"


def refuse(channel, code, text, name, **arguments):
    channel.send(name, **arguments)
    channel.expect_close(code, text, name)


@test
def unknown_type(t):
    """RabbitMQ 3 closes the connection for it, RabbitMQ 4 the channel."""
    connection = t.connect()
    channel = connection.channel()
    channel.send('exchange.declare', exchange=t.name(), type='bogus')
    connection.expect_close(503, "COMMAND_INVALID - unknown exchange type 'bogus'",
                            'exchange.declare')


@test(rows={'default': ('', 'bogus'), 'reserved': ('amq.foo', 'bogus'),
            'system': ('amq.direct', 'bogus'), 'empty type': ('some.name', '')})
def unknown_type_is_the_first_check(t, row):
    exchange, kind = row
    connection = t.connect()
    connection.channel().send('exchange.declare', exchange=exchange, type=kind)
    connection.expect_close(503, 'COMMAND_INVALID - *', 'exchange.declare')


@test
def unknown_type_is_not_looked_at_when_passive(t):
    channel = t.channel()
    exchange = t.exchange(channel)
    channel.exchange(exchange, '', passive=True)


DEFAULTS = {
    'declare': ('exchange.declare', {'exchange': '', 'type': 'direct'}),
    'declare passive': ('exchange.declare', {'exchange': '', 'passive': True}),
    'delete': ('exchange.delete', {'exchange': ''}),
    'bind from': ('exchange.bind', {'source': '', 'destination': 'amq.direct'}),
    'bind to': ('exchange.bind', {'source': 'amq.direct', 'destination': ''}),
    'unbind from': ('exchange.unbind', {'source': '', 'destination': 'amq.direct'}),
    'unbind to': ('exchange.unbind', {'source': 'amq.direct', 'destination': ''}),
}


@test(rows=DEFAULTS)
def default_exchange(t, row):
    name, arguments = row
    refuse(t.channel(), 403, DEFAULT, name, **arguments)


@test(rows={'bind': 'queue.bind', 'unbind': 'queue.unbind'})
def queue_and_default_exchange(t, name):
    channel = t.channel()
    refuse(channel, 403, DEFAULT, name, queue=t.queue(channel), exchange='', routing_key='k')


@test
def reserved_name(t):
    for name in ('amq.foo', 'amq.'):
        refuse(t.channel(), 403,
               f"ACCESS_REFUSED - exchange name '{name}' contains reserved prefix 'amq.*'",
               'exchange.declare', exchange=name, type='direct')


@test
def names_that_only_look_reserved(t):
    channel = t.channel()
    for name in ('amq', 'amqx.foo', 'AMQ.foo', ' amq.foo'):
        channel.exchange(name, auto_delete=True)
        channel.call('exchange.delete', exchange=name)


@test
def standard_exchanges_may_be_declared_again(t):
    channel = t.channel()
    for name, kind in (('amq.direct', 'direct'), ('amq.fanout', 'fanout'), ('amq.topic', 'topic'),
                       ('amq.headers', 'headers'), ('amq.match', 'headers')):
        channel.exchange(name, kind, durable=True)
        channel.exchange(name, kind, passive=True)
    channel.exchange('amq.rabbitmq.trace', 'topic', durable=True, internal=True)


BASE = {'type': 'direct', 'durable': False, 'auto_delete': False, 'internal': False}
INEQUIVALENT = {
    'type': ({'type': 'topic'}, "'topic' but current is 'direct'"),
    'durable': ({'durable': True}, "'true' but current is 'false'"),
    'auto_delete': ({'auto_delete': True}, "'true' but current is 'false'"),
    'internal': ({'internal': True}, "'true' but current is 'false'"),
    'type first': ({'type': 'fanout', 'durable': True, 'internal': True},
                   "'fanout' but current is 'direct'"),
    'durable before auto_delete': ({'auto_delete': True, 'durable': True},
                                   "'true' but current is 'false'"),
    'auto_delete before internal': ({'auto_delete': True, 'internal': True},
                                    "'true' but current is 'false'"),
}


@test(rows={name: (name, *row) for name, row in INEQUIVALENT.items()})
def inequivalent(t, row):
    title, difference, text = row
    argument = title.split(' ')[0]
    channel = t.channel()
    exchange = t.name()
    channel.call('exchange.declare', exchange=exchange, **BASE)
    refuse(channel, 406,
           f"PRECONDITION_FAILED - inequivalent arg '{argument}' for "
           f"{in_vhost('exchange', exchange)}: received {text}",
           'exchange.declare', exchange=exchange, **(BASE | difference))
    channel.call('channel.open')
    channel.call('exchange.delete', exchange=exchange)


ALTERNATES = {
    'other': ({'alternate-exchange': 'a'}, {'alternate-exchange': 'b'},
              "received 'b' but current is 'a'"),
    'none then one': ({}, {'alternate-exchange': 'b'},
                      "received the value 'b' of type 'longstr' but current is none"),
    'one then none': ({'alternate-exchange': 'a'}, {},
                      "received none but current is the value 'a' of type 'longstr'"),
}


@test(rows=ALTERNATES)
def inequivalent_alternate(t, row):
    first, second, text = row
    channel = t.channel()
    exchange = t.name()
    channel.exchange(exchange, arguments=first)
    channel.exchange(exchange, arguments=first)
    refuse(channel, 406,
           f"PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for "
           f"{in_vhost('exchange', exchange)}: {text}",
           'exchange.declare', exchange=exchange, type='direct', arguments=second)
    channel.call('channel.open')
    channel.call('exchange.delete', exchange=exchange)


@test
def alternate_of_a_wrong_type(t):
    name = t.name()
    refuse(t.channel(), 406, "PRECONDITION_FAILED - invalid type 'signedint' for arg "
           f"'alternate-exchange' in {in_vhost('exchange', name)}",
           'exchange.declare', exchange=name, type='direct', arguments={'alternate-exchange': 5})


@test
def unknown_arguments_are_not_compared(t):
    channel = t.channel()
    exchange = t.exchange(channel, arguments={'x-something': 1})
    channel.exchange(exchange, auto_delete=True, arguments={'x-other': 'y'})


@test
def passive_declare_of_a_missing_exchange(t):
    name = t.name()
    refuse(t.channel(), 404, f"NOT_FOUND - no {in_vhost('exchange', name)}", 'exchange.declare',
           exchange=name, type='direct', passive=True)


@test
def passive_declare_compares_nothing(t):
    channel = t.channel()
    exchange = t.exchange(channel)
    channel.exchange(exchange, 'topic', passive=True, durable=True, internal=True,
                     arguments={'alternate-exchange': 'x'})


@test
def delete_of_a_system_exchange(t):
    for name in ('amq.direct', 'amq.rabbitmq.trace', 'amq.unheard-of'):
        refuse(t.channel(), 403,
               f"ACCESS_REFUSED - deletion of system {in_vhost('exchange', name)} not allowed",
               'exchange.delete', exchange=name)


@test
def delete_of_a_missing_exchange(t):
    channel = t.channel()
    for _ in range(2):
        channel.call('exchange.delete', exchange=t.name())
        channel.call('exchange.delete', exchange=t.name(), if_unused=True)


@test
def delete_if_unused(t):
    """Bindings from it count, bindings to it do not."""
    channel = t.channel()
    queue, source = t.queue(channel), t.exchange(channel, auto_delete=False)
    destination = t.exchange(channel, auto_delete=False)
    channel.bind(queue, source, 'k')
    channel.call('exchange.bind', source=source, destination=destination)
    refuse(channel, 406, f"PRECONDITION_FAILED - {in_vhost('exchange', source)} in use",
           'exchange.delete', exchange=source, if_unused=True)
    channel.call('channel.open')
    channel.call('exchange.delete', exchange=destination, if_unused=True)
    channel.call('queue.unbind', queue=queue, exchange=source, routing_key='k')
    channel.call('exchange.delete', exchange=source, if_unused=True)


@test(rows={'source': True, 'destination': False})
def bind_of_a_missing_exchange(t, source_missing):
    channel = t.channel()
    exchange, missing = t.exchange(channel, auto_delete=False), t.name()
    arguments = {'source': missing, 'destination': exchange}
    if not source_missing:
        arguments = {'source': exchange, 'destination': missing}
    refuse(channel, 404, f"NOT_FOUND - no {in_vhost('exchange', missing)}", 'exchange.bind',
           **arguments)
    channel.call('channel.open')
    channel.call('exchange.unbind', **arguments)
    channel.call('exchange.delete', exchange=exchange)


HEADERS = {
    'value': ({'x-match': 'foo'}, 'Invalid x-match field value <<"foo">>; '
                                  'expected all, any, all-with-x, or any-with-x'),
    'type': ({'x-match': 1}, 'Invalid x-match field type signedint (value 1); expected longstr'),
}


@test(rows=HEADERS)
def bad_x_match(t, row):
    arguments, text = row
    channel = t.channel()
    queue, exchange = t.queue(channel), t.exchange(channel, 'headers')
    refuse(channel, 406, 'PRECONDITION_FAILED - ' + text, 'queue.bind', queue=queue,
           exchange=exchange, arguments=arguments)


@test
def names_lose_line_ends(t):
    channel = t.channel()
    name = t.name()
    channel.exchange(name + '\r\n', auto_delete=True)
    channel.exchange(name, passive=True)
    channel.exchange('\n' + name, passive=True)
    channel.call('exchange.delete', exchange=name + '\n')
    refuse(channel, 404, None, 'exchange.declare', exchange=name, passive=True)


@test
def long_texts_are_cut(t):
    name = 'n' * 255
    channel = t.channel()
    channel.send('exchange.declare', exchange=name, passive=True)
    text = channel.expect_close(404, None, 'exchange.declare').reply_text
    whole = f"NOT_FOUND - no {in_vhost('exchange', name)}"
    equal(text, whole[:252] + '...', 'text')


@test
def nowait_does_not_silence_errors(t):
    channel = t.channel()
    exchange = t.name()
    channel.send('exchange.declare', exchange=exchange, type='direct', nowait=True)
    channel.send('exchange.declare', exchange=exchange, type='topic', nowait=True)
    channel.expect_close(406, None, 'exchange.declare')
    channel.call('channel.open')
    channel.send('exchange.delete', exchange=exchange, nowait=True)
    channel.idle()
    refuse(channel, 404, None, 'exchange.declare', exchange=exchange, passive=True)
