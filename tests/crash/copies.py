"""Backups and restores that are killed, the broker beside them, or both. Afterwards the source has
lost nothing; a copy that is not complete is refused by whoever opens it, and can be made again; one
that is complete holds what was confirmed before it was begun, in order, and nothing else."""

import copy
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import amqp
import broker
import server
from cases import judge_store, make_messages, make_store, publish_confirmed
from clerk import read_queue
from books import QueueBook
from world import World

COMMAND_SECONDS = 60
BACKUPS_MAX = 3
ATTEMPTS_MAX = 40
KILL_SECONDS = [0.05, 0.2, 0.5]
# Points that only backups and restores come to, and those of them that the broker comes to.
POINTS = ('copy.', 'checkpoint.')
BROKER_POINTS = 'checkpoint.'
FILE_POINT = 'copy.file'
NOT_COMPLETE = 'is not complete'
# Of brokers that do not start; it means nothing to anybody.
LEFT_BY_BROKERS = {'witness', 'ballast'}


class Command:
    """A `railmq store` command that may be killed."""

    def __init__(self, railmq, *words):
        self.process = subprocess.Popen([railmq, 'store', *words], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self, kill_after=None):
        """Its exit status; `output` has what it said."""
        try:
            self.process.wait(COMMAND_SECONDS if kill_after is None else kill_after)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.output = self.process.communicate()[0]
        self.status = self.process.returncode
        return self.status


class Ground:
    """Where copies of one world lie, and the commands that make them."""

    def __init__(self, subject):
        self.subject = subject
        self.railmq = subject.railmq
        self.number = 0

    def new(self, kind):
        """A path that nothing lies at."""
        self.number += 1
        return os.path.join(self.subject.directory, f'{kind}-{self.number}')

    def run(self, *words, kill_after=None):
        command = Command(self.railmq, *words)
        command.end(kill_after)
        return command

    def fault(self, point, count):
        """The words that have a command die at a point."""
        path = os.path.join(self.subject.directory, 'fault.yaml')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'version: 1\ntesting: {{fault: "{point}:{count}"}}\n')
        return ['--config', path]

    def backup(self, path, *words, kill_after=None):
        return self.run('backup', '--data-dir', self.subject.data, *words, path,
                        kill_after=kill_after)

    def restore(self, backup, target, *words, kill_after=None):
        return self.run('restore', '--data-dir', target, *words, backup, kill_after=kill_after)

    def broker_on(self, data):
        """A second broker, on a data directory that a command made."""
        second = server.Server(self.railmq)
        os.rename(data, second.data)
        return second


def state_of(path):
    """What a command has left there: 'complete', 'unfinished' or 'nothing'."""
    names = os.listdir(path) if os.path.isdir(path) else []
    if 'store' in names:
        return 'complete'
    if any(name.startswith(('tmp-backup-', 'tmp-restore-')) for name in names):
        return 'unfinished'
    return 'nothing'


def expect(command, status, words, what):
    if command.status == status and words in command.output:
        return
    yield (f'{what}: exit status {command.status}, not {status}, or no word of "{words}":\n'
           f'{command.output}')


def judge_refused(ground, path):
    """Whoever opens what is not complete says so and leaves it alone."""
    before = sorted(os.listdir(path))
    target = ground.new('refused')
    for words in (['verify', '--data-dir', path], ['info', '--data-dir', path],
                  ['backup', '--data-dir', path, target]):
        yield from expect(ground.run(*words), 1, NOT_COMPLETE, f'{words[0]} of an unfinished copy')
    shutil.rmtree(target)
    if any(name.startswith('tmp-backup-') for name in before):
        yield from expect(ground.restore(path, target), 1, NOT_COMPLETE,
                          'restore of an unfinished backup')
        if os.path.exists(target):
            yield 'a refused restore made a data directory'
    second = ground.broker_on(path)
    try:
        if second.start_refused() is None:
            yield f'a broker started on an unfinished copy: {before}'
        elif not any(NOT_COMPLETE in line for line in second.lines):
            yield f'a broker does not say that the copy is not complete:\n{second.log_tail()}'
        second.end(signal.SIGKILL)
        os.rename(second.data, path)
    finally:
        second.remove()
    after = sorted(os.listdir(path))
    if set(after) - LEFT_BY_BROKERS != set(before) - LEFT_BY_BROKERS:
        yield f'an unfinished copy has been changed: {before}, now {after}'


def judge_half_restore(ground, backup, target):
    """It is refused, and can be begun again."""
    if state_of(target) == 'unfinished':
        yield from judge_refused(ground, target)
    if state_of(target) != 'complete':
        yield from expect(ground.restore(backup, target), 0, 'is restored', 'a second restore')


