"""A raw AMQP 0-9-1 client for tests. Nothing is read in the background: a test that
does not read leaves its octets in the socket. What the broker sends is checked
strictly, and every wait has a deadline."""

import collections
import select
import socket
import struct
import time
from typing import NamedTuple

import codec
import secure
from codec import BY_NAME, ASYNCHRONOUS, WITH_CONTENT

DEADLINE = 10.0
FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT = 1, 2, 3, 8
PROTOCOL_HEADER = b'AMQP\x00\x00\x09\x01'
CAPABILITIES = ('publisher_confirms', 'exchange_exchange_bindings', 'basic.nack',
                'consumer_cancel_notify', 'connection.blocked', 'authentication_failure_close')


class Mismatch(AssertionError):
    """The broker did something else than the protocol asks for."""


class ConnectionLost(Mismatch):
    """The broker closed the socket."""


class Closed(Mismatch):
    """The broker closed the connection instead of going on with the handshake."""

    def __init__(self, method):
        super().__init__(f'the broker closed the connection: {method}')
        self.code, self.text = method.reply_code, method.reply_text


class Timeout(Mismatch):
    """The broker did not answer before the deadline."""


class Frame(NamedTuple):
    type: int
    channel: int
    payload: bytes


class Method:
    """A method that was received, with its content if it carries one."""

    def __init__(self, name, arguments):
        self.name = name
        self.arguments = arguments
        self.raw_properties = None
        self.properties = None
        self.body = None

    def __getattr__(self, name):
        try:
            return self.__dict__['arguments'][name]
        except KeyError:
            raise AttributeError(f'{self.name} has no argument {name}') from None

    def __repr__(self):
        content = '' if self.body is None else f' body[{len(self.body)}]={self.body[:40]!r}'
        return f'{self.name} {self.arguments}{content}'


def frame(kind, channel, payload=b''):
    return struct.pack('>BHI', kind, channel, len(payload)) + payload + b'\xce'


def method_frame(channel, name, **arguments):
    return frame(FRAME_METHOD, channel, codec.encode_method(name, **arguments))


def header_frame(channel, size, properties=None, class_id=60, weight=0):
    head = struct.pack('>HHQ', class_id, weight, size)
    return frame(FRAME_HEADER, channel, head + codec.encode_properties(properties or {}))


def body_frames(channel, body, piece):
    return b''.join(frame(FRAME_BODY, channel, body[at:at + piece])
                    for at in range(0, len(body), piece))


def publish_frames(channel, key='', body=b'', exchange='', properties=None, mandatory=False,
                   piece=131064, **arguments):
    method = method_frame(channel, 'basic.publish', exchange=exchange, routing_key=key,
                          mandatory=mandatory, **arguments)
    return method + header_frame(channel, len(body), properties) + body_frames(channel, body, piece)


