"""The broker under test: a process that is killed and started again on the same data directory."""

import os
import shutil
import signal
import tempfile

import broker

LAUNCH_ATTEMPTS = 3
# So little that messages leave memory and come back all the time.
MESSAGE_MEMORY = '64KiB'


class Server(broker.Broker):
    """A broker whose data directory outlives its processes."""

    def __init__(self, railmq, environment=None):
        super().__init__(railmq)
        self.environment = environment or {}
        self.directory = tempfile.mkdtemp(prefix='rail-crash-')

    @property
    def data(self):
        return os.path.join(self.directory, 'data')

    def configure(self, message_memory=MESSAGE_MEMORY, outbox='256KiB', **testing):
        """The broker starts with these settings from now on."""
        path = os.path.join(self.directory, 'broker.yaml')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'version: 1\nlimits: {{message_memory: {message_memory}, '
                       f'outbox_bytes: {outbox}}}\n')
            if testing:
                file.write('testing:\n' + ''.join(f'  {name}: "{value}"\n'
                                                  for name, value in testing.items()))
        self.arguments = ['--config', path]

    def launch(self):
        """True if it came up: it may also have said why not, and be about to end."""
        return super().launch() and any(broker.STARTED in line for line in self.lines)

    def start(self):
        """Starts a process on what is in the data directory."""
        for _ in range(LAUNCH_ATTEMPTS):
            self.address = ('127.0.0.1', broker.free_port())
            if self.launch():
                return self
            self.end(signal.SIGKILL)
            if not any('in use' in line.lower() for line in self.lines):
                break
        raise broker.BrokerFailure(f'the broker did not start:\n{self.log_tail()}')

    def start_refused(self):
        """Starts a process that must not come up: its exit status, or None if it did."""
        self.address = ('127.0.0.1', broker.free_port())
        if self.launch():
            return None
        return self.wait()

    def spawn(self, address, data):
        inherited = dict(os.environ)
        os.environ.update(self.environment)
        try:
            return super().spawn(address, data)
        finally:
            os.environ.clear()
            os.environ.update(inherited)

    def end(self, number):
        """Sends a signal and waits for the end; the exit status."""
        if self.alive():
            self.process.send_signal(number)
        return self.wait()

    def remove(self):
        if self.process is not None:
            self.end(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)
