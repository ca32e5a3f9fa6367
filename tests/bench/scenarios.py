"""What is run, and how one run is measured. Each scenario yields for each broker a list of
samples, one a round; report.py makes medians and tables of them."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import time

import amqp
from processes import Unusable, cpu_seconds, memory

# More than its seconds may be needed to connect, and to drain what the broker still has.
PERF_GRACE_SECONDS = 90
SETTLE_SECONDS = 0.5
DECLARES_AT_ONCE = 500
CLOSE_WAIT_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Load:
    """A run of the load generator, as fast as it goes or at a fixed rate."""

    key: str
    title: str
    options: tuple
    latency: bool = False


LOADS = (
    Load('a', '1 producer, 1 consumer, 100 B, transient', ()),
    Load('b', '8 producers, 8 consumers, one queue, 100 B', ('-x', '8', '-y', '8')),
    Load('c1', '1 x 1, 1 KiB', ('-s', '1024')),
    Load('c64', '1 x 1, 64 KiB', ('-s', '65536')),
    Load('d1', '1 x 1, 100 B, confirms, window 1000, transient', ('-c', '1000')),
    Load('d2', '1 x 1, 100 B, confirms, window 1000, persistent*',
         ('-c', '1000', '-f', 'persistent')),
    Load('e', '1 x 1 over 100 queues, 100 B', ('-qp', 'bench-%d', '-qpt', '100')),
    Load('h', 'fan-out, 1 producer to 10 queues, 10 consumers, 100 B (deliveries)',
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
            fields = [int(field) for field in stat.readline().split()[1:9]]
        user, nice, system, idle, iowait, irq, softirq, steal = fields
        self.all = sum(fields)
        self.busy = self.all - idle - iowait
        # Interrupts are nobody's; steal is what the hypervisor gave to other machines.
        self.processes = user + nice + system
        self.steal = steal
        self.interrupts = irq + softirq

    def since(self, before, ours_seconds):
        """Shares of all processors: busy, and what neither broker nor perf has used."""
        ticks = max(1, self.all - before.all)
        ours = ours_seconds * os.sysconf('SC_CLK_TCK')
        others = max(0.0, self.processes - before.processes - ours) + self.steal - before.steal
        return {'busy': (self.busy - before.busy) / ticks, 'others': others / ticks}


def perf_command(railmq, peer, options, seconds):
    return [railmq, 'perf', '-h', peer.uri, '-A', '100', '-z', str(seconds), '-i', '0', '--json',
            *options]


def run_load(railmq, peer, load, seconds):
    """One run. The sample has rates, latency in us, and CPU of the broker."""
    command = perf_command(railmq, peer, load.options, seconds)
    before, cpu_before = Machine(), cpu_seconds(peer.pid)
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          timeout=seconds + PERF_GRACE_SECONDS)
    cpu = cpu_seconds(peer.pid) - cpu_before
    after = Machine()
    try:
        result = json.loads(done.stdout)
    except ValueError:
        raise Unusable(f'{" ".join(command)} failed with status {done.returncode}:\n'
                       f'{done.stderr[-2000:]}') from None
    own = result['cpu']['user_s'] + result['cpu']['system_s']
    consumed = result['consumed']
    latency = result['consumer_latency_us'] or {}
    return {
        'rate': result['rates']['consumed'],
        'published': result['published'],
        'consumed': consumed,
        'not_received': result.get('not_received', 0),
        'lost': result.get('lost', 0),
        'duplicates': result.get('duplicates', 0),
        'out_of_order': result.get('out_of_order', 0),
        'failure': result['failure'],
        'cpu_per_million': cpu / consumed * 1e6 if consumed else None,
        'perf_cpu_per_million': own / consumed * 1e6 if consumed else None,
        'p50': latency.get('median'),
        'p99': latency.get('p99'),
        'seconds': result['time_s'],
        **after.since(before, cpu + own),
    }


def settled_memory(pid):
    """Memory once it has stopped to move."""
    last = memory(pid)
    for _ in range(20):
        time.sleep(SETTLE_SECONDS)
        now = memory(pid)
        if now == last:
            break
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


def declare_durable(peer, count):
    connection = amqp.Connection(peer.address, deadline=60)
    channel = connection.channel()
    for first in range(0, count, DECLARES_AT_ONCE):
        names = [f'bench-durable-{i}' for i in range(first, min(first + DECLARES_AT_ONCE, count))]
        connection.send(b''.join(amqp.method_frame(channel.number, 'queue.declare', queue=name,
                                                   durable=True) for name in names))
        for _ in names:
            channel.take('queue.declare-ok')
    connection.finish()


def per_piece(before, after, count):
    return {name: (after[name] - before[name]) / count for name in before}


def run_memory(railmq, fresh, connections, queues):
    """Each part on a process of its own, so that nothing fills what another has left behind."""
    with fresh() as peer:
        idle = settled_memory(peer.pid)
        with idle_connections(railmq, peer, connections):
            connected = settled_memory(peer.pid)
    with fresh() as peer:
        empty = settled_memory(peer.pid)
        declare_durable(peer, queues)
        declared = settled_memory(peer.pid)
    return {
        'idle': idle,
        'connections': connections,
        'connection': per_piece(idle, connected, connections),
        'queues': queues,
        'queue': per_piece(empty, declared, queues),
    }


def machine_facts():
    facts = {'processors': os.cpu_count(), 'kernel': os.uname().release, 'model': 'unknown'}
    for line in pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines():
        if line.startswith('model name'):
            facts['model'] = line.partition(':')[2].strip()
    for line in pathlib.Path('/proc/meminfo').read_text(encoding='ascii').splitlines():
        if line.startswith('MemTotal'):
            facts['memory'] = int(line.split()[1]) * 1024
    facts['load'] = os.getloadavg()[0]
    return facts
