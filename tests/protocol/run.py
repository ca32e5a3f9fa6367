#!/usr/bin/python3
"""Runs the protocol tests. The last line of output is `N passed, N failed[, N skipped]`."""

import argparse
import importlib
import multiprocessing
import os
import random
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import amqp  # noqa: E402
import broker as brokers  # noqa: E402
import harness  # noqa: E402
import secure  # noqa: E402


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument('--railmq', help='binary to start, one process for each test file')
    target.add_argument('--broker', metavar='HOST:PORT', help='broker that is already running')
    parser.add_argument('--tls', action='store_true',
                        help='over TLS, all but files that say PLAIN; only with --railmq')
    parser.add_argument('--simulate', action='store_true',
                        help='on the engine that keeps everything in memory; only with --railmq')
    parser.add_argument('--jobs', type=int, default=4, help='test files at a time (%(default)s)')
    parser.add_argument('--seed', type=int, help='of the random tests (default: a new one)')
    parser.add_argument('--slow', action='store_true', help='also tests that wait 5 s and more')
    parser.add_argument('-v', '--verbose', action='store_true', help='print every test')
    parser.add_argument('filter', nargs='*', help='run tests whose name contains one of these')
    return parser.parse_args()


def modules():
    names = sorted(name[:-3] for name in os.listdir(HERE)
                   if name.startswith('test_') and name.endswith('.py'))
    found = [importlib.import_module(name) for name in names]
    return sorted(found, key=lambda module: -getattr(module, 'WEIGHT', 1))


def run_file(job):
    name, options = job
    wanted = [case for case in harness.cases(importlib.import_module(name))
              if not options.filter or any(part in case.name for part in options.filter)]
    if not wanted:
        return []
    subject = name.removeprefix('test_')
    if options.railmq:
        broker = brokers.Broker(os.path.abspath(options.railmq))
    else:
        broker = brokers.ForeignBroker(options.broker)
    began = time.monotonic()
    results = []
    try:
        broker.start()
        results += harness.run_cases(wanted, broker, options.seed, options.slow)
        failure = broker.stop()
    except brokers.BrokerFailure as error:
        failure = str(error)
    if broker.own:
        results.append(harness.Result(f'{subject}.broker_stops_cleanly',
                                      'failed' if failure else 'passed', failure or '',
                                      time.monotonic() - began))
    return results


def report(result, verbose):
    if result.status == 'failed':
        print(f'FAILED {result.name}\n    ' + result.detail.replace('\n', '\n    '))
    elif verbose:
        print(f'{result.status} {result.name} ({result.detail or f"{result.seconds:.2f} s"})')
    sys.stdout.flush()


def go_over_tls(railmq, directory):
    """Before the processes start, so that all of them do."""
    secure.make_certificates(railmq, directory)
    brokers.Broker.tls_directory = directory
    amqp.Wire.tls = secure.client_context(directory)


def simulate(directory):
    brokers.Broker.simulation = os.path.join(directory, 'simulate.yaml')
    with open(brokers.Broker.simulation, 'w', encoding='utf-8') as file:
        file.write('version: 1\ntesting: {simulate: true}\n')


def main():
    options = parse_arguments()
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    jobs = [(module.__name__, options) for module in modules()
            if not (options.tls and getattr(module, 'PLAIN', False))]
    counts = {'passed': 0, 'failed': 0, 'skipped': 0}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='rail-protocol-run-') as directory:
        if options.simulate:
            simulate(directory)
        if options.tls:
            go_over_tls(os.path.abspath(options.railmq), directory)
        with multiprocessing.Pool(options.jobs) as pool:
            for results in pool.imap_unordered(run_file, jobs):
                for result in results:
                    counts[result.status] += 1
                    report(result, options.verbose)
    print(f'seed {options.seed}, {time.monotonic() - began:.1f} s')
    print(f'{counts["passed"]} passed, {counts["failed"]} failed' +
          (f', {counts["skipped"]} skipped' if counts['skipped'] else ''))
    return 1 if counts['failed'] or not counts['passed'] else 0


if __name__ == '__main__':
    sys.exit(main())
