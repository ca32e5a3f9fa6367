"""What exists as a file: applied at the start, on SIGHUP, and by `railmq apply`; planned, exported
and imported. The clients are pika's, as users have them."""

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time

import pika

import amqp
from broker import Broker, files_below
from harness import test, check, equal, eventually
from test_process import expect_refusal

WEIGHT = 6
PLAIN = True  # pika is not told of TLS.

SHOP = '''
vhosts:
  /:
    exchanges:
      orders: {type: topic, arguments: {alternate-exchange: unrouted}}
      unrouted: {type: fanout}
    queues:
      orders.eu:
        arguments: {x-max-length: 5, x-overflow: reject-publish, x-message-ttl: 1h}
        bindings: [{from: orders, keys: [order.eu.created, order.eu.paid]}]
      orders.unrouted: {bindings: [{from: unrouted}]}
'''


class Ground:
    """A broker with a configuration, and the commands that ask it."""

    def __init__(self, t, text='', start=True):
        self.railmq = t.broker.railmq
        self.directory = tempfile.mkdtemp(prefix='rail-configuration-')
        self.file = os.path.join(self.directory, 'broker.yaml')
        self.write(text)
        self.broker = Broker(self.railmq)
        self.broker.arguments = ['--config', self.file]
        if start:
            self.broker.start()

    def write(self, text, file=None):
        file = file or self.file
        with open(file, 'w', encoding='utf-8') as stream:
            stream.write(text if text.startswith('{') else f'version: 1\n{text}')
        return file

    def path(self, name, text):
        return self.write(text, os.path.join(self.directory, name))

    @property
    def data(self):
        return os.path.join(self.broker.directory, 'data')

    def run(self, *words, status=0, data=None):
        done = subprocess.run([self.railmq, words[0], '--data-dir', data or self.data, *words[1:]],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)
        equal(done.returncode, status,
              f'exit status of {" ".join(words)}:\n{done.stdout}{done.stderr}')
        return done.stdout + done.stderr

    def plan(self, *words, status=0):
        return self.run('plan', *words, status=status)

    def hang_up(self, event):
        """SIGHUP, until the log tells of the event."""
        before = sum(event in line for line in self.broker.lines)
        os.kill(self.broker.pid, signal.SIGHUP)
        eventually(lambda: sum(event in line for line in self.broker.lines), before + 1, event)

    def restart(self):
        self.broker.terminate()
        equal(self.broker.wait(), 0, 'exit status')
        check(self.broker.launch(), self.broker.log_tail())

    def pika(self, user='guest', password='guest', vhost='/'):
        return pika.BlockingConnection(pika.ConnectionParameters(
            *self.broker.address, vhost, pika.PlainCredentials(user, password),
            connection_attempts=1,
            ssl_options=amqp.Wire.tls and pika.SSLOptions(amqp.Wire.tls, 'localhost')))

    def has_queue(self, name, **options):
        connection = self.pika(**options)
        try:
            connection.channel().queue_declare(name, passive=True)
            return True
        except pika.exceptions.ChannelClosedByBroker as error:
            equal(error.reply_code, 404, 'reply code')
            return False
        finally:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        failure = self.broker.stop() if self.broker.process is not None else None
        shutil.rmtree(self.directory, ignore_errors=True)
        if kind is None:
            equal(failure, None, 'failure')


@test(process=True)
def what_the_file_says_is_there_at_the_start(t):
    with Ground(t, SHOP) as ground:
        connection = ground.pika()
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish('orders', 'order.eu.paid', b'paid')
        channel.basic_publish('orders', 'nobody.wants.it', b'lost')
        equal(channel.basic_get('orders.eu', True)[2], b'paid', 'message')
        equal(channel.basic_get('orders.unrouted', True)[2], b'lost', 'message')
        for _ in range(5):
            channel.basic_publish('orders', 'order.eu.paid', b'x')
        try:
            channel.basic_publish('orders', 'order.eu.paid', b'one too many')
            raise amqp.Mismatch('x-max-length has no effect')
        except pika.exceptions.NackError:
            pass
        # Programs declare the same, and find it equal.
        channel.queue_declare('orders.eu', durable=True, arguments={
            'x-max-length': 5, 'x-overflow': 'reject-publish', 'x-message-ttl': 3600000})
        connection.close()
        equal(ground.plan(ground.file), 'no changes\n', 'plan')


