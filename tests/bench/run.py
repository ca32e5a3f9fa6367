#!/usr/bin/python3
"""Measures Rail beside a relay that keeps nothing (relay.c: what any broker could reach with this
load generator on this machine), beside a file to which the same records are appended and synced
(raw_append.c: what the disk allows), and, where it is installed, beside RabbitMQ. Starts all of
them itself. Rounds are interleaved and the figures are medians. docs/BENCHMARKS.md tells what they
mean."""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import backlog
import features
import tls
from durable import CELLS, QUICK_CELLS, Durable, DurableReport, run_raw
from processes import RabbitMQ, Rail, Relay, Unusable
from report import NOISE, Report, goals_table
from scenarios import KEYS, LOADS, MEMORY, machine_busy, machine_facts, run_load, run_memory

LOOK_SECONDS = 0.2
DURABLE = 'durable'
DURABLE_KEYS = tuple(cell.key for cell in CELLS)
RELOCATION_KEYS = ('short', 'deep', 'many', 'stuck', 'small', 'reopen')


class Patience:
    """Time that may be spent on waiting for other programs, all runs together."""

    def __init__(self, seconds):
        self.seconds = seconds

    def wait(self):
        """Until the machine is quiet. Brokers are idle now, so whatever runs is somebody else's."""
        begin = time.monotonic()
        while self.seconds > time.monotonic() - begin and machine_busy(LOOK_SECONDS) > NOISE:
            pass
        self.spend(begin)

    def spend(self, begin):
        self.seconds -= time.monotonic() - begin


class Plan:
    """How long and how often; RabbitMQ gets less time, as it reaches its pace at once and has a
    backlog to drain."""

    def __init__(self, quick, rounds, patience):
        self.patience = Patience(patience)
        self.rounds = rounds or (1 if quick else 3)
        self.latency_rounds = rounds or (1 if quick else 5)
        self.seconds = {'rail': 1 if quick else 3, 'relay': 1 if quick else 3,
                        'rabbitmq': 1 if quick else 2}
        self.latency_seconds = 2 if quick else 3
        self.memory = {'rail': (1000, 2000) if quick else (5000, 10000), 'rabbitmq': (500, 1000)}
        self.rabbitmq = {'a', 'f', *QUICK_CELLS} if quick else {*KEYS, *DURABLE_KEYS}
        # There are many combinations, so each turn is short.
        self.durable_seconds = {'rail': 1 if quick else 2, 'rabbitmq': 1}
        self.raw_seconds = 0.3

    def seconds_of(self, load, peer):
        return self.latency_seconds if load.latency else self.seconds[peer.key]

    def rounds_of(self, load):
        return self.latency_rounds if load.latency else self.rounds


def say(text):
    print(text, file=sys.stderr, flush=True)


def measure(railmq, patience, load, peer, seconds):
    """A sample; a run that other programs disturbed is repeated while there is patience, and the
    least disturbed one counts."""
    patience.wait()
    best = run_load(railmq, peer, load, seconds)
    while best['others'] > NOISE and patience.seconds > 0:
        patience.wait()
        begin = time.monotonic()
        sample = run_load(railmq, peer, load, seconds)
        best = min(best, sample, key=lambda one: one['others'])
        patience.spend(begin)
    return best


def run_rounds(options, plan, load, peers):
    samples = {peer.key: [] for peer in peers}
    for number in range(plan.rounds_of(load)):
        for peer in peers:
            sample = measure(options.railmq, plan.patience, load, peer,
                             plan.seconds_of(load, peer))
            samples[peer.key].append(sample)
            tail = f'p99 {sample["p99"]:.0f} us' if load.latency else f'{sample["rate"]:,.0f} msg/s'
            say(f'({load.key}) round {number + 1} {peer.name:<9} {tail}, '
                f'others {sample["others"]:.0%}')
    return samples


def run_durable(options, plan, peers, cells):
    def measure_cell(load, peer):
        return measure(options.railmq, plan.patience, load, peer, plan.durable_seconds[peer.key])

    def measure_raw(cell, echo):
        plan.patience.wait()
        return run_raw(options.raw_append, cell, plan.raw_seconds, echo)

    durable = Durable(cells, measure_cell, measure_raw, say)
    durable.run([peer for peer in peers if peer.key in plan.durable_seconds], plan.rounds,
                lambda cell, peer: peer.key == 'rabbitmq' and cell.key not in plan.rabbitmq)
    return durable


def run_loads(options, plan, rabbit_script, keys):
    """Results, versions, and those of persistent messages, if any. All brokers run all the time,
    and all but one are idle."""
    results, versions, durable = {}, {}, None
    loads = [load for load in LOADS if load.key in keys]
    cells = [cell for cell in CELLS if cell.key in keys]
    if not loads and not cells:
        return results, versions, durable
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Rail(options.railmq))]
        if loads:
            peers.append(stack.enter_context(Relay(options.relay, os.cpu_count())))
        if rabbit_script and plan.rabbitmq & keys:
            peers.append(stack.enter_context(RabbitMQ(rabbit_script)))
        versions = {peer.key: peer.version for peer in peers}
        for load in loads:
            chosen = [peer for peer in peers
                      if peer.key != 'rabbitmq' or load.key in plan.rabbitmq]
            results[load.key] = run_rounds(options, plan, load, chosen)
        if cells:
            durable = run_durable(options, plan, peers, cells)
    return results, versions, durable


