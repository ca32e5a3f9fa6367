"""Worlds whose broker kills itself at a named point, and those whose disk fails it."""

import errno
import os
import re
import signal
import subprocess
import tempfile
import time

import amqp
import broker
from actors import declare_all
from world import World

FIRE_SECONDS = 20
DISK_SECONDS = 2
# So long it tries again in vain before it is stopped.
STUCK_SECONDS = 1
# Which call of a kind fails, from and to: the first ones are made while the broker starts, and only
# writes and syncs go on with every round.
DISK_STARTING = [(1, 1), (2, 6), (6, 15)]
DISK_CALLS = {
    'write': [*DISK_STARTING, (15, 30), (20, 60), (60, 300)],
    'sync': [*DISK_STARTING, (15, 30), (20, 60), (60, 300)],
    'allocate': DISK_STARTING[:2],
    'truncate': DISK_STARTING[:2],
    'create': DISK_STARTING,
    'rename': DISK_STARTING[:2],
}
# Small enough that chunks are written and deleted all the time.
JOURNAL = '64KiB'


def names(railmq):
    """The points that the program has, from what it says of one that it has not."""
    with tempfile.NamedTemporaryFile('w', suffix='.yaml') as file:
        file.write('version: 1\ntesting: {fault: "none:1"}\n')
        file.flush()
        report = subprocess.run([railmq, 'check', file.name], check=False, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    found = re.search(r'the points are:(.*)', report)
    if not found:
        raise broker.BrokerFailure(f'the points of faults cannot be read from:\n{report}')
    return found.group(1).split()


class DoomedWorld(World):
    """The broker ends by itself in the middle of the work."""

    def __init__(self, subject, seed, name, counts):
        super().__init__(subject, seed)
        self.name = name
        self.counts = counts
        self.ending = 'kill'
        subject.configure(journal_bytes=JOURNAL)

    def work(self):
        if self.counts[self.round - 1] == 0:
            super().work()
            return
        self.doom()
        actors = []
        try:
            self.server.start()
            declare_all(self.server.address, False)
            actors = list(self.actors())
        except (broker.BrokerFailure, amqp.ConnectionLost, amqp.Mismatch, OSError) as error:
            self.judge_end(None, f'before there was work: {error}')
        for actor in actors:
            actor.start()
        deadline = time.monotonic() + FIRE_SECONDS
        while self.server.alive() and time.monotonic() < deadline:
            time.sleep(0.003)
        self.killed_at = time.monotonic()
        alive = self.server.alive()
        status = self.server.end(signal.SIGKILL)
        self.stopping.set()
        self.join(actors)
        self.judge_end(status, 'it never came there' if alive else None)
        self.disarm()
        del self.ledger.books['st']

    def doom(self):
        """The broker has stopped, and with its next start the fault is there."""
        self.ledger.book('st')
        if self.round == 1:
            declare_all(self.server.address, True)
        self.server.end(signal.SIGTERM)
        self.arm()
        self.stopping.clear()
        self.killing.set()

    def arm(self):
        self.fault = f'{self.name}:{self.counts[self.round - 1]}'
        self.server.configure(journal_bytes=JOURNAL, fault=self.fault)

    def disarm(self):
        self.server.configure(journal_bytes=JOURNAL)

    def judge_end(self, status, trouble):
        if trouble or status != -signal.SIGKILL:
            self.ledger.complain(f'{self.fault}: {trouble or f"exit status {status}"}\n'
                                 f'{self.server.log_tail()}')


class FailingDiskWorld(DoomedWorld):
    """Calls of the system fail on files of the store. That ends the broker, with status 1 and a line
    that says why, or it can go on; what was confirmed is there after the next start."""

    def __init__(self, subject, seed, call, library):
        super().__init__(subject, seed, call, DISK_CALLS[call])
        self.library = library
        self.fired = False

    @property
    def mark(self):
        return os.path.join(self.server.directory, 'mark')

    def arm(self):
        least, most = self.counts[self.round - 1]
        pick = self.random.choice
        count = self.random.randint(least, most)
        number = pick([errno.EIO, errno.ENOSPC])
        self.server.environment = {
            'LD_PRELOAD': self.library, 'RAIL_DISKFAULT_ROOT': self.server.data,
            'RAIL_DISKFAULT_CALL': self.name, 'RAIL_DISKFAULT_COUNT': str(count),
            'RAIL_DISKFAULT_ERROR': str(number), 'RAIL_DISKFAULT_MARK': self.mark,
            **{f'RAIL_DISKFAULT_{name}': '1' for name in ('ONCE', 'SHORT') if pick([True, False])}}
        self.fault = ' '.join([self.name, str(count), errno.errorcode[number],
                               *(name[15:] for name in self.server.environment
                                 if name.endswith(('ONCE', 'SHORT')))])
        if os.path.exists(self.mark):
            os.unlink(self.mark)

    def disarm(self):
        super().disarm()
        self.server.environment = {}
        self.fired = self.fired or os.path.exists(self.mark)

    def has_failed(self):
        return any('event=store.failed' in line for line in self.server.lines)

    def is_stuck(self):
        """Whether the disk has been found full and not had room since."""
        said = [line for line in list(self.server.lines) if 'event=store.full ' in line]
        return bool(said) and 'state=on' in said[-1]

    def wait_for_end(self):
        """From the moment it says that it fails, or that the disk is full for good, the broker
        takes nothing for good."""
        deadline = time.monotonic() + DISK_SECONDS
        stuck_since = None
        while self.server.alive() and not self.has_failed():
            now = time.monotonic()
            stuck_since = (stuck_since or now) if self.is_stuck() else None
            if stuck_since and now > stuck_since + STUCK_SECONDS or (
                    now > deadline + (DISK_SECONDS if os.path.exists(self.mark) else 0)):
                break
            time.sleep(0.003)
        self.killed_at = stuck_since or time.monotonic()
        return stuck_since is not None and self.server.alive() and not self.has_failed()

    def begin(self):
        """Whether the broker has started in spite of its disk, and who works on it: some may not
        have come to begin."""
        self.doom()
        self.server.address = ('127.0.0.1', broker.free_port())
        actors = list(self.actors())
        started = self.server.launch()
        try:
            if started:
                declare_all(self.server.address, False)
                for actor in actors:
                    actor.start()
        except (amqp.ConnectionLost, amqp.Mismatch, OSError):
            pass
        return started, [actor for actor in actors if actor.ident is not None]

    def work(self):
        _, actors = self.begin()
        is_stuck = self.wait_for_end()
        self.stopping.set()
        if is_stuck:
            self.server.process.send_signal(signal.SIGTERM)
        self.join(actors)
        if not self.has_failed() and self.server.alive() and not is_stuck:
            self.killed_at = time.monotonic()
            self.server.process.send_signal(signal.SIGTERM)
        self.judge_failure(self.server.wait())
        self.disarm()
        del self.ledger.books['st']

    def judge_failure(self, status):
        reasons = [line for line in self.server.lines
                   if line.startswith('railmq: cannot start: ') or 'event=server.stopped' in line]
        if status not in (0, 1) or not reasons:
            self.ledger.complain(f'{self.fault}: exit status {status}\n{self.server.log_tail()}')
        elif any('event=store.reopen ' in line for line in self.server.lines):
            self.ledger.complain(f'{self.fault}: the store has lost something\n'
                                 f'{self.server.log_tail()}')
        elif status == 1 and not os.path.exists(self.mark):
            self.ledger.complain(f'{self.fault}: failed without a reason\n{self.server.log_tail()}')

    def play(self):
        complaints = super().play()
        self.notes = f'{self.fault}: {self.notes}'
        if self.round == len(self.counts) and not self.fired:
            complaints.append(f'no {self.name} was ever made to fail: the test tests nothing')
        return complaints
