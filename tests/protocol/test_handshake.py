"""From connection.start to connection.open-ok."""

import re

import amqp
import codec
from amqp import method_frame
from harness import test, check, equal

CAPABILITIES = ('publisher_confirms', 'exchange_exchange_bindings', 'basic.nack',
                'consumer_cancel_notify', 'connection.blocked', 'consumer_priorities',
                'authentication_failure_close', 'per_consumer_qos', 'direct_reply_to')
TUNE_OK = method_frame(0, 'connection.tune-ok', channel_max=2047, frame_max=131072)
OPEN = method_frame(0, 'connection.open', virtual_host='/')


def started(t):
    wire = t.wire()
    wire.send(amqp.PROTOCOL_HEADER)
    wire.start = wire.read_method('connection.start')
    return wire


def tuning(t, **options):
    """A wire that has authenticated and got connection.tune."""
    wire = started(t)
    wire.send(amqp.start_ok('guest', 'guest', **options))
    wire.tune = wire.read_method('connection.tune')
    return wire


def expect_refusal(wire, code, text, cause):
    amqp.check_close(wire.read_method('connection.close'), code, text, cause)
    wire.send(method_frame(0, 'connection.close-ok'))
    wire.expect_end()


@test
def start_announces(t):
    start = started(t).start
    equal((start.version_major, start.version_minor), (0, 9), 'version')
    equal(set(start.mechanisms.split(' ')), {'PLAIN', 'AMQPLAIN'}, 'mechanisms')
    check('en_US' in start.locales.split(), f'locales: {start.locales!r}')
    properties = start.server_properties
    for name in ('product', 'version', 'platform', 'copyright', 'information', 'cluster_name'):
        equal(properties[name].tag, 'S', f'tag of {name}')
    check(re.fullmatch(r'\d+\.\d+\.\d+', properties['version'].value), f'{properties["version"]}')
    equal(properties['capabilities'].tag, 'F', 'tag of capabilities')
    for name in CAPABILITIES:
        equal(properties['capabilities'].value.get(name), codec.Tagged('t', True), name)


@test
def tune_offers_the_defaults(t):
    tune = tuning(t).tune
    equal((tune.channel_max, tune.frame_max, tune.heartbeat), (2047, 131072, 60), 'tune')


@test
def each_step_on_its_own(t):
    wire = tuning(t)
    wire.send(TUNE_OK)
    wire.send(OPEN)
    equal(wire.read_method('connection.open-ok').known_hosts, '', 'known-hosts')


@test
def tune_ok_and_open_in_one_segment(t):
    wire = tuning(t)
    wire.send(TUNE_OK + OPEN + method_frame(1, 'channel.open'))
    wire.read_method('connection.open-ok')
    got = wire.read_frame()
    equal((got.channel, got.payload), (1, codec.encode_method('channel.open-ok')), 'frame')


@test
def whole_handshake_octet_by_octet(t):
    wire = started(t)
    for octet in amqp.start_ok('guest', 'guest'):
        wire.send(bytes([octet]))
    wire.read_method('connection.tune')
    for octet in TUNE_OK + OPEN:
        wire.send(bytes([octet]))
    wire.read_method('connection.open-ok')


@test(rows={'en_GB': 'en_GB', 'empty': '', 'unknown': 'xx_YY.UTF-8'})
def locale_is_not_validated(t, locale):
    tuning(t, locale=locale)


@test(rows={
    'empty table': {},
    'no capabilities': {'product': 'x'},
    'named': {'connection_name': 'tests', 'capabilities': {'basic.nack': False}},
    'odd capabilities': {'capabilities': 'yes', 'connection_name': 7},
    'odd capability': {'capabilities': {'consumer_cancel_notify': 'yes', 'basic.nack': 1}},
})
def client_properties_are_free_form(t, table):
    wire = started(t)
    wire.send(method_frame(0, 'connection.start-ok', client_properties=table, mechanism='PLAIN',
                           response='\0guest\0guest', locale='en_US'))
    wire.read_method('connection.tune')


@test
def heartbeat_before_open(t):
    beat = amqp.frame(amqp.FRAME_HEARTBEAT, 0)
    wire = started(t)
    wire.send(beat + amqp.start_ok('guest', 'guest'))
    wire.read_method('connection.tune')
    wire.send(beat + TUNE_OK + beat + OPEN + beat)
    wire.read_method('connection.open-ok')


ACCEPTED = {
    'smallest frames': (2047, 4096, 0),
    'one channel': (1, 131072, 60),
    'long heartbeat': (2047, 131072, 65535),
    'odd frame size': (100, 4097, 1),
}


