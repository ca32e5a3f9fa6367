"""How tests are written, found and run.

A test is a function with the decorator `test` in a file test_<subject>.py; it gets a
Context and fails by raising. Marks:
    rail_only   asks for an answer that is better than RabbitMQ's; skipped for a foreign broker
    process     needs the broker's process (memory, signals); skipped for a foreign broker
    signals     ends or stops a command by a signal that it catches; skipped under ThreadSanitizer,
                which keeps signals back while it waits for input
    stored      wants what brokers on the simulated engine have not: a store that outlives them, a
                start without a configuration; skipped with --simulate. A file may say STORED for
                all of its tests
    timed       mostly waits for a timer of the broker: runs beside the file's other tests
    slow        a timed test of 5 s and more, run only with --slow
    rows        a dict of name -> value: one test for each, with the value as second argument
"""

import os
import random
import threading
import time
import traceback
import zlib
from typing import Any, NamedTuple

import amqp

HERE = os.path.dirname(os.path.abspath(__file__))


class Marks(NamedTuple):
    rail_only: bool = False
    process: bool = False
    signals: bool = False
    stored: bool = False
    timed: bool = False
    slow: bool = False
    rows: Any = None


def test(function=None, **marks):
    def mark(function):
        function.marks = Marks(**marks)
        return function
    return mark(function) if function else mark


class Result(NamedTuple):
    name: str
    status: str
    detail: str
    seconds: float


class Case(NamedTuple):
    name: str
    function: Any
    arguments: tuple
    marks: Marks


def cases(module):
    """All tests of a module, in the order of its source."""
    subject = module.__name__.removeprefix('test_')
    for function in vars(module).values():
        if getattr(function, '__module__', None) != module.__name__:
            continue
        marks = getattr(function, 'marks', None)
        if marks is None:
            continue
        marks = marks._replace(stored=marks.stored or getattr(module, 'STORED', False))
        name = f'{subject}.{function.__name__}'
        if marks.rows is None:
            yield Case(name, function, (), marks)
            continue
        for row, value in marks.rows.items():
            yield Case(f'{name}[{row}]', function, (value,), marks)


class Context:
    """What a test gets: connections that are closed after it, names nobody else uses."""

    run = f'{random.getrandbits(32):08x}'
    count = 0
    lock = threading.Lock()

    def __init__(self, broker, seed, name):
        self.broker = broker
        self.address = broker.address
        self.seed = seed
        self.random = random.Random(seed ^ zlib.crc32(name.encode()))
        self.sockets = []

    def name(self, hint='q'):
        with Context.lock:
            Context.count += 1
            return f'rail.{Context.run}.{os.getpid()}.{Context.count}.{hint}'

    def wire(self):
        wire = amqp.Wire(self.address)
        self.sockets.append(wire)
        return wire

    def connect(self, **options):
        connection = amqp.Connection(self.address, **options)
        self.sockets.append(connection)
        return connection

    def channel(self, **options):
        """A channel on a connection of its own."""
        return self.connect(**options).channel()

    def exchange(self, channel, kind='direct', **arguments):
        return channel.exchange(self.name(kind), kind, auto_delete=arguments.pop(
            'auto_delete', True), **arguments)

    def queue(self, channel, **arguments):
        """An exclusive queue, or with arguments just what they say."""
        return channel.declare(self.name(), **(arguments or {'exclusive': True})).queue

    def cleanup(self):
        for sock in self.sockets:
            sock.close()


def equal(got, expected, what='value'):
    if got != expected:
        raise amqp.Mismatch(f'{what}: expected {expected!r}, got {got!r}')


def check(condition, message):
    if not condition:
        raise amqp.Mismatch(message)


def eventually(probe, expected, what='value', timeout=amqp.DEADLINE):
    """For counts that the protocol allows to lag behind: asks until the answer is right."""
    end = time.monotonic() + timeout
    got = probe()
    while got != expected and time.monotonic() < end:
        time.sleep(0.01)
        got = probe()
    equal(got, expected, what)


def settle(channel, queue, count):
    """Waits until the queue has as many ready messages."""
    eventually(lambda: channel.declare(queue, passive=True).message_count, count,
               f'ready messages of {queue}')


def run_case(case, broker, seed):
    context = Context(broker, seed, case.name)
    began = time.monotonic()
    status, detail = 'passed', ''
    try:
        case.function(context, *case.arguments)
    except Exception as error:  # Whatever a test raises is its failure.
        status, detail = 'failed', explain(error)
    finally:
        context.cleanup()
    return Result(case.name, status, detail, time.monotonic() - began)


def explain(error):
    """Message and place for an expectation, the whole traceback for anything else."""
    if not isinstance(error, AssertionError):
        return ''.join(traceback.format_exception(error))
    places = [f'{os.path.basename(place.filename)}:{place.lineno}'
              for place in traceback.extract_tb(error.__traceback__)
              if os.path.basename(place.filename).startswith('test_')]
    return f'{error}\n(at {" <- ".join(reversed(places))})'


def why_skipped(case, broker, slow):
    """The reason, or None if the test can run."""
    marks = case.marks
    if marks.slow and not slow:
        return 'slow'
    if not broker.own:
        return 'not for a foreign broker' if marks.rail_only or marks.process else None
    if marks.stored and broker.simulation:
        return 'the simulated engine keeps nothing'
    if marks.signals and broker.sanitized(by='t'):
        return 'ThreadSanitizer keeps signals back'
    return None


def run_cases(selected, broker, seed, slow):
    """Runs the tests of one file against a broker that is up; yields their results."""
    wanted = []
    for case in selected:
        reason = why_skipped(case, broker, slow)
        if reason:
            yield Result(case.name, 'skipped', reason, 0.0)
        else:
            wanted.append(case)
    timed_results = []
    timed = [threading.Thread(target=lambda case=case: timed_results.append(
        run_case(case, broker, seed))) for case in wanted if case.marks.timed or case.marks.slow]
    for thread in timed:
        thread.start()
    for case in wanted:
        if not (case.marks.timed or case.marks.slow):
            yield revive(run_case(case, broker, seed), broker)
    for thread in timed:
        thread.join()
    yield from timed_results


def revive(result, broker):
    """A broker that died fails the test that was running, and a new one serves the rest."""
    if result.status != 'failed' or broker.survives():
        return result
    detail = f'{result.detail}\nbroker ended: {broker.stop()}'
    broker.start()
    return result._replace(status='failed', detail=detail)