def judge_restored(ground, backup, judge, kill_after=None, words=()):
    """Restores a backup, perhaps in spite of a death, and has what a broker finds there judged."""
    target = ground.new('restored')
    first = ground.restore(backup, target, *words, kill_after=kill_after)
    if first.status != 0 and (kill_after is None and not words or first.status > 0):
        yield f'restore: exit status {first.status}\n{first.output}'
    yield from judge_half_restore(ground, backup, target)
    if state_of(target) != 'complete':
        yield 'nothing was restored'
        return
    second = ground.broker_on(target)
    try:
        second.start()
        yield from judge(second)
        left = [name for name in os.listdir(second.data) if name.startswith('tmp-')]
        if left:
            yield f'the broker leaves {left}'
    finally:
        second.remove()


def judge_complete(ground, path, judge, **options):
    yield from expect(ground.run('verify', '--data-dir', path), 0, 'is sound', 'verify of a backup')
    yield from judge_restored(ground, path, judge, **options)


class Snapshot:
    """The books as they stand now."""

    def __init__(self, ledger):
        self.taken_at = time.monotonic()
        self.books = {name: (book, {key: copy.copy(one)
                                    for key, one in list(book.copies.items())})
                      for name, book in list(ledger.books.items()) if name != 'st'}

    def image(self, after):
        """What a copy may hold that was made between this and a later snapshot."""
        books = {}
        for name, (book, copies) in after.books.items():
            fresh = books[name] = QueueBook(name, book.priorities, book.lossy, book.refuses)
            before = self.books[name][1]
            for key, later in copies.items():
                one = fresh.copies[key] = copy.copy(later)
                early = before.get(key)
                one.confirmed = early is not None and early.confirmed
                one.delivered = early is not None and early.delivered
                one.settled_at = early.settled_at if early is not None else None
                one.settled_durably = early is not None and early.settled_durably
        return books

    def judge(self, after):
        """The judge of a broker on such a copy."""
        def judge(subject):
            complaints = []
            connection = amqp.Connection(subject.address)
            reader = connection.channel()
            for name, book in self.image(after).items():
                complaints += book.judge(read_queue(reader, name, complaints), self.taken_at)
            connection.finish()
            return [f'in a backup: {text}' for text in complaints]
        return judge


class Copier(threading.Thread):
    """Makes backups while a world is at work; each is left to finish, or killed."""

    def __init__(self, world, seed):
        super().__init__(name='copier', daemon=True)
        self.world = world
        self.random = random.Random(seed)
        self.made = []

    def run(self):
        for number in range(BACKUPS_MAX):
            self.world.stopping.wait(self.random.expovariate(10))
            if number > 0 and self.world.stopping.is_set():
                break
            path = self.world.ground.new('backup')
            before = Snapshot(self.world.ledger)
            kill_after = None
            if self.random.random() < 0.5:
                kill_after = self.random.uniform(0, self.random.choice(KILL_SECONDS))
            words = ['--no-verify'] if self.random.random() < 0.5 else []
            command = self.world.ground.backup(path, *words, kill_after=kill_after)
            self.made.append((path, command, before, Snapshot(self.world.ledger)))


class CopiesWorld(World):
    """A world whose broker is backed up all the time; what is going on when it is killed goes on
    while the next one starts."""

    def __init__(self, subject, seed):
        super().__init__(subject, seed)
        self.ground = Ground(subject)

    def actors(self):
        self.copier = Copier(self, self.random.randrange(1 << 62))
        self.copier.start()
        yield from super().actors()

    def restart(self):
        """A backup that began when no broker ran may have the store; then a broker says so."""
        try:
            super().restart()
        except broker.BrokerFailure:
            if not any('another process uses it' in line for line in self.server.lines):
                raise
            self.copier.join()
            self.server.start()

    def judge(self):
        self.copier.join()
        super().judge()
        states = []
        for path, command, before, after in self.copier.made:
            states.append(state_of(path))
            for complaint in self.judge_backup(path, command, before.judge(after)):
                self.ledger.complain(complaint)
        self.notes += f', backups: {", ".join(states) or "none"}'

    def judge_backup(self, path, command, judge):
        state = state_of(path)
        if command.status == 0 and sorted(os.listdir(path)) != ['store', 'witness']:
            yield f'a backup was made, and there is {os.listdir(path)}'
        elif command.status > 0 and (state != 'nothing' or
                                     'railmq store backup: ' not in command.output):
            yield f'exit status {command.status}, and there is: {state}\n{command.output}'
        if state == 'unfinished':
            yield from judge_refused(self.ground, path)
        if state != 'complete':
            judge = self.make_again(path)
        kill_after = None
        if self.random.random() < 0.5:
            kill_after = self.random.uniform(0, self.random.choice(KILL_SECONDS))
        yield from judge_complete(self.ground, path, judge, kill_after=kill_after)

    def make_again(self, path):
        """The broker rests: the backup holds exactly what it has."""
        now = Snapshot(self.ledger)
        command = self.ground.backup(path)
        for complaint in expect(command, 0, 'is sound', 'a second backup'):
            self.ledger.complain(complaint)
        return now.judge(now)