@test(process=True)
def a_file_with_errors_does_not_start(t):
    with Ground(t, 'vhosts: {/: {queues: {q: {typ: quorum}}}}\n', start=False) as ground:
        process = ground.broker.spawn(('127.0.0.1', 0), os.path.join(ground.directory, 'data'))
        expect_refusal(process, 'unknown key "typ"')


@test(process=True)
def what_cannot_be_applied_does_not_start(t):
    with Ground(t, 'vhosts: {/: {exchanges: {x: {type: topic}}}}\n') as ground:
        ground.broker.terminate()
        equal(ground.broker.wait(), 0, 'exit status')
        ground.write('vhosts: {/: {exchanges: {x: {type: fanout}}}}\n')
        process = ground.broker.spawn(ground.broker.address, ground.data)
        expect_refusal(process, 'cannot be applied to what exists')
        ground.write('apply: {on_start: false}\nvhosts: {/: {exchanges: {x: {type: fanout}}}}\n')
        check(ground.broker.launch(), ground.broker.log_tail())


@test(process=True)
def hanging_up_applies_all_or_nothing(t):
    with Ground(t, SHOP) as ground:
        ground.write(SHOP + '      late: {}\n')
        ground.hang_up('event=config.reloaded')
        check(ground.has_queue('late'), 'the queue is not there')
        ground.write(SHOP + '      other: {}\n      wrong: {durable: perhaps}\n')
        ground.hang_up('event=config.reload_failed')
        eventually(lambda: any('durable of queue' in line and 'line=14' in line
                               for line in ground.broker.lines), True, 'what is wrong is logged')
        check(not ground.has_queue('other'), 'half of the file was applied')
        ground.write(SHOP.replace('type: topic', 'type: headers') + '      other: {}\n')
        ground.hang_up('event=config.reload_failed')
        check(not ground.has_queue('other'), 'half of the plan was carried out')
        ground.write('server: {workers: 1}\n' + SHOP)
        ground.hang_up('event=config.reloaded')
        eventually(lambda: any('config.restart_needed key=server.workers' in line
                               for line in ground.broker.lines), True, 'it is logged')


@test(process=True)
def pruning_takes_only_what_the_file_has_made(t):
    with Ground(t) as ground:
        connection = ground.pika()
        channel = connection.channel()
        channel.queue_declare('programs', durable=True)
        channel.exchange_declare('programs', 'topic', durable=True)
        shop = ground.path('shop.yaml', SHOP + '      programs: {}\n')
        less = SHOP.replace('      orders.unrouted: {bindings: [{from: unrouted}]}\n', '')
        output = ground.plan(shop, status=2)
        check('+ create   queue "orders.eu"' in output, output)
        check('"programs"' not in output, output)
        ground.run('apply', shop)
        equal(ground.run('apply', shop), 'no changes\n', 'a second time')
        channel.basic_publish('unrouted', '', b'x')
        eventually(lambda: '1 message' in ground.plan('--prune', ground.path(
            'shop.yaml', less), status=1), True, 'the message is seen')
        check('no changes' in ground.plan(shop), 'without --prune nothing goes')
        output = ground.run('apply', '--prune', shop, status=1)
        check('refused: it holds messages' in output and 'nothing was changed' in output, output)
        check(ground.has_queue('orders.unrouted'), 'it was deleted')
        channel.queue_purge('orders.unrouted')
        ground.restart()
        ground.run('apply', '--prune', shop)
        check(not ground.has_queue('orders.unrouted'), 'it is still there')
        check(ground.has_queue('programs'), "somebody else's queue was deleted")
        # Another file has made none of it.
        other = ground.path('other.yaml', 'vhosts: {/: {}}\n')
        equal(ground.plan('--prune', other), 'no changes\n', 'plan')
        everything = ground.path('all.yaml', 'apply: {prune: all}\nvhosts: {/: {}}\n')
        ground.run('apply', everything)
        check(not ground.has_queue('programs'), 'prune: all leaves it')


