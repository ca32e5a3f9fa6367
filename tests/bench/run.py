#!/usr/bin/python3
"""Measures Rail beside a relay that keeps nothing (relay.c: what any broker could reach with this
load generator on this machine) and, where it is installed, RabbitMQ. Starts all of them itself.
Rounds are interleaved and the figures are medians. docs/BENCHMARKS.md tells what they mean."""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import time

from processes import RabbitMQ, Rail, Relay, Unusable
from report import NOISE, Report
from scenarios import (KEYS, LOADS, MEMORY, PERSISTENT, machine_busy, machine_facts, run_load,
                       run_memory, run_raw)

RAW_SECONDS = 1
LOOK_SECONDS = 0.2


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
        self.rabbitmq = {'a', 'd2', 'f'} if quick else set(KEYS)

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


def run_rounds(options, plan, load, peers, raw):
    samples = {peer.key: [] for peer in peers}
    for number in range(plan.rounds_of(load)):
        if load.options[:len(PERSISTENT)] == PERSISTENT:
            raw.append(run_raw(RAW_SECONDS))
            say(f'({load.key}) round {number + 1} plain file {raw[-1]:,.0f} records/s')
        for peer in peers:
            sample = measure(options.railmq, plan.patience, load, peer,
                             plan.seconds_of(load, peer))
            samples[peer.key].append(sample)
            tail = f'p99 {sample["p99"]:.0f} us' if load.latency else f'{sample["rate"]:,.0f} msg/s'
            say(f'({load.key}) round {number + 1} {peer.name:<9} {tail}, '
                f'others {sample["others"]:.0%}')
    return samples


def run_loads(options, plan, rabbit_script, keys):
    """Results, versions, and what a plain file took. All brokers run all the time, and all but one
    are idle."""
    results, versions, raw = {}, {}, []
    loads = [load for load in LOADS if load.key in keys]
    if not loads:
        return results, versions, raw
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Rail(options.railmq)),
                 stack.enter_context(Relay(options.relay, os.cpu_count()))]
        if rabbit_script and plan.rabbitmq & keys:
            peers.append(stack.enter_context(RabbitMQ(rabbit_script)))
        versions = {peer.key: peer.version for peer in peers}
        for load in loads:
            chosen = [peer for peer in peers
                      if peer.key != 'rabbitmq' or load.key in plan.rabbitmq]
            results[load.key] = run_rounds(options, plan, load, chosen, raw)
    return results, versions, raw


def run_memories(options, plan, rabbit_script):
    say(f'({MEMORY}) memory')
    results = {'rail': run_memory(options.railmq, lambda: Rail(options.railmq),
                                  *plan.memory['rail'])}
    if rabbit_script and MEMORY in plan.rabbitmq:
        results['rabbitmq'] = run_memory(options.railmq, lambda: RabbitMQ(rabbit_script),
                                         *plan.memory['rabbitmq'])
    return results


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog='dev bench', description=__doc__,
        epilog='Scenarios: ' + '; '.join(f'{load.key}: {load.title}' for load in LOADS) +
        f'; {MEMORY}: memory.')
    parser.add_argument('--railmq', required=True, help='the program to measure')
    parser.add_argument('--relay', help='bench_relay (default: from the same build)')
    parser.add_argument('--rounds', type=int, help='of each scenario (3; latency 5)')
    parser.add_argument('--patience', type=float, default=30, metavar='SECONDS',
                        help='how long to wait, all in all, for other programs that use more than '
                        f'{NOISE:.0%}% of the machine, and to repeat the runs they disturbed (30)')
    parser.add_argument('--only', metavar='SCENARIO', action='append', choices=KEYS,
                        help='only this one; may be given several times')
    parser.add_argument('--quick', action='store_true',
                        help='one short round, to see that it works; RabbitMQ in a few scenarios')
    parser.add_argument('--no-rabbitmq', action='store_true', help='even if it is installed')
    parser.add_argument('--json', metavar='FILE', help='write all samples there')
    options = parser.parse_args()
    options.relay = options.relay or os.path.join(os.path.dirname(options.railmq), 'tests', 'bench',
                                                  'bench_relay')
    for program in (options.railmq, options.relay):
        if not os.access(program, os.X_OK):
            parser.error(f'there is no program {program}; ./dev build makes it')
    return options


def print_report(report, facts, seconds):
    print(f'{facts["model"]}, {facts["processors"]} processors shared by broker and load '
          f'generator, Linux {facts["kernel"]}, data directories on {facts["file_system"]}; '
          f'Rail {report.versions.get("rail") or ""}; {seconds:.0f} s\n')
    for part in (report.throughput(), report.latency(), report.memory(), report.goals_table()):
        if part:
            print(part + '\n')
    for line in report.complaints():
        print(f'note: {line}')


def main():
    options = parse_arguments()
    plan = Plan(options.quick, options.rounds, options.patience)
    keys = set(options.only or KEYS)
    facts = machine_facts()
    if facts['load'] > 0.5 * facts['processors']:
        say(f'note: load average is {facts["load"]:.1f}: other programs will disturb this')
    if facts['file_system'] == 'tmpfs':
        say('note: temporary files are in memory here (tmpfs), so figures of persistent messages '
            'mean nothing; set TMPDIR to a directory on a disk')
    rabbit_script = None if options.no_rabbitmq else RabbitMQ.find()
    begin = time.monotonic()
    try:
        results, versions, raw = run_loads(options, plan, rabbit_script, keys)
        if MEMORY in keys:
            results[MEMORY] = run_memories(options, plan, rabbit_script)
    except Unusable as error:
        say(f'bench: {error}')
        return 1
    report = Report(LOADS, MEMORY, versions, results, raw)
    print_report(report, facts, time.monotonic() - begin)
    if options.json:
        goals = [{'goal': what, 'met': met, 'measured': value}
                 for what, met, value in report.goals()]
        text = json.dumps({'machine': facts, 'versions': versions, 'results': results, 'raw': raw,
                           'goals': goals}, indent=1)
        pathlib.Path(options.json).write_text(text + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
