"""Commands that ask somebody at a terminal, on a pseudo-terminal."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import termios

from harness import test, check, equal, eventually

PLAIN = True
TIMEOUT_S = 30
PASSWORD = b'correct horse\n'


def take_terminal():
    """As a shell starts what somebody types; who runs the tests may ignore these signals."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Terminal:
    """A process whose controlling terminal we hold the other end of."""

    def __init__(self, *command):
        self.master, self.slave = os.openpty()
        self.output = b''
        # pylint: disable=subprocess-popen-preexec-fn
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True,
            preexec_fn=take_terminal)

    @property
    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def type(self, octets):
        os.write(self.master, octets)

    def expect(self, octets):
        """Reads until that is there, and returns and forgets everything up to it."""
        while octets not in self.output:
            ready, _, _ = select.select([self.master], [], [], TIMEOUT_S)
            check(ready, f'no {octets} in {self.output}')
            self.output += os.read(self.master, 4096)
        before, _, self.output = self.output.partition(octets)
        return before

    def asked(self, prompt):
        self.expect(prompt)
        eventually(lambda: self.echoes, False, f'echo at {prompt}')

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@contextlib.contextmanager
def terminal(*command):
    it = Terminal(*command)
    try:
        yield it
    finally:
        it.close()


@test(process=True)
def a_password_is_not_shown(t):
    with terminal(t.broker.railmq, 'hash-password', '-a', 'sha256') as it:
        check(it.echoes, 'no echo before')
        for prompt in (b'Password: ', b'Again: '):
            it.asked(prompt)
            it.type(PASSWORD)
        equal(it.process.wait(timeout=60), 0, 'exit status')
        check(it.echoes, 'no echo afterwards')
        output = it.expect(b'sha256:') + it.expect(b'\r\n')
        check(PASSWORD.strip() not in output, f'password in {output}')


@test(process=True, signals=True, rows={
    'Ctrl-C': (b'\x03', signal.SIGINT), 'Ctrl-\\': (b'\x1c', signal.SIGQUIT),
    'SIGINT': (None, signal.SIGINT), 'SIGTERM': (None, signal.SIGTERM),
    'SIGHUP': (None, signal.SIGHUP)})
def the_terminal_echoes_after(t, row):
    """Whichever prompt the command is ended at; its parent sees what has ended it."""
    key, number = row
    for prompts in ([b'Password: '], [b'Password: ', b'Again: ']):
        with terminal(t.broker.railmq, 'hash-password') as it:
            for prompt in prompts[:-1]:
                it.asked(prompt)
                it.type(PASSWORD)
            it.asked(prompts[-1])
            if key is None:
                it.process.send_signal(number)
            else:
                it.type(key)
            equal(it.process.wait(timeout=60), -number, f'what ended it at {prompts[-1]}')
            check(it.echoes, f'no echo after it was ended at {prompts[-1]}')


@test(process=True)
def a_signal_that_is_ignored_stays_ignored(t):
    with terminal('sh', '-c', 'trap "" INT; exec "$0" hash-password -a sha256',
                  t.broker.railmq) as it:
        it.asked(b'Password: ')
        it.process.send_signal(signal.SIGINT)
        it.type(PASSWORD)
        it.asked(b'Again: ')
        it.type(PASSWORD)
        equal(it.process.wait(timeout=60), 0, 'exit status')


@test(process=True, signals=True)
def it_may_be_stopped_and_continued(t):
    """The shell that it is stopped for has a terminal that echoes."""
    with terminal('sh', '-m', '-c', '"$0" hash-password -a sha256; stty -a; echo waiting; '
                  'read line; echo "continue $line"; fg', t.broker.railmq) as it:
        it.asked(b'Password: ')
        it.type(b'\x1a')
        settings = it.expect(b'waiting\r\n').split()
        check(b'echo' in settings and b'-echo' not in settings, f'no echo in {settings}')
        it.type(b'now\n')
        it.expect(b'continue now')
        eventually(lambda: it.echoes, False, 'echo once it goes on')
        it.type(PASSWORD)
        it.asked(b'Again: ')
        it.type(PASSWORD)
        equal(it.process.wait(timeout=60), 0, 'exit status')
        check(it.echoes, 'no echo afterwards')