@test(process=True)
def a_queue_made_again_by_a_program_is_its_own(t):
    with Ground(t) as ground:
        shop = ground.path('shop.yaml', SHOP)
        ground.run('apply', shop)
        connection = ground.pika()
        channel = connection.channel()
        channel.queue_delete('orders.unrouted')
        channel.queue_declare('orders.unrouted', durable=True)
        connection.close()
        ground.write(SHOP.replace('      orders.unrouted: {bindings: [{from: unrouted}]}\n', ''),
                     shop)
        equal(ground.plan('--prune', shop), 'no changes\n', 'plan')


@test(process=True)
def force_and_replacement(t):
    with Ground(t) as ground:
        shop = ground.path('shop.yaml', SHOP)
        ground.run('apply', shop)
        connection = ground.pika()
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish('orders', 'order.eu.paid', b'x')
        changed = SHOP.replace('x-max-length: 5', 'x-max-length: 6')
        output = ground.plan(ground.write(changed, shop) and shop, status=1)
        check('x-max-length: 5' in output and 'cannot change while it exists' in output, output)
        ground.write('apply: {on_conflict: replace}\n' + changed, shop)
        check('it holds messages' in ground.plan(shop, status=1), 'a message is not minded')
        found = json.loads(ground.plan('--json', '--force', shop, status=2))
        equal([(change['action'], change['kind']) for change in found['changes']],
              [('replace', 'queue'), ('create', 'binding'), ('create', 'binding')], 'changes')
        equal(found['changes'][0]['messages'], 1, 'messages at risk')
        ground.run('apply', '--force', shop)
        channel.basic_publish('orders', 'order.eu.created', b'y')
        equal(channel.basic_get('orders.eu', True)[2], b'y', 'message')
        connection.close()


@test(process=True)
def users_and_virtual_hosts(t):
    text = '''
users:
  svc: {password: "${env:RAIL_TEST_PASSWORD}", tags: [monitoring]}
vhosts:
  /shop:
    description: orders
    permissions: {svc: {configure: "", write: "^in$", read: "^q$"}}
    exchanges: {in: {type: fanout}}
    queues: {q: {bindings: [{from: in}]}}
'''
    os.environ['RAIL_TEST_PASSWORD'] = 'first'
    with Ground(t, text) as ground:
        connection = ground.pika('svc', 'first', '/shop')
        channel = connection.channel()
        channel.basic_publish('in', '', b'x')
        eventually(lambda: channel.basic_get('q', True)[2], b'x', 'message')
        connection.close()
        equal(ground.plan(ground.file), 'no changes\n', 'plan')
        os.environ['RAIL_TEST_PASSWORD'] = 'second'
        output = ground.plan(ground.file, status=2)
        check('password: (hidden) -> (hidden)' in output and 'second' not in output, output)
        ground.run('apply', ground.file)
        ground.pika('svc', 'second', '/shop').close()
        exported = ground.run('export')
        check('second' not in exported and 'scrypt' in exported, exported)
        equal(ground.plan(ground.path('export.yaml', exported.removeprefix('version: 1\n'))),
              'no changes\n', 'plan of the export')
        gone = ground.path('gone.yaml', 'vhosts: {/shop: {state: absent}}\n'
                           'users: {svc: {state: absent}}\n')
        ground.run('apply', gone)
        check('svc' not in ground.run('export'), 'the user is still there')


@test(process=True)
def policies_are_in_force(t):
    """On queues that are there, and no more once they are gone; also after a restart."""
    policy = ('vhosts: {/: {queues: {q: {}}, policies: {p: {pattern: "^q$$", priority: 1, '
              'definition: {max-length: 2}}}}}\n')
    with Ground(t) as ground:
        file = ground.path('policy.yaml', 'vhosts: {/: {queues: {q: {}}}}\n')
        ground.run('apply', file)

        def kept(count):
            connection = ground.pika()
            channel = connection.channel()
            channel.queue_purge('q')
            channel.confirm_delivery()
            for _ in range(count):
                channel.basic_publish('', 'q', b'x', pika.BasicProperties(delivery_mode=2))
            found = channel.queue_declare('q', passive=True).method.message_count
            connection.close()
            return found
        equal(kept(5), 5, 'messages without a policy')
        ground.run('apply', ground.write(policy, file))
        equal(kept(5), 2, 'messages with a policy')
        ground.restart()
        equal(ground.plan(file), 'no changes\n', 'plan after a restart')
        equal(kept(5), 2, 'messages after a restart')
        ground.run('apply', '--prune', ground.write('vhosts: {/: {queues: {q: {}}}}\n', file))
        equal(kept(5), 5, 'messages once the policy is gone')


