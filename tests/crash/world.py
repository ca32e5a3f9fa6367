"""One data directory through many rounds: load, death of the broker, restart, judgement."""

import os
import random
import shutil
import signal
import threading
import time
import traceback

import amqp
import broker
from actors import (CONSUMED, QUEUES, Consumer, Publisher, Transactor, declare_all)
from books import SETTLE_WINDOW_S
from clerk import Clerk, ClerkJudge, Scheme, read_queue
from ledger import COMPLAINTS_MAX, Ledger

JOIN_SECONDS = 60
LOG_LINES = 12
# How a round ends: killed in the middle of the work; killed after it, when everything settled must
# be durable; stopped in order in the middle of the work.
ENDINGS = ['kill'] * 7 + ['quiet'] * 2 + ['stop']


class World:
    """The broker, its books, and the actors of the round."""

    def __init__(self, server, seed):
        self.server = server
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.scheme = Scheme()
        self.clerk_books = {}
        self.round = 0
        self.killing = threading.Event()
        self.stopping = threading.Event()
        self.notes = ''
        for name, (durable, _, options) in QUEUES.items():
            if durable:
                self.ledger.book(name, **options)
        if self.random.random() < 0.6:
            server.configure()
        self.is_small = False
        self.has_power = hasattr(server, 'lose_power')

    def play(self):
        """One round; what is wrong, as a list of texts."""
        self.round += 1
        try:
            if self.round == 1:
                self.server.start()
            self.work()
            if not self.ledger.complaints:
                self.restart()
                self.judge()
        except (broker.BrokerFailure, amqp.Mismatch, OSError) as error:
            self.ledger.complain(f'{error}\n{traceback.format_exc()}')
        complaints, self.ledger.complaints = self.ledger.complaints, []
        if complaints:
            complaints.append('end of the log:\n' + '\n'.join(
                [line for line in self.server.lines if ' event=c' not in line][-LOG_LINES:]))
        return complaints

    def finish(self):
        """The last stop, in order; what is wrong."""
        if not self.server.alive():
            return [f'the broker has ended:\n{self.server.log_tail()}']
        status = self.server.end(signal.SIGTERM)
        return [] if status == 0 else [f'exit status {status} after SIGTERM:\n'
                                       f'{self.server.log_tail()}']

    def actors(self):
        pick = self.random
        seed = lambda: pick.randrange(1 << 62)  # noqa: E731
        some = lambda: pick.sample(CONSUMED, pick.randint(1, 4))  # noqa: E731
        windows = [1, 1, 10] if self.is_small else pick.sample([1, 1, 10, 100, 100, 0], 3)
        yield from (Publisher(self, f'p{n}', seed(), window) for n, window in enumerate(windows))
        yield from (Consumer(self, f'c{n}', seed(), some()) for n in range(2))
        yield Consumer(self, 'cn', seed(), ['sn'], no_ack=True)
        if pick.random() < 0.4:
            yield Consumer(self, 'cl', seed(), ['sl'])
        yield Transactor(self, 'tx', seed())
        self.clerk = Clerk(self, 'clerk', seed(), self.scheme, self.clerk_books)
        yield self.clerk

    def work(self):
        """Load until the end of the process."""
        self.ledger.book('st')
        declare_all(self.server.address, self.round == 1)
        self.killing.clear()
        self.stopping.clear()
        self.ending = self.random.choice(ENDINGS)
        # Rounds of the store that are small are written otherwise: over zeros.
        self.is_small = self.random.random() < 0.4
        actors = list(self.actors())
        for actor in actors:
            actor.start()
        moment = self.random.choice([0.2, 0.6, 1.2, 2.4])
        self.stopping.wait(self.random.uniform(0, moment))
        if self.ending == 'quiet':
            self.stopping.set()
            self.join(actors)
            time.sleep(SETTLE_WINDOW_S + 0.2)
        alive = self.server.alive()
        self.killing.set()
        self.killed_at = time.monotonic()
        if self.ending == 'stop':
            self.killed_at += SETTLE_WINDOW_S  # All that the broker has taken is durable.
        status = self.server.end(signal.SIGTERM if self.ending == 'stop' else signal.SIGKILL)
        self.stopping.set()
        self.join(actors)
        del self.ledger.books['st']
        if not alive or (self.ending == 'stop' and status != 0):
            self.ledger.complain(f'the broker ended by itself, status {status}')

    def join(self, actors):
        for actor in actors:
            actor.join(JOIN_SECONDS)
            if actor.is_alive():
                self.ledger.complain(f'{actor.name} does not come to an end')

    def restart(self):
        """Starts again; now and then that is killed as well."""
        if self.has_power and self.ending != 'stop':
            self.server.lose_power()
        while self.random.random() < 0.15:
            self.server.process = self.server.spawn(('127.0.0.1', broker.free_port()),
                                                    self.server.data)
            time.sleep(self.random.uniform(0, 0.1))
            self.server.process.kill()
            self.server.process.communicate()
            if self.has_power:
                self.server.lose_power()
        self.server.start()

    def judge(self):
        connection = amqp.Connection(self.server.address)
        complaints = []
        channel = connection.channel()
        channel.send('queue.declare', queue='st', passive=True)
        if channel.reply('queue.declare-ok', 'channel.close').name == 'queue.declare-ok':
            complaints.append('transient queue st is there')
        else:
            channel.send('channel.close-ok')
        reader = connection.channel()
        count = 0
        for name, book in self.ledger.books.items():
            found = read_queue(reader, name, complaints)
            count += len(found)
            complaints += book.judge(found, self.killed_at)
        reader.close()
        judge = ClerkJudge(connection, self.clerk, self.killed_at)
        self.scheme = judge.judge()
        complaints += judge.complaints
        connection.finish()
        self.notes = (f'{self.ending}, {count} messages, {len(self.scheme.queues)} queues, '
                      f'{len(self.scheme.bindings)} bindings')
        if self.has_power:
            self.notes += f', {self.server.lost} octets lost so far'
        for complaint in complaints[:COMPLAINTS_MAX]:
            self.ledger.complain(complaint)
        if len(complaints) > COMPLAINTS_MAX:
            self.ledger.complaints.append(f'and {len(complaints) - COMPLAINTS_MAX} more')


def keep(server, folder, name):
    """Copies the data directory of a failure to where a person can look at it."""
    if folder:
        shutil.copytree(server.data, os.path.join(folder, name), dirs_exist_ok=True)
