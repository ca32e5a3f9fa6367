"""TLS beside plain connections of the same broker, in turn; and handshakes, as many as one broker
and the openssl programs that ask for them get done on this machine together."""

import os
import re
import subprocess
import types

from processes import Rail, Unusable
from report import median, number, rate_cell, run_complaints, share, table
from scenarios import Load

KEY = 'tls'
TITLE = 'TLS beside plain, 1 KiB, 1 x 1 without and with confirms; handshakes a second'
GOAL = 0.5
LOADS = (Load('tls', '1 x 1, 1 KiB', ('-s', '1024')),
         Load('tlsd', '1 x 1, 1 KiB, confirms, window 1000', ('-s', '1024', '-c', '1000')))
HANDSHAKES = re.compile(r'^(\d+) connections in (\d+) real seconds', re.MULTILINE)


class SecureRail(Rail):
    """Listens with and without TLS."""

    def serve(self, port):
        self.certificates = os.path.join(self.directory, 'tls')
        subprocess.run([self.railmq, 'certs', 'init', self.certificates], check=True,
                       stdout=subprocess.DEVNULL)
        self.process = self.spawn([
            self.railmq, 'serve', '--listen', f'127.0.0.1:{port}', '--listen-tls', '127.0.0.1:0',
            '--tls-dir', self.certificates, '--data-dir', self.data])
        self.pid = self.process.pid

    @property
    def authority(self):
        return os.path.join(self.certificates, 'ca.pem')

    @property
    def tls_port(self):
        return int(re.search(r'protocol=amqps .*port=(\d+)', self.log()).group(1))

    def secured(self):
        """This broker, for those who go over TLS."""
        return types.SimpleNamespace(
            name='Rail TLS', key='tls', pid=self.pid, check=self.check,
            uri=f'amqps://guest:guest@127.0.0.1:{self.tls_port}/%2F')


def handshakes(broker, seconds):
    """Full ones with a P-256 key, a second: one program a processor asks for them."""
    command = ['openssl', 's_time', '-connect', f'127.0.0.1:{broker.tls_port}', '-new', '-time',
               str(seconds), '-CAfile', broker.authority]
    askers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
              for _ in range(os.cpu_count())]
    total = 0
    for asker in askers:
        found = HANDSHAKES.findall(asker.communicate()[0])
        if not found:
            raise Unusable('openssl s_time gives no figure')
        total += int(found[-1][0]) / int(found[-1][1])
    return total


class TlsReport:
    def __init__(self, samples, rates):
        self.samples = samples
        self.rates = rates

    def table(self):
        rows = []
        for load in LOADS:
            plain, tls = (self.samples[load.key][name] for name in ('plain', 'tls'))
            rows.append([load.title, rate_cell(plain), number(median(plain, 'cpu_per_million')),
                         rate_cell(tls), number(median(tls, 'cpu_per_million')),
                         share(median(tls, 'rate'), median(plain, 'rate'))])
        text = table(['scenario', 'plain msg/s', 'CPU s/M', 'TLS msg/s', 'CPU s/M', 'TLS/plain'],
                     rows)
        return f'{text}\n\nTLS handshakes a second: {rate_cell(self.rates)}'

    def goals(self):
        for load in LOADS:
            plain, tls = (median(self.samples[load.key][name], 'rate') for name in ('plain', 'tls'))
            yield (f'({load.key}) TLS at least half of plain', tls >= GOAL * plain,
                   share(tls, plain))

    def complaints(self):
        return [line for load in LOADS for name, samples in self.samples[load.key].items()
                for line in run_complaints(f'({load.key}) {name}', samples)]


def run(railmq, rounds, seconds, measure, say):
    """`measure` runs a load; see run.py."""
    samples = {load.key: {'plain': [], 'tls': []} for load in LOADS}
    rates = []
    with SecureRail(railmq) as broker:
        secured = broker.secured()
        for number_of_round in range(rounds):
            for load in LOADS:
                trusting = Load(load.key, load.title,
                                (*load.options, '--tls-ca', broker.authority))
                for name, peer, its in (('plain', broker, load), ('tls', secured, trusting)):
                    sample = measure(its, peer, seconds)
                    samples[load.key][name].append(sample)
                    say(f'({load.key}) round {number_of_round + 1} {name:<5} '
                        f'{sample["rate"]:,.0f} msg/s, others {sample["others"]:.0%}')
            rates.append({'rate': handshakes(broker, max(2, seconds))})
            say(f'(tls) round {number_of_round + 1} {rates[-1]["rate"]:,.0f} handshakes/s')
    return TlsReport(samples, rates)