DEFINITIONS = {
    'rabbit_version': '3.13.7', 'rabbitmq_version': '3.13.7', 'product_name': 'RabbitMQ',
    'users': [{'name': 'app', 'hashing_algorithm': 'rabbit_password_hashing_sha256',
               'password_hash': 'kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR',
               'tags': [], 'limits': {}}],
    'vhosts': [{'name': '/'}, {'name': 'shop'}],
    'permissions': [{'user': 'app', 'vhost': 'shop', 'configure': '.*', 'write': '.*',
                     'read': '.*'}],
    'topic_permissions': [],
    'parameters': [
        {'component': 'vhost-limits', 'name': 'limits', 'vhost': 'shop',
         'value': [['max-queues', 1], ['max-connections', 2]]},
        {'component': 'operator_policy', 'name': 'cap', 'vhost': 'shop',
         'value': {'pattern': '^q$', 'apply-to': 'queues', 'priority': 0,
                   'definition': [['max-length', 2]]}},
        {'component': 'shovel', 'name': 'mover', 'vhost': 'shop',
         'value': {'src-uri': 'amqp://mover:hunter2@elsewhere'}}],
    'global_parameters': [{'name': 'internal_cluster_id', 'value': 'x'}],
    'policies': [{'vhost': 'shop', 'name': 'ttl', 'pattern': '^tmp', 'apply-to': 'queues',
                  'definition': {'message-ttl': 60000}, 'priority': 1}],
    'queues': [{'name': 'q', 'vhost': 'shop', 'durable': True, 'auto_delete': False,
                'arguments': {'x-queue-type': 'quorum'}}],
    'exchanges': [{'name': 'x', 'vhost': 'shop', 'type': 'topic', 'durable': True,
                   'auto_delete': False, 'internal': False, 'arguments': {}}],
    'bindings': [{'source': 'x', 'vhost': 'shop', 'destination': 'q',
                  'destination_type': 'queue', 'routing_key': 'a.#', 'arguments': {}}],
}


@test(process=True)
def definitions_of_rabbitmq(t):
    with Ground(t) as ground:
        file = ground.path('definitions.json', json.dumps(DEFINITIONS))
        output = ground.run('import', '--apply', file)
        check('shovel "mover" in vhost "shop" is not taken over' in output, output)
        check('hunter2' not in output, output)
        connection = ground.pika('app', 'test12', 'shop')
        channel = connection.channel()
        channel.confirm_delivery()
        for _ in range(3):
            channel.basic_publish('x', 'a.b', b'x', mandatory=True)
        equal(channel.queue_declare('q', passive=True).method.message_count, 2,
              'messages under the operator policy')
        try:
            channel.queue_declare('one.too.many')
            raise amqp.Mismatch('max-queues has no effect')
        except pika.exceptions.ChannelClosedByBroker as error:
            equal(error.reply_code, 406, 'reply code')
        other = ground.pika('app', 'test12', 'shop')
        try:
            ground.pika('app', 'test12', 'shop')
            raise amqp.Mismatch('max-connections has no effect')
        except (pika.exceptions.ConnectionClosedByBroker, pika.exceptions.AMQPConnectionError):
            pass
        other.close()
        connection.close()
        converted = ground.run('import', file)
        converted = converted[:converted.index(file)]  # Behind it stands what went to stderr.
        equal(ground.plan(ground.path('converted.yaml', converted.removeprefix('version: 1\n'))),
              'no changes\n', 'plan of the converted file')


