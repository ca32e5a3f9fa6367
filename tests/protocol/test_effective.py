"""What a queue goes by, and who has said so: `railmq list-queues --verbose` and the columns of the
policies, beside what the queue then does."""

import json

import amqp
from harness import test, check, equal, settle
from test_admin import listing, row_of, run
from test_configuration import Ground
from test_policies import apply, kept, policies, policy, quoted

WEIGHT = 2


def rules(row):
    """The rows of effective_arguments by name, without the policy where there is none."""
    return {rule['name']: tuple(rule[key] for key in ('value', 'source', 'policy')
                                if rule[key] is not None)
            for rule in row['effective_arguments']}


def effective(t, queue):
    return rules(row_of(listing(t, 'list-queues', 'name', 'effective_arguments'), name=queue))


@test(process=True)
def every_argument_has_a_source(t):
    channel = t.channel()
    queue = t.queue(channel, exclusive=True, arguments={
        'x-max-length': 7, 'x-message-ttl': 60000, 'x-dead-letter-exchange': '',
        'x-max-priority': 3, 'x-single-active-consumer': True, 'x-note': 'one\ttwo'})
    own = {'x-max-length': (7, 'argument'), 'x-message-ttl': (60000, 'argument'),
           'x-dead-letter-exchange': ('', 'argument'), 'x-max-priority': (3, 'argument'),
           'x-single-active-consumer': (True, 'argument'), 'x-note': ('one\ttwo', 'argument')}
    equal(effective(t, queue), own, 'without policies')
    columns = ('name', 'policy', 'operator_policy', 'effective_policy_definition')
    row = row_of(listing(t, 'list-queues', *columns), name=queue)
    equal(row, {'name': queue, 'policy': None, 'operator_policy': None,
                'effective_policy_definition': {}}, 'columns without policies')
    with policies(t) as put:
        put(policy(quoted(queue), 'max-length: 5, message-ttl: 2m, overflow: reject-publish, '
                                  'dead-letter-exchange: amq.fanout, dead-letter-routing-key: k, '
                                  'max-length-bytes: 1000'),
            operators=[policy('"."', 'max-length: 6, max-length-bytes: 900, expires: 1h')])
        equal(effective(t, queue), {
            **own, 'x-max-length': (5, 'policy', 'policies0'),
            'x-max-length-bytes': (900, 'operator policy', 'operator_policies0'),
            'x-expires': (3600000, 'operator policy', 'operator_policies0'),
            'x-overflow': ('reject-publish', 'policy', 'policies0'),
            'x-dead-letter-routing-key': ('k', 'policy', 'policies0')}, 'with policies')
        row = row_of(listing(t, 'list-queues', *columns), name=queue)
        equal(row, {'name': queue, 'policy': 'policies0', 'operator_policy': 'operator_policies0',
                    'effective_policy_definition': {
                        'dead-letter-exchange': 'amq.fanout', 'dead-letter-routing-key': 'k',
                        'expires': 3600000, 'max-length': 5, 'max-length-bytes': 900,
                        'message-ttl': 120000, 'overflow': 'reject-publish'}}, 'columns')
    equal(effective(t, queue), own, 'once they are gone')


@test(process=True)
def quorum_queues_take_some_words_from_policies(t):
    channel = t.channel()
    queue = t.queue(channel, durable=True, arguments={
        'x-queue-type': 'quorum', 'x-overflow': 'drop-head', 'x-delivery-limit': 4})
    with policies(t) as put:
        put(policy(quoted(queue), 'overflow: reject-publish, delivery-limit: 9, '
                                  'dead-letter-strategy: at-least-once'),
            operators=[policy('"."', 'delivery-limit: 2', 'classic_queues')])
        equal(effective(t, queue), {
            'x-queue-type': ('quorum', 'argument'), 'x-delivery-limit': (4, 'argument'),
            'x-overflow': ('reject-publish', 'policy', 'policies0'),
            'x-dead-letter-strategy': ('at-least-once', 'policy', 'policies0')}, 'rules')
    channel.call('queue.delete', queue=queue)


