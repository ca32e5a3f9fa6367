"""What features of queues cost: each beside a plain queue of the same broker, in turn. Consumers of
the dead-letter chain reject what they get, and a second load generator takes it from the queue it
is moved to; what counts is how much arrives there."""

import json
import subprocess

from processes import Rail, Unusable, amqp
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
CHAIN = Load('dead', 'queue, reject, dead-letter exchange, queue',
             ('-qa', f'x-dead-letter-exchange=,x-dead-letter-routing-key={GRAVE}', '--reject'))
LOADS = (PLAIN, PRIORITY, EXPIRATION, CHAIN)


def queue_call(peer, name, **arguments):
    connection = amqp.Connection(peer.address, deadline=60)
    connection.channel().call(name, queue=GRAVE, **arguments)
    connection.finish()


def run_chain(railmq, peer, seconds):
    """The sample of the whole chain: its rate is that of its end, while there is a beginning."""
    queue_call(peer, 'queue.declare')
    command = perf_command(railmq, peer, ('-p', '-x', '0', '-u', GRAVE), seconds)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as drain:
        try:
            sample = run_load(railmq, peer, CHAIN, seconds)
            output, errors = drain.communicate(timeout=PERF_GRACE_SECONDS)
        finally:
            drain.kill()
    queue_call(peer, 'queue.delete')
    try:
        arrived = json.loads(output)['consumed']
    except ValueError:
        raise Unusable(f'{" ".join(command)}:\n{errors[-2000:]}') from None
    return {**sample, 'rate': arrived / seconds, 'rejected': sample['consumed'],
            'consumed': arrived}


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
    with Rail(railmq) as broker:
        for number_of_round in range(rounds):
            for load in LOADS:
                if load is CHAIN:
                    sample = run_chain(railmq, broker, seconds)
                else:
                    sample = run_load(railmq, broker, load, seconds)
                samples[load.key].append(sample)
                say(f'({load.key}) round {number_of_round + 1} {sample["rate"]:,.0f} msg/s, '
                    f'others {sample["others"]:.0%}')
    return FeaturesReport(samples)
