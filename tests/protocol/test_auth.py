"""Logging in: mechanisms, credentials, and how a refusal is told."""

import time

import amqp
import codec
from harness import test, check, equal

DENIED = ('ACCESS_REFUSED - Login was refused using authentication mechanism {}. '
          'For details see the broker logfile.')


def answer(t, response, mechanism='PLAIN', capabilities=amqp.CAPABILITIES):
    wire = t.wire()
    wire.send(amqp.PROTOCOL_HEADER)
    wire.read_method('connection.start')
    wire.send(amqp.start_ok('', '', mechanism=mechanism, response=response,
                            capabilities=capabilities))
    return wire


def amqplain(*pairs):
    return codec.encode_entries(list(pairs))


GUEST = ('LOGIN', 'guest'), ('PASSWORD', 'guest')

ACCEPTED = {
    'PLAIN': ('PLAIN', '\0guest\0guest'),
    'AMQPLAIN': ('AMQPLAIN', amqplain(*GUEST)),
    'AMQPLAIN password first': ('AMQPLAIN', amqplain(*reversed(GUEST))),
    'AMQPLAIN with more keys': ('AMQPLAIN', amqplain(('x', 1), *GUEST, ('y', {'z': [True]}))),
}


@test(rows=ACCEPTED)
def good_credentials(t, row):
    mechanism, response = row
    answer(t, response, mechanism).read_method('connection.tune')


REFUSED = {
    'wrong password': ('PLAIN', '\0guest\0nonsense'),
    'unknown user': ('PLAIN', '\0nobody\0guest'),
    'blank password': ('PLAIN', '\0guest\0'),
    'blank user': ('PLAIN', '\0\0guest'),
    'prefix of the password': ('PLAIN', '\0guest\0gues'),
    'longer password': ('PLAIN', '\0guest\0guestx'),
    'case of the user': ('PLAIN', '\0Guest\0guest'),
    'AMQPLAIN wrong password': ('AMQPLAIN', amqplain(('LOGIN', 'guest'), ('PASSWORD', 'x'))),
    'AMQPLAIN unknown user': ('AMQPLAIN', amqplain(('LOGIN', 'nobody'), ('PASSWORD', 'guest'))),
}


@test(rows=REFUSED)
def refusal_with_the_capability(t, row):
    mechanism, response = row
    wire = answer(t, response, mechanism)
    amqp.check_close(wire.read_method('connection.close'), 403, DENIED.format(mechanism), None)
    wire.send(amqp.method_frame(0, 'connection.close-ok'))
    wire.expect_end()


@test(timed=True, rows={'PLAIN': REFUSED['wrong password'],
                        'AMQPLAIN': REFUSED['AMQPLAIN unknown user']})
def refusal_without_the_capability(t, row):
    mechanism, response = row
    capabilities = [name for name in amqp.CAPABILITIES if name != 'authentication_failure_close']
    began = time.monotonic()
    wire = answer(t, response, mechanism, capabilities)
    wire.expect_end()
    waited = time.monotonic() - began
    check(waited > 2.5, f'expected the end of the stream after 3 s, got it after {waited:.1f} s')


MALFORMED = {
    'authzid': ('PLAIN', 'x\0guest\0guest'),
    'no leading zero': ('PLAIN', 'guest\0guest'),
    'one part': ('PLAIN', '\0guest'),
    'empty': ('PLAIN', ''),
    'AMQPLAIN empty': ('AMQPLAIN', ''),
    'AMQPLAIN no password': ('AMQPLAIN', amqplain(('LOGIN', 'guest'))),
    'AMQPLAIN no login': ('AMQPLAIN', amqplain(('PASSWORD', 'guest'))),
    'AMQPLAIN number': ('AMQPLAIN', amqplain(('LOGIN', 'guest'), ('PASSWORD', 5))),
    'AMQPLAIN cut': ('AMQPLAIN', amqplain(*GUEST)[:-3]),
    'AMQPLAIN with length': ('AMQPLAIN', codec.encode_table(dict(GUEST))),
}


@test(timed=True, rows=MALFORMED)
def malformed_response(t, row):
    """No login, and a fatal end: a close of 403, 501, 502 or 541, or none at all."""
    mechanism, response = row
    wire = answer(t, response, mechanism)
    got = wire.read_frame()
    if got is not None:
        name, values = codec.decode_method(got.payload)
        equal(name, 'connection.close', 'answer')
        check(values['reply_code'] in (403, 501, 502, 541), f'answer: {values}')
        wire.send(amqp.method_frame(0, 'connection.close-ok'))
        wire.expect_end()


@test(rail_only=True, rows={'unknown': 'NONSENSE', 'empty': '', 'lower case': 'plain',
                            'not offered': 'EXTERNAL', 'anonymous': 'ANONYMOUS'})
def unknown_mechanism(t, mechanism):
    wire = answer(t, '\0guest\0guest', mechanism)
    amqp.check_close(wire.read_method('connection.close'), 503, 'COMMAND_INVALID - *', '*')
    wire.send(amqp.method_frame(0, 'connection.close-ok'))
    wire.expect_end()


@test
def refused_client_that_never_answers_does_not_disturb(t):
    for _ in range(20):
        answer(t, '\0guest\0nonsense').close()
    t.connect().finish()
