"""AMQP over TLS: who gets in, who does not, and why; certificates that change; hostile peers."""

import glob
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import amqp
from audit import ConfirmAuditor
from broker import Broker, free_port
from harness import test, check, equal, eventually
import secure

WEIGHT = 6
PLAIN = True  # It knows itself what goes over TLS.

CA_SETTINGS = '''
[ca]
default_ca = d
[d]
database = {0}/index
new_certs_dir = {0}
certificate = {0}/ca.pem
private_key = {0}/ca-key.pem
rand_serial = yes
default_md = sha256
policy = p
unique_subject = no
copy_extensions = none
[p]
commonName = supplied
[v3]
subjectAltName = {1}
'''
P256 = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes')


def openssl(*arguments):
    subprocess.run(['openssl', *arguments], check=True, capture_output=True)


class Authority:
    """For certificates that railmq certs init does not make."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory)
        openssl('req', '-x509', *P256, '-keyout', self.path('ca-key.pem'), '-out',
                self.path('ca.pem'), '-days', '30', '-subj', '/CN=test authority')

    def path(self, name):
        return os.path.join(self.directory, name)

    def issue(self, name, common_name='localhost', hosts='DNS:localhost,IP:127.0.0.1',
              start='20200101000000Z', end='20400101000000Z'):
        """Files of a certificate and its key."""
        key, request, out = (self.path(name + end) for end in ('-key.pem', '.csr', '.pem'))
        openssl('req', *P256, '-keyout', key, '-out', request, '-subj', f'/CN={common_name}')
        settings = self.path(name + '.cnf')
        with open(settings, 'w', encoding='ascii') as file:
            file.write(CA_SETTINGS.format(self.directory, hosts))
        with open(self.path('index'), 'w', encoding='ascii'):
            pass
        openssl('ca', '-batch', '-notext', '-config', settings, '-in', request, '-out', out,
                '-startdate', start, '-enddate', end, '-extensions', 'v3')
        return out, key


class TlsBroker(Broker):
    """Listens plainly and, on a port of the system's choice, with TLS. `tls` are the lines of the
    item, which may name {dir}: there are certificates in it, and the broker may be given others."""

    tls_directory = None

    def __init__(self, railmq, tls=(), certificates=True, limits=(), more_listeners=()):
        super().__init__(railmq)
        self.tls = tls
        self.makes_certificates = certificates
        self.limits = limits
        self.more_listeners = more_listeners

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def spawn(self, address, data):
        if self.makes_certificates and not os.path.exists(self.path('tls')):
            secure.make_certificates(self.railmq, self.path('tls'))
        items = {'certificate': '{dir}/server.pem', 'private_key': '{dir}/server-key.pem',
                 **dict(self.tls)}
        lines = ['version: 1', 'server: {log: {level: debug}}', 'listeners:',
                 f'  - {{protocol: amqp, bind: "{address[0]}:{address[1]}"}}',
                 '  - {protocol: amqps, bind: "127.0.0.1:0"}',
                 *(f'  - {line}' for line in self.more_listeners),
                 'limits:', '  channel_max: 2047', *(f'  {line}' for line in self.limits),
                 'tls:', '  default:', *(f'    {key}: {value}' for key, value in items.items())]
        settings = self.path('railmq.yaml')
        with open(settings, 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines).replace('{dir}', self.path('tls')) + '\n')
        return subprocess.Popen([self.railmq, 'serve', '--config', settings, '--data-dir', data],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, errors='replace')

    @property
    def secure_address(self):
        line = next(line for line in self.lines if 'protocol=amqps' in line)
        return '127.0.0.1', int(line.rpartition('port=')[2])

    def client(self, **options):
        return secure.client_context(self.path('tls'), **options)

    def connect(self, context=None, **options):
        return amqp.Connection(self.secure_address, tls=context or self.client(), **options)

    def logged(self, *parts):
        return sum(all(part in line for part in parts) for line in list(self.lines))

    def expect_logged(self, *parts):
        eventually(lambda: self.logged(*parts) > 0, True, f'a line with {parts} in the log')

    def reload(self):
        """Sends SIGHUP and waits until it has been seen to."""
        before = self.logged('event=tls.reload')
        self.process.send_signal(signal.SIGHUP)
        eventually(lambda: self.logged('event=tls.reload'), before + 1, 'reloads')

    def descriptors(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))


class Started:
    """A broker for one test, which must stop in good order."""

    def __init__(self, t, **options):
        self.broker = TlsBroker(t.broker.railmq, **options)

    def __enter__(self):
        return self.broker.start()

    def __exit__(self, kind, error, trace):
        failure = self.broker.stop()
        if kind is None:
            equal(failure, None, 'failure')


def refused(function):
    """What the client's TLS says; anything that ends the connection will do."""
    try:
        function()
    except (ssl.SSLError, OSError, amqp.ConnectionLost) as error:
        return error
    raise amqp.Mismatch('expected the connection to be refused')


