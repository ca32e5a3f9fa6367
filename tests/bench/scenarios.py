"""What is run, and how one run is measured. Each scenario yields for each broker a list of
samples, one a round; report.py makes medians and tables of them."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import time

from processes import TICKS, Unusable, amqp, cpu_seconds, memory, written_octets
from report import FAULTS

# More than its seconds may be needed to connect, and to drain what the broker still has.
PERF_GRACE_SECONDS = 90
SETTLE_SECONDS, SETTLE_LOOKS = 0.5, 10
DECLARES_AT_ONCE = 500
CLOSE_WAIT_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Load:
    """A run of the load generator, as fast as it goes or at a fixed rate."""

    key: str
    title: str
    options: tuple
    latency: bool = False


HUNDRED_QUEUES = ('-qp', 'bench-%d', '-qpt', '100')
LOADS = (
    Load('a', '1 producer, 1 consumer, 100 B, transient', ()),
    Load('b', '8 producers, 8 consumers, one queue, 100 B', ('-x', '8', '-y', '8')),
    Load('c1', '1 x 1, 1 KiB', ('-s', '1024')),
    Load('c64', '1 x 1, 64 KiB', ('-s', '65536')),
    Load('d', '1 x 1, 100 B, confirms, window 1000, transient', ('-c', '1000')),
    Load('e', '1 x 1 over 100 queues, 100 B, transient', HUNDRED_QUEUES),
    Load('h', 'fan-out: 1 producer, 10 queues and consumers, 100 B; deliveries',
         ('-e', 'bench-fanout', '-t', 'fanout', '-k', 'all', '-y', '10',
          '-qp', 'bench-fanout-%d', '-qpt', '10')),
    Load('f', '1 x 1, 100 B, 20,000 msg/s', ('-r', '20000'), latency=True),
)
MEMORY = 'g'
KEYS = (*(load.key for load in LOADS), MEMORY)


class Machine:
    """CPU time of the whole machine: how much was used, and by others than broker and perf."""

    def __init__(self):
        with open('/proc/stat', encoding='ascii') as stat:
            # user, nice, system, idle, iowait, irq, softirq, steal
            fields = [int(field) for field in stat.readline().split()[1:9]]
        self.all = sum(fields)
        self.busy = self.all - fields[3] - fields[4]

    def since(self, before, ours_seconds):
        """Shares of all processors: busy, and what neither broker nor perf has used. The kernel
        samples the machine's time and measures that of processes, so work in short pieces may show
        in the latter only."""
        ticks = max(1, self.all - before.all)
        ours = ours_seconds * TICKS
        busy = max(ours, self.busy - before.busy)
        return {'busy': busy / ticks, 'others': (busy - ours) / ticks}


def machine_busy(seconds):
    """The share of all processors that was used during the next so many seconds."""
    before = Machine()
    time.sleep(seconds)
    return Machine().since(before, 0)['busy']


def perf_command(railmq, peer, options, seconds):
    return [railmq, 'perf', '-h', peer.uri, '-A', '100', '-z', str(seconds), '-i', '0', '--json',
            *options]


def run_perf(command, timeout):
    """What the load generator reports."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise Unusable(f'{" ".join(command)} failed with status {done.returncode}:\n'
                       f'{done.stderr[-2000:]}') from None


def run_load(railmq, peer, load, seconds):
    """One run. The sample has rates, latency in us, and what the broker used: CPU, disk."""
    command = perf_command(railmq, peer, load.options, seconds)
    # What others have left in the page cache is not written at this one's expense.
    os.sync()
    before, cpu_before, written = Machine(), cpu_seconds(peer.pid), written_octets(peer.pid)
    result = run_perf(command, seconds + PERF_GRACE_SECONDS)
    peer.check()
    cpu = cpu_seconds(peer.pid) - cpu_before
    after = Machine()
    own = result['cpu']['user_s'] + result['cpu']['system_s']
    consumed = result['consumed']
    latency = result['consumer_latency_us'] or {}
    confirm = result['confirm_latency_us'] or {}
    return {
        'rate': result['rates']['consumed'],
        'confirm_rate': result['rates']['confirmed'],
        'published': result['published'],
        'confirmed': result['confirmed'],
        'consumed': consumed,
        **{name: result.get(name, 0) for name in FAULTS},
        'failure': result['failure'],
        'cpu_per_million': cpu / consumed * 1e6 if consumed else None,
        'perf_cpu_per_million': own / consumed * 1e6 if consumed else None,
        'p50': latency.get('median'),
        'p99': latency.get('p99'),
        'confirm_p50': confirm.get('median'),
        'confirm_p99': confirm.get('p99'),
        'written': written_octets(peer.pid) - written,
        'seconds': result['time_s'],
        **after.since(before, cpu + own),
    }


