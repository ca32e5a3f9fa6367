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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
from processes import RabbitMQ, Rail, Relay, Unusable  # noqa: E402
from report import NOISE, Report  # noqa: E402
from scenarios import KEYS, LOADS, MEMORY, machine_facts, run_load, run_memory  # noqa: E402

LATENCY_ROUNDS = 5


class Plan:
    """How long and how often; RabbitMQ gets less time, as it reaches its pace at once and has a
    backlog to drain."""

    def __init__(self, quick, rounds):
        self.rounds = rounds or (1 if quick else 3)
        self.latency_rounds = 1 if quick else max(rounds or 0, LATENCY_ROUNDS)
        self.seconds = {'rail': 1 if quick else 3, 'relay': 1 if quick else 3,
                        'rabbitmq': 1 if quick else 2}
        self.latency_seconds = 2 if quick else 3
        self.memory = {'rail': (1000, 2000) if quick else (5000, 10000), 'rabbitmq': (500, 1000)}
        # Without a queue's worth of patience only what is most asked for.
        self.rabbitmq = {'a', 'd2', 'f'} if quick else set(KEYS)

    def seconds_of(self, load, peer):
        return self.latency_seconds if load.latency else self.seconds[peer.key]

    def rounds_of(self, load):
        return self.latency_rounds if load.latency else self.rounds


def say(text):
    print(text, file=sys.stderr, flush=True)


def measure(options, load, peer, seconds):
    """A sample; a run that other programs disturbed is repeated as often as `--retries` allows,
    and the least disturbed one counts."""
    best = None
    for _ in range(options.retries + 1):
        sample = run_load(options.railmq, peer, load, seconds)
        if best is None or sample['others'] < best['others']:
            best = sample
        if best['others'] <= NOISE:
            break
    return best


def run_rounds(options, plan, load, peers):
    samples = {peer.key: [] for peer in peers}
    for number in range(plan.rounds_of(load)):
        for peer in peers:
            sample = measure(options, load, peer, plan.seconds_of(load, peer))
            samples[peer.key].append(sample)
            tail = f'p99 {sample["p99"]:.0f} us' if load.latency else f'{sample["rate"]:,.0f} msg/s'
            say(f'({load.key}) round {number + 1} {peer.name:<9} {tail}, '
                f'others {sample["others"]:.0%}')
    return samples


def run_loads(options, plan, rabbit_script, keys):
    """Results and versions. All brokers run all the time, and all but one are idle."""
    results, versions = {}, {}
    loads = [load for load in LOADS if load.key in keys]
    if not loads:
        return results, versions
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Rail(options.railmq)),
                 stack.enter_context(Relay(options.relay, os.cpu_count()))]
        if rabbit_script and plan.rabbitmq & keys:
            peers.append(stack.enter_context(RabbitMQ(rabbit_script)))
        versions = {peer.key: peer.version for peer in peers}
        for load in loads:
            chosen = [peer for peer in peers
                      if peer.key != 'rabbitmq' or load.key in plan.rabbitmq]
            results[load.key] = run_rounds(options, plan, load, chosen)
    return results, versions


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
    parser.add_argument('--rounds', type=int, help='of each scenario (3; latency at least 5)')
    parser.add_argument('--retries', type=int, default=1,
                        help='how often a run is repeated during which other programs took more '
                        f'than {NOISE:.0%} of the machine (1)')
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
          f'generator, Linux {facts["kernel"]}; Rail {report.versions.get("rail") or ""}; '
          f'{seconds:.0f} s\n')
    for part in (report.throughput(), report.latency(), report.memory(), report.goals_table()):
        if part:
            print(part + '\n')
    if any(load.key == 'd2' for load in report.loads):
        print('* not on disk in this version of Rail: durable messages are kept in memory only. '
              'RabbitMQ writes them to disk.')
    for line in report.complaints():
        print(f'note: {line}')


def main():
    options = parse_arguments()
    plan = Plan(options.quick, options.rounds)
    keys = set(options.only or KEYS)
    facts = machine_facts()
    if facts['load'] > 0.5 * facts['processors']:
        say(f'note: load average is {facts["load"]:.1f}: other programs will disturb this')
    rabbit_script = None if options.no_rabbitmq else RabbitMQ.find()
    begin = time.monotonic()
    try:
        results, versions = run_loads(options, plan, rabbit_script, keys)
        if MEMORY in keys:
            results[MEMORY] = run_memories(options, plan, rabbit_script)
    except Unusable as error:
        say(f'bench: {error}')
        return 1
    report = Report(LOADS, MEMORY, versions, results)
    print_report(report, facts, time.monotonic() - begin)
    if options.json:
        goals = [{'goal': what, 'met': met, 'measured': value}
                 for what, met, value in report.goals()]
        text = json.dumps({'machine': facts, 'versions': versions, 'results': results,
                           'goals': goals}, indent=1)
        pathlib.Path(options.json).write_text(text + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