def publish_and_get(connection, size=1000):
    channel = connection.channel()
    queue = channel.declare(exclusive=True).queue
    body = os.urandom(size)
    channel.publish(queue, body)
    equal(channel.get(queue).body == body, True, f'body of {size} octets')


def restrict(context, lowest, highest=None):
    context.set_ciphers('DEFAULT:@SECLEVEL=0')
    context.minimum_version = lowest
    context.maximum_version = highest or lowest
    return context


VERSIONS = {'tls1.0': ssl.TLSVersion.TLSv1, 'tls1.1': ssl.TLSVersion.TLSv1_1,
            'tls1.2': ssl.TLSVersion.TLSv1_2, 'tls1.3': ssl.TLSVersion.TLSv1_3}


@test(process=True)
def versions(t):
    """1.2 and 1.3 speak; older ones are refused, and the log says so."""
    with Started(t) as broker:
        for version in ('tls1.2', 'tls1.3'):
            connection = broker.connect(restrict(broker.client(), VERSIONS[version]))
            equal(connection.sock.version(), {'tls1.2': 'TLSv1.2', 'tls1.3': 'TLSv1.3'}[version])
            for size in (0, 1, 16383, 16384, 16385, 1000000):
                publish_and_get(connection, size)
            connection.close()
        for count, version in enumerate(('tls1.0', 'tls1.1')):
            refused(lambda: broker.connect(restrict(broker.client(), VERSIONS[version])))
            eventually(lambda: broker.logged('event=connection.drop', 'TLS 1.2 is the oldest'),
                       count + 1, 'refusals')


@test(process=True)
def versions_by_configuration(t):
    with Started(t, tls={'min_version': '1.3'}) as broker:
        refused(lambda: broker.connect(restrict(broker.client(), ssl.TLSVersion.TLSv1_2)))
        broker.connect().close()
    with Started(t, tls={'max_version': '"1.2"',
                         'ciphers': 'ECDHE-ECDSA-AES128-GCM-SHA256'}) as broker:
        connection = broker.connect()
        equal(connection.sock.cipher()[0], 'ECDHE-ECDSA-AES128-GCM-SHA256')
        connection.close()
        context = broker.client()
        context.set_ciphers('ECDHE-ECDSA-AES256-GCM-SHA384')
        refused(lambda: broker.connect(context))
        broker.expect_logged('connection.drop', 'no cipher that is allowed here')
    with Started(t, tls={'ciphersuites': 'TLS_CHACHA20_POLY1305_SHA256',
                         'curves': 'P-384'}) as broker:
        connection = broker.connect()
        equal(connection.sock.cipher()[0], 'TLS_CHACHA20_POLY1305_SHA256')
        connection.close()


@test(process=True)
def clients_that_do_not_trust_the_server(t):
    with Started(t) as broker:
        error = refused(lambda: broker.connect(ssl.create_default_context()))
        check(isinstance(error, ssl.SSLCertVerificationError), f'expected no trust, got {error}')
        broker.expect_logged('connection.drop', 'does not trust our certificate')
        sock = amqp.connect(broker.secure_address, 5)
        error = refused(lambda: secure.SecureSocket(sock, broker.client(), 'other.example'))
        check('other.example' in str(error), f'expected a wrong host, got {error}')
        sock.close()
        broker.connect().close()


