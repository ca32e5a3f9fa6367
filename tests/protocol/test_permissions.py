"""Who may do what: the table of operations, topics, limits, logins, virtual hosts. Users come from
a configuration file, as operators have them."""

import base64
import hashlib
import socket
import subprocess
import threading

import amqp
import broker
import codec
from harness import test, check, equal, eventually
from test_configuration import Ground
from test_tls import Started

WEIGHT = 4

USERS = '''
users:
  admin: {password: a, tags: [administrator]}
  u: {password: p}
  full: {password: p, tags: [impersonator]}
  stranger: {password: p}
vhosts:
  /:
    permissions: {admin: {configure: ".*", write: ".*", read: ".*"}}
  v:
    permissions:
      admin: {configure: ".*", write: ".*", read: ".*"}
      full: {configure: ".*", write: ".*", read: ".*"}
      u: {configure: "^c-", write: "^(w-|c-w)", read: "^(r-|c-r)"}
    topic_permissions:
      full:
        topics: {write: "^{username}\\\\.", read: "^{vhost}\\\\."}
    exchanges:
      c-x: {type: direct}
      w-x: {type: direct}
      r-x: {type: direct}
      n-x: {type: direct}
      topics: {type: topic}
      free: {type: topic}
    queues:
      c-q: {}
      w-q: {}
      r-q: {}
      n-q: {}
      full-q: {}
'''


def connect(ground, user='u', password='p', vhost='v'):
    return amqp.Connection(ground.broker.address, user=user, password=password, vhost=vhost)


def refused(channel, kind, name, user='u'):
    """The channel is closed, with RabbitMQ's words."""
    channel.expect_close(403, f"ACCESS_REFUSED - access to {kind} '{name}' in vhost 'v' refused for "
                              f"user '{user}'", '*')
    channel.call('channel.open')


@test
def operations(t):
    """The table: what each asks for, and that it is enough."""
    with Ground(t, USERS) as ground:
        channel = connect(ground).channel()
        declare = {'type': 'direct', 'durable': True}
        asks = (
            ('exchange.declare', {'exchange': 'n-x', **declare}, 'exchange', 'n-x'),
            ('exchange.declare', {'exchange': 'n-new', 'type': 'direct'}, 'exchange', 'n-new'),
            ('exchange.delete', {'exchange': 'n-x'}, 'exchange', 'n-x'),
            ('exchange.declare', {'exchange': 'c-rae', 'type': 'direct',
                                  'arguments': {'alternate-exchange': 'n-x'}}, 'exchange', 'n-x'),
            ('exchange.declare', {'exchange': 'c-nae', 'type': 'direct',
                                  'arguments': {'alternate-exchange': 'w-x'}}, 'exchange', 'c-nae'),
            ('queue.declare', {'queue': 'n-q', 'durable': True}, 'queue', 'n-q'),
            ('queue.delete', {'queue': 'n-q'}, 'queue', 'n-q'),
            ('queue.declare', {'queue': 'c-rdlx', 'arguments': {'x-dead-letter-exchange': 'n-x'}},
             'exchange', 'n-x'),
            ('queue.declare', {'queue': 'c-ndlx', 'arguments': {'x-dead-letter-exchange': 'w-x'}},
             'queue', 'c-ndlx'),
            ('queue.bind', {'queue': 'n-q', 'exchange': 'r-x'}, 'queue', 'n-q'),
            ('queue.bind', {'queue': 'w-q', 'exchange': 'n-x'}, 'exchange', 'n-x'),
            ('queue.unbind', {'queue': 'n-q', 'exchange': 'r-x'}, 'queue', 'n-q'),
            ('queue.unbind', {'queue': 'w-q', 'exchange': 'n-x'}, 'exchange', 'n-x'),
            ('exchange.bind', {'destination': 'n-x', 'source': 'r-x'}, 'exchange', 'n-x'),
            ('exchange.bind', {'destination': 'w-x', 'source': 'n-x'}, 'exchange', 'n-x'),
            ('exchange.unbind', {'destination': 'n-x', 'source': 'r-x'}, 'exchange', 'n-x'),
            ('exchange.unbind', {'destination': 'w-x', 'source': 'n-x'}, 'exchange', 'n-x'),
            ('basic.get', {'queue': 'n-q'}, 'queue', 'n-q'),
            ('basic.consume', {'queue': 'n-q'}, 'queue', 'n-q'),
            ('queue.purge', {'queue': 'n-q'}, 'queue', 'n-q'),
        )
        for method, arguments, kind, name in asks:
            channel.send(method, **arguments)
            refused(channel, kind, name)
        channel.publish('k', b'', exchange='n-x')
        refused(channel, 'exchange', 'n-x')
        channel.publish('w-q', b'')
        refused(channel, 'exchange', 'amq.default')
        # Passive declares ask for nothing, and where all is granted all goes well.
        channel.declare('n-q', passive=True)
        channel.call('exchange.declare', exchange='n-x', passive=True)
        channel.call('exchange.declare', exchange='c-new', type='fanout')
        channel.call('exchange.declare', exchange='c-r-ae', type='fanout',
                     arguments={'alternate-exchange': 'w-x'})
        channel.declare('c-r-dlx', arguments={'x-dead-letter-exchange': 'w-x'})
        channel.call('queue.bind', queue='w-q', exchange='r-x', routing_key='k')
        channel.call('queue.unbind', queue='w-q', exchange='r-x', routing_key='k')
        channel.call('exchange.bind', destination='w-x', source='r-x')
        channel.call('exchange.unbind', destination='w-x', source='r-x')
        channel.publish('k', b'', exchange='w-x')
        equal(channel.get('r-q'), None, 'nothing there')
        channel.call('queue.purge', queue='r-q')
        channel.consume('r-q', 'c')
        channel.call('queue.delete', queue='c-r-dlx')
        channel.call('exchange.delete', exchange='c-new')


