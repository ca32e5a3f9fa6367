"""Deep backlogs: how fast they grow and shrink, what memory and disk they need meanwhile, and how
long a start takes that finds one. Each scenario has a Rail of its own.

A scenario fills a queue without consumers, kills the broker with SIGKILL and starts it again, and
has one consumer take everything: in order, each message once, and nothing is left. Files are in the
page cache then, as they are for a broker that was restarted, not for a machine that was."""

import contextlib
import dataclasses
import os
import pathlib
import statistics
import threading
import time

from processes import Rail, Unusable, amqp
from report import FAULTS, MIB, number, table
from scenarios import declare_durable, durable_name, run_perf

QUEUE = 'bench-backlog'
FAST_WINDOW = 10000
LOOK_SECONDS = 0.1
SHRINK_SECONDS = 60
# Of what the backlog took: the disk has given back what it will.
SHRUNK_SHARE = 0.05
# A rate below this is a failure: the run is given up.
RATE_LEAST = 5000
TIMEOUT_LEAST_SECONDS = 60
QUEUES_CHECKED = 200
ANSWER_SECONDS = 600
NEEDED_FIELDS = {'total': 'VmRSS', 'anonymous': 'RssAnon', 'file': 'RssFile', 'peak': 'VmHWM'}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large the scenarios are; see --help."""

    messages: int
    publisher_messages: int
    publishers: int
    queues: int
    shrink_seconds: float = SHRINK_SECONDS


@dataclasses.dataclass(frozen=True)
class Scenario:
    key: str
    title: str
    persistent: bool
    messages: int
    publishers: int = 1
    restart: bool = False
    drain: bool = True


def scenarios(sizes):
    """All but the one with many queues, which has no messages."""
    many, few = sizes.publishers, max(1, sizes.messages // 10)
    single = sizes.publisher_messages // many * many
    crowd = f'{many:,} publishers, window 1'
    return (
        Scenario('persistent', 'persistent', True, sizes.messages, restart=True),
        Scenario('persistent-tenth', 'persistent, a tenth', True, few, restart=True),
        Scenario('persistent-publishers', f'persistent, {crowd}', True, single, many, restart=True),
        Scenario('transient', 'transient', False, sizes.messages),
        Scenario('transient-publishers', f'transient, {crowd}', False, single, many),
        Scenario('transient-killed', 'transient, killed', False, sizes.messages, restart=True,
                 drain=False),
    )


QUEUES_KEY = 'queues'
KEYS = (*(scenario.key for scenario in scenarios(Sizes(1, 1, 1, 1))), QUEUES_KEY)


def memory_fields(pid):
    """Octets of memory, as /proc/PID/status tells them; `peak` is the kernel's own record."""
    lines = dict(line.split(':', 1) for line in pathlib.Path(f'/proc/{pid}/status').read_text(
        encoding='utf-8', errors='replace').splitlines())
    return {name: int(lines[field].split()[0]) * 1024 for name, field in NEEDED_FIELDS.items()}


class MemoryWatch:
    """The most memory that a process had while in the `with`, looked at many times a second. `peak`
    is the kernel's, which misses nothing; where it may not be reset, it is since the process began.
    The largest anonymous and file-backed memory need not have been at the same time."""

    def __init__(self, pid):
        self.pid = pid
        self.most = dict.fromkeys(NEEDED_FIELDS, 0)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def look(self):
        with contextlib.suppress(OSError, KeyError):
            now = memory_fields(self.pid)
            self.most = {name: max(value, now[name]) for name, value in self.most.items()}

    def run(self):
        while not self.ended.wait(LOOK_SECONDS):
            self.look()

    def __enter__(self):
        with contextlib.suppress(OSError):
            pathlib.Path(f'/proc/{self.pid}/clear_refs').write_text('5', encoding='ascii')
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.ended.set()
        self.thread.join()
        self.look()