@test(process=True, rows={
    'expired': ('20200101000000Z', '20210101000000Z', 'has expired', 'certificate has expired'),
    'not_yet': ('20400101000000Z', '20410101000000Z', 'is not valid yet', 'not yet valid')})
def dates(t, row):
    """The broker starts all the same, and says it; it is the client that refuses."""
    start, end, logged, refusal = row
    authority = Authority(os.path.join(t.broker.directory, t.name('authority')))
    certificate, key = authority.issue('server', start=start, end=end)
    with Started(t, tls={'certificate': certificate, 'private_key': key},
                 certificates=False) as broker:
        broker.expect_logged('event=tls.certificate_invalid', 'level=error', logged)
        context = ssl.create_default_context(cafile=authority.path('ca.pem'))
        error = refused(lambda: broker.connect(context))
        check(refusal in str(error), f'expected {refusal!r}, got {error}')


@test(process=True)
def expiry_is_told_ahead(t):
    authority = Authority(os.path.join(t.broker.directory, t.name('authority')))
    soon = time.strftime('%Y%m%d%H%M%SZ', time.gmtime(time.time() + 20.5 * 86400))
    certificate, key = authority.issue('server', end=soon)
    with Started(t, tls={'certificate': certificate, 'private_key': key},
                 certificates=False) as broker:
        broker.expect_logged('event=tls.certificate_expires', 'days=20', 'level=warning')


@test(process=True)
def clients_must_show_certificates(t):
    with Started(t, tls={'client_ca': '{dir}/ca.pem', 'verify_client': 'required'}) as broker:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            connection = broker.connect(restrict(broker.client(shows_certificate=True), version))
            publish_and_get(connection)
            connection.close()
            refused(lambda: broker.connect(restrict(broker.client(), version)))
        eventually(lambda: broker.logged('connection.drop', 'verify_client: required'), 2, 'refusals')
        broker.expect_logged('event=tls.handshake', 'identity="client"')
        other = Authority(broker.path('other'))
        context = broker.client()
        context.load_cert_chain(*other.issue('stranger', 'client'))
        refused(lambda: broker.connect(context))
        broker.expect_logged('connection.drop', "client's certificate", 'not accepted')


@test(process=True)
def client_certificates_may_be_optional(t):
    """Whoever shows none gets in; whoever shows a bad one does not. A directory names authorities."""
    first, second, stranger = (Authority(os.path.join(t.broker.directory, t.name('authority')))
                               for _ in range(3))
    trusted = os.path.join(t.broker.directory, t.name('trusted'))
    os.makedirs(trusted)
    os.symlink(first.path('ca.pem'), os.path.join(trusted, 'first.pem'))
    os.symlink(second.path('ca.pem'), os.path.join(trusted, 'second.pem'))
    with Started(t, tls={'client_ca': trusted, 'verify_client': 'optional'}) as broker:
        publish_and_get(broker.connect())
        for authority, name in ((first, 'one'), (second, 'two')):
            context = broker.client()
            context.load_cert_chain(*authority.issue(name, name))
            publish_and_get(broker.connect(context))
            broker.expect_logged('event=tls.handshake', f'identity="{name}"')
        context = broker.client()
        context.load_cert_chain(*stranger.issue('three', 'three'))
        refused(lambda: broker.connect(context))
        broker.expect_logged('connection.drop', 'CN=three', 'not accepted')


@test(process=True)
def identity_by_configuration(t):
    directory = os.path.join(t.broker.directory, t.name('authority'))
    authority = Authority(directory)
    client = authority.issue('client', 'orders', 'DNS:orders.example,email:o@example.org,'
                                                 'URI:urn:orders')
    expired = authority.issue('expired', 'orders', end='20210101000000Z')
    for login_from, name in (('common_name', 'orders'), ('distinguished_name', 'CN=orders'),
                             ('san_dns', 'orders.example'), ('san_email', 'o@example.org'),
                             ('san_uri', 'urn:orders')):
        with Started(t, tls={'client_ca': authority.path('ca.pem'), 'verify_client': 'optional',
                             'login_from': login_from}) as broker:
            context = broker.client()
            context.load_cert_chain(*client)
            broker.connect(context).close()
            broker.expect_logged('event=tls.handshake', f'identity="{name}"')
            broker.connect().close()
            broker.expect_logged('event=tls.handshake', 'identity=""')
            context = broker.client()
            context.load_cert_chain(*expired)
            refused(lambda: broker.connect(context))
            broker.expect_logged('connection.drop', 'not accepted: certificate has expired')