@test(rows=ACCEPTED)
def tune_ok_within_limits(t, values):
    wire = tuning(t)
    channel_max, frame_max, heartbeat = values
    wire.send(method_frame(0, 'connection.tune-ok', channel_max=channel_max, frame_max=frame_max,
                           heartbeat=heartbeat) + OPEN)
    wire.read_method('connection.open-ok')


REFUSED = {
    'frame_max too small': (2047, 1024, 'negotiated frame_max = 1024 is lower than the minimum '
                                        'allowed value (4096)'),
    'frame_max just too small': (2047, 4095, 'negotiated frame_max = 4095 is lower than the '
                                             'minimum allowed value (4096)'),
    'frame_max too large': (2047, 131073, 'negotiated frame_max = 131073 is higher than the '
                                          'maximum allowed value (131072)'),
    'frame_max unlimited': (2047, 0, 'negotiated frame_max = 0*'),
    'channel_max too large': (2048, 131072, 'negotiated channel_max = 2048 is higher than the '
                                            'maximum allowed value (2047)'),
    'channel_max unlimited': (0, 131072, 'negotiated channel_max = 0 (no limit) is higher than '
                                         'the maximum allowed value (2047)'),
}


@test(rail_only=True, rows=REFUSED)
def tune_ok_out_of_limits(t, values):
    wire = tuning(t)
    channel_max, frame_max, text = values
    wire.send(method_frame(0, 'connection.tune-ok', channel_max=channel_max, frame_max=frame_max))
    expect_refusal(wire, 530, 'NOT_ALLOWED - ' + text, '*')


@test(rows={'absent': 'no-such-vhost', 'empty': '', 'not ascii': 'wü/ste', 'long': 'v' * 127})
def open_of_a_missing_vhost(t, vhost):
    wire = tuning(t)
    wire.send(TUNE_OK + method_frame(0, 'connection.open', virtual_host=vhost))
    expect_refusal(wire, 530, f'NOT_ALLOWED - vhost {vhost} not found', 'connection.open')


@test
def open_ignores_its_reserved_arguments(t):
    wire = tuning(t)
    wire.send(TUNE_OK + method_frame(0, 'connection.open', virtual_host='/', reserved_1='capa',
                                     reserved_2=True))
    wire.read_method('connection.open-ok')


@test
def channel_method_before_open(t):
    wire = tuning(t)
    wire.send(TUNE_OK + method_frame(1, 'channel.open'))
    expect_refusal(wire, 505, 'UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>', None)


@test
def wrong_connection_method_before_open(t):
    wire = tuning(t)
    wire.send(TUNE_OK + TUNE_OK)
    expect_refusal(wire, 504, 'CHANNEL_ERROR - unexpected method in connection state opening',
                   'connection.tune-ok')


@test(rows={name: name for name in ('connection.open', 'connection.tune-ok',
                                    'connection.start-ok', 'connection.secure-ok')})
def wrong_connection_method_while_running(t, name):
    connection = t.connect()
    connection.send_method(0, name)
    connection.expect_close(
        504, 'CHANNEL_ERROR - unexpected method in connection state running', name)


@test(timed=True, rows={'open': OPEN, 'tune-ok': TUNE_OK,
                        'channel': method_frame(1, 'channel.open')})
def wrong_method_instead_of_start_ok(t, octets):
    wire = started(t)
    wire.send(octets)
    expect_fatal(wire)


@test(timed=True, rows={'open': OPEN, 'start-ok': amqp.start_ok('guest', 'guest'),
                        'channel': method_frame(1, 'channel.open')})
def wrong_method_instead_of_tune_ok(t, octets):
    wire = tuning(t)
    wire.send(octets)
    expect_fatal(wire)


def expect_fatal(wire):
    """The stream ends; at most a connection.close comes before."""
    got = wire.read_frame()
    if got is not None:
        name, _ = codec.decode_method(got.payload)
        equal(name, 'connection.close', 'method')
        wire.send(method_frame(0, 'connection.close-ok'))
        wire.expect_end()


@test(timed=True)
def frame_larger_than_4096_during_the_handshake(t):
    wire = started(t)
    wire.send(amqp.start_ok('guest', 'guest', properties={'blob': 'x' * 5000}))
    expect_fatal(wire)


@test
def update_secret(t):
    connection = t.connect()
    connection.send_method(0, 'connection.update-secret', new_secret='guest', reason='rotation')
    connection.take(0, 'connection.update-secret-ok')
    connection.channel()


@test
def close_before_open_is_answered(t):
    """By close-ok, or by the 504 of any method that is not expected in this state."""
    wire = tuning(t)
    wire.send(TUNE_OK + method_frame(0, 'connection.close', reply_code=200, reply_text='changed'))
    name, values = codec.decode_method(wire.read_frame().payload)
    if name != 'connection.close-ok':
        equal((name, values['reply_code']), ('connection.close', 504), 'answer')