@test
def topics(t):
    with Ground(t, USERS) as ground:
        channel = connect(ground, 'full').channel()
        for key in ('full.a', 'full.'):
            channel.publish(key, b'', exchange='topics')
        channel.publish('other.a', b'', exchange='topics')
        channel.expect_close(403, "ACCESS_REFUSED - access to topic 'other.a' in exchange 'topics' "
                                  "in vhost 'v' refused for user 'full'", '*')
        channel.call('channel.open')
        channel.publish('other.a', b'', exchange='free')
        channel.bind('full-q', 'topics', 'v.#')
        channel.send('queue.bind', queue='full-q', exchange='topics', routing_key='x.#')
        channel.expect_close(403, "ACCESS_REFUSED - access to topic 'x.#' in exchange 'topics' "
                                  "in vhost 'v' refused for user 'full'", '*')
        channel.call('channel.open')
        channel.bind('full-q', 'free', 'x.#')
        # Keys in headers are keys.
        for header in ('CC', 'BCC'):
            channel.publish('full.a', b'', exchange='topics',
                            properties={'headers': {header: ['full.b', 'other.b']}})
            channel.expect_close(403, "ACCESS_REFUSED - access to topic 'other.b' in exchange "
                                      "'topics' in vhost 'v' refused for user 'full'", '*')
            channel.call('channel.open')
            channel.publish('full.a', b'', exchange='topics',
                            properties={'headers': {header: ['full.b', 'full.c']}})
            channel.sync()
        # Also in transactions, when they are published.
        channel.call('tx.select')
        channel.publish('other.a', b'', exchange='topics')
        channel.expect_close(403, None, 'basic.publish')


@test
def user_id(t):
    """Only who has the tag may speak for others."""
    with Ground(t, USERS) as ground:
        channel = connect(ground, 'full').channel()
        channel.publish('full-q', b'', properties={'user_id': 'somebody'})
        equal(channel.get('full-q').properties['user_id'], 'somebody', 'user_id')
        admin = connect(ground, 'admin', 'a').channel()
        admin.publish('full-q', b'', properties={'user_id': 'somebody'})
        admin.expect_close(406, None, 'basic.publish')


