"""The broker under test: a railmq process of our own, or one that runs elsewhere."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

STARTED = 'Server startup complete'
START_SECONDS = 30
STOP_SECONDS = 30
SANITIZER = re.compile(r'ERROR: \w*Sanitizer|runtime error:|WARNING: ThreadSanitizer')


class BrokerFailure(AssertionError):
    pass


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def files_below(directory):
    """Path and status of every file."""
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            yield path, os.stat(path)


class ForeignBroker:
    """Somebody else's process: it can be spoken to, but not started, watched or stopped."""

    own = False
    label = 'foreign'

    def __init__(self, address):
        host, _, port = address.rpartition(':')
        self.address = (host or '127.0.0.1', int(port))

    def start(self):
        return self

    def survives(self):
        return True

    def stop(self):
        return None

    def log_tail(self):
        return ''


class Broker:
    """`railmq serve` on a free port with an empty data directory."""

    own = True
    simulation = None  # Configuration of those that have none of their own: without a store.
    tls_directory = None  # Of certificates, if everything goes over TLS.

    def __init__(self, railmq):
        self.railmq = railmq
        self.arguments = []
        self.environment = {}  # Beside our own.
        self.directory = None
        self.process = None
        self.terminated = False
        self.lines = []

    def start(self):
        for _ in range(3):
            if self._launch():
                return self
            if not any('in use' in line.lower() for line in self.lines):
                break
        raise BrokerFailure(f'broker did not start:\n{self.log_tail()}')

    def _launch(self):
        self.directory = tempfile.mkdtemp(prefix='rail-protocol-')
        self.address = ('127.0.0.1', free_port())
        if self.launch():
            return True
        self.kill()
        return False

    def launch(self):
        """Starts the process on the address and directory that are set."""
        self.process = self.spawn(self.address, os.path.join(self.directory, 'data'))
        self.lines = []
        self.terminated = False
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self._collect, daemon=True)
        self.reader.start()
        return self.ready.wait(START_SECONDS) and self.alive()

    def listening(self, address):
        """Options that say where."""
        where = f'{address[0]}:{address[1]}'
        if self.tls_directory is None:
            return ['--listen', where]
        return ['--listen-tls', where, '--tls-dir', self.tls_directory]

    def spawn(self, address, data):
        """Another broker process; its caller waits for it."""
        command = [self.railmq, 'serve', *self.listening(address), '--data-dir', data,
                   *self.arguments]
        if self.simulation and '--config' not in self.arguments:
            command += ['--config', self.simulation]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, env={**os.environ, **self.environment},
                                errors='replace')

    def _collect(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip('\n'))
            if STARTED in line:
                self.ready.set()
        self.ready.set()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def survives(self):
        """Whether it is still there a moment after a failure: a sanitizer takes its time."""
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            return True
        return False

    @property
    def pid(self):
        return self.process.pid

    def resident(self):
        """Resident set size in octets."""
        with open(f'/proc/{self.pid}/status', encoding='ascii') as status:
            for line in status:
                if line.startswith('VmRSS:'):
                    return int(line.split()[1]) * 1024
        raise BrokerFailure('no VmRSS in /proc')

    def sanitized(self, by='[at]'):
        """Whether the binary has a sanitizer built in, which makes its memory meaningless."""
        with open(self.railmq, 'rb') as binary:
            return re.search(rb'__%bsan_init' % by.encode(), binary.read()) is not None

    def terminate(self):
        """Sends SIGTERM, once: a second one may mean to hurry."""
        if self.alive() and not self.terminated:
            self.terminated = True
            self.process.send_signal(signal.SIGTERM)

    def wait(self):
        """The exit status, once the whole log has been read."""
        status = self.process.wait(STOP_SECONDS)
        self.reader.join(STOP_SECONDS)
        return status

    def stop(self):
        """Stops in good order; the failure as a text, or None."""
        try:
            self.terminate()
            status = self.wait()
        except subprocess.TimeoutExpired:
            return f'broker did not stop within {STOP_SECONDS} s of SIGTERM\n{self.log_tail()}'
        finally:
            self.kill()
        reports = [line for line in self.lines if SANITIZER.search(line)]
        if reports:
            first = self.lines.index(reports[0])
            return 'sanitizer report:\n' + '\n'.join(self.lines[first:first + 40])
        if status != 0:
            return f'expected exit status 0 after SIGTERM, got {status}\n{self.log_tail()}'
        return None

    def kill(self):
        if self.alive():
            self.process.kill()
            self.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self):
        return '\n'.join(self.lines[-20:])