def directory_octets(path):
    """Octets that the files of a directory take on disk. Files may vanish meanwhile."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
    return total


def time_to(messages):
    return TIMEOUT_LEAST_SECONDS + messages / RATE_LEAST


def message_count(peer, queue=QUEUE):
    """How many messages are ready; None if there is no such queue."""
    connection = amqp.Connection(peer.address, deadline=ANSWER_SECONDS)
    channel = connection.channel()
    channel.send('queue.declare', queue=queue, passive=True)
    answer = channel.take('queue.declare-ok', 'channel.close')
    if answer.name == 'channel.close':
        channel.send('channel.close-ok')
    connection.finish()
    return answer.message_count if answer.name == 'queue.declare-ok' else None


def declare(peer, durable):
    connection = amqp.Connection(peer.address)
    connection.channel().declare(QUEUE, durable=durable)
    connection.finish()


def expect(scenario, what, found, expected):
    """A figure of something else than was asked for is worth nothing."""
    if found != expected:
        raise Unusable(f'backlog {scenario.key}: {what}: {found}, expected {expected}')


def fill(railmq, peer, scenario):
    window = FAST_WINDOW if scenario.publishers == 1 else 1
    each = scenario.messages // scenario.publishers
    flags = ('-f', 'persistent') if scenario.persistent else ()
    declare(peer, scenario.persistent)
    with MemoryWatch(peer.pid) as watch:
        result = run_perf([railmq, 'perf', '-h', peer.uri, '-x', str(scenario.publishers),
                           '-y', '0', '-p', '-u', QUEUE, '-c', str(window), '-C', str(each),
                           '-i', '0', '--json', *flags], time_to(scenario.messages))
        peer.check()
    expect(scenario, 'failure of perf', result['failure'], None)
    expect(scenario, 'messages confirmed', result['confirmed'], scenario.messages)
    expect(scenario, 'messages nacked', result['nacked'], 0)
    expect(scenario, 'messages in the queue', message_count(peer), scenario.messages)
    return {'publish_rate': result['rates']['confirmed'],
            'confirm_p99': result['confirm_latency_us']['p99'], 'filling': watch.most,
            'full': memory_fields(peer.pid), 'disk_full': directory_octets(peer.data)}


def restart(peer, scenario):
    """Ready is when it has answered how many messages the queue has."""
    begin = peer.restart()
    listening = time.monotonic() - begin
    count = message_count(peer)
    ready = time.monotonic() - begin
    expect(scenario, 'messages in the queue after the restart', count,
           scenario.messages if scenario.persistent else None)
    return {'listening': listening, 'ready': ready, 'restarted': memory_fields(peer.pid)}


def drain(railmq, peer, scenario):
    timeout = int(time_to(scenario.messages))
    with MemoryWatch(peer.pid) as watch:
        result = run_perf([railmq, 'perf', '-h', peer.uri, '-x', '0', '-y', '1', '-p', '-u', QUEUE,
                           '-D', str(scenario.messages), '-A', '100', '-z', str(timeout),
                           '-i', '0', '--json'], timeout + TIMEOUT_LEAST_SECONDS)
        peer.check()
    expect(scenario, 'failure of perf', result['failure'], None)
    expect(scenario, 'messages drained', result['consumed'], scenario.messages)
    expect(scenario, 'order was checked', result['order_watched'] and result['order_exact'], True)
    for name in FAULTS:
        # After a restart nobody knows what had been delivered, so all of it may say so.
        if name == 'redelivered' and scenario.restart:
            continue
        expect(scenario, f'messages {name.replace("_", " ")}', result.get(name, 0), 0)
    expect(scenario, 'messages left in the queue', message_count(peer), 0)
    return {'drain_rate': result['rates']['consumed'], 'draining': watch.most}


def shrink(peer, empty, full, seconds):
    """Waits until the data directory is about as small as before it was filled; no seconds if it
    did not become so. An empty store is not small: its log is allocated ahead."""
    begin = time.monotonic()
    least, least_at = directory_octets(peer.data), 0.0
    wanted = empty + SHRUNK_SHARE * max(empty, full - empty)
    while least > wanted and time.monotonic() < begin + seconds:
        time.sleep(LOOK_SECONDS)
        now = directory_octets(peer.data)
        if now < least:
            least, least_at = now, time.monotonic() - begin
    return {'disk_empty': least, 'shrink_seconds': least_at if least <= wanted else None}


def run_scenario(railmq, scenario, shrink_seconds, say):
    with Rail(railmq) as peer:
        empty = directory_octets(peer.data)
        sample = {'disk_new': empty, **fill(railmq, peer, scenario)}
        say(f'({scenario.key}) filled at {sample["publish_rate"]:,.0f} msg/s')
        if scenario.restart:
            sample |= restart(peer, scenario)
            say(f'({scenario.key}) listening {sample["listening"]:.3f} s after its start')
        if scenario.drain:
            sample |= drain(railmq, peer, scenario)
            say(f'({scenario.key}) drained at {sample["drain_rate"]:,.0f} msg/s')
        return sample | shrink(peer, empty, sample['disk_full'], shrink_seconds)


def run_queues(railmq, count, say):
    """A start that finds so many durable queues. All of them, or some, are asked for afterwards."""
    with Rail(railmq) as peer:
        begin = time.monotonic()
        declare_durable(peer, count)
        seconds = time.monotonic() - begin
        full, disk = memory_fields(peer.pid), directory_octets(peer.data)
        begin = peer.restart()
        listening = time.monotonic() - begin
        connection = amqp.Connection(peer.address, deadline=ANSWER_SECONDS)
        channel = connection.channel()
        ready = None
        for i in range(0, count, max(1, count // QUEUES_CHECKED)):
            channel.declare(durable_name(i), passive=True)
            ready = ready or time.monotonic() - begin
        channel.declare(durable_name(count - 1), passive=True)
        connection.finish()
        say(f'({QUEUES_KEY}) listening {listening:.3f} s after its start')
        return {'declare_rate': count / seconds, 'full': full, 'disk_full': disk,
                'listening': listening, 'ready': ready, 'restarted': memory_fields(peer.pid)}


def run(railmq, sizes, keys, rounds, say):
    """Samples of each scenario by its key. Rounds go through all scenarios."""
    chosen = [scenario for scenario in scenarios(sizes) if scenario.key in keys]
    samples = {}
    for _ in range(rounds):
        for scenario in chosen:
            samples.setdefault(scenario.key, []).append(
                run_scenario(railmq, scenario, sizes.shrink_seconds, say))
        if QUEUES_KEY in keys:
            samples.setdefault(QUEUES_KEY, []).append(run_queues(railmq, sizes.queues, say))
    return samples


def middle(samples, *names):
    values = []
    for sample in samples:
        for name in names:
            sample = sample.get(name) if sample is not None else None
        if sample is not None:
            values.append(sample)
    return statistics.median(values) if values else None


def megabytes(value):
    return '-' if value is None else f'{value / MIB:,.0f}'


def seconds_text(value):
    return '-' if value is None else f'{value:.2f}'


def shrink_text(samples, limit):
    """Of several runs the worst counts: one that kept its files is no exception to be hidden."""
    if any(sample['shrink_seconds'] is None for sample in samples):
        return f'over {limit:.0f}'
    return seconds_text(max(sample['shrink_seconds'] for sample in samples))


def memory_cells(samples, phase):
    """The kernel's peak, and what was seen of both kinds."""
    peak, anonymous, file = (megabytes(middle(samples, phase, name))
                             for name in ('peak', 'anonymous', 'file'))
    return [peak, f'{anonymous} + {file}' if peak != '-' else '-']


