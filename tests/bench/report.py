"""Medians, tables and goals. The tables are Markdown, so that they can be pasted as they are."""

import statistics

NOISE = 0.10
LATENCY_BUSY_MAX = 0.60
KIB, MIB = 1024, 1024 * 1024
# What is wrong with a sample if it is not 0.
FAULTS = ('lost', 'duplicates', 'out_of_order', 'unwatched', 'foreign', 'not_received', 'nacked',
          'redelivered')


def median(samples, field):
    values = [sample[field] for sample in samples if sample.get(field) is not None]
    return statistics.median(values) if values else None


def number(value):
    """Three significant digits, for people."""
    if value is None:
        return '-'
    for limit, unit in ((1e6, ' M'), (1e4, ' k')):
        if abs(value) >= limit:
            return f'{value / (1e6 if unit == " M" else 1e3):.3g}{unit}'
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def rate_cell(samples, field='rate'):
    """The median, and the lowest and highest if there are several."""
    rates = [sample[field] for sample in samples]
    if not rates:
        return '-'
    text = number(statistics.median(rates))
    return text if len(rates) == 1 else f'{text} ({number(min(rates))} .. {number(max(rates))})'


def share(value, whole):
    return f'{value / whole:.0%}' if value is not None and whole else '-'


def times(value, other):
    return f'{number(value / other)}x' if value is not None and other else '-'


