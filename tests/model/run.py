#!/usr/bin/python3
"""Plays random programs on brokers and on a model of a queue. What fails is made smaller and printed.
The last line of output is `N passed, N failed`."""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, *(os.path.join(os.path.dirname(HERE), name) for name in ('protocol', 'crash'))]
sys.dont_write_bytecode = True

import amqp  # noqa: E402
import broker  # noqa: E402
import group as groups  # noqa: E402
import programs  # noqa: E402
import shrink  # noqa: E402
from player import Place  # noqa: E402
from server import Server  # noqa: E402

SLICE = 200           # Programs of one broker.
FAILURES_MAX = 3      # Of a slice: those after them tell nothing new.
SHRINK_DEADLINE = 2   # Seconds after which a broker does not answer any more, once something failed.
SHRINK_SECONDS = 60
GROUP = 25
SCHEDULES = (['stop'], ['quiet'], ['kill'], ['stop', 'quiet'], ['kill', 'stop'], ['stop', 'stop'],
             ['kill', 'kill'], ['quiet', 'stop', 'kill'])


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--railmq', required=True, help='binary to start')
    parser.add_argument('--seeds', type=int, default=300, help='programs to play (%(default)s)')
    parser.add_argument('--restarts', type=int, default=4,
                        help=f'groups of {GROUP} programs with restarts (%(default)s)')
    parser.add_argument('--first', type=int, help='the first seed (default: a new one)')
    parser.add_argument('--jobs', type=int, default=2, help='brokers at a time (%(default)s)')
    parser.add_argument('--seed', type=int, help='play just the program of this seed')
    parser.add_argument('--kinds', default='', help='its restarts, for example stop,kill')
    parser.add_argument('--program', metavar='FILE', help='play just this one')
    parser.add_argument('--times', type=int, default=1, help='how often (%(default)s)')
    parser.add_argument('--no-shrink', action='store_true', help='leave what fails as it is')
    parser.add_argument('--print', action='store_true', help='show the program and do nothing')
    return parser.parse_args()


def make_server(options):
    server = Server(os.path.abspath(options.railmq))
    server.configure(outbox='64MiB')  # What has credit is sent at once.
    return server.start()


class Slice:
    """Seeds that share a broker."""

    def __init__(self, options, seeds, kinds=()):
        self.options = options
        self.seeds = seeds
        self.kinds = list(kinds)
        self.reports = []

    def start(self):
        self.server = make_server(self.options)
        self.place = None

    def run(self):
        began = time.monotonic()
        self.start()
        try:
            if self.kinds:
                self.run_group()
            else:
                self.run_each()
            self.stop()
        finally:
            self.server.remove()
        return len(self.seeds), self.reports, time.monotonic() - began

    def stop(self):
        status = self.server.end(signal.SIGTERM)
        if status != 0:
            self.reports.append(f'seeds {self.seeds[0]} to {self.seeds[-1]}: exit status {status} '
                                f'after SIGTERM:\n{self.server.log_tail()}')

    def run_each(self):
        for seed in self.seeds:
            self.place = self.place or Place(self.server.address)
            program = programs.generate(seed)
            failure = groups.play(self.server, program, self.place)
            if failure:
                self.report(seed, failure)
                if len(self.reports) >= FAILURES_MAX:
                    return
        if self.place:
            self.place.close()

    def run_group(self):
        made = {id(program): seed for seed, program in (
            (seed, programs.generate(seed, self.kinds)) for seed in self.seeds)}
        group = [programs.generate(seed, self.kinds) for seed in self.seeds]
        made = {id(program): seed for seed, program in zip(self.seeds, group)}
        for failure in groups.play_group(self.server, group)[:FAILURES_MAX]:
            self.report(made[id(failure.program)], failure)

    def revive(self):
        """A broker on which the next program finds nothing of this one."""
        if self.place:
            self.place.close()
            self.place = None
        log = self.server.log_tail()
        if not self.server.alive():
            self.server.remove()
            self.start()
        return log

    def fails(self, program):
        try:
            return groups.play(self.server, program, deadline=SHRINK_DEADLINE) is not None
        except (broker.BrokerFailure, OSError, amqp.Mismatch):
            return True
        finally:
            self.revive()

    def report(self, seed, failure):
        died = not self.server.survives()
        log = self.revive()
        text = f'seed {seed}{" --kinds " + ",".join(self.kinds) if self.kinds else ""}: '
        text += failure.text
        if died:
            text += f'\nthe broker ended:\n{log}'
        if self.options.no_shrink:
            self.reports.append(text)
            return
        again = any(self.fails(failure.program) for _ in range(3))
        program = failure.program
        if again:
            shrinker = shrink.Shrinker(program, self.fails, SHRINK_SECONDS)
            program = shrinker.shrink()
            last = groups.play(self.server, program, deadline=SHRINK_DEADLINE)
            self.revive()
            text += f'\nmade smaller: {last.text if last else "does not fail each time"}'
        else:
            text += '\nplayed by itself it does not fail again'
        text += f'\nfor --program FILE:\n{programs.write(program)}'
        self.reports.append(text)


def make_slices(options):
    rand = random.Random(options.first)
    first = options.first
    for start in range(first, first + options.seeds, SLICE):
        yield Slice(options, range(start, min(start + SLICE, first + options.seeds)))
    first += options.seeds
    for number in range(options.restarts):
        kinds = SCHEDULES[number] if number < len(SCHEDULES) else rand.choice(SCHEDULES)
        yield Slice(options, range(first + number * GROUP, first + (number + 1) * GROUP), kinds)


def play_one(options):
    if options.program:
        with open(options.program, encoding='utf-8') as file:
            program = programs.read(file.read())
    else:
        program = programs.generate(options.seed, [k for k in options.kinds.split(',') if k])
    if options.print:
        print(programs.write(program), end='')
        return 0
    server = make_server(options)
    failed = 0
    try:
        for _ in range(options.times):
            failure = groups.play(server, program)
            if failure:
                failed += 1
                print(f'FAILED {failure.text}')
                if not server.survives():
                    print(server.log_tail())
                    break
    finally:
        server.remove()
    print(f'{options.times - failed} passed, {failed} failed')
    return 1 if failed else 0


def main():
    options = parse_arguments()
    if options.seed is not None or options.program:
        return play_one(options)
    if options.first is None:
        options.first = random.randrange(1 << 40)
    passed = failed = 0
    began = time.monotonic()
    with multiprocessing.Pool(options.jobs, maxtasksperchild=1) as pool:
        for count, reports, _ in pool.imap_unordered(Slice.run, make_slices(options)):
            for report in reports:
                print('FAILED ' + report.replace('\n', '\n    '), flush=True)
            failed += len(reports)
            passed += count - len(reports)
    print(f'--first {options.first}, {time.monotonic() - began:.1f} s')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