def report(sizes, samples):
    """Tables, as text. Memory and disk are in MiB."""
    rows = [[f'{scenario.messages:,} {scenario.title}', number(middle(samples[scenario.key],
                                                                     'publish_rate')),
             *memory_cells(samples[scenario.key], 'filling'),
             seconds_text(middle(samples[scenario.key], 'listening')),
             seconds_text(middle(samples[scenario.key], 'ready')),
             megabytes(middle(samples[scenario.key], 'restarted', 'total')),
             number(middle(samples[scenario.key], 'drain_rate')),
             *memory_cells(samples[scenario.key], 'draining'),
             megabytes(middle(samples[scenario.key], 'disk_new')),
             megabytes(middle(samples[scenario.key], 'disk_full')),
             megabytes(middle(samples[scenario.key], 'disk_empty')),
             shrink_text(samples[scenario.key], sizes.shrink_seconds)]
            for scenario in scenarios(sizes) if scenario.key in samples]
    parts = []
    if rows:
        parts.append(table(['backlog', 'publish msg/s', 'peak MiB', 'anon + file', 'listening s',
                            'ready s', 'MiB then', 'drain msg/s', 'peak MiB', 'anon + file',
                            'disk new', 'full', 'drained', 'after s'], rows))
    if QUEUES_KEY in samples:
        found = samples[QUEUES_KEY]
        parts.append(table(
            ['queues', 'declared a second', 'MiB', 'listening s', 'ready s', 'MiB then', 'disk'],
            [[f'{sizes.queues:,} durable queues', number(middle(found, 'declare_rate')),
              megabytes(middle(found, 'full', 'total')), seconds_text(middle(found, 'listening')),
              seconds_text(middle(found, 'ready')),
              megabytes(middle(found, 'restarted', 'total')),
              megabytes(middle(found, 'disk_full'))]]))
    return '\n\n'.join(parts)