def table(header, rows):
    """A Markdown table with columns as wide as their content; all but the first to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = []
    for row in (header, None, *rows):
        if row is None:
            cells = ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])]
        else:
            cells = [row[0].ljust(widths[0]),
                     *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def run_complaints(where, samples):
    """What a reader must know before believing these samples of one scenario and broker."""
    noisy = [sample['others'] for sample in samples if sample['others'] > NOISE]
    if noisy:
        yield (f'{where}: other programs took up to {max(noisy):.0%} of the machine in '
               f'{len(noisy)} of {len(samples)} runs')
    for sample in samples:
        if sample['failure']:
            yield f'{where}: perf says: {sample["failure"]}'
    for name in FAULTS:
        count = sum(sample[name] for sample in samples)
        if count:
            yield f'{where}: {count:,} messages {name.replace("_", " ")}'


class Report:
    """`results`: scenario key -> broker key -> samples (memory: one dict instead of samples)."""

    def __init__(self, loads, memory_key, versions, results):
        self.loads = [load for load in loads if load.key in results]
        self.memory_key = memory_key
        self.versions = versions
        self.results = results

    def samples(self, key, broker):
        return self.results.get(key, {}).get(broker, [])

    def median(self, key, broker, field):
        return median(self.samples(key, broker), field)

    def rabbit(self):
        version = self.versions.get('rabbitmq')
        return f'RabbitMQ {version}' if version else None

    def throughput(self):
        header = ['scenario', 'Rail msg/s', 'CPU s/M', 'relay msg/s', 'CPU s/M', 'Rail/relay']
        if self.rabbit():
            header += [f'{self.rabbit()} msg/s', 'CPU s/M', 'Rail/RabbitMQ']
        rows = []
        for load in (load for load in self.loads if not load.latency):
            rail, relay, rabbit = (self.median(load.key, broker, 'rate')
                                   for broker in ('rail', 'relay', 'rabbitmq'))
            row = [f'({load.key}) {load.title}']
            for broker in ('rail', 'relay'):
                row += [rate_cell(self.samples(load.key, broker)),
                        number(self.median(load.key, broker, 'cpu_per_million'))]
            row.append(share(rail, relay))
            if self.rabbit():
                row += [rate_cell(self.samples(load.key, 'rabbitmq')),
                        number(self.median(load.key, 'rabbitmq', 'cpu_per_million')),
                        times(rail, rabbit)]
            rows.append(row)
        return table(header, rows) if rows else None

    def latency(self):
        header = ['scenario', 'broker', 'p50 us', 'p99 us', 'p99 of each run', 'CPU s/M',
                  'machine busy']
        rows = []
        for load in (load for load in self.loads if load.latency):
            for broker, name in (('rail', 'Rail'), ('relay', 'relay'), ('rabbitmq', self.rabbit())):
                samples = self.samples(load.key, broker)
                if not samples:
                    continue
                busy = median(samples, 'busy')
                rows.append([f'({load.key}) {load.title}', name, number(median(samples, 'p50')),
                             number(median(samples, 'p99')),
                             ' '.join(number(sample['p99']) for sample in samples),
                             number(median(samples, 'cpu_per_million')),
                             f'{busy:.0%}' + (' (over 60 %)' if busy > LATENCY_BUSY_MAX else '')])
        return table(header, rows) if rows else None

    def memory(self):
        results = self.results.get(self.memory_key)
        if not results:
            return None
        header = ['memory', 'idle, resident', 'idle, anonymous', 'a connection with a channel',
                  'an empty durable queue']
        rows = []
        for broker, name in (('rail', 'Rail'), ('rabbitmq', self.rabbit())):
            if broker in results:
                result = results[broker]
                rows.append([name, f'{result["idle"]["rss"] / MIB:.1f} MB',
                             f'{result["idle"]["anonymous"] / MIB:.1f} MB',
                             f'{result["connection"]["rss"] / KIB:.2f} KB '
                             f'(of {result["connections"]:,})',
                             f'{result["queue"]["rss"] / KIB:.2f} KB (of {result["queues"]:,})'])
        return table(header, rows)

    def goals(self):
        """(what, met, number) of each goal whose scenario was run."""
        return [*self.goals_transient(), *self.goals_memory()]

    def goals_transient(self):
        rate_a, relay_a = (self.median('a', broker, 'rate') for broker in ('rail', 'relay'))
        rate_b = self.median('b', 'rail', 'rate')
        if rate_a:
            of_relay = rate_a / relay_a if relay_a else 0
            cpu = self.median('a', 'rail', 'cpu_per_million')
            yield ('(a) at least 1 M msg/s, or 45 % of the relay',
                   rate_a >= 1e6 or of_relay >= 0.45, f'{number(rate_a)} msg/s, {of_relay:.0%}')
            yield ('(a) at most 0.8 s CPU of the broker a million', cpu <= 0.8, f'{cpu:.2f} s')
        if rate_a and rate_b:
            yield ('(b) at least 70 % of (a)', rate_b >= 0.7 * rate_a, share(rate_b, rate_a))
        rail, relay = (self.median('f', broker, 'p99') for broker in ('rail', 'relay'))
        if rail and relay:
            yield ("(f) p99 at most twice the relay's", rail <= 2 * relay,
                   f'{rail:.0f} us, {rail / relay:.2f} times {relay:.0f} us')

    def goals_memory(self):
        memory = self.results.get(self.memory_key, {}).get('rail')
        if not memory:
            return
        connection, queue = (memory[name]['rss'] / KIB for name in ('connection', 'queue'))
        anonymous, rss = (memory['idle'][name] / MIB for name in ('anonymous', 'rss'))
        yield ('(g) at most 6 KB a connection', connection <= 6, f'{connection:.2f} KB')
        yield ('(g) at most 1.5 KB a queue', queue <= 1.5, f'{queue:.2f} KB')
        yield ('(g) at most 6 MB anonymous when idle', anonymous <= 6, f'{anonymous:.2f} MB')
        yield ('(g) at most 22 MB resident when idle', rss <= 22, f'{rss:.2f} MB')

    def complaints(self):
        return [line for load in self.loads for broker, samples in self.results[load.key].items()
                for line in run_complaints(f'({load.key}) {broker}', samples)]


def goals_table(goals):
    rows = [[what, 'PASS' if met else 'MISS', value] for what, met, value in goals]
    return table(['goal', 'met', 'measured'], rows) if rows else None