def random_topology(dice):
    """Arguments that a client can declare, of any type."""
    def value(depth=0):
        kinds = [lambda: dice.randrange(-2**63, 2**63), lambda: dice.choice([True, False]),
                 lambda: dice.choice(['', 'no', '5', 'a: b', '$x', '\u00e9\u2028', '# c']),
                 lambda: None,
                 lambda: b'\xff\x00']
        if depth < 2:
            kinds += [lambda: [value(2) for _ in range(dice.randrange(3))],
                      lambda: {f'k{i}': value(depth + 1) for i in range(dice.randrange(3))}]
        return dice.choice(kinds)()
    return {f'x-{index}': value() for index in range(dice.randrange(4))}


@test(process=True)
def applying_an_export_changes_nothing(t):
    """Whatever clients have declared."""
    dice = random.Random(t.seed)
    with Ground(t) as ground:
        connection = ground.pika()
        channel = connection.channel()
        names = ['plain', 'a b', 'caf\u00e9', '5', 'true', '${env:HOME}', '"', 'a\tb', '~', '- x']
        for name in names:
            channel.exchange_declare(name, dice.choice(['topic', 'fanout', 'headers']),
                                     durable=dice.random() < 0.5, arguments=random_topology(dice))
            channel.queue_declare(name, durable=dice.random() < 0.5,
                                  arguments=random_topology(dice))
        for _ in range(30):
            channel.queue_bind(dice.choice(names), dice.choice(names), dice.choice(names),
                               random_topology(dice))
            channel.exchange_bind(dice.choice(names + ['amq.topic']), dice.choice(names),
                                  dice.choice(names))
        exported = ground.run('export')
        file = ground.path('export.yaml', exported.removeprefix('version: 1\n'))
        equal(ground.plan(file), 'no changes\n', f'plan of:\n{exported}')
        # Into another broker, and back.
        with Ground(t) as other:
            other.run('apply', file)
            exports = [side.run('export').replace('\n', '\n ') for side in (ground, other)]
            equal(other.plan(file), 'no changes\n', f'plan of:\n{exports}')
        connection.close()


def octets_of(directory):
    """All files below it."""
    found = {}
    for path, status in files_below(directory):
        with open(path, 'rb') as stream:
            found[path] = (stream.read(), status.st_mtime_ns)
    return found


