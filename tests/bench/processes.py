"""What is measured: broker processes of our own, each on a free port of 127.0.0.1 with a
directory that is removed at the end."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'protocol'))

import amqp  # noqa: E402 pylint: disable=wrong-import-position

START_SECONDS = 60
RESTART_SECONDS = 600
CONNECT_AGAIN_SECONDS = 0.001
STOP_SECONDS = 20
TICKS = os.sysconf('SC_CLK_TCK')


class Unusable(Exception):
    """A broker did not start, or something it is made of is missing."""


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def cpu_seconds(pid):
    """User and system time of all threads of a process so far."""
    text = pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='utf-8', errors='replace')
    fields = text.rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid):
    """Resident and anonymous memory in octets."""
    text = pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text(encoding='ascii')
    return {name: int(re.search(rf'^{key}: +(\d+) kB', text, re.MULTILINE).group(1)) * 1024
            for name, key in (('rss', 'Rss'), ('anonymous', 'Anonymous'))}


def written_octets(pid):
    """What a process has had written to disks so far, as the kernel counts: whole pages, when they
    become dirty."""
    text = pathlib.Path(f'/proc/{pid}/io').read_text(encoding='ascii')
    return int(re.search(r'^write_bytes: (\d+)', text, re.MULTILINE).group(1))


class Peer:
    """A process that speaks AMQP. Use as a context manager."""

    name = ''
    key = ''

    def __init__(self):
        self.port = None
        self.process = None
        self.pid = None
        self.directory = None

    @property
    def uri(self):
        return f'amqp://guest:guest@127.0.0.1:{self.port}/%2F'

    @property
    def address(self):
        return ('127.0.0.1', self.port)

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix='rail-bench-')
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()

    def spawn(self, command, **options):
        """Starts a process in a session of its own, with its output in a log."""
        with open(os.path.join(self.directory, 'log'), 'ab') as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    start_new_session=True, **options)

    def log(self):
        path = pathlib.Path(self.directory, 'log')
        return path.read_text(encoding='utf-8', errors='replace') if path.exists() else ''

    def wait_until(self, ready):
        end = time.monotonic() + START_SECONDS
        while True:
            result = ready()
            if result:
                return result
            if self.process.poll() is not None or time.monotonic() > end:
                raise Unusable(f'{self.name} did not start:\n{self.log()[-2000:]}')
            time.sleep(0.02)

    def start(self):
        raise NotImplementedError

    def check(self):
        """Complains if the process has ended by itself."""
        if self.process.poll() is not None:
            raise Unusable(f'{self.name} ended with status {self.process.returncode}:\n'
                           f'{self.log()[-2000:]}')

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Rail(Peer):
    name = 'Rail'
    key = 'rail'

    def __init__(self, railmq, settings=None):
        """`settings` is the text of a configuration file."""
        super().__init__()
        self.railmq = railmq
        self.settings = settings
        self.version = None

    @property
    def data(self):
        return os.path.join(self.directory, 'data')

    def serve(self, port):
        command = [self.railmq, 'serve', '--listen', f'127.0.0.1:{port}', '--data-dir', self.data]
        if self.settings is not None:
            path = os.path.join(self.directory, 'settings.yaml')
            with open(path, 'w', encoding='utf-8') as file:
                file.write(self.settings)
            command += ['--config', path]
        self.process = self.spawn(command)
        self.pid = self.process.pid

    def start(self):
        # The system chooses the port, and the broker logs it.
        self.serve(0)
        self.wait_until(lambda: 'Server startup complete' in self.log())
        self.port = int(re.search(r'event=server\.listen .*port=(\d+)', self.log()).group(1))
        self.version = re.search(r'event=server\.start version=(\S+)', self.log()).group(1)


    def restart(self):
        """Ends the broker with SIGKILL and starts it again on the same data. Returns when the port
        takes connections; tells the time of the start."""
        self.process.kill()
        self.process.wait()
        begin = time.monotonic()
        self.serve(self.port)
        while True:
            with contextlib.suppress(OSError), socket.create_connection(self.address):
                return begin
            self.check()
            if time.monotonic() > begin + RESTART_SECONDS:
                raise Unusable(f'{self.name} does not listen {RESTART_SECONDS} s after a restart')
            time.sleep(CONNECT_AGAIN_SECONDS)


class Relay(Peer):
    """The ceiling; see relay.c."""

    name = 'relay'
    key = 'relay'
    version = None

    def __init__(self, program, threads):
        super().__init__()
        self.program = program
        self.threads = threads

    def start(self):
        self.process = self.spawn([self.program, str(self.threads)])
        self.pid = self.process.pid
        self.port = int(self.wait_until(lambda: re.search(r'^port=(\d+)', self.log())).group(1))


class RabbitMQ(Peer):
    """A node of its own: name, ports, cookie, directories and port mapper are private."""

    name = 'RabbitMQ'
    key = 'rabbitmq'

    def __init__(self, script):
        super().__init__()
        self.script = script
        self.version = None
        self.mapper = None

    @staticmethod
    def find():
        """The script that starts the server as the user who calls it, or None. What Debian has in
        the path is a wrapper that changes the user; the script is in the wrapper's real folder."""
        found = shutil.which('rabbitmq-server')
        if found is None:
            return None
        script = pathlib.Path(found).resolve().parent / 'rabbitmq-server'
        if script.exists() and (script.parent / 'rabbitmq-env').exists():
            return str(script)
        return None

    def environment(self, mapper_port):
        own = {
            'HOME': self.directory,
            'ERL_EPMD_PORT': str(mapper_port),
            'RABBITMQ_NODENAME': f'bench{os.getpid()}@localhost',
            'RABBITMQ_NODE_IP_ADDRESS': '127.0.0.1',
            'RABBITMQ_NODE_PORT': str(self.port),
            'RABBITMQ_DIST_PORT': str(free_port()),
            'RABBITMQ_MNESIA_BASE': os.path.join(self.directory, 'mnesia'),
            'RABBITMQ_LOG_BASE': os.path.join(self.directory, 'logs'),
            'RABBITMQ_CONFIG_FILE': os.path.join(self.directory, 'rabbitmq'),
            'RABBITMQ_ADVANCED_CONFIG_FILE': os.path.join(self.directory, 'advanced'),
            'RABBITMQ_CONF_ENV_FILE': os.path.join(self.directory, 'rabbitmq-env.conf'),
            'RABBITMQ_ENABLED_PLUGINS_FILE': os.path.join(self.directory, 'enabled_plugins'),
        }
        inherited = {name: value for name, value in os.environ.items()
                     if not name.startswith('RABBITMQ_')}
        return {**inherited, **own}

    def start(self):
        mapper_port = free_port()
        self.port = free_port()
        environment = self.environment(mapper_port)
        pathlib.Path(self.directory, 'enabled_plugins').write_text('[].\n', encoding='ascii')
        mapper = shutil.which('epmd')
        if mapper is None:
            raise Unusable('rabbitmq-server is installed, but epmd is not')
        self.mapper = self.spawn([mapper, '-port', str(mapper_port), '-address', '127.0.0.1'],
                                 env=environment)
        self.process = self.spawn([self.script], env=environment)
        self.version = self.wait_until(self.greeting)
        self.pid = self.machine()

    def greeting(self):
        """The version that the server tells in its first method."""
        with contextlib.suppress(OSError, amqp.Mismatch):
            connection = amqp.Connection(self.address)
            version = connection.server.server_properties['version']
            connection.finish()
            return str(getattr(version, 'value', version))
        return None

    def machine(self):
        """The Erlang machine among the processes of the script's session."""
        for entry in pathlib.Path('/proc').iterdir():
            with contextlib.suppress(OSError, ValueError):
                pid = int(entry.name)
                if os.getsid(pid) == self.process.pid and \
                        (entry / 'comm').read_text(encoding='ascii').strip() == 'beam.smp':
                    return pid
        raise Unusable('there is no beam.smp among the processes of rabbitmq-server')

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            # The script hands the signal on and waits; helpers of the machine may outlive it.
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        for process in (self.process, self.mapper):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
