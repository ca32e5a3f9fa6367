"""What features of queues cost: each beside a plain queue of the same broker, in turn. Consumers of
the dead-letter chain reject what they get, and a second load generator takes it from the queue it
is moved to. A publisher without confirms outruns that, so a run of the chain is a number of
messages, from the first that is published to the last that arrives."""

import json
import os
import subprocess
from dataclasses import replace

from processes import Rail, Unusable, amqp, cpu_seconds
from report import median, number, rate_cell, run_complaints, share, table
from scenarios import PERF_GRACE_SECONDS, Load, perf_command, run_load

KEY = 'features'
TITLE = 'priorities, expirations and dead-lettering beside a plain queue, 100 B, 1 x 1'
GOAL = 0.6
PLAIN = Load('plain', 'plain', ())
PRIORITY = Load('priority', 'x-max-priority 10, priorities in no order',
                ('-qa', 'x-max-priority=10', '--priorities', '10'))
EXPIRATION = Load('ttl', 'x-message-ttl, and expirations of half an hour to an hour',
                  ('-qa', 'x-message-ttl=7200000', '--expiration', '3600000'))
GRAVE = 'bench-dead'
CHAIN_OPTIONS = ('-qa', f'x-dead-letter-exchange=,x-dead-letter-routing-key={GRAVE}', '--reject')
CHAIN = Load('dead', 'queue, reject, dead-letter exchange, queue', CHAIN_OPTIONS)
CHAIN_IN_MEMORY = Load('dead-in-memory', 'the same with a limits.message_memory of 4 GiB',
                       CHAIN_OPTIONS)
CHAIN_ONE_BY_ONE = Load('dead-one-by-one', 'the same, and each message is rejected by itself',
                        (*CHAIN_OPTIONS, '-A', '1'))
LOADS = (PLAIN, PRIORITY, EXPIRATION, CHAIN, CHAIN_IN_MEMORY, CHAIN_ONE_BY_ONE)
CHAINS = (CHAIN, CHAIN_IN_MEMORY, CHAIN_ONE_BY_ONE)
ROOMY_CHAINS = (CHAIN_IN_MEMORY, CHAIN_ONE_BY_ONE)
CHAIN_MESSAGES_A_SECOND = 600_000
CHAIN_GRACE_SECONDS = 120
ROOMY = 'version: 1\nlimits: {message_memory: 4GiB}\n'


def queue_call(peer, name, **arguments):
    connection = amqp.Connection(peer.address, deadline=60)
    connection.channel().call(name, queue=GRAVE, **arguments)
    connection.finish()


def run_chain(railmq, peer, load, seconds):
    """The sample of the whole chain. Its time ends when the last message has arrived."""
    messages = str(int(CHAIN_MESSAGES_A_SECOND * seconds))
    limit = seconds + CHAIN_GRACE_SECONDS
    queue_call(peer, 'queue.declare')
    command = perf_command(railmq, peer, ('-p', '-x', '0', '-u', GRAVE, '-D', messages), limit)
    cpu = cpu_seconds(peer.pid)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as drain:
        try:
            sample = run_load(railmq, peer, replace(load, options=(*load.options, '-C', messages)),
                              limit)
            output, errors = drain.communicate(timeout=limit + PERF_GRACE_SECONDS)
        finally:
            drain.kill()
    cpu = cpu_seconds(peer.pid) - cpu
    queue_call(peer, 'queue.delete')
    try:
        result = json.loads(output)
    except ValueError:
        raise Unusable(f'{" ".join(command)}:\n{errors[-2000:]}') from None
    own = (result['cpu']['user_s'] + result['cpu']['system_s']) / sample['seconds'] / os.cpu_count()
    return {**sample, 'rate': result['consumed'] / result['time_s'],
            'consumed': result['consumed'], 'cpu_per_million': cpu / result['consumed'] * 1e6,
            'others': max(0, sample['others'] - own)}


class FeaturesReport:
    def __init__(self, samples):
        self.samples = samples

    def ratios(self):
        """(load, its share of the plain rate) of each but the plain one."""
        plain = median(self.samples[PLAIN.key], 'rate')
        for load in LOADS[1:]:
            yield load, median(self.samples[load.key], 'rate'), plain

    def table(self):
        rows = [[PLAIN.title, rate_cell(self.samples[PLAIN.key]),
                 number(median(self.samples[PLAIN.key], 'cpu_per_million')), '']]
        for load, rate, plain in self.ratios():
            rows.append([load.title, rate_cell(self.samples[load.key]),
                         number(median(self.samples[load.key], 'cpu_per_million')),
                         share(rate, plain)])
        return table(['queue', 'msg/s', 'CPU s/M', 'of plain'], rows)

    def goals(self):
        for load, rate, plain in self.ratios():
            yield (f'({load.key}) at least 60 % of a plain queue', rate >= GOAL * plain,
                   share(rate, plain))

    def complaints(self):
        return [line for load in LOADS
                for line in run_complaints(f'({load.key})', self.samples[load.key])]


def run(railmq, rounds, seconds, say):
    samples = {load.key: [] for load in LOADS}
    with Rail(railmq) as broker, Rail(railmq, ROOMY) as roomy:
        for number_of_round in range(rounds):
            for load in LOADS:
                peer = roomy if load in ROOMY_CHAINS else broker
                if load in CHAINS:
                    sample = run_chain(railmq, peer, load, seconds)
                else:
                    sample = run_load(railmq, peer, load, seconds)
                samples[load.key].append(sample)
                say(f'({load.key}) round {number_of_round + 1} {sample["rate"]:,.0f} msg/s, '
                    f'others {sample["others"]:.0%}')
    return FeaturesReport(samples)