@test(process=True)
def a_stopped_broker_is_planned_from_its_store(t):
    """Word for word what the running one says, and without changing its data directory."""
    shop = SHOP.replace('      orders.unrouted: {bindings: [{from: unrouted}]}\n', '').replace(
        'x-max-length: 5', 'x-max-length: 6') + '      late: {}\n'
    users = 'users: {svc: {password: first, tags: [monitoring]}}\n'
    with Ground(t, users + SHOP + '    policies: {p: {pattern: "^q$", definition: {max-length: 2}}}\n'
                ) as ground:
        connection = ground.pika()
        channel = connection.channel()
        channel.confirm_delivery()
        for _ in range(3):
            channel.basic_publish('unrouted', '', b'x', pika.BasicProperties(delivery_mode=2))
        connection.close()
        file = ground.file
        wishes = [('plan', file), ('plan', '--prune', file),
                  ('plan', '--prune', '--force', '--json', file), ('export',)]

        def answers():
            found = []
            for text in (None, users + shop, users.replace('first', 'second') + SHOP):
                if text is not None:
                    ground.write(text)
                for words in wishes:
                    done = subprocess.run(
                        [ground.railmq, words[0], '--data-dir', ground.data, *words[1:]],
                        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                        check=False)
                    lines = [line for line in done.stderr.splitlines()
                             if 'no broker runs on' not in line]
                    found.append((done.returncode, done.stdout, lines))
            ground.write(users + SHOP + '    policies: {p: {pattern: "^q$", definition: '
                         '{max-length: 2}}}\n')
            return found
        running = answers()
        equal([status for status, _, _ in running[:4]], [0, 0, 0, 0], 'statuses')
        check('3 messages would be lost' in running[5][1], running[5][1])
        equal([status for status, _, _ in running[4:7]], [1, 1, 1], 'statuses')
        ground.broker.terminate()
        equal(ground.broker.wait(), 0, 'exit status')
        before = octets_of(ground.data)
        equal(answers(), running, 'what is said of the stopped broker')
        for words in (('plan', file), ('export',)):
            output = ground.run(*words)
            check(f'no broker runs on {ground.data}' in output, output)
        equal(octets_of(ground.data) == before, True, 'the data directory is as it was')
        backup = os.path.join(ground.directory, 'backup')
        subprocess.run([ground.railmq, 'store', 'backup', '--data-dir', ground.data, backup],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
        equal(ground.run('export', data=backup).splitlines()[:-1],
              ground.run('export').splitlines()[:-1], 'export of a backup')
        output = ground.run('apply', file, status=1)
        check(f'no broker runs on {ground.data}: start it' in output, output)
        check(ground.broker.launch(), ground.broker.log_tail())
        equal(answers(), running, 'what is said once it runs again')


@test(process=True)
def what_is_transient_is_gone_from_a_killed_broker(t):
    text = ('vhosts: {/: {exchanges: {x: {durable: false}, y: {}}, '
            'queues: {q: {durable: false}, r: {}}}}\n')
    with Ground(t, text) as ground:
        os.kill(ground.broker.pid, signal.SIGKILL)
        ground.broker.wait()
        output = ground.plan(ground.file, status=2)
        check('2 to create' in output, output)
        check(ground.broker.launch(), ground.broker.log_tail())


@test(process=True)
def a_store_that_cannot_be_planned_from(t):
    with Ground(t) as ground:
        output = ground.run('plan', ground.file, status=1, data=ground.directory)
        check('there is no store in' in output and 'start the broker' in output, output)
        os.mkdir(os.path.join(ground.directory, 'tmp-restore-1'))
        output = ground.run('plan', ground.file, status=1, data=ground.directory)
        check('is not complete' in output, output)
        ground.broker.terminate()
        ground.broker.wait()
        # A broker that has no control socket yet, or none any more.
        holder = subprocess.Popen(
            ['/usr/bin/python3', '-c', 'import fcntl, sys\n'
             'f = open(sys.argv[1], "r+b")\n'
             'fcntl.lockf(f, fcntl.LOCK_EX)\n'
             'print("held", flush=True)\n'
             'sys.stdin.read()', os.path.join(ground.data, 'store', 'LOCK')],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        equal(holder.stdout.readline(), b'held\n', 'line')
        output = ground.plan(ground.file, status=1)
        check('in use by another process' in output, output)
        holder.communicate()
        check(ground.plan(ground.file).startswith('no changes\n'), 'it is not free again')
        store = os.path.join(ground.data, 'store')
        logs = [name for name in os.listdir(store) if name.endswith('.log')]
        check(logs, 'no write-ahead log')
        for name in logs:
            os.truncate(os.path.join(store, name), 0)
        output = ground.run('export', status=1)
        check('the store' in output and 'no broker runs' in output, output)
        ground.broker.process = None


@test(process=True)
def the_schema_is_json(t):
    done = subprocess.run([t.broker.railmq, 'schema'], capture_output=True, text=True, timeout=60,
                          check=True)
    schema = json.loads(done.stdout)
    equal(schema['properties']['vhosts']['additionalProperties'],
          {'$ref': '#/definitions/vhost'}, 'virtual hosts')
    check('max-queues' in schema['definitions']['vhost']['properties']['limits']['properties'],
          'the limits of a virtual host are not in it')
    check('testing' not in schema['properties'], 'what is for tests is in it')


@test(process=True)
def large_documents(t):
    queues = ''.join(f'      queue.number.{index}: {{bindings: [{{from: amq.topic, '
                     f'keys: [a.{index}, b.{index}]}}]}}\n' for index in range(2000))
    with Ground(t) as ground:
        began = time.monotonic()
        file = ground.path('large.yaml', 'vhosts:\n  /:\n    queues:\n' + queues)
        check(ground.run('apply', file).endswith('6000 to create, 0 to update, 0 to replace, '
                                                 '0 to delete\n'), 'not all were made')
        equal(ground.plan(file), 'no changes\n', 'plan')
        check(time.monotonic() - began < 60, 'it takes for ever')
