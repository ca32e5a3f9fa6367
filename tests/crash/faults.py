"""Worlds whose broker kills itself at a named point, and those whose disk fails it."""

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


def configure(subject, **testing):
    """The broker starts with these settings from now on."""
    path = os.path.join(subject.directory, 'broker.yaml')
    with open(path, 'w', encoding='utf-8') as file:
        file.write('version: 1\ntesting:\n' +
                   ''.join(f'  {name}: "{value}"\n' for name, value in testing.items()))
    subject.arguments = ['--config', path]


class DoomedWorld(World):
    """The broker ends by itself in the middle of the work."""

    def __init__(self, subject, seed, name, counts):
        super().__init__(subject, seed)
        self.name = name
        self.counts = counts
        self.ending = 'kill'
        configure(subject, journal_bytes=JOURNAL)

    def work(self):
        self.ledger.book('st')
        if self.round == 1:
            declare_all(self.server.address, True)
        self.server.end(signal.SIGTERM)
        self.arm()
        self.stopping.clear()
        self.killing.set()
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

    def arm(self):
        self.fault = f'{self.name}:{self.counts[self.round - 1]}'
        configure(self.server, journal_bytes=JOURNAL, fault=self.fault)

    def disarm(self):
        configure(self.server, journal_bytes=JOURNAL)

    def judge_end(self, status, trouble):
        if trouble or status != -signal.SIGKILL:
            self.ledger.complain(f'{self.fault}: {trouble or f"exit status {status}"}\n'
                                 f'{self.server.log_tail()}')