@test(process=True)
def what_is_listed_is_what_counts(t):
    """Any three lengths: the queue keeps as many as the listing says, which names the least one; of
    equals, the argument before the policy, and that before the operator's."""
    channel = t.channel()
    with policies(t) as put:
        for _ in range(12):
            lengths = [t.random.choice([None, 1, 2, 3]) for _ in range(3)]
            argument, users, operators = lengths
            queue = t.queue(channel, exclusive=True,
                            arguments={} if argument is None else {'x-max-length': argument})
            sources = [('argument',), ('policy', 'policies0'),
                       ('operator policy', 'operator_policies0')]
            entries = [() if length is None else [policy(quoted(queue), f'max-length: {length}')]
                       for length in (users, operators)]
            put(*entries[0], operators=entries[1])
            given = [length for length in lengths if length is not None]
            wanted = {'x-max-length': (min(given), *sources[lengths.index(min(given))])
                      } if given else {}
            equal(effective(t, queue), wanted, f'rules of {lengths}')
            equal(kept(channel, queue, 5), min(given, default=5), f'messages kept by {lengths}')
            definition = row_of(listing(t, 'list-queues', 'name', 'effective_policy_definition'),
                                name=queue)['effective_policy_definition']
            given = [length for length in (users, operators) if length is not None]
            equal(definition, {'max-length': min(given)} if given else {}, 'definition')


@test(process=True)
def verbose(t):
    """For people in lines below the queue; elsewhere as a column."""
    channel = t.channel()
    queue = t.queue(channel, exclusive=True, arguments={'x-max-length': 70, 'x-note': 'a b'})
    plain = t.queue(channel)
    with policies(t) as put:
        put(policy(quoted(queue), 'message-ttl: 1h, max-length: 100'))
        lines = run(t, 'list-queues', '-v', '--format', 'table', 'name', 'type').splitlines()
        equal(lines[0].split(), ['name', 'type'], 'header')
        at = next(number for number, line in enumerate(lines) if line.startswith(queue))
        equal([line.split() for line in lines[at + 1:at + 4]], [
            ['x-message-ttl', '3600000', 'policy', 'policies0'], ['x-max-length', '70', 'argument'],
            ['x-note', 'a', 'b', 'argument']], f'lines of {lines}')
        check(all(line.startswith('    x-') for line in lines[at + 1:at + 4]), f'indent of {lines}')
        equal(len({line.index(line.split()[-1] if line.endswith('argument') else 'policy ')
                   for line in lines[at + 1:at + 4]}), 1, f'places of the source in {lines}')
        at = next(number for number, line in enumerate(lines) if line.startswith(plain))
        check(len(lines) == at + 1 or not lines[at + 1].startswith(' '), f'lines of {plain}')
        rows = [line.split('\t') for line in run(t, 'list-queues', '--verbose').splitlines()]
        equal(rows[0], ['name', 'type', 'messages_ready', 'messages_unacknowledged', 'messages',
                        'consumers', 'effective_arguments'], 'header')
        row = next(row for row in rows if row[0] == queue)
        equal({rule['name'] for rule in json.loads(row[-1])},
              {'x-message-ttl', 'x-max-length', 'x-note'}, 'names in the tab-separated form')
        equal(list(listing(t, 'list-queues', '-v', 'effective_arguments', 'name')[0]),
              ['effective_arguments', 'name'], 'a column that is named already')
    check('unknown option' in run(t, 'list-bindings', '-v', status=64), 'not of other listings')


@test(process=True)
def sources_after_a_hang_up(t):
    """The file of the broker, read again: policies change, and go."""
    head = 'apply: {prune: owned}\nvhosts:\n  /:\n'
    users = '    policies: {%s: {pattern: "^q", priority: %d, definition: {%s}}}\n'
    operators = '    operator_policies: {cap: {pattern: ".", definition: {max-length: 4}}}\n'
    with Ground(t, head + users % ('one', 1, 'max-length: 3, expires: 1h') + operators) as ground:
        channel = amqp.Connection(ground.broker.address).channel()
        channel.declare('q', durable=True, arguments={'x-max-length': 5})

        def expect(length, others, kept_messages):
            rows = json.loads(ground.run('list-queues', '-v', '-f', 'json'))
            equal(rules(row_of(rows, name='q')), {'x-max-length': length, **others}, 'rules')
            equal(kept(channel, 'q', 7), kept_messages, 'messages kept')
        expect((3, 'policy', 'one'), {'x-expires': (3600000, 'policy', 'one')}, 3)
        ground.write(head + users % ('one', 1, 'max-length: 6') + operators)
        ground.hang_up('config.reloaded')
        expect((4, 'operator policy', 'cap'), {}, 4)
        ground.write(head + users % ('two', 1, 'max-length: 2, overflow: reject-publish'))
        ground.hang_up('config.reloaded')
        expect((2, 'policy', 'two'), {'x-overflow': ('reject-publish', 'policy', 'two')}, 2)
        ground.write(head + users % ('two', 1, 'max-length: 9'))
        ground.hang_up('config.reloaded')
        expect((5, 'argument'), {}, 5)
        ground.write('apply: {prune: owned}\nvhosts: {/: {}}\n')
        ground.hang_up('config.reloaded')
        expect((5, 'argument'), {}, 5)
        channel.connection.finish()
