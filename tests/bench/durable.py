"""Persistent messages with confirms, beside what the disk allows: sizes, windows and numbers of
queues in all combinations. One publisher rotates over durable queues, one consumer of all of them
acknowledges, so the backlog is short.

For each combination raw_append.c first does with a file what the window allows at most. The brokers
follow at once, and rounds go through all combinations, so that whatever disturbs the machine for a
while disturbs all alike. Ratios are medians of those of each round."""

import contextlib
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import tempfile

from processes import Unusable, amqp
from report import median, number, rate_cell, run_complaints, share, table, times
from scenarios import Load, declare_durable, durable_name

SIZES, WINDOWS, QUEUES = (100, 1024), (1, 100, 1000), (1, 100, 1000)
LATENCY_WINDOWS = (1, 100)
# What a message needs beside its body, roughly: length, ids, properties, routing key.
RECORD_HEAD = 45
CONSUMED_LEAST = 0.9
WRITTEN_LEAST = 0.95
# Of the file; above it is not the brokers that were measured.
SHARE_MOST = 1.15
RAW_TIMEOUT_SECONDS = 60
SIZE_NAMES = {100: '100 B', 1024: '1 KiB'}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One combination."""

    size: int
    window: int
    queues: int

    @property
    def key(self):
        return f'{self.size}b-w{self.window}-q{self.queues}'

    @property
    def title(self):
        queues = 'queue' if self.queues == 1 else 'queues'
        return f'{SIZE_NAMES[self.size]}, window {self.window:,}, {self.queues:,} {queues}'

    @property
    def record(self):
        return self.size + RECORD_HEAD

    def load(self):
        return Load(self.key, self.title, (
            '-s', str(self.size), '-c', str(self.window), '-f', 'persistent', '-p',
            '-qp', durable_name('%d'), '-qpf', '0', '-qpt', str(self.queues - 1)))


CELLS = tuple(Cell(*choice) for choice in itertools.product(SIZES, WINDOWS, QUEUES))
# RabbitMQ's in a quick run.
QUICK_CELLS = frozenset(cell.key for cell in CELLS if cell.size == 100 and cell.queues == 1)


def run_raw(program, cell, seconds, echo):
    """A sample of raw_append.c, in a directory where those of the brokers are."""
    with tempfile.TemporaryDirectory(prefix='rail-bench-') as directory:
        command = [program, directory, str(cell.record), str(cell.window), str(seconds)]
        os.sync()
        done = subprocess.run(command + (['--echo'] if echo else []), capture_output=True,
                              text=True, check=False, timeout=RAW_TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise Unusable(f'{" ".join(command)} failed with status {done.returncode}:\n{done.stderr}')
    return json.loads(done.stdout)


def purge(peer, queues):
    """Takes away what a run has left behind, so that the next one does not consume it."""
    connection = amqp.Connection(peer.address, deadline=60)
    channel = connection.channel()
    for i in range(queues):
        channel.call('queue.purge', queue=durable_name(i))
    connection.finish()


class Durable:
    """`measure(load, peer)` makes a sample of one run, `measure_raw(cell, echo)` one of a file;
    `say` tells how it goes on."""

    def __init__(self, cells, measure, measure_raw, say):
        self.cells = cells
        self.measure = measure
        self.measure_raw = measure_raw
        self.say = say
        self.samples = {cell.key: {} for cell in cells}
        self.raw = {cell.key: {'append': [], 'echo': []} for cell in cells}

    def run(self, peers, rounds, skips):
        """`skips(cell, peer)`: not this one."""
        for peer in peers:
            declare_durable(peer, max(cell.queues for cell in self.cells))
        for round_number, cell in itertools.product(range(1, rounds + 1), self.cells):
            self.run_raw(cell, round_number)
            for peer in peers:
                if not skips(cell, peer):
                    self.run_cell(cell, peer, round_number)

    def run_raw(self, cell, round_number):
        for way in ('append', 'echo'):
            sample = self.measure_raw(cell, way == 'echo')
            self.raw[cell.key][way].append(sample)
            self.say(f'({cell.key}) round {round_number} {way:<9} {sample["rate"]:,.0f} records/s, '
                     f'p99 {sample["p99"]:,.0f} us')

    def run_cell(self, cell, peer, round_number):
        sample = self.measure(cell.load(), peer)
        sample['octets'] = sample['published'] * cell.record
        self.samples[cell.key].setdefault(peer.key, []).append(sample)
        if sample['not_received']:
            with contextlib.suppress(amqp.Mismatch, OSError):
                purge(peer, cell.queues)
        self.say(f'({cell.key}) round {round_number} {peer.name:<9} '
                 f'{sample["confirm_rate"]:,.0f} msg/s, p99 {sample["confirm_p99"] or 0:,.0f} us, '
                 f'others {sample["others"]:.0%}')

    def results(self):
        return {'samples': self.samples, 'raw': self.raw}


def ratio(samples, field, others, other_field):
    """The median of the ratios of each round; None if there are none."""
    ratios = [sample[field] / other[other_field] for sample, other in zip(samples, others)
              if other[other_field]]
    return statistics.median(ratios) if ratios else None


class DurableReport:
    """Tables of what Durable.run has measured."""

    def __init__(self, durable, rabbit):
        self.cells = durable.cells
        self.samples = durable.samples
        self.raw = durable.raw
        self.rabbit = rabbit

    def of(self, cell, broker):
        return self.samples[cell.key].get(broker, [])

    def disk_share(self, cell, way='append'):
        return ratio(self.of(cell, 'rail'), 'confirm_rate', self.raw[cell.key][way], 'rate')

    def rates(self):
        header = ['persistent, confirmed', 'file, synced', 'with a round trip', 'Rail msg/s',
                  'of file', 'of round trip', 'CPU s/M']
        if self.rabbit:
            header += [f'{self.rabbit} msg/s', 'Rail/RabbitMQ']
        rows = []
        for cell in self.cells:
            raw, rail = self.raw[cell.key], self.of(cell, 'rail')
            row = [cell.title, rate_cell(raw['append']), rate_cell(raw['echo']),
                   rate_cell(rail, 'confirm_rate'), share(self.disk_share(cell), 1),
                   share(self.disk_share(cell, 'echo'), 1),
                   number(median(rail, 'cpu_per_million'))]
            if self.rabbit:
                rabbit = self.of(cell, 'rabbitmq')
                row += [rate_cell(rabbit, 'confirm_rate'),
                        times(ratio(rail, 'confirm_rate', rabbit, 'confirm_rate'), 1)]
            rows.append(row)
        return table(header, rows)

    def latency(self):
        """A batch of the file, and confirms of messages, in us."""
        header = ['time to confirm, us', 'file p50', 'p99', 'Rail p50', 'p99', 'p99 of each run']
        if self.rabbit:
            header += [f'{self.rabbit} p50', 'p99']
        rows = []
        for cell in self.cells:
            if cell.window not in LATENCY_WINDOWS:
                continue
            raw, rail = self.raw[cell.key]['append'], self.of(cell, 'rail')
            row = [cell.title, number(median(raw, 'p50')), number(median(raw, 'p99')),
                   number(median(rail, 'confirm_p50')), number(median(rail, 'confirm_p99')),
                   ' '.join(number(sample['confirm_p99']) for sample in rail)]
            if self.rabbit:
                rabbit = self.of(cell, 'rabbitmq')
                row += [number(median(rabbit, 'confirm_p50')), number(median(rabbit, 'confirm_p99'))]
            rows.append(row)
        return table(header, rows) if rows else None

    def written(self):
        header = ['octets written per octet of record', 'file', 'Rail', 'Rail/file']
        if self.rabbit:
            header.append(self.rabbit)
        rows = []
        for cell in self.cells:
            shares = [ratio(samples, 'written', samples, 'octets') for samples in (
                self.raw[cell.key]['append'], self.of(cell, 'rail'), self.of(cell, 'rabbitmq'))]
            row = [cell.title, number(shares[0]), number(shares[1]), times(shares[1], shares[0])]
            rows.append(row + [number(shares[2])] if self.rabbit else row)
        return table(header, rows)

    def goals(self):
        for cell in self.cells:
            rate = median(self.of(cell, 'rail'), 'confirm_rate')
            if (cell.size, cell.window) != (100, 1000) or cell.queues > 100 or not rate:
                continue
            of_file = self.disk_share(cell)
            yield (f'({cell.key}) at least 400 k msg/s', rate >= 4e5, f'{number(rate)} msg/s')
            yield (f'({cell.key}) at least 60 % of the file', of_file >= 0.6, share(of_file, 1))

    def complaints(self):
        """A figure is worth nothing if less was done than the scenario says."""
        lines = [line for cell in self.cells for broker, samples in self.samples[cell.key].items()
                 for line in sample_complaints(f'({cell.key}) {broker}', samples)]
        for cell in self.cells:
            of_file = self.disk_share(cell)
            if of_file is not None and of_file > SHARE_MOST:
                lines.append(f'({cell.key}) rail: {share(of_file, 1)} of the file: the disk was '
                             "slower in the file's turn, so the ratio means nothing")
        return lines


def sample_complaints(where, samples):
    yield from run_complaints(where, samples)
    for sample in samples:
        if sample['confirmed'] != sample['published']:
            yield (f'{where}: {sample["published"]:,} published, but {sample["confirmed"]:,} '
                   'confirmed')
        if sample['rate'] < CONSUMED_LEAST * sample['confirm_rate']:
            yield (f'{where}: a backlog grew: {number(sample["confirm_rate"])} msg/s confirmed, '
                   f'{number(sample["rate"])} consumed')
        if sample['written'] < WRITTEN_LEAST * sample['octets']:
            yield (f'{where}: only {share(sample["written"], sample["octets"])} of the octets of '
                   'records were written: not every confirm waited for the disk')