@test(process=True)
def renegotiation_is_refused(t):
    """Also while AMQP is spoken; and the broker goes on."""
    with Started(t) as broker:
        port = broker.secure_address[1]
        client = subprocess.Popen(
            ['openssl', 's_client', '-tls1_2', '-connect', f'127.0.0.1:{port}', '-CAfile',
             broker.path('tls', 'ca.pem')], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        eventually(lambda: broker.logged('from=tls-handshake to=awaiting-header'), 1, 'handshakes')
        client.stdin.write(b'R\n')
        client.stdin.flush()
        output, _ = client.communicate(timeout=20)
        check(b'RENEGOTIATING' in output, f'it did not try:\n{output.decode()}')
        check(b'no renegotiation' in output, f'expected a refusal:\n{output.decode()}')
        broker.connect().close()


@test(process=True)
def protocols_that_are_not_tls(t):
    """They are hung up on, and the log tells what the client should do."""
    with Started(t) as broker:
        for octets, words in ((amqp.PROTOCOL_HEADER, 'plain AMQP on a port that speaks TLS'),
                              (b'GET / HTTP/1.1\r\n\r\n', 'speaks HTTP'),
                              (bytes(range(100)), 'first octet is 0x00'),
                              (b'\x16\x03\x01\x00\x05hello', 'TLS failed')):
            sock = amqp.connect(broker.secure_address, 5)
            sock.sendall(octets)
            eventually(lambda: broker.logged('state=tls-handshake', words), 1, words)
            refused(lambda: hang_up(sock))
            sock.close()
        for octets, words in ((b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'speaks TLS on a port'),
                              (b'GET / HTTP/1.1\r\n\r\n', 'speaks HTTP')):
            wire = amqp.Wire(broker.address)
            wire.send(octets)
            equal(wire.read_octets(100), amqp.PROTOCOL_HEADER, 'answer')
            broker.expect_logged('event=connection.wrong_protocol', words)
            wire.close()


@test(process=True)
def probes_are_not_worth_a_line(t):
    """Something that looks whether the port is open, again and again."""
    with Started(t) as broker:
        before = broker.descriptors()
        for _ in range(5):
            amqp.connect(broker.secure_address, 5).close()
        broker.connect().close()
        eventually(lambda: broker.logged('event=connection.drop'), 1, 'lines')
        eventually(broker.descriptors, before, 'descriptors')


@test(process=True)
def settings_of_the_file_are_read_again(t):
    """Also other files than before; a broken file changes nothing."""
    with Started(t) as broker:
        secure.make_certificates(broker.railmq, broker.path('new'))
        new = secure.client_context(broker.path('new'))
        with open(broker.path('railmq.yaml'), encoding='utf-8') as file:
            text = file.read()

        def write(changed):
            with open(broker.path('railmq.yaml'), 'w', encoding='utf-8') as file:
                file.write(changed)

        changed = text.replace(broker.path('tls'), broker.path('new'))
        write(changed + '  more: {certificate: /none, private_key: /none}\n')
        broker.reload()
        broker.expect_logged('event=config.restart_needed', 'key=tls.more')
        publish_and_get(broker.connect(new))
        refused(lambda: broker.connect())
        write(text + '  broken\n')
        broker.process.send_signal(signal.SIGHUP)
        broker.expect_logged('event=config.reload_failed')
        publish_and_get(broker.connect(new))


def hang_up(sock):
    """Reads to the end."""
    while sock.recv(1000):
        pass
    raise amqp.ConnectionLost('it hung up')


@test(process=True)
def half_handshakes(t):
    """Dropped by the timeout of handshakes, wherever they stop; nothing of them is left."""
    with Started(t, limits=['handshake_timeout: 300ms']) as broker:
        hello = first_flight(broker)
        before = broker.descriptors()
        socks = []
        for count in (0, 1, 5, 6, 50, len(hello) - 1, len(hello)):
            sock = amqp.connect(broker.secure_address, 10)
            sock.sendall(hello[:count])
            socks.append(sock)
        silent = amqp.Wire(broker.secure_address, tls=broker.client())
        for sock in socks:
            refused(lambda: hang_up(sock))
            sock.close()
        silent.expect_end()
        silent.close()
        eventually(lambda: broker.logged('handshake timeout'), len(socks) + 1, 'timeouts')
        eventually(broker.descriptors, before, 'descriptors')


def first_flight(broker):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        broker.client().wrap_bio(incoming, outgoing, server_hostname='localhost').do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


@test(process=True)
def garbage_in_place_of_records(t):
    """Before, during and after the handshake, at random places."""
    with Started(t, limits=['handshake_timeout: 2s']) as broker:
        hello = first_flight(broker)
        before = broker.descriptors()
        for _ in range(60):
            mangled = bytearray(hello)
            for _ in range(t.random.randint(1, 8)):
                mangled[t.random.randrange(len(mangled))] = t.random.randrange(256)
            sock = amqp.connect(broker.secure_address, 5)
            sock.sendall(mangled + t.random.randbytes(t.random.randrange(300)))
            sock.close()
        for _ in range(20):
            connection = broker.connect()
            connection.sock.setblocking(True)
            with socket.socket(fileno=os.dup(connection.sock.fileno())) as below:
                below.sendall(t.random.randbytes(t.random.randint(5, 3000)))
                refused(lambda: hang_up(below))
            connection.close()
        eventually(broker.descriptors, before, 'descriptors')
        broker.connect().close()


@test(process=True)
def thousand_connections(t):
    with Started(t) as broker:
        before = broker.descriptors()
        context = broker.client()
        connections = []
        errors = []

        def connect():
            try:
                connections.extend(broker.connect(context) for _ in range(125))
            except Exception as error:  # Told below.
                errors.append(error)

        threads = [threading.Thread(target=connect) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(errors, [], 'errors')
        equal(len(connections), 1000, 'connections')
        for connection in connections[::50]:
            publish_and_get(connection)
        for connection in connections:
            connection.close()
        eventually(broker.descriptors, before, 'descriptors')


@test(process=True)
def rotation_under_load(t):
    """Nobody notices but those who connect afterwards: they see the new certificate."""
    with Started(t) as broker:
        stop = threading.Event()
        errors = []
        published = []

        def work():
            try:
                channel = broker.connect().channel()
                queue = channel.declare(exclusive=True).queue
                auditor = ConfirmAuditor(channel)
                while not stop.is_set():
                    for _ in range(20):
                        auditor.publish(queue, bytes(2000))
                    auditor.wait()
                equal(channel.declare(queue, passive=True).message_count, auditor.published)
                published.append(auditor.published)
            except Exception as error:  # Told below.
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        eventually(lambda: broker.logged('event=connection.open'), 4, 'connections')
        for _ in range(5):
            old = broker.client()
            secure.make_certificates(broker.railmq, broker.path('tls'), '--force')
            broker.reload()
            refused(lambda: broker.connect(old))
            publish_and_get(broker.connect())
        stop.set()
        for thread in threads:
            thread.join()
        equal(errors, [], 'errors')
        equal(len(published), 4, 'publishers')
        equal(broker.logged('event=tls.reloaded'), 5, 'reloads')


@test(process=True)
def broken_certificates_are_refused(t):
    """The old ones stay, and the log says what is wrong with the new."""
    with Started(t) as broker:
        context = broker.client()
        kept = broker.connect(context)
        files = [broker.path('tls', name) for name in ('server.pem', 'server-key.pem')]
        good = [open(name, 'rb').read() for name in files]
        authority = Authority(broker.path('other'))
        expired = authority.issue('expired', end='20210101000000Z')
        future = authority.issue('future', start='20400101000000Z', end='20410101000000Z')
        strong = authority.issue('strong')
        for certificate, key, words in (
                (b'', good[1], 'no certificate is in'),
                (good[0][:300], good[1], 'damaged'),
                (good[0], b'', 'no usable private key'),
                (good[0], open(strong[1], 'rb').read(), 'does not belong to'),
                (open(expired[0], 'rb').read(), open(expired[1], 'rb').read(), 'has expired'),
                (open(future[0], 'rb').read(), open(future[1], 'rb').read(), 'is not valid yet')):
            for name, octets in zip(files, (certificate, key)):
                with open(name, 'wb') as file:
                    file.write(octets)
            broker.reload()
            equal(broker.logged('event=tls.reload_refused', 'level=error', words), 1, words)
            publish_and_get(broker.connect(context))
        os.remove(files[0])
        broker.reload()
        equal(broker.logged('event=tls.reload_refused', 'No such file'), 1, 'refusals')
        publish_and_get(kept)
        kept.close()
        for name, octets in zip(files, good):
            with open(name, 'wb') as file:
                file.write(octets)
        broker.reload()
        equal(broker.logged('event=tls.reloaded'), 1, 'reloads')
        broker.connect(context).close()


@test(process=True)
def certificates_by_name(t):
    directory = os.path.join(t.broker.directory, t.name('authority'))
    authority = Authority(directory)
    pairs = {'main': authority.issue('main', 'main', 'DNS:localhost'),
             'shop': authority.issue('shop', 'shop', 'DNS:shop.example'),
             'wild': authority.issue('wild', 'wild', 'DNS:*.eu.example')}
    more = ', '.join(f'{{certificate: {certificate}, private_key: {key}}}'
                     for certificate, key in (pairs['shop'], pairs['wild']))
    with Started(t, certificates=False, tls={
            'certificate': pairs['main'][0], 'private_key': pairs['main'][1],
            'more_certificates': f'[{more}]'}) as broker:
        context = ssl.create_default_context(cafile=authority.path('ca.pem'))
        context.check_hostname = False
        for asked, expected in (('localhost', 'main'), ('shop.example', 'shop'),
                                ('a.eu.example', 'wild'), ('a.b.eu.example', 'main'),
                                ('unknown.example', 'main'), (None, 'main')):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                context.maximum_version = version
                context.minimum_version = version
                sock = secure.SecureSocket(amqp.connect(broker.secure_address, 5), context, asked)
                subject = dict(pair[0] for pair in sock.getpeercert()['subject'])
                equal(subject['commonName'], expected, f'certificate for {asked}')
                sock.close()


@test(process=True)
def sessions_resume_where_nobody_shows_certificates(t):
    def resumes(broker, context):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        first = secure.SecureSocket(amqp.connect(broker.secure_address, 5), context)
        session = first.session
        first.close()
        sock = context.wrap_socket(amqp.connect(broker.secure_address, 5),
                                   server_hostname='localhost', session=session)
        reused = sock.session_reused
        sock.close()
        return reused

    with Started(t) as broker:
        context = broker.client()
        equal(resumes(broker, context), True, 'resumed')
    with Started(t, tls={'session_tickets': 'false'}) as broker:
        equal(resumes(broker, broker.client()), False, 'resumed')
    with Started(t, tls={'client_ca': '{dir}/ca.pem', 'verify_client': 'required'}) as broker:
        equal(resumes(broker, broker.client(shows_certificate=True)), False, 'resumed')


@test(process=True)
def application_protocols_are_ignored(t):
    with Started(t) as broker:
        context = broker.client()
        context.set_alpn_protocols(['amqp', 'h2'])
        connection = broker.connect(context)
        equal(connection.sock.selected_alpn_protocol(), None, 'protocol')
        publish_and_get(connection)
        connection.close()


@test(process=True)
def a_peer_that_says_goodbye(t):
    """close_notify without connection.close ends it like the end of a stream."""
    with Started(t) as broker:
        connection = broker.connect()
        connection.sock.settimeout(5)
        try:
            connection.sock.unwrap()
        except (OSError, ssl.SSLError):
            pass
        connection.close()
        broker.expect_logged('connection.drop', 'client unexpectedly closed TCP connection')


def refusal_to_start(t, **options):
    """Everything the broker says when its TLS settings do not do."""
    broker = TlsBroker(t.broker.railmq, **options)
    broker.directory = os.path.join(t.broker.directory, t.name('refused'))
    os.makedirs(broker.directory)
    process = broker.spawn(('127.0.0.1', free_port()), broker.path('data'))
    _, log = process.communicate(timeout=20)
    check(process.returncode == 1, f'expected exit status 1, got {process.returncode}:\n{log}')
    return log


@test(process=True)
def refusals_to_start(t):
    authority = Authority(os.path.join(t.broker.directory, t.name('authority')))
    certificate, key = authority.issue('server')
    other, other_key = authority.issue('other')
    encrypted = authority.path('encrypted.pem')
    openssl('pkey', '-in', key, '-out', encrypted, '-aes256', '-passout', 'pass:secret')
    for items, words in (
            ({'certificate': '/none.pem'}, 'cannot read the certificate /none.pem: No such file'),
            ({'certificate': authority.directory}, 'Is a directory'),
            ({'certificate': certificate, 'private_key': other_key}, 'does not belong to'),
            ({'certificate': certificate, 'private_key': encrypted}, 'is encrypted'),
            ({'certificate': key, 'private_key': key}, 'no certificate is in'),
            ({'ciphers': 'NOSUCH'}, 'ciphers "NOSUCH"'),
            ({'ciphersuites': 'NOSUCH'}, 'ciphersuites "NOSUCH"'),
            ({'curves': 'NOSUCH'}, 'curves "NOSUCH"'),
            ({'client_ca': '/none', 'verify_client': 'required'}, '/none: No such file'),
            ({'client_ca': key, 'verify_client': 'required'}, 'no certificate is in')):
        log = refusal_to_start(t, tls=items)
        check(words in log and 'tls.default: ' in log, f'expected {words!r} in:\n{log}')
    equal(len(glob.glob(other)), 1)


@test(process=True)
def paths(t):
    """A listener in the file system: its mode, its end, and what lies in its way."""
    directory = os.path.join(t.broker.directory, t.name('run'))
    os.makedirs(directory)
    path = os.path.join(directory, 'amqp.sock')
    tls_path = os.path.join(directory, 'amqps.sock')
    listeners = [f'{{bind: "unix:{path}", mode: "0600"}}',
                 f'{{protocol: amqps, bind: "unix:{tls_path}"}}']
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)  # Nobody listens: the broker may take its place.
    with Started(t, more_listeners=listeners) as broker:
        equal(os.stat(path).st_mode & 0o777, 0o600, 'mode')
        equal(os.stat(tls_path).st_mode & 0o777, 0o660, 'mode')
        connection = amqp.Connection(path)
        publish_and_get(connection, 100000)
        connection.close()
        publish_and_get(amqp.Connection(tls_path, tls=broker.client()), 100000)
        broker.expect_logged('connection.open', f'unix:pid={os.getpid()},uid={os.getuid()}')
        log = refusal_to_start(t, more_listeners=[f'{{bind: "unix:{path}"}}'])
        check(f'cannot listen on {path}' in log, log)
        amqp.Connection(path).close()
    equal(os.listdir(directory), [], 'files')
    with open(path, 'w', encoding='ascii'):
        pass
    log = refusal_to_start(t, more_listeners=[f'{{bind: "unix:{path}"}}'])
    check(f'cannot listen on {path}' in log, log)
    check(os.path.isfile(path), 'a file that is no socket has been removed')


@test(process=True)
def certs_init(t):
    directory = os.path.join(t.broker.directory, t.name('tls'))

    def run(*arguments):
        return subprocess.run([t.broker.railmq, 'certs', 'init', directory, *arguments],
                              capture_output=True, text=True)

    equal(run('--client-name', 'orders').returncode, 0, 'exit status')
    modes = {name: os.stat(os.path.join(directory, name)).st_mode & 0o777
             for name in sorted(os.listdir(directory))}
    equal(modes, {'ca.pem': 0o644, 'client-key.pem': 0o600, 'client.pem': 0o644,
                  'server-key.pem': 0o600, 'server.pem': 0o644}, 'files')
    ca = os.path.join(directory, 'ca.pem')
    for name, purpose in (('server', 'sslserver'), ('client', 'sslclient')):
        openssl('verify', '-x509_strict', '-CAfile', ca, '-purpose', purpose,
                os.path.join(directory, name + '.pem'))
    server = ssl._ssl._test_decode_cert(os.path.join(directory, 'server.pem'))
    names = {value for _, value in server['subjectAltName']}
    check({'localhost', '127.0.0.1', socket.gethostname()} <= names, f'names are {names}')
    client = ssl._ssl._test_decode_cert(os.path.join(directory, 'client.pem'))
    equal(client['subject'], ((('commonName', 'orders'),),), 'subject')
    before = open(ca, 'rb').read()
    again = run()
    equal(again.returncode, 1, 'exit status')
    check('--force' in again.stderr, again.stderr)
    equal(open(ca, 'rb').read(), before, 'ca.pem')
    equal(run('--force', '--host', 'mq.example', '--days', '7').returncode, 0, 'exit status')
    check(open(ca, 'rb').read() != before, 'nothing was replaced')
    server = ssl._ssl._test_decode_cert(os.path.join(directory, 'server.pem'))
    check(('DNS', 'mq.example') in server['subjectAltName'], f'names are {server}')
    for arguments in (('--days', '0'), ('--days', 'x'), ('--client-name', ''), ('--host', 'a b')):
        equal(run('--force', *arguments).returncode, 64, f'exit status of {arguments}')


@test(process=True)
def check_looks_at_the_files(t):
    """`railmq check` points to the setting whose file does not do, in the file that it stands in."""
    with tempfile.TemporaryDirectory(prefix='rail-check-') as directory:
        authority = Authority(os.path.join(directory, 'ca'))
        good, key = authority.issue('good')
        late, late_key = authority.issue('late', end='20210101000000Z')
        for path in (key, late_key):
            os.chmod(path, 0o600)

        def write(name, text):
            path = os.path.join(directory, name)
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
            return path

        def report(path, status, *words):
            done = subprocess.run([t.broker.railmq, 'check', *words, path], capture_output=True,
                                  text=True, timeout=60, check=False)
            equal(done.returncode, status, f'exit status:\n{done.stdout}{done.stderr}')
            return done.stdout + done.stderr
        part = write('tls.yaml', 'tls:\n  default:\n'
                     f'    certificate: {good}\n'
                     f'    private_key: {key}\n')
        main = write('broker.yaml', f'version: 1\ninclude: [{part}]\n')
        equal(report(main, 0), f'{main}: ok\n', 'report')
        write('tls.yaml', 'tls:\n  default:\n'
              f'    certificate: {good}\n'
              f'    private_key: {late_key}\n'
              '    more_certificates:\n'
              f'      - {{certificate: {late}, private_key: {late_key}}}\n'
              f'      - certificate: {directory}/none.pem\n'
              f'        private_key: {key}\n')
        output = report(main, 1)
        for words in (f'tls.yaml:4:18: error: the private key {late_key} does not belong to the '
                      f'certificate {good}',
                      f'tls.yaml:6:23: error: the certificate {late} has expired; it is valid from '
                      '2020-01-01T00:00:00Z to 2021-01-01T00:00:00Z',
                      f'tls.yaml:7:22: error: cannot read the certificate {directory}/none.pem: '
                      'No such file or directory', '3 errors'):
            check(words in output, f'{words} is not in\n{output}')
        found = json.loads(report(main, 1, '--json'))
        equal([(one['path'], one['line'], one['code']) for one in found],
              [('tls.default.private_key', 4, 'RAIL-E041'),
               ('tls.default.certificate', 6, 'RAIL-E041'),
               ('tls.default.certificate', 7, 'RAIL-E041')], 'diagnostics')
        # Readable by all is a warning, and serve takes it.
        os.chmod(key, 0o644)
        write('tls.yaml', f'tls: {{default: {{certificate: {good}, private_key: {key}}}}}\n')
        output = report(main, 0)
        check('warning: everybody on this machine can read the private key' in output, output)
