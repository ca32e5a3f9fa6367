"""`railmq status` and `railmq list-...` of a running broker, against a state that is known."""

import csv
import io
import json
import os
import signal
import socket
import subprocess

import amqp
from broker import Broker
from harness import test, check, equal, eventually, settle
from test_configuration import Ground

NASTY = 'tab\there \\ "quoted", \x1b[31mred\n'
LISTINGS = ['queues', 'exchanges', 'bindings', 'vhosts', 'connections', 'channels', 'consumers']


def data_dir(broker):
    return os.path.join(broker.directory, 'data')


def run(t, *words, status=0, broker=None):
    """What a command of railmq prints on stdout, or on stderr if it is to fail."""
    done = subprocess.run(
        [t.broker.railmq, *words, '--data-dir', data_dir(broker or t.broker)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    equal(done.returncode, status, f'exit status of {" ".join(words)}:\n{done.stdout}{done.stderr}')
    return done.stderr if status else done.stdout


def listing(t, name, *words):
    return json.loads(run(t, name, '--format', 'json', *words))


def row_of(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    equal(len(found), 1, f'rows with {wanted} in {rows}')
    return found[0]


@test(process=True)
def queues_and_what_is_in_them(t):
    channel = t.channel()
    queue = t.queue(channel)
    for _ in range(3):
        channel.publish(queue, b'12345')
    settle(channel, queue, 3)
    channel.get(queue, no_ack=False)
    row = row_of(listing(t, 'list-queues', 'name', 'messages', 'messages_ready',
                         'messages_unacknowledged', 'message_bytes_ready', 'consumers', 'durable',
                         'exclusive', 'auto_delete', 'type', 'vhost', 'arguments'), name=queue)
    equal(row, {'name': queue, 'messages': 3, 'messages_ready': 2, 'messages_unacknowledged': 1,
                'message_bytes_ready': 10, 'consumers': 0, 'durable': False, 'exclusive': True,
                'auto_delete': False, 'type': 'classic', 'vhost': '/', 'arguments': {}}, 'row')


@test(process=True)
def names_cannot_break_a_format(t):
    """Octets of clients come back as they are in JSON and CSV, and as escapes for people."""
    channel = t.channel()
    exchange = t.exchange(channel, 'topic')
    queue = t.queue(channel)
    channel.bind(queue, exchange, NASTY)
    columns = ['source_name', 'destination_name', 'destination_kind', 'routing_key']
    wanted = dict(zip(columns, [exchange, queue, 'queue', NASTY]))
    equal(row_of(listing(t, 'list-bindings', *columns), source_name=exchange), wanted, 'row')
    table = list(csv.DictReader(io.StringIO(run(t, 'list-bindings', '-f', 'csv', *columns),
                                            newline='')))
    equal(row_of(table, source_name=exchange), wanted, 'row of the CSV')
    for form in ('tsv', 'table'):
        output = run(t, 'list-bindings', '--format', form, *columns)
        check('\x1b' not in output, f'{form} contains a control character')
        lines = [line for line in output.split('\n') if exchange in line]
        equal(len(lines), 1, f'lines of {form}')
        if form == 'tsv':
            equal(len(lines[0].split('\t')), 4, 'cells')


@test(process=True)
def arguments_are_json(t):
    channel = t.channel()
    queue = t.queue(channel, exclusive=True, arguments={'x-max-length': 7, 'x-note': NASTY,
                                                       'x-max-priority': 3})
    row = row_of(listing(t, 'list-queues', 'name', 'arguments'), name=queue)
    equal(row['arguments'], {'x-max-length': 7, 'x-note': NASTY, 'x-max-priority': 3}, 'arguments')


@test(process=True)
def exchanges_and_their_bindings(t):
    channel = t.channel()
    source, target = t.exchange(channel, 'fanout'), t.exchange(channel, 'headers')
    channel.call('exchange.bind', destination=target, source=source, routing_key='k')
    row = row_of(listing(t, 'list-exchanges', 'name', 'type', 'durable', 'auto_delete', 'internal',
                         'bindings'), name=source)
    equal(row, {'name': source, 'type': 'fanout', 'durable': False, 'auto_delete': True,
                'internal': False, 'bindings': 1}, 'row')
    row = row_of(listing(t, 'list-bindings'), source_name=source)
    equal(row, {'source_name': source, 'destination_name': target, 'destination_kind': 'exchange',
                'routing_key': 'k', 'arguments': {}}, 'binding')


@test(process=True)
def connections_with_channels_and_consumers(t):
    connection = t.connect()
    channel = connection.channel()
    other = connection.channel()
    queue = t.queue(channel)
    port = connection.sock.getsockname()[1]
    channel.call('confirm.select')
    other.call('tx.select')
    channel.qos(2)
    tag = channel.consume(queue)
    for _ in range(3):
        other.publish(queue, b'x')
    rows = listing(t, 'list-channels', 'id', 'connection', 'number', 'confirm', 'transactional',
                   'messages_uncommitted', 'prefetch_count', 'consumer_count', 'user', 'vhost')
    peer = row_of(listing(t, 'list-connections', 'id', 'peer_port', 'peer_host', 'state', 'user',
                          'vhost', 'channels', 'consumers', 'name'), peer_port=port)
    number = peer['id']
    equal(peer, {'id': number, 'peer_port': port, 'peer_host': '127.0.0.1', 'state': 'running',
                 'user': 'guest', 'vhost': '/', 'channels': 2, 'consumers': 1,
                 'name': f'127.0.0.1:{port} -> 127.0.0.1:{t.address[1]}'}, 'connection')
    equal(row_of(rows, connection=number, number=1), {
        'id': f'{number}.1', 'connection': number, 'number': 1, 'confirm': True,
        'transactional': False, 'messages_uncommitted': 0, 'prefetch_count': 2,
        'consumer_count': 1, 'user': 'guest', 'vhost': '/'}, 'first channel')
    second = row_of(rows, connection=number, number=2)
    equal((second['transactional'], second['messages_uncommitted']), (True, 3), 'second channel')
    other.call('tx.commit')
    channel.bodies(2)
    eventually(lambda: row_of(listing(t, 'list-consumers'), queue_name=queue), {
        'queue_name': queue, 'channel': f'{number}.1', 'consumer_tag': tag, 'ack_required': True,
        'prefetch_count': 2, 'messages_unacknowledged': 2, 'active': True}, 'consumer')


@test(process=True)
def only_one_of_single_active_consumers_is_active(t):
    channel = t.channel()
    queue = t.queue(channel, exclusive=True, arguments={'x-single-active-consumer': True})
    tags = [channel.consume(queue) for _ in range(2)]
    rows = [row for row in listing(t, 'list-consumers') if row['queue_name'] == queue]
    equal({row['consumer_tag']: row['active'] for row in rows}, {tags[0]: True, tags[1]: False},
          'active')


@test(process=True)
def vhosts(t):
    row = row_of(listing(t, 'list-vhosts', 'name', 'queues'), name='/')
    equal(row['queues'], len(listing(t, 'list-queues', 'name')), 'queues')


@test(process=True)
def formats_and_headers(t):
    channel = t.channel()
    queue = t.queue(channel)
    lines = run(t, 'list-queues', 'name', 'messages').splitlines()
    equal(lines[0], 'name\tmessages', 'header')
    check(f'{queue}\t0' in lines, f'no row of {queue} in {lines}')
    check('name' not in run(t, 'list-queues', '-q', 'name', 'messages').split(), 'a header')
    equal(run(t, 'list_queues', 'name', 'messages').splitlines(), lines, 'with an underscore')
    equal(run(t, 'list-queues', '-p', '/', 'name', 'messages').splitlines(), lines, 'with -p')
    table = run(t, 'list-queues', '--format=table', 'name', 'messages').splitlines()
    equal(len({len(line) for line in table}), 1, f'widths of {table}')


@test(process=True, rows={name: name for name in LISTINGS})
def every_column_of(t, name):
    """Each can be asked for, the help lists it, and the default ones are among them."""
    channel = t.channel()
    queue = t.queue(channel)
    channel.bind(queue, 'amq.topic', 'k')
    channel.consume(queue)
    output = subprocess.run([t.broker.railmq, f'list-{name}', '--help'], capture_output=True,
                            text=True, check=True).stdout
    lines = output[output.index('\nColumns'):].splitlines()[2:]
    columns = [line[2:].split()[0] for line in lines if line[2] != ' ']
    rows = listing(t, f'list-{name}', *columns)
    check(len(rows) > 0, 'no rows')
    for row in rows:
        equal(list(row), columns, 'columns')
    defaults = list(listing(t, f'list-{name}')[0])
    equal(defaults, [line[2:].split()[0] for line in lines if line[0] == '*'], 'default columns')


ACCOUNTS = '''
users:
  zoe: {password: secret, tags: [monitoring, other], limits: {max-connections: 3}}
  adam: {password: hidden}
vhosts:
  /:
    exchanges: {news: {type: topic}, plain: {type: direct}}
    policies:
      second: {pattern: "^n", apply_to: exchanges, priority: -2, definition: {alternate-exchange: plain}}
      first: {pattern: ".", apply_to: queues, definition: {max-length: 3}}
    operator_policies:
      cap: {pattern: "", apply_to: quorum_queues, priority: 7, definition: {expires: 1h}}
    permissions: {zoe: {configure: "", write: "^news$$", read: ".*"}}
    topic_permissions: {zoe: {news: {write: "^a", read: "b"}}}
  other:
    permissions: {adam: {configure: ".*", write: ".*", read: ".*"}}
'''


@test(process=True)
def users_and_what_they_may_do(t):
    with Ground(t, ACCOUNTS) as ground:
        def rows(name, *words):
            return json.loads(ground.run(name, '--format', 'json', *words))
        every = ('user', 'tags', 'max_connections', 'max_channels', 'loopback_only')
        users = rows('list-users', *every)
        equal([user['user'] for user in users], ['adam', 'guest', 'zoe'], 'users')
        equal(users[2], {'user': 'zoe', 'tags': ['monitoring', 'other'], 'max_connections': 3,
                         'max_channels': None, 'loopback_only': False}, 'zoe')
        equal((users[0]['tags'], users[1]['loopback_only']), ([], True), 'tags, and guest')
        for form in ('tsv', 'json'):
            text = ground.run('list-users', '-f', form, *every)
            check('secret' not in text and 'scrypt' not in text, f'a secret in {text}')
        equal(rows('list-permissions'), [
            {'user': 'guest', 'configure': '.*', 'write': '.*', 'read': '.*'},
            {'user': 'zoe', 'configure': '', 'write': '^news$', 'read': '.*'}], 'permissions')
        equal([row['user'] for row in rows('list-permissions', '-p', 'other')], ['adam'],
              'permissions in the other virtual host')
        equal(rows('list-topic-permissions'),
              [{'user': 'zoe', 'exchange': 'news', 'write': '^a', 'read': 'b'}], 'topics')
        equal(rows('list-topic-permissions', '-p', 'other'), [], 'topics of the other')


@test(process=True)
def policies_are_listed(t):
    with Ground(t, ACCOUNTS) as ground:
        def rows(name, *words):
            return json.loads(ground.run(name, '--format', 'json', *words))
        equal(rows('list-policies', 'vhost', 'name', 'pattern', 'apply-to', 'priority',
                   'definition'), [
            {'vhost': '/', 'name': 'first', 'pattern': '.', 'apply-to': 'queues', 'priority': 0,
             'definition': {'max-length': 3}},
            {'vhost': '/', 'name': 'second', 'pattern': '^n', 'apply-to': 'exchanges',
             'priority': -2, 'definition': {'alternate-exchange': 'plain'}}], 'policies')
        equal(rows('list-operator-policies'), [
            {'name': 'cap', 'pattern': '', 'apply-to': 'quorum_queues', 'priority': 7,
             'definition': {'expires': 3600000}}], 'operator policies')
        equal(rows('list-policies', '-p', 'other'), [], 'policies of the other virtual host')
        exchanges = rows('list-exchanges', 'name', 'policy')
        equal({row['name']: row['policy'] for row in exchanges if row['name'] in ('news', 'plain')},
              {'news': 'second', 'plain': None}, 'policies of exchanges')


@test(process=True)
def mistakes_are_told(t):
    message = run(t, 'list-queues', 'nmae', status=64)
    check('there is no column "nmae" (did you mean name?)' in message, message)
    message = run(t, 'list-queues', '-p', NASTY, status=1)
    check('there is no virtual host' in message and '\x1b' not in message, message)
    message = run(t, 'list-queues', '--format', 'xml', status=64)
    check('must be table, tsv, csv or json' in message, message)
    message = run(t, 'list-quques', status=64)
    check('did you mean list-queues?' in message, message)
    nowhere = Broker(t.broker.railmq)
    nowhere.directory = os.path.join(t.broker.directory, 'nowhere')
    for command in ('status', 'list-connections'):
        check('no broker runs on' in run(t, command, status=1, broker=nowhere), command)


@test(process=True)
def requests_of_a_hostile_client(t):
    """What the command line would never send gets an answer all the same."""
    for request in (b'list', b'list ', b'list queues', b'list \t\t\t', b'list queues\t/\t\t\t',
                    b'list queues\t\\', b'list queues\t/' + b'\tname' * 100,
                    b'list nonsense\t/', b'list queues\t' + b'v' * 300, b'status \xff\x00'):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(os.path.join(data_dir(t.broker), 'control.sock'))
            sock.sendall(request + b'\n')
            answer = b''
            while part := sock.recv(65536):
                answer += part
            last = answer.splitlines()[-1].split()[0]
            check(last in (b'ok', b'error'), f'answer to {request}: {answer}')


@test(process=True, stored=True)
def status(t):
    t.channel()
    told = json.loads(run(t, 'status', '--format', 'json'))
    equal(told['broker']['pid'], t.broker.pid, 'pid')
    equal(told['broker']['state'], 'running', 'state')
    equal(told['broker']['data_dir'], data_dir(t.broker), 'data directory')
    protocol = 'amqp' if amqp.Wire.tls is None else 'amqps'
    equal(told['listeners'], {f'{t.address[0]}:{t.address[1]}': protocol}, 'listeners')
    equal(told['alarms'], {}, 'alarms')
    check(told['counts']['connections'] >= 1, f'connections: {told["counts"]}')
    check(told['memory']['resident_bytes'] > 1 << 20, f'memory: {told["memory"]}')
    check(0 < told['disk']['free_bytes'] <= told['disk']['total_bytes'], f'disk: {told["disk"]}')
    equal(told['store']['state'], 'working', 'store')
    people = run(t, 'status', '--format', 'table')
    check('alarms: none' in people and 'uptime' in people, people)


@test(process=True)
def status_tells_alarms_and_their_reasons(t):
    broker = Broker(t.broker.railmq)
    with open(os.path.join(t.broker.directory, 'alarms.yaml'), 'w', encoding='utf-8') as file:
        file.write('version: 1\nlimits: {memory_high_watermark: 1MiB}\n')
    broker.arguments = ['--config', file.name]
    broker.start()
    try:
        connection = amqp.Connection(broker.address)
        channel = connection.channel()
        queue = channel.declare(exclusive=True).queue
        channel.publish(queue, b'x' * 2_000_000)
        settle(channel, queue, 1)
        alarms = json.loads(run(t, 'status', '-f', 'json', broker=broker))['alarms']
        equal(list(alarms), ['memory'], 'alarms')
        check('limits.memory_high_watermark' in alarms['memory'], f'reason: {alarms}')
        connection.close()
        equal(broker.stop(), None, 'failure')
    finally:
        broker.kill()


@test(process=True)
def listing_while_it_stops(t):
    """A listing that meets the end of the workers is answered, and does not hold it up."""
    broker = Broker(t.broker.railmq).start()
    connection = amqp.Connection(broker.address)
    asking = [subprocess.Popen([broker.railmq, 'list-connections', '-d', data_dir(broker)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
              for _ in range(8)]
    broker.process.send_signal(signal.SIGTERM)
    broker.terminated = True
    connection.expect_close(320, None, None)
    for process in asking:
        check(process.wait(20) in (0, 1), 'exit status')
    equal(broker.stop(), None, 'failure')


@test(process=True)
def one_virtual_host_of_several(t):
    broker = Broker(t.broker.railmq)
    with open(os.path.join(t.broker.directory, 'vhosts.yaml'), 'w', encoding='utf-8') as file:
        file.write('version: 1\n'
                   'users: {guest: {password: guest, tags: [administrator]}}\n'
                   'vhosts:\n'
                   '  /: {permissions: {guest: {configure: ".*", write: ".*", read: ".*"}}}\n'
                   '  /shop:\n'
                   '    permissions: {guest: {configure: ".*", write: ".*", read: ".*"}}\n'
                   '    queues: {orders: {type: quorum}}\n')
    broker.arguments = ['--config', file.name]
    broker.start()
    try:
        connection = amqp.Connection(broker.address, vhost='/shop')
        channel = connection.channel()
        tag = channel.consume('orders')

        def rows(*words):
            return json.loads(run(t, *words, '-f', 'json', broker=broker))
        equal(rows('list-queues', 'name'), [], 'queues of /')
        equal(rows('list-queues', '-p', '/shop', 'name', 'type', 'vhost'),
              [{'name': 'orders', 'type': 'quorum', 'vhost': '/shop'}], 'queues of /shop')
        equal(rows('list-consumers', 'consumer_tag'), [], 'consumers of /')
        equal(rows('list-consumers', '--vhost=/shop', 'consumer_tag'), [{'consumer_tag': tag}],
              'consumers of /shop')
        equal(sorted(row['name'] for row in rows('list-vhosts', 'name')), ['/', '/shop'], 'hosts')
        equal([row['vhost'] for row in rows('list-connections')], ['/shop'], 'connections')
        connection.close()
        equal(broker.stop(), None, 'failure')
    finally:
        broker.kill()