def settled_memory(pid):
    """Memory once it has all but stopped to move."""
    last = memory(pid)
    for _ in range(SETTLE_LOOKS):
        time.sleep(SETTLE_SECONDS)
        now = memory(pid)
        if abs(now['rss'] - last['rss']) < last['rss'] / 200:
            return now
        last = now
    return last


@contextlib.contextmanager
def idle_connections(railmq, peer, count):
    """So many connections with a channel each; perf reports when it has them all."""
    command = [railmq, 'perf', '-h', peer.uri, '--idle-connections', str(count), '-i', '1']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        try:
            first = process.stdout.readline()
            if not first.startswith('id:'):
                raise Unusable(f'{" ".join(command)}: {first}')
            yield
        finally:
            process.terminate()
            try:
                process.communicate(timeout=CLOSE_WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


FIRST_FEW = 100


def durable_name(number):
    return f'bench-durable-{number}'


def declare_durable(peer, count):
    connection = amqp.Connection(peer.address, deadline=60)
    channel = connection.channel()
    for first in range(0, count, DECLARES_AT_ONCE):
        names = [durable_name(i) for i in range(first, min(first + DECLARES_AT_ONCE, count))]
        connection.send(b''.join(amqp.method_frame(channel.number, 'queue.declare', queue=name,
                                                   durable=True) for name in names))
        for _ in names:
            channel.take('queue.declare-ok')
    connection.finish()


def per_piece(before, after, count):
    return {name: (after[name] - before[name]) / count for name in before}


def run_memory(railmq, fresh, connections, queues):
    """Each part on a process of its own, so that nothing fills what another has left behind. The
    first few bring the program's own pages into memory, which are not theirs."""
    with fresh() as peer:
        idle = settled_memory(peer.pid)
        with idle_connections(railmq, peer, FIRST_FEW):
            pass
        unconnected = settled_memory(peer.pid)
        with idle_connections(railmq, peer, connections):
            connected = settled_memory(peer.pid)
    with fresh() as peer:
        declare_durable(peer, FIRST_FEW)
        few = settled_memory(peer.pid)
        declare_durable(peer, queues)
        declared = settled_memory(peer.pid)
    return {
        'idle': idle,
        'connections': connections,
        'connection': per_piece(unconnected, connected, connections),
        'queues': queues,
        'queue': per_piece(few, declared, queues - FIRST_FEW),
    }


def file_system(path):
    """The type of the file system that a directory is on."""
    best, kind = '', 'unknown'
    for line in pathlib.Path('/proc/mounts').read_text(encoding='utf-8').splitlines():
        place, name = line.split()[1:3]
        if os.path.commonpath((place, path)) == place and len(place) >= len(best):
            best, kind = place, name
    return kind


def machine_facts():
    facts = {'processors': os.cpu_count(), 'kernel': os.uname().release, 'model': 'unknown'}
    for line in pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines():
        if line.startswith('model name'):
            facts['model'] = line.partition(':')[2].strip()
    for line in pathlib.Path('/proc/meminfo').read_text(encoding='ascii').splitlines():
        if line.startswith('MemTotal'):
            facts['memory'] = int(line.split()[1]) * 1024
    facts['load'] = os.getloadavg()[0]
    facts['file_system'] = file_system(os.path.realpath(tempfile.gettempdir()))
    return facts