@test
def virtual_hosts(t):
    with Ground(t, USERS) as ground:
        for user, vhost, text in (
                ('u', '/', "NOT_ALLOWED - access to vhost '/' refused for user 'u'"),
                ('stranger', 'v', "NOT_ALLOWED - access to vhost 'v' refused for user 'stranger'"),
                ('u', 'none', 'NOT_ALLOWED - vhost none not found')):
            try:
                connect(ground, user, 'p', vhost)
            except amqp.Closed as closed:
                equal((closed.code, closed.text), (530, text), 'refusal')
            else:
                check(False, f'{user} got into {vhost}')
        # Names of one virtual host mean nothing in another.
        one, two = connect(ground, 'admin', 'a', '/'), connect(ground, 'admin', 'a', 'v')
        one.channel().declare('w-q', exclusive=True)
        equal(two.channel().declare('w-q', passive=True).message_count, 0, 'the other one')


@test(stored=True)
def a_deleted_virtual_host_closes_its_connections(t):
    with Ground(t, USERS) as ground:
        connection = connect(ground, 'full')
        other = connect(ground, 'admin', 'a', '/')
        connection.channel().publish('full-q', b'x', properties={'delivery_mode': 2})
        ground.run('apply', '--force', '--prune',
                   ground.path('less.yaml', 'vhosts: {v: {state: absent}}'))
        connection.expect_close(320, "CONNECTION_FORCED - vhost 'v' is down")
        other.channel()
        ground.broker.arguments = []
        ground.restart()
        try:
            connect(ground, 'full')
        except amqp.Closed as closed:
            equal(closed.text, 'NOT_ALLOWED - vhost v not found', 'after a restart')
        else:
            check(False, 'the virtual host is there again')


@test
def a_deleted_user_is_closed_out(t):
    """What it consumes must not go on."""
    with Ground(t, USERS) as ground:
        consumer = connect(ground)
        channel = consumer.channel()
        channel.consume('r-q', 'c')
        other = connect(ground, 'full')
        ground.run('apply', '--force', ground.path('less.yaml', 'users: {u: {state: absent}}'))
        consumer.expect_close(320, "CONNECTION_FORCED - user 'u' was deleted")
        other.channel().publish('r-q', b'x')
        check(not logs_in(ground, 'u', 'p', 'v'), 'it logs in again')