def judge_doomed_backup(ground, point, count, judge):
    """A backup of the running broker, or of the stopped one, dies at a point."""
    path = ground.new('backup')
    command = ground.backup(path, *ground.fault(point, count))
    if command.status != -signal.SIGKILL and (count == 1 or command.status != 0):
        yield f'{point}:{count}: exit status {command.status}\n{command.output}'
    state = state_of(path)
    if state == 'unfinished':
        yield from judge_refused(ground, path)
    if state != 'complete':
        yield from expect(ground.backup(path), 0, 'is sound', 'a second backup')
    yield from judge_complete(ground, path, judge)


def judge_doomed_restore(ground, point, count, judge):
    path = ground.new('backup')
    yield from expect(ground.backup(path), 0, 'is sound', 'a backup')
    yield from judge_restored(ground, path, judge, words=ground.fault(point, count))


def judge_doomed_broker(ground, point, judge):
    """The broker dies while it makes a checkpoint: the command says so, and there is no backup."""
    subject = ground.subject
    path = ground.new('backup')
    subject.end(signal.SIGTERM)
    subject.configure(fault=f'{point}:1')
    subject.start()
    yield from expect(ground.backup(path), 1, 'railmq store backup: ', f'backup at {point}')
    status = subject.end(signal.SIGTERM)
    if status != -signal.SIGKILL:
        yield f'{point}: the broker came to its end with status {status}\n{subject.log_tail()}'
    if state_of(path) != 'nothing':
        yield f'{point}: there is {os.listdir(path)}'
    subject.configure()
    yield from expect(ground.backup(path), 0, 'is sound', 'a backup of the dead broker')
    subject.start()
    left = [name for name in os.listdir(subject.data) if name.startswith('tmp-')]
    if left:
        yield f'{point}: the broker leaves {left}'
    yield from judge_complete(ground, path, judge)


def doomed_copy(options, seed, point):
    """What comes to a named point dies there, once in each way."""
    rand = random.Random(seed)
    subject = server.Server(os.path.abspath(options.railmq))
    ground = Ground(subject)
    complaints = []
    try:
        subject.start()
        books = make_store(subject, rand)
        judge = lambda second: judge_store(second, copy.deepcopy(books))  # noqa: E731
        counts = [1, 2, rand.randint(3, 7)] if point == FILE_POINT else [1]
        if point.startswith(BROKER_POINTS):
            subject.start()
            complaints += judge_doomed_broker(ground, point, judge)
        else:
            for count in counts:
                complaints += judge_doomed_backup(ground, point, count, judge)
                complaints += judge_doomed_restore(ground, point, count, judge)
            subject.start()
            for count in counts:
                complaints += judge_doomed_backup(ground, point, count, judge)
        complaints += judge(subject)
    finally:
        subject.remove()
    return complaints


def stop_while_copying(command, path):
    """Halts a backup with its copy half made; false if it was too fast."""
    while command.process.poll() is None:
        if state_of(path) == 'unfinished':
            command.process.send_signal(signal.SIGSTOP)
            return state_of(path) == 'unfinished'
    return False


def broker_gone(options, seed):
    """The broker is killed, and perhaps started again, in the middle of a backup: that is no backup,
    even if nobody reads it again. What the next broker finds in its directory goes."""
    rand = random.Random(seed)
    subject = server.Server(os.path.abspath(options.railmq))
    ground = Ground(subject)
    complaints, hits = [], {True: 0, False: 0}
    try:
        subject.start()
        channel = amqp.Connection(subject.address).channel()
        channel.declare('q', durable=True)
        publish_confirmed(channel.connection, make_messages(rand, 'q', 2000))
        for number in range(ATTEMPTS_MAX):
            starts_again = number % 2 == 0
            path = ground.new('backup')
            command = Command(ground.railmq, 'backup', '--no-verify', '--data-dir', subject.data,
                              path)
            caught = stop_while_copying(command, path)
            subject.end(signal.SIGKILL)
            if starts_again:
                subject.start()
            command.process.send_signal(signal.SIGCONT)
            command.end()
            if caught and command.status == 0:  # It had all, and had looked whether it is true.
                caught = False
                complaints += expect(ground.run('verify', '--data-dir', path), 0, 'is sound',
                                     'a backup that was finished')
            hits[starts_again] += caught
            if caught:
                words = 'cannot' if 'cannot' in command.output else 'the broker has ended'
                complaints += expect(command, 1, words, 'a backup whose broker is gone')
                if os.listdir(path):
                    complaints.append(f'it leaves {os.listdir(path)}')
            if not starts_again:
                subject.start()
            if min(hits.values()) > 1:
                return complaints
    finally:
        subject.remove()
    return [*complaints, 'no backup was caught in the middle: the test tests nothing']


CASES = {'copies.broker_gone': broker_gone}
