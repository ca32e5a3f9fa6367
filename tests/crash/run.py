#!/usr/bin/python3
"""Kills brokers and looks at what is left. The last line of output is `N passed, N failed`."""

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, *(os.path.join(os.path.dirname(HERE), name) for name in ('protocol', 'model'))]
sys.dont_write_bytecode = True

import cases  # noqa: E402
import copies  # noqa: E402
import faults  # noqa: E402
import fulldisk  # noqa: E402
import power  # noqa: E402
import salvaging  # noqa: E402
import server  # noqa: E402
import streams  # noqa: E402
import world  # noqa: E402

# Rounds that one data directory goes through.
WORLD_ROUNDS = 5
CASES = {**cases.CASES, **copies.CASES, **salvaging.CASES, **streams.CASES}
NAMES = ('kill', 'power')
# So many of those come to one world of backups.
COPIES_SHARE = 20
# How often a fault point is passed before the broker dies there, beside the first time.
FAULT_COUNTS_MAX = (4, 60, 300)
# Seldom done, and only once there is a backlog: that is what a first round without a fault leaves.
FAULT_COUNTS_BACKLOG = [0, 1, 0, 1]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--railmq', required=True, help='binary to start')
    parser.add_argument('--rounds', type=int, default=20,
                        help='crashes, half of them losses of power (%(default)s)')
    parser.add_argument('--seed', type=int, help='of what is random (default: a new one)')
    parser.add_argument('--jobs', type=int, default=3, help='brokers at a time (%(default)s)')
    parser.add_argument('--keep', metavar='DIR', help='copy data directories of failures to here')
    parser.add_argument('-v', '--verbose', action='store_true', help='print every round')
    parser.add_argument('filter', nargs='*', help='only what has one of these in its name')
    return parser.parse_args()


def play_world(options, name, seed, rounds):
    """Results of one data directory: (name, complaints, notes)."""
    railmq = os.path.abspath(options.railmq)
    rand = random.Random(seed)
    if name.startswith('power'):
        subject = power.PoweredServer(railmq, options.library, rand)
    else:
        subject = server.Server(railmq)
    results = []
    try:
        if name.startswith('fault.'):
            name = name.removeprefix('fault.')
            counts = [1, *(rand.randint(2, most) for most in FAULT_COUNTS_MAX)]
            if name.startswith('page.'):
                counts = FAULT_COUNTS_BACKLOG
            here = faults.DoomedWorld(subject, seed, name, counts)
            rounds = len(counts)
        elif name == 'disk.full':
            here = fulldisk.FullDiskWorld(subject, seed, options.disk_library)
            rounds = len(here.counts)
        elif name.startswith('disk.'):
            here = faults.FailingDiskWorld(subject, seed, name.removeprefix('disk.'),
                                           options.disk_library)
            rounds = len(here.counts)
        elif name.startswith('copies'):
            here = copies.CopiesWorld(subject, seed)
        else:
            here = world.World(subject, seed)
        for number in range(1, rounds + 1):
            complaints = here.play()
            results.append((f'{name}.{number}', complaints, here.notes))
            if complaints:
                world.keep(subject, options.keep, f'{name}.{number}')
                return results
        results.append((f'{name}.end', here.finish(), ''))
    finally:
        subject.remove()
    return results


def run_job(job):
    options, name, *arguments = job
    began = time.monotonic()
    try:
        case = CASES.get(name)
        point = name.removeprefix('fault.')
        if case is not None:
            results = [(name, case(options, *arguments), '')]
        elif point.startswith(copies.POINTS):
            results = [(name, copies.doomed_copy(options, arguments[0], point), '')]
        elif point.startswith(streams.POINTS):
            results = [(name, streams.doomed_stream(options, arguments[0], point), '')]
        else:
            results = play_world(options, name, *arguments)
    except Exception:  # pylint: disable=broad-except
        results = [(name, [traceback.format_exc()], '')]
    return results, time.monotonic() - began


def make_jobs(options):
    """Worlds of both kinds in turn, then the single cases; every job has a seed of its own."""
    rand = random.Random(options.seed)
    left = options.rounds
    number = 0
    while left > 0:
        yield (options, f'{NAMES[number % 2]}{number // 2 + 1}', rand.randrange(1 << 32),
               min(left, WORLD_ROUNDS))
        left -= WORLD_ROUNDS
        number += 1
    for number in range(max(1, options.rounds // COPIES_SHARE)):
        yield (options, f'copies{number + 1}', rand.randrange(1 << 32), WORLD_ROUNDS)
    for name in faults.names(os.path.abspath(options.railmq)):
        if name in fulldisk.POINTS:
            continue
        yield (options, f'fault.{name}', rand.randrange(1 << 32), 0)
    yield (options, 'disk.full', rand.randrange(1 << 32), 0)
    for call in faults.DISK_CALLS:
        yield (options, f'disk.{call}', rand.randrange(1 << 32), 0)
    for name in CASES:
        yield (options, name, rand.randrange(1 << 32))


def main():
    options = parse_arguments()
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    print(f'seed {options.seed}', flush=True)
    directory = tempfile.mkdtemp(prefix='rail-crash-build-')
    options.library = power.build(directory)
    options.disk_library = power.build(directory, 'diskfault')
    jobs = [job for job in make_jobs(options)
            if not options.filter or any(part in job[1] for part in options.filter)]
    passed = failed = 0
    began = time.monotonic()
    try:
        with multiprocessing.Pool(options.jobs, maxtasksperchild=1) as pool:
            for results, seconds in pool.imap_unordered(run_job, jobs):
                for name, complaints, notes in results:
                    if complaints:
                        failed += 1
                        print(f'FAILED {name}\n    ' +
                              '\n'.join(complaints).replace('\n', '\n    '))
                    else:
                        passed += 1
                        if options.verbose:
                            print(f'ok   {name} {notes}')
                if options.verbose:
                    print(f'     {seconds:.1f} s')
                sys.stdout.flush()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f'seed {options.seed}, {time.monotonic() - began:.1f} s')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