def elsewhere():
    """An address of this machine that is not loopback; None if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(('192.0.2.1', 9))  # Sends nothing.
        except OSError:
            return None
        host = sock.getsockname()[0]
        return None if host.startswith('127.') else host


@test
def guest_stays_at_home(t):
    """From this machine only, and whoever tries elsewhere learns nothing."""
    ground = Ground(t, 'users: {far: {password: p}}\nvhosts: {/: {permissions: {far: {configure: '
                       '"", write: "", read: ""}}}}\n')
    ground.broker.stop()
    for host in ('0.0.0.0', '[::]'):
        port = broker.free_port()
        ground.broker.address = (host, port)
        check(ground.broker.launch(), ground.broker.log_tail())
        local = ('127.0.0.1', port)
        amqp.Connection(local).finish()
        if elsewhere() is not None:
            far = (elsewhere(), port)
            amqp.Connection(far, user='far', password='p').finish()
            for password in ('guest', 'wrong'):
                try:
                    amqp.Connection(far, password=password)
                except amqp.Closed as closed:
                    equal((closed.code, closed.text), (403, 'ACCESS_REFUSED - Login was refused '
                          'using authentication mechanism PLAIN. For details see the broker '
                          'logfile.'), 'answer')
                else:
                    check(False, 'guest got in from elsewhere')
            eventually(lambda: any('can only connect via localhost' in line
                                   for line in ground.broker.lines), True, 'it is logged')
        ground.broker.terminate()
        equal(ground.broker.wait(), 0, 'exit status')


@test
def changes_count_at_once(t):
    with Ground(t, USERS) as ground:
        channel = connect(ground).channel()
        channel.call('queue.purge', queue='r-q')
        ground.write(USERS.replace('read: "^(r-|c-r)"', 'read: "^x"'))
        ground.hang_up('config.reloaded')
        channel.send('queue.purge', queue='r-q')
        refused(channel, 'queue', 'r-q')
        ground.write(USERS)
        ground.hang_up('config.reloaded')
        channel.call('queue.purge', queue='r-q')


@test
def limits(t):
    text = USERS.replace('u: {password: p}',
                         'u: {password: p, limits: {max-connections: 2, max-channels: 1}}')
    text = text.replace('  v:\n', '  v:\n    limits: {max-connections: 3, max-queues: 6}\n')
    ground = Ground(t, text)
    with ground:
        first = connect(ground)
        second = connect(ground)
        try:
            connect(ground)
        except amqp.Closed as closed:
            equal(closed.text, "NOT_ALLOWED - connection refused for user 'u': user connection "
                               "limit (2) is reached", 'of the user')
        else:
            check(False, 'a third connection of the user')
        admin = connect(ground, 'admin', 'a')
        try:
            connect(ground, 'full')
        except amqp.Closed as closed:
            equal(closed.text, "NOT_ALLOWED - access to vhost 'v' refused for user 'full': "
                               "connection limit (3) is reached", 'of the virtual host')
        else:
            check(False, 'a fourth connection in the virtual host')
        channel = admin.channel()
        channel.declare('one-more', durable=True)
        channel.send('queue.declare', queue='too-many')
        channel.expect_close(406, "PRECONDITION_FAILED - cannot declare queue 'too-many': queue "
                                  "limit in vhost 'v' (6) is reached", 'queue.declare')
        first.channel()
        second.unopened(1).send('channel.open')
        second.expect_close(530, "NOT_ALLOWED - number of channels opened for user 'u' has reached "
                                 "the maximum allowed user limit of (1)")
        # What is closed counts no more.
        first.finish()
        admin.finish()
        eventually(lambda: can_connect(ground), True, 'a place is free again')


def can_connect(ground):
    try:
        connect(ground).finish()
    except amqp.Closed:
        return False
    return True


def rabbitmq_hash(password, digest):
    salt = b'\x01\x02\x03\x04'
    return base64.b64encode(salt + digest(salt + password.encode()).digest()).decode()


@test(rows={'sha256': hashlib.sha256, 'sha512': hashlib.sha512})
def hashes_of_rabbitmq(t, digest):
    name = digest().name
    ground = Ground(t, 'users:\n  w: {password_hash: {%s: "%s"}}\nvhosts:\n  /:\n    permissions: '
                       '{w: {configure: "", write: "", read: ""}}\n'
                       % (name, rabbitmq_hash('right', digest)))
    with ground:
        connect(ground, 'w', 'right', '/')
        check(not logs_in(ground, 'w', 'wrong'), 'wrong password')
        check(not logs_in(ground, 'w', ''), 'blank password')
        check(not logs_in(ground, 'nobody', 'right'), 'unknown user')


def logs_in(ground, user, password, vhost='/'):
    try:
        connect(ground, user, password, vhost).finish()
    except amqp.Closed as closed:
        equal(closed.code, 403, 'code')
        return False
    return True


@test(rows={'scrypt': 'scrypt', 'sha256': 'sha256', 'sha512': 'sha512'})
def hash_password(t, algorithm):
    """What the command prints goes into the file as it is."""
    done = subprocess.run([t.broker.railmq, 'hash-password', '--algorithm', algorithm],
                          input='s3cret\n', capture_output=True, text=True, timeout=30, check=True)
    check(done.stdout.startswith(f'{algorithm}:'), done.stdout)
    equal(done.stderr, '', 'nothing else')
    text = done.stdout.strip().partition(':')[2]
    ground = Ground(t, 'users:\n  w: {password_hash: {%s: "%s"}}\nvhosts:\n  /:\n    permissions: '
                       '{w: {configure: "", write: "", read: ""}}\n' % (algorithm, text))
    with ground:
        check(logs_in(ground, 'w', 's3cret'), 'right password')
        check(not logs_in(ground, 'w', 's3crets'), 'wrong password')


@test
def hash_password_wants_one(t):
    for text in ('', '\n', 'x' * 2000 + '\n'):
        done = subprocess.run([t.broker.railmq, 'hash-password'], input=text, capture_output=True,
                              text=True, timeout=30, check=False)
        equal((done.returncode, done.stdout), (1, ''), 'refused')
    done = subprocess.run([t.broker.railmq, 'hash-password', '-a', 'md5'], input='x\n',
                          capture_output=True, text=True, timeout=30, check=False)
    equal(done.returncode, 64, 'wrong usage')
    check('scrypt, sha256 or sha512' in done.stderr, done.stderr)


@test
def many_log_in_together(t):
    """One verification serves all that know the password: no timings here, but with one for each
    the deadlines of a thousand clients would not be met."""
    with Ground(t, USERS) as ground:
        failures = []

        def some():
            try:
                for _ in range(10):
                    connect(ground, 'full', 'p').finish()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)
        threads = [threading.Thread(target=some) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(failures, [], 'failures')


@test
def a_thousand_logins(t):
    """All in the same moment, and nobody has logged in before: each is let in before its handshake
    takes too long, which it would not be if each were verified."""
    with Ground(t, USERS) as ground:
        wires = [amqp.Wire(ground.broker.address, 60) for _ in range(1000)]
        for wire in wires:
            wire.send(amqp.PROTOCOL_HEADER + amqp.start_ok('full', 'p'))
        for wire in wires:
            wire.read_method('connection.start')
            wire.read_method('connection.tune')
        for wire in wires:
            wire.close()


def tries(ground, password, source='127.0.0.2'):
    """A login that is under way."""
    wire = amqp.Wire(ground.broker.address, 60, source=source)
    wire.send(amqp.PROTOCOL_HEADER + amqp.start_ok('full', password))
    return wire


def is_let_in(wire):
    """None if it had to wait too long."""
    try:
        wire.read_method('connection.start')
        wire.read_method('connection.tune')
        return True
    except amqp.Closed as closed:
        equal(closed.code, 403, 'answer')
        return False
    except amqp.ConnectionLost:
        return None
    finally:
        wire.close()


@test
def one_who_guesses(t):
    """Those at other addresses do not wait for all of it."""
    with Ground(t, USERS) as ground:
        wires = [tries(ground, f'guess {i}') for i in range(150)]
        connect(ground, 'admin', 'a', '/').finish()
        check(not any(is_let_in(wire) for wire in wires), 'a guess was right')


@test
def one_who_guesses_too_often(t):
    """At last it is not even looked whether it is right. The time for which that is so may have
    gone by on a slow machine, but not always."""
    with Ground(t, USERS) as ground:
        for _ in range(5):
            # Longer than any password: no time is spent on these.
            wires = [tries(ground, 'x' * 1100) for _ in range(150)]
            is_refused = is_let_in(tries(ground, 'p')) is False
            check(not any(is_let_in(wire) for wire in wires), 'a guess was right')
            if is_refused:
                break
        check(is_refused, 'it may go on guessing')
        connect(ground, 'full').finish()


@test
def a_client_that_does_not_wait(t):
    """It hangs up while its password is looked at."""
    with Ground(t, USERS) as ground:
        for _ in range(20):
            wire = amqp.Wire(ground.broker.address)
            wire.send(b'AMQP\x00\x00\x09\x01')
            wire.read_method('connection.start')
            wire.send(amqp.start_ok('u', 'guess'))
            wire.reset()
        connect(ground)


@test
def anonymous(t):
    """Offered only where the operator wants it."""
    wire = amqp.Wire(t.broker.address)
    wire.send(b'AMQP\x00\x00\x09\x01')
    start = wire.read_method('connection.start')
    equal(start.mechanisms, 'PLAIN AMQPLAIN', 'by default')
    wire.close()
    ground = Ground(t, 'server: {anonymous_user: admin}\n' + USERS)
    with ground:
        wire = amqp.Wire(ground.broker.address)
        wire.send(b'AMQP\x00\x00\x09\x01')
        start = wire.read_method('connection.start')
        equal(start.mechanisms, 'PLAIN AMQPLAIN ANONYMOUS', 'mechanisms')
        wire.send(amqp.start_ok('', '', mechanism='ANONYMOUS'))
        wire.read_method('connection.tune')
        wire.close()


def mechanisms(wire):
    wire.send(amqp.PROTOCOL_HEADER)
    return wire.read_method('connection.start').mechanisms


@test
def external(t):
    """The certificate says who it is, and only that."""
    with Started(t, tls={'client_ca': '{dir}/ca.pem', 'verify_client': 'optional'}) as ground:
        def apply(text):
            with open(ground.path('users.yaml'), 'w', encoding='utf-8') as file:
                file.write(f'version: 1\n{text}')
            subprocess.run([ground.railmq, 'apply', '--data-dir', ground.path('data'),
                            ground.path('users.yaml')], check=True, stdout=subprocess.DEVNULL,
                           timeout=60)

        def log_in(response=''):
            wire = amqp.Wire(ground.secure_address, tls=ground.client(shows_certificate=True))
            equal(mechanisms(wire), 'PLAIN AMQPLAIN EXTERNAL', 'with a certificate')
            wire.send(amqp.start_ok('', '', mechanism='EXTERNAL', response=response))
            return wire

        wire = amqp.Wire(ground.secure_address, tls=ground.client())
        equal(mechanisms(wire), 'PLAIN AMQPLAIN', 'without a certificate')
        wire.send(amqp.start_ok('', '', mechanism='EXTERNAL', response='client'))
        amqp.check_close(wire.read_method('connection.close'), 503, 'COMMAND_INVALID - *', '*')
        amqp.check_close(log_in('guest').read_method('connection.close'), 403,
                         'ACCESS_REFUSED - Login was refused using authentication mechanism '
                         'EXTERNAL. For details see the broker logfile.', None)
        apply('users: {client: {tags: []}}')
        for response in ('', 'guest', '\0guest\0guest'):
            wire = log_in(response)
            wire.read_method('connection.tune')
            wire.send(amqp.method_frame(0, 'connection.tune-ok', channel_max=10,
                                        frame_max=131072, heartbeat=0) +
                      amqp.method_frame(0, 'connection.open', virtual_host='/'))
            amqp.check_close(wire.read_method('connection.close'), 530,
                             "NOT_ALLOWED - access to vhost '/' refused for user 'client'", '*')
            wire.close()
        # A user without a password has none that is right.
        for password in ('', 'client', '\0'):
            wire = amqp.Wire(ground.secure_address, tls=ground.client())
            mechanisms(wire)
            wire.send(amqp.start_ok('', '', mechanism='AMQPLAIN', response=codec.encode_entries(
                [('LOGIN', 'client'), ('PASSWORD', password)])))
            equal(wire.read_method('connection.close').reply_code, 403, 'answer')
            wire.close()


@test
def guest_is_gone_for_good(t):
    """A new store has guest; a deleted one does not come back."""
    ground = Ground(t)
    with ground:
        check(logs_in(ground, 'guest', 'guest'), 'a new store')
        ground.run('apply', ground.path('no-guest.yaml',
                                                 'users: {guest: {state: absent}}\n'))
        check(not logs_in(ground, 'guest', 'guest'), 'deleted')
        ground.restart()
        check(not logs_in(ground, 'guest', 'guest'), 'after a restart')