def run_memories(options, plan, rabbit_script):
    say(f'({MEMORY}) memory')
    results = {'rail': run_memory(options.railmq, lambda: Rail(options.railmq),
                                  *plan.memory['rail'])}
    if rabbit_script and MEMORY in plan.rabbitmq:
        results['rabbitmq'] = run_memory(options.railmq, lambda: RabbitMQ(rabbit_script),
                                         *plan.memory['rabbitmq'])
    return results


EPILOG = """\
scenarios of a plain run, for --only:
  {loads}
  {memory:<4} memory of an idle process, a connection, a queue
  {tls:<4} {tls_title}
  {features} {features_title}
  {durable} all of the next, persistent messages with confirms: rate, time to confirm, octets
       written, beside the same records appended to a file and synced
  {cells}
of --backlog: {backlog}
of --relocation: {relocation}

--backlog fills queues without consumers; kills Rail and starts it again where the title says
persistent or killed; drains, which checks order and number; and waits up to {shrink} s for the
data directory to become small. It tells rates, the most memory that the kernel and a look ten
times a second found (anonymous and file-backed), seconds from the start until the port is open and
until the first answer about the queue, and the size of the data directory. Needs 1 KB of memory and
disk a message at worst.

A plain run takes about ten minutes, --quick two, --backlog as many as the disk needs to become
small. Other programs spoil every figure: leave the machine alone."""


def epilog():
    return EPILOG.format(
        loads='\n  '.join(f'{load.key:<4} {load.title}' for load in LOADS), memory=MEMORY,
        tls=tls.KEY, tls_title=tls.TITLE, features=features.KEY, features_title=features.TITLE,
        durable=DURABLE, backlog=' '.join(backlog.KEYS), relocation=' '.join(RELOCATION_KEYS),
        cells='\n  '.join(f'{cell.key:<17} {cell.title}' for cell in CELLS),
        shrink=backlog.SHRINK_SECONDS)


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 on")
    return int(text)


def make_parser():
    parser = argparse.ArgumentParser(
        prog='dev bench', description=__doc__, epilog=epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--railmq', required=True,
                        help='the program to measure (./dev bench gives it)')
    parser.add_argument('--relay', help='bench_relay (default: from the same build)')
    parser.add_argument('--raw-append', help='bench_raw_append (default: from the same build)')
    parser.add_argument('--rounds', type=positive, help='of each scenario (3; latency 5; backlog 1)')
    parser.add_argument('--patience', type=float, default=30, metavar='SECONDS',
                        help='how long to wait, all in all, for other programs that use more than '
                        f'{NOISE:.0%}% of the machine, and to repeat the runs they disturbed (30)')
    parser.add_argument('--only', metavar='SCENARIO', action='append',
                        help='only this one; may be given several times')
    parser.add_argument('--quick', action='store_true',
                        help='one short round, to see that it works; RabbitMQ in a few scenarios; '
                        'backlogs of a fiftieth')
    parser.add_argument('--no-rabbitmq', action='store_true', help='even if it is installed')
    parser.add_argument('--json', metavar='FILE', help='write all samples there')
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument('--backlog', action='store_true', help='deep backlogs instead of the above')
    kinds.add_argument('--relocation', action='store_true',
                       help='instead, what it costs to move messages from the journal to chunks, on '
                       'a model of the store (bench_store_relocation); a quarter of an hour')
    sizes = parser.add_argument_group('sizes, for --backlog')
    sizes.add_argument('--messages', type=positive, metavar='N',
                       help='by one fast publisher (10000000); also runs a tenth of that')
    sizes.add_argument('--publisher-messages', type=positive, metavar='N',
                       help='by many publishers, all together (2000000)')
    sizes.add_argument('--publishers', type=positive, metavar='N', help='that are many (1000)')
    sizes.add_argument('--queues', type=positive, metavar='N', help='durable ones (100000)')
    return parser


def chosen_keys(parser, options):
    """What --only asks for, or everything."""
    if options.backlog:
        known = backlog.KEYS
    elif options.relocation:
        known = RELOCATION_KEYS
    else:
        known = (*KEYS, *DURABLE_KEYS, tls.KEY, features.KEY)
    keys = set()
    for name in options.only or known:
        if name == DURABLE and DURABLE_KEYS[0] in known:
            keys.update(DURABLE_KEYS)
        elif name in known:
            keys.add(name)
        else:
            parser.error(f"--only {name}: there is no such scenario here; --help lists them")
    return keys