def connect(address, timeout, source=None):
    """To a host and port, or to a path; from that host if one is given."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(address)
        return sock
    sock = socket.create_connection(address, timeout, (source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Wire:
    """A socket and AMQP frames, nothing more."""

    tls = None  # An SSLContext if everything goes over TLS.

    def __init__(self, address, deadline=DEADLINE, tls=None, source=None):
        self.deadline = deadline
        self.sock = connect(address, deadline, source)
        tls = Wire.tls if tls is None else tls
        if tls is not None:
            self.sock = secure.SecureSocket(self.sock, tls)
        self.buffer = bytearray()
        self.frame_max = 131072
        self.heartbeats = 0
        self.ended = False

    def send(self, octets):
        """Writes everything and meanwhile takes in what the broker has to say, so that
        neither side waits for the other."""
        view = memoryview(octets)
        end = time.monotonic() + self.deadline
        self.sock.setblocking(False)
        try:
            while view:
                readable, writable, _ = select.select([] if self.ended else [self.sock],
                                                      [self.sock], [], self.deadline)
                if readable:
                    self._receive()
                if writable:
                    try:
                        view = view[self.sock.send(view):]
                    except BlockingIOError:
                        continue
                    end = time.monotonic() + self.deadline
                elif time.monotonic() > end:
                    raise Timeout(f'broker takes no octets, {len(view)} are left')
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ConnectionLost(f'broker closed the socket: {error}') from None
        finally:
            self.sock.settimeout(self.deadline)

    def _receive(self):
        try:
            octets = self.sock.recv(262144)
        except BlockingIOError:
            return
        except ConnectionResetError:
            octets = b''
        self.ended = self.ended or not octets
        self.buffer += octets

    def _fill(self, count, end):
        """Waits for count octets; False if the stream ends before."""
        while len(self.buffer) < count:
            if self.ended:
                return False
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise Timeout('broker sent nothing before the deadline')
            self._receive()
        return True

    def read_octets(self, count, timeout=None):
        """Up to count octets: fewer only if the stream ends."""
        self._fill(count, time.monotonic() + (timeout or self.deadline))
        octets = bytes(self.buffer[:count])
        del self.buffer[:count]
        return octets

    def read_frame(self, timeout=None):
        """The next frame, or None when the broker closes the socket."""
        end = time.monotonic() + (self.deadline if timeout is None else timeout)
        if not self._fill(7, end):
            if self.buffer:
                raise Mismatch(f'broker closed the socket inside a frame: {bytes(self.buffer)!r}')
            return None
        kind, channel, size = struct.unpack('>BHI', self.buffer[:7])
        if size + 8 > self.frame_max:
            raise Mismatch(f'broker sent a frame of {size + 8} octets, limit {self.frame_max}')
        if not self._fill(size + 8, end):
            raise Mismatch('broker closed the socket inside a frame')
        payload, last = bytes(self.buffer[7:size + 7]), self.buffer[size + 7]
        del self.buffer[:size + 8]
        self._check_frame(kind, channel, payload, last)
        return Frame(kind, channel, payload)

    @staticmethod
    def _check_frame(kind, channel, payload, last):
        if last != 0xCE:
            raise Mismatch(f'frame of type {kind} ends with {last:#x}')
        if kind not in (FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT):
            raise Mismatch(f'broker sent a frame of type {kind}')
        if kind == FRAME_HEARTBEAT and (channel or payload):
            raise Mismatch('broker sent a heartbeat on a channel or with a payload')
        if kind in (FRAME_HEADER, FRAME_BODY) and not channel:
            raise Mismatch('broker sent content on channel 0')
        if kind == FRAME_BODY and not payload:
            raise Mismatch('broker sent an empty body frame')

    def read_method(self, name, timeout=None):
        """The next frame must be this method on channel 0. For handshakes."""
        got = self.read_frame(timeout)
        if got is None:
            raise ConnectionLost(f'expected {name}, got end of stream')
        if got.type != FRAME_METHOD or got.channel != 0:
            raise Mismatch(f'expected {name}, got {got}')
        method = Method(*codec.decode_method(got.payload))
        if method.name == 'connection.close' and name != method.name:
            raise Closed(method)
        if method.name != name:
            raise Mismatch(f'expected {name}, got {method}')
        return method

    def expect_end(self, timeout=None):
        """The broker must close the socket without sending another frame."""
        got = self.read_frame(timeout)
        while got is not None and got.type == FRAME_HEARTBEAT:
            got = self.read_frame(timeout)
        if got is not None:
            raise Mismatch(f'expected end of stream, got {describe(got)}')

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.sock.close()


def describe(got):
    if got.type == FRAME_METHOD:
        return repr(Method(*codec.decode_method(got.payload)))
    return repr(got)


def check_close(method, code, text, cause):
    """text None accepts any; a text that ends with '*' is a prefix. cause is a method's
    name, or None for ids 0/0, or '*' for any."""
    expected = f'{method.name.split(".")[0]} exception {code} {text!r} for {cause}'
    if method.reply_code != code:
        raise Mismatch(f'expected {expected}, got {method}')
    if text is not None and method.reply_text != text:
        if not (text.endswith('*') and method.reply_text.startswith(text[:-1])):
            raise Mismatch(f'expected {expected}, got {method}')
    ids = (0, 0) if cause is None else cause if cause == '*' else BY_NAME[cause].ids
    if ids != '*' and (method.class_id, method.method_id) != ids:
        raise Mismatch(f'expected {expected}, got {method}')


class Connection(Wire):
    """An open connection; methods are queued per channel as they are read."""

    def __init__(self, address, user='guest', password='guest', vhost='/', channel_max=2047,
                 frame_max=131072, heartbeat=0, capabilities=CAPABILITIES, properties=None,
                 deadline=DEADLINE, tls=None):
        super().__init__(address, deadline, tls)
        self.inbox = collections.defaultdict(collections.deque)
        self.partial = {}
        self.channels = 0
        self.send(PROTOCOL_HEADER)
        self.server = self.read_method('connection.start')
        self.send(start_ok(user, password, capabilities, properties))
        self.tune = self.read_method('connection.tune')
        self.send(method_frame(0, 'connection.tune-ok', channel_max=channel_max,
                               frame_max=frame_max, heartbeat=heartbeat) +
                  method_frame(0, 'connection.open', virtual_host=vhost))
        self.frame_max = frame_max or 1 << 32
        self.take(0, 'connection.open-ok')

    def channel(self, number=None):
        channel = self.unopened(number)
        channel.call('channel.open')
        return channel

    def unopened(self, number=None):
        if number is None:
            self.channels += 1
            number = self.channels
        return Channel(self, number)

    def pump(self, timeout):
        """Reads one frame and files it. Heartbeats are counted and dropped."""
        got = self.read_frame(timeout)
        if got is None:
            raise ConnectionLost('broker closed the socket')
        if got.type == FRAME_HEARTBEAT:
            self.heartbeats += 1
        elif got.type == FRAME_METHOD:
            self._pump_method(got)
        elif got.type == FRAME_HEADER:
            self._pump_header(got)
        else:
            self._pump_body(got)

    def _pump_method(self, got):
        if got.channel in self.partial:
            raise Mismatch(f'content interrupted on channel {got.channel} by {describe(got)}')
        method = Method(*codec.decode_method(got.payload))
        if method.name in WITH_CONTENT:
            self.partial[got.channel] = (method, None)
        else:
            self.inbox[got.channel].append(method)

    def _pump_header(self, got):
        method, missing = self.partial.get(got.channel, (None, 0))
        if method is None or missing is not None:
            raise Mismatch(f'unexpected content header on channel {got.channel}')
        class_id, weight, size = struct.unpack('>HHQ', got.payload[:12])
        if (class_id, weight) != (60, 0):
            raise Mismatch(f'content header of class {class_id}, weight {weight}')
        method.raw_properties = got.payload[12:]
        method.properties = codec.decode_properties(method.raw_properties)
        method.body = bytearray()
        self._content(got.channel, method, size)

    def _pump_body(self, got):
        method, missing = self.partial.get(got.channel, (None, None))
        if not missing or len(got.payload) > missing:
            raise Mismatch(f'unexpected body frame on channel {got.channel}, {missing} missing')
        method.body += got.payload
        self._content(got.channel, method, missing - len(got.payload))

    def _content(self, channel, method, missing):
        if missing:
            self.partial[channel] = (method, missing)
            return
        method.body = bytes(method.body)
        del self.partial[channel]
        self.inbox[channel].append(method)

    def next(self, number, accept=lambda method: True, timeout=None):
        """Removes and returns the first acceptable method of a channel."""
        end = time.monotonic() + (self.deadline if timeout is None else timeout)
        while True:
            queue = self.inbox[number]
            for index, method in enumerate(queue):
                if accept(method):
                    del queue[index]
                    return method
            if number and any(method.name == 'connection.close' for method in self.inbox[0]):
                raise Mismatch(f'connection closed by the broker: {list(self.inbox[0])}')
            self.pump(end - time.monotonic())

    def take(self, number, *names, timeout=None):
        """The next method of the channel must be one of these."""
        try:
            method = self.next(number, timeout=timeout)
        except Mismatch as error:
            wanted = ' or '.join(names)
            raise type(error)(f'expected {wanted} on channel {number}: {error}') from None
        if method.name == 'connection.close' and method.name not in names:
            raise Closed(method)
        if method.name not in names:
            raise Mismatch(f'expected {" or ".join(names)} on channel {number}, got {method}')
        return method

    def send_method(self, number, name, **arguments):
        self.send(method_frame(number, name, **arguments))

    def expect_close(self, code, text=None, cause=None):
        """A connection exception; answers close-ok and waits for the end of the stream."""
        method = self.next(0, lambda method: method.name == 'connection.close')
        check_close(method, code, text, cause)
        self.send_method(0, 'connection.close-ok')
        self.expect_end()
        self.close()
        return method

    def finish(self):
        """Orderly close: returns after close-ok."""
        self.send_method(0, 'connection.close', reply_code=200, reply_text='bye')
        self.next(0, lambda method: method.name == 'connection.close-ok')
        self.close()


def pump_any(connections, timeout=DEADLINE):
    """Reads a frame from whichever connections have one."""
    ready = [connection for connection in connections if connection.buffer]
    if not ready:
        sockets = {connection.sock: connection for connection in connections}
        ready = [sockets[sock] for sock in select.select(list(sockets), [], [], timeout)[0]]
    if not ready:
        raise Timeout('broker sent nothing before the deadline')
    for connection in ready:
        connection.pump(timeout)


def start_ok(user, password, capabilities=CAPABILITIES, properties=None, mechanism='PLAIN',
             response=None, locale='en_US'):
    if response is None:
        response = f'\0{user}\0{password}'
    table = {'product': 'protocol tests', 'capabilities': dict.fromkeys(capabilities, True)}
    table.update(properties or {})
    return method_frame(0, 'connection.start-ok', client_properties=table, mechanism=mechanism,
                        response=response, locale=locale)


class Channel:
    """One channel of a connection, with short forms of what tests do most."""

    def __init__(self, connection, number):
        self.connection = connection
        self.number = number

    @property
    def inbox(self):
        return self.connection.inbox[self.number]

    def send(self, name, **arguments):
        self.connection.send_method(self.number, name, **arguments)

    def take(self, *names, timeout=None):
        return self.connection.take(self.number, *names, timeout=timeout)

    def reply(self, name, *others):
        """The next method that is not asynchronous must be this reply."""
        method = self.connection.next(self.number, lambda method: method.name not in ASYNCHRONOUS)
        if method.name not in (name, *others):
            raise Mismatch(f'expected {name} on channel {self.number}, got {method}')
        return method

    def call(self, name, **arguments):
        self.send(name, **arguments)
        return self.reply(name + '-ok')

    def declare(self, queue='', **arguments):
        return self.call('queue.declare', queue=queue, **arguments)

    def exchange(self, exchange, kind='direct', **arguments):
        self.call('exchange.declare', exchange=exchange, type=kind, **arguments)
        return exchange

    def bind(self, queue, exchange, key='', **arguments):
        self.call('queue.bind', queue=queue, exchange=exchange, routing_key=key, **arguments)

    def publish(self, key='', body=b'', exchange='', properties=None, mandatory=False):
        piece = self.connection.frame_max - 8
        self.connection.send(publish_frames(self.number, key, body, exchange, properties,
                                            mandatory, piece))

    def get(self, queue='', no_ack=True):
        """basic.get: the message, or None if the queue is empty."""
        self.send('basic.get', queue=queue, no_ack=no_ack)
        method = self.connection.next(self.number, lambda method: method.name == 'basic.get-ok' or
                                      method.name not in ASYNCHRONOUS)
        if method.name not in ('basic.get-ok', 'basic.get-empty'):
            raise Mismatch(f'expected basic.get-ok or basic.get-empty, got {method}')
        return method if method.name == 'basic.get-ok' else None

    def consume(self, queue='', tag='', **arguments):
        return self.call('basic.consume', queue=queue, consumer_tag=tag, **arguments).consumer_tag

    def deliver(self, timeout=None):
        return self.take('basic.deliver', timeout=timeout)

    def bodies(self, count):
        return [self.deliver().body for _ in range(count)]

    def ack(self, tag, multiple=False):
        self.send('basic.ack', delivery_tag=tag, multiple=multiple)

    def nack(self, tag, multiple=False, requeue=True):
        self.send('basic.nack', delivery_tag=tag, multiple=multiple, requeue=requeue)

    def qos(self, count, global_=False):
        self.call('basic.qos', prefetch_count=count, global_=global_)

    def sync(self):
        """A round trip that changes nothing."""
        self.call('exchange.declare', exchange='amq.direct', passive=True)

    def idle(self, queue=None):
        """Nothing may be waiting for this channel after round trips to the queue and back."""
        for _ in range(2):
            if queue is None:
                self.sync()
            else:
                self.declare(queue, passive=True)
                self.sync()
        if self.inbox:
            raise Mismatch(f'expected nothing on channel {self.number}, got {list(self.inbox)}')

    def expect_close(self, code, text=None, cause=None):
        """A channel exception; answers it with close-ok."""
        method = self.reply('channel.close')
        check_close(method, code, text, cause)
        self.inbox.clear()
        self.send('channel.close-ok')
        return method

    def close(self):
        self.send('channel.close', reply_code=200, reply_text='bye')
        self.reply('channel.close-ok')
        self.inbox.clear()