def parse_arguments():
    parser = make_parser()
    options = parser.parse_args()
    built = os.path.join(os.path.dirname(options.railmq), 'tests', 'bench')
    options.relay = options.relay or os.path.join(built, 'bench_relay')
    options.raw_append = options.raw_append or os.path.join(built, 'bench_raw_append')
    options.store_relocation = os.path.join(built, 'bench_store_relocation')
    options.keys = chosen_keys(parser, options)
    if options.relocation and options.json:
        parser.error('--json has nothing to write of --relocation')
    for program in (options.railmq, options.relay, options.raw_append, options.store_relocation):
        if not os.access(program, os.X_OK):
            parser.error(f'there is no program {program}; ./dev build makes it')
    return options


def head(facts, version, seconds):
    return (f'{facts["model"]}, {facts["processors"]} processors shared by broker and load '
            f'generator, Linux {facts["kernel"]}, data directories on {facts["file_system"]}'
            f'{f"; Rail {version}" if version else ""}; {seconds:.0f} s\n')


def write_json(options, content):
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(content, indent=1) + '\n',
                                              encoding='utf-8')


def warn_of_machine(facts):
    if facts['load'] > 0.5 * facts['processors']:
        say(f'note: load average is {facts["load"]:.1f}: other programs will disturb this')
    if facts['file_system'] == 'tmpfs':
        say('note: temporary files are in memory here (tmpfs), so figures of persistent messages '
            'mean nothing; set TMPDIR to a directory on a disk')


def find_rabbitmq(options):
    if options.no_rabbitmq:
        return None
    script = RabbitMQ.find()
    if script is None:
        say('note: rabbitmq-server is not installed, so there are no figures of RabbitMQ')
    return script


def bench_plain(options, facts):
    plan = Plan(options.quick, options.rounds, options.patience)
    rabbit_script = find_rabbitmq(options)
    begin = time.monotonic()
    results, versions, durable = run_loads(options, plan, rabbit_script, options.keys)
    if MEMORY in options.keys:
        results[MEMORY] = run_memories(options, plan, rabbit_script)
    report = Report(LOADS, MEMORY, versions, results)
    parts, goals, complaints = [report.throughput(), report.latency(), report.memory()], \
        list(report.goals()), report.complaints()
    if durable is not None:
        persistent = DurableReport(durable, report.rabbit())
        parts += [persistent.rates(), persistent.latency(), persistent.written()]
        goals += persistent.goals()
        complaints += persistent.complaints()
    if tls.KEY in options.keys:
        secure = tls.run(options.railmq, plan.rounds, plan.seconds['rail'],
                         lambda *what: measure(options.railmq, plan.patience, *what), say)
        parts.append(secure.table())
        goals += secure.goals()
        complaints += secure.complaints()
    if features.KEY in options.keys:
        beside = features.run(options.railmq, plan.rounds, plan.seconds['rail'], say)
        parts.append(beside.table())
        goals += beside.goals()
        complaints += beside.complaints()
    print(head(facts, versions.get('rail'), time.monotonic() - begin))
    for part in (*parts, goals_table(goals)):
        if part:
            print(part + '\n')
    for line in complaints:
        print(f'note: {line}')
    write_json(options, {
        'machine': facts, 'versions': versions, 'results': results,
        'durable': durable.results() if durable else None, 'notes': complaints,
        'tls': vars(secure) if tls.KEY in options.keys else None,
        'features': vars(beside) if features.KEY in options.keys else None,
        'goals': [{'goal': what, 'met': met, 'measured': value} for what, met, value in goals]})


def backlog_sizes(options):
    part = 50 if options.quick else 1
    return backlog.Sizes(options.messages or 10000000 // part,
                         options.publisher_messages or 2000000 // part,
                         options.publishers or (100 if options.quick else 1000),
                         options.queues or 100000 // part,
                         backlog.SHRINK_SECONDS / (10 if options.quick else 1))


def bench_backlog(options, facts):
    sizes = backlog_sizes(options)
    begin = time.monotonic()
    samples = backlog.run(options.railmq, sizes, options.keys, options.rounds or 1, say)
    print(head(facts, None, time.monotonic() - begin))
    print(backlog.report(sizes, samples))
    write_json(options, {'machine': facts, 'sizes': vars(sizes), 'backlog': samples})


def bench_relocation(options, facts):
    print(head(facts, None, 0), flush=True)
    with tempfile.TemporaryDirectory(prefix='rail-bench-') as directory:
        for key in (key for key in RELOCATION_KEYS if key in options.keys):
            command = [options.store_relocation, directory, key]
            done = subprocess.run(command + (['--quick'] if options.quick else []), check=False)
            if done.returncode != 0:
                raise Unusable(f'{" ".join(command)} failed with status {done.returncode}')


def main():
    options = parse_arguments()
    facts = machine_facts()
    warn_of_machine(facts)
    try:
        if options.backlog:
            bench_backlog(options, facts)
        elif options.relocation:
            bench_relocation(options, facts)
        else:
            bench_plain(options, facts)
    except Unusable as error:
        say(f'bench: {error}')
        return 1
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
