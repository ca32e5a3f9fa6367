"""Single cases beside the worlds: each returns what is wrong, as a list of texts."""

import contextlib
import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import amqp
import group
import power
import programs
import server
import store
from actors import random_message, send
from books import SETTLE_WINDOW_S, QueueBook
from clerk import read_queue

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM_SECONDS = 60
PERSISTENT = {'delivery_mode': 2}
MATTERS = ('.log', '.sst', 'MANIFEST', 'CURRENT', 'witness')
PAGE_SIZE = 4096
BLOCK_SIZE, FRAME_HEAD_SIZE = 32768, 7


@contextlib.contextmanager
def running(subject):
    try:
        yield subject.start()
    finally:
        subject.remove()


def open_channel(subject):
    return amqp.Connection(subject.address).channel()


def publish_confirmed(connection, messages, window=50):
    """Sends all of them on a channel of its own and waits for all confirms."""
    channel = connection.channel()
    channel.call('confirm.select')
    messages = list(messages)
    answered = 0
    for number, message in enumerate(messages, 1):
        send(channel, message)
        while number - answered >= window or (number == len(messages) and answered < number):
            answered = max(answered, channel.take('basic.ack').delivery_tag)
    channel.close()


def make_messages(rand, queue, count):
    for number in range(count):
        message = random_message(rand, f'{queue}.{number}', 'p', number, '', queue)
        if message.persistent:
            yield message


def make_store(subject, rand):
    """Fills a broker with confirmed messages, some of them settled, over a few starts, and stops it
    in order. Returns the books."""
    books = {name: QueueBook(name) for name in ('f0', 'f1', 'f2')}
    for step in range(3):
        channel = open_channel(subject)
        for book in books.values():
            channel.declare(book.name, durable=True)
            messages = list(make_messages(rand, f'{book.name}.{step}', 60))
            for message in messages:
                message.key = book.name
                message.number += step * 1000
                book.add(message, confirmed=True)
            publish_confirmed(channel.connection, messages)
            for _ in range(25):
                method = channel.get(book.name, no_ack=False)
                copy, _ = book.find(method)
                channel.ack(method.delivery_tag)
                copy.settled = copy.settled_durably = True
        channel.connection.finish()
        subject.end(signal.SIGTERM)
        if step < 2:
            subject.start()
    return books


def judge_store(subject, books):
    complaints = []
    connection = amqp.Connection(subject.address)
    reader = connection.channel()
    for book in books.values():
        try:
            fresh = QueueBook(book.name)
            fresh.copies = book.copies
            complaints += fresh.judge(read_queue(reader, book.name, complaints), time.monotonic())
        except amqp.Mismatch as error:
            return [*complaints, f'{book.name}: {error}']
    connection.finish()
    return complaints


def damage(options, seed):
    """One flipped bit anywhere in a stopped store: the broker says so and does not start, or it
    starts and nothing is missing."""
    rand = random.Random(seed)
    with running(server.Server(os.path.abspath(options.railmq))) as subject:
        books = make_store(subject, rand)
        flips = [random_flip(subject.data, rand) for _ in range(max(200, 4 * options.rounds))]
        return judge_flips(options, subject, books, flips)


def damage_heads(options, seed):
    """The same for bits of length and type of frames, for which RocksDB takes the rest for torn."""
    rand = random.Random(seed)
    with running(server.Server(os.path.abspath(options.railmq))) as subject:
        books = make_store(subject, rand)
        flips = [(path, head + octet, bit) for path in power.files(subject.data) if is_framed(path)
                 for head in frame_heads(path)[-12:] for octet in (4, 5, 6) for bit in range(8)]
        flips = rand.sample(flips, min(len(flips), max(200, 4 * options.rounds)))
        return judge_flips(options, subject, books, flips)


def judge_flips(options, subject, books, flips):
    return judge_harms(options, subject, books, (
        (f'bit {bit} of octet {offset} of {os.path.basename(path)} flipped',
         lambda path=path, offset=offset, bit=bit: flip(path, offset, bit))
        for path, offset, bit in flips))


def judge_harms(options, subject, books, harms):
    """Starts on a copy of the store for each harm: its name, and what does it."""
    complaints = []
    whole = subject.data + '.whole'
    os.rename(subject.data, whole)
    for name, harm in harms:
        shutil.copytree(whole, subject.data)
        harm()
        found = judge_damaged(subject, books)
        complaints += [f'{name}: {text}' for text in found]
        if found and options.keep:
            shutil.copytree(subject.data, os.path.join(options.keep, name.replace(' ', '_')),
                            dirs_exist_ok=True)
        shutil.rmtree(subject.data)
    return complaints


def files_lost(options, seed):
    """Each file in turn is gone, cut, or its last page was never written."""
    rand = random.Random(seed)
    with running(server.Server(os.path.abspath(options.railmq))) as subject:
        books = make_store(subject, rand)
        harms = []
        for path, (_, size) in sorted(power.files(subject.data).items()):
            name = os.path.relpath(path, subject.data).replace('/', '.')
            harms += [(f'{name} deleted', lambda path=path: os.unlink(path)),
                      *((f'{name} cut to {end}', lambda path=path, end=end: os.truncate(path, end))
                        for end in {0, size // 2, size - 1} if 0 <= end < size),
                      (f'last page of {name} zeroed', lambda path=path: zero_last_page(path))]
        return judge_harms(options, subject, books, harms)


def zero_last_page(path):
    size = os.path.getsize(path)
    start = max(0, size - 1) // PAGE_SIZE * PAGE_SIZE
    with open(path, 'r+b') as file:
        file.seek(start)
        file.write(bytes(size - start))


def is_framed(path):
    return path.endswith('.log') or 'MANIFEST' in path


def frame_heads(path):
    """Where the frames of a write-ahead log or manifest begin: blocks of 32 KiB hold frames of
    checksum(4), length(2), type(1) and octets, and no head crosses the end of a block."""
    with open(path, 'rb') as file:
        octets = file.read()
    heads, at = [], 0
    while at + FRAME_HEAD_SIZE <= len(octets):
        left = BLOCK_SIZE - at % BLOCK_SIZE
        if left < FRAME_HEAD_SIZE:
            at += left
            continue
        heads.append(at)
        at += FRAME_HEAD_SIZE + int.from_bytes(octets[at + 4:at + 6], 'little')
    return heads


def random_flip(directory, rand):
    """A bit of what matters: anywhere, or near the end, where the newest is. Heads of frames have
    their own case."""
    paths = [path for path, (_, size) in sorted(power.files(directory).items())
             if size and os.path.basename(path).partition('-')[0].endswith(MATTERS)]
    while True:
        path = rand.choice(paths)
        size = os.path.getsize(path)
        offset = rand.choice([rand.randrange(size), rand.randrange(max(0, size - 200), size)])
        heads = frame_heads(path) if is_framed(path) else []
        if not any(0 <= offset - head < FRAME_HEAD_SIZE for head in heads):
            return path, offset, rand.randrange(8)


def flip(path, offset, bit):
    with open(path, 'r+b') as file:
        file.seek(offset)
        octet = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([octet ^ 1 << bit]))


def judge_damaged(subject, books):
    status = subject.start_refused()
    if status is None:
        found = judge_store(subject, books)
        subject.end(signal.SIGKILL)
        return [f'started although the store is damaged: {text}' for text in found[:2]]
    return judge_refusal(subject, status, ['damaged', 'missing', 'lacks', 'cannot be'])


def judge_refusal(subject, status, words):
    """A refusal says what and where, with status 1."""
    lines = [line for line in subject.lines if line.startswith('railmq: cannot start:')]
    advises = lines and 'backup' in lines[0] and any(
        way in lines[0] for way in ('railmq store salvage', 'write the word accept'))
    if 'damaged' in words and lines and not advises:
        return [f'does not say what to do\n{lines[0]}']
    if status != 1:
        return [f'exit status {status}, not 1\n{subject.log_tail()}']
    if not lines or not any(word in lines[0] for word in words):
        return [f'does not say why it does not start\n{subject.log_tail()}']
    return []


def locked(options, seed):
    """A second broker on the same directory does not start; the first goes on."""
    del seed
    complaints = []
    subject = server.Server(os.path.abspath(options.railmq))
    with running(subject):
        second = server.Server(subject.railmq)
        shutil.rmtree(second.directory)
        second.directory = subject.directory
        status = second.start_refused()
        if status is None:
            second.end(signal.SIGKILL)
            complaints.append('a second broker started on the same directory')
        else:
            complaints += judge_refusal(second, status, ['another process', 'in use', 'lock'])
        channel = open_channel(subject)
        channel.declare('q', durable=True)
        publish_confirmed(channel.connection, make_messages(random.Random(1), 'q', 10))
    return complaints


def newer_format(options, seed):
    """A store that a later version wrote is refused and left as it is."""
    del seed
    subject = server.Server(os.path.abspath(options.railmq))
    with running(subject):
        subject.end(signal.SIGTERM)
        row = (7).to_bytes(4, 'big') + (1).to_bytes(8, 'big')
        store.put(subject.data, store.FORMAT_KEY, row)
        status = subject.start_refused()
        if status is None:
            return ['started on a store of format 7']
        return judge_refusal(subject, status, ['format 7'])


def relocation(options, seed):
    """A stuck message in front of much traffic: what is alive moves, and survives crashes."""
    rand = random.Random(seed)
    complaints = []
    subject = server.Server(os.path.abspath(options.railmq))
    books = {name: QueueBook(name) for name in ('r0', 'r1')}
    with running(subject):
        for step in range(4):
            traffic(subject, rand, step, books)
            time.sleep(SETTLE_WINDOW_S)
            killed_at = time.monotonic()
            subject.end(signal.SIGKILL)
            if step == 1 and store.count(subject.data, store.CHUNK_KEY) == 0:
                complaints.append('nothing was relocated: the test does not test what it should')
            subject.start()
            connection = amqp.Connection(subject.address)
            reader = connection.channel()
            for book in books.values():
                complaints += book.judge(read_queue(reader, book.name, complaints), killed_at)
            connection.finish()
    return complaints


def traffic(subject, rand, step, books):
    """About 20 MiB through two queues; one in 25 stays."""
    channel = open_channel(subject)
    for book in books.values():
        channel.declare(book.name, durable=True)
    for burst in range(5):
        for book in books.values():
            messages = list(make_messages(rand, f'{book.name}.{step}.{burst}', 250))
            for message in messages:
                message.key = book.name
                message.number += (step * 10 + burst) * 1000
                book.add(message, confirmed=True)
            publish_confirmed(channel.connection, messages)
        settle_most(subject, books)
    channel.connection.finish()


def settle_most(subject, books):
    connection = amqp.Connection(subject.address)
    channel = connection.channel()
    for book in books.values():
        for method in read_queue(channel, book.name, []):
            copy, _ = book.find(method)
            copy.delivered = True
            if copy.message.number % 25 != 0:
                copy.settled = True
                channel.ack(method.delivery_tag)
    channel.sync()
    now = time.monotonic()
    for book in books.values():
        for copy in book.copies.values():
            if copy.settled and copy.settled_at is None:
                copy.settled_at = now
    connection.finish()


class Worst:
    """Chance as bad as it can be: nothing that was not synced is there."""

    @staticmethod
    def choice(options):
        return options[0]

    @staticmethod
    def randint(least, _):
        return least


# Small rounds, one after the other, by which zeros are written ahead of the log.
WRITTEN_AHEAD_AFTER = 150


def shim_bites(options, seed):
    """The loss of power is one: with syncs nothing is gone; without, confirmed messages are, and the
    broker finds that out."""
    rand = random.Random(seed)
    complaints = []
    for lies in (False, True):
        subject = power.PoweredServer(os.path.abspath(options.railmq), options.library, Worst, lies)
        with running(subject):
            channel = open_channel(subject)
            channel.declare('q', durable=True)
            publish_confirmed(channel.connection, make_messages(rand, 'q', 100))
            for _ in range(WRITTEN_AHEAD_AFTER):
                publish_confirmed(channel.connection, make_messages(rand, 'q', 1))
            channel.sync()
            sent = channel.declare('q', passive=True).message_count
            subject.end(signal.SIGKILL)
            subject.lose_power()
            if lies:
                return complaints + judge_lie(subject)
            subject.start()
            channel = open_channel(subject)
            left = sent - channel.declare('q', durable=True).message_count
            if left != 0:
                complaints.append(f'{left} confirmed messages are lost')
    return complaints


def judge_lie(subject):
    status = subject.start_refused()
    if status is None:
        return ['without syncs nothing is lost: the test tests nothing']
    return judge_refusal(subject, status, ['lacks what was confirmed'])


def prepare_answers(channel):
    channel.declare('old', durable=True)
    channel.declare('bound', durable=True)
    channel.exchange('x', 'fanout', durable=True)
    channel.bind('bound', 'x')


def commit(channel):
    channel.call('tx.select')
    channel.publish('old', b'', properties=PERSISTENT)
    channel.call('tx.commit')


# What is answered last before the loss of power, and what must be so afterwards.
ANSWERS = {
    'queue.declare': (lambda channel: channel.declare('new', durable=True),
                      lambda channel: exists(channel, 'queue.declare', queue='new')),
    'queue.delete': (lambda channel: channel.call('queue.delete', queue='old'),
                     lambda channel: not exists(channel, 'queue.declare', queue='old')),
    'exchange.declare': (lambda channel: channel.exchange('new', 'topic', durable=True),
                         lambda channel: exists(channel, 'exchange.declare', exchange='new')),
    'exchange.delete': (lambda channel: channel.call('exchange.delete', exchange='x'),
                        lambda channel: not exists(channel, 'exchange.declare', exchange='x')),
    'queue.bind': (lambda channel: channel.bind('old', 'x'),
                   lambda channel: reaches(channel, 'x', 'old')),
    'queue.unbind': (lambda channel: channel.call('queue.unbind', queue='bound', exchange='x'),
                     lambda channel: not reaches(channel, 'x', 'bound')),
    'exchange.bind': (lambda channel: channel.call('exchange.bind', source='amq.fanout',
                                                   destination='x'),
                      lambda channel: reaches(channel, 'amq.fanout', 'bound')),
    'tx.commit': (commit, lambda channel: channel.get('old') is not None),
}


def exists(channel, method, **names):
    channel.send(method, passive=True, **names)
    return channel.reply(method + '-ok', 'channel.close').name != 'channel.close'


def reaches(channel, exchange, queue):
    channel.publish('', b'', exchange)
    return channel.get(queue) is not None


def answered_is_durable(options, seed):
    """Power is lost the moment an answer arrives: what it says is so afterwards."""
    del seed
    complaints = []
    for name, (request, holds) in ANSWERS.items():
        subject = power.PoweredServer(os.path.abspath(options.railmq), options.library, Worst)
        with running(subject):
            channel = open_channel(subject)
            prepare_answers(channel)
            request(channel)
            subject.end(signal.SIGKILL)
            subject.lose_power()
            subject.start()
            if not holds(open_channel(subject)):
                complaints.append(f'{name} was answered, but is not so after the loss of power')
    return complaints


def settled_is_synced(options, seed):
    """Settlements without any other traffic are on disk a second later."""
    rand = random.Random(seed)
    subject = power.PoweredServer(os.path.abspath(options.railmq), options.library, Worst)
    with running(subject):
        channel = open_channel(subject)
        channel.declare('q', durable=True)
        publish_confirmed(channel.connection, make_messages(rand, 'q', 30))
        while (method := channel.get('q', no_ack=False)) is not None:
            channel.ack(method.delivery_tag)
        channel.sync()
        time.sleep(SETTLE_WINDOW_S)
        subject.end(signal.SIGKILL)
        subject.lose_power()
        subject.start()
        left = open_channel(subject).declare('q', durable=True).message_count
        return [f'{left} settled messages are back'] if left else []


def never_reused(options, seed):
    """Numbers of messages that are gone are not given to new ones, whose settlements would get lost
    behind those of the old as long as the journal remembers them."""
    rand = random.Random(seed)
    subject = server.Server(os.path.abspath(options.railmq))
    with running(subject):
        channel = open_channel(subject)
        channel.declare('pin', durable=True)
        channel.declare('q', durable=True)
        publish_confirmed(channel.connection, make_messages(rand, 'pin', 5))
        for _ in range(4):
            count = rand.randrange(1, 9)
            publish_confirmed(channel.connection, make_messages(rand, 'q', 20), window=count)
            for method in read_queue(channel, 'q', []):
                channel.ack(method.delivery_tag)
            channel.connection.finish()
            subject.end(signal.SIGTERM)
            subject.start()
            channel = open_channel(subject)
            left = channel.declare('q', passive=True).message_count
            if left:
                return [f'{left} settled messages are back after a restart in order']
    return []


def no_old_bindings(options, seed):
    """A queue or exchange that was deleted and declared again has no bindings after a restart."""
    del seed
    subject = server.Server(os.path.abspath(options.railmq))
    with running(subject):
        channel = open_channel(subject)
        for ends in ('queue', 'exchange', 'both'):
            channel.declare(f'q.{ends}', durable=True)
            channel.exchange(f'x.{ends}', 'fanout', durable=True)
            channel.bind(f'q.{ends}', f'x.{ends}')
            if ends != 'exchange':
                channel.call('queue.delete', queue=f'q.{ends}')
                channel.declare(f'q.{ends}', durable=True)
            if ends != 'queue':
                channel.call('exchange.delete', exchange=f'x.{ends}')
                channel.exchange(f'x.{ends}', 'fanout', durable=True)
        subject.end(signal.SIGKILL)
        subject.start()
        channel = open_channel(subject)
        complaints = []
        for ends in ('queue', 'exchange', 'both'):
            if reaches(channel, f'x.{ends}', f'q.{ends}'):
                complaints.append(f'{ends} declared again: the old binding is back')
        return complaints


MODEL_SCHEDULES = (['kill'], ['quiet'], ['kill', 'stop', 'kill'], ['quiet', 'kill'])
MODEL_PROGRAMS = 20


def model(options, seed):
    """Programs of the model of a queue, with all its arguments, across losses of power."""
    rand = random.Random(seed)
    subject = power.PoweredServer(os.path.abspath(options.railmq), options.library, rand)
    complaints = []
    with running(subject):
        for kinds in MODEL_SCHEDULES:
            seeds = [rand.randrange(1 << 32) for _ in range(MODEL_PROGRAMS)]
            made = [programs.generate(one, kinds) for one in seeds]
            for failure in group.play_group(subject, made):
                one = next(seeds[n] for n, program in enumerate(made) if program is failure.program)
                complaints.append(f'program of tests/model/run.py --seed {one} '
                                  f'--kinds {",".join(kinds)}: {failure.text}')
    return complaints


def client_folder_installed():
    """Brings the modules of the amqplib programs up to date; nothing, or what went wrong."""
    clients = os.path.join(os.path.dirname(HERE), 'clients', 'run.py')
    spec = importlib.util.spec_from_file_location('clients_run', clients)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.install_npm_packages(module.HERE / 'amqplib')


def program_restart(options, command):
    """Runs a program that asks for restarts by a line `restart` and learns the new port."""
    subject = server.Server(os.path.abspath(options.railmq))
    with running(subject):
        environment = dict(os.environ, AMQP_HOST=subject.address[0],
                           AMQP_PORT=str(subject.address[1]))
        with subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
            output = []
            for line in program.stdout:
                if line != 'restart\n':
                    output.append(line)
                    continue
                status = subject.end(signal.SIGTERM)
                if status != 0:
                    output.append(f'broker: exit status {status} after SIGTERM\n')
                subject.start()
                program.stdin.write(f'{subject.address[1]}\n')
                program.stdin.flush()
            status = program.wait(PROGRAM_SECONDS)
    return [f'exit status {status}\n' + ''.join(output)] if status or output else []


def restart_pika(options, seed):
    """A work queue written with pika goes on after the broker was restarted."""
    del seed
    return program_restart(options, [sys.executable, os.path.join(HERE, 'work_queue_pika.py')])


def restart_amqplib(options, seed):
    """The same with amqplib."""
    del seed
    trouble = client_folder_installed()
    if trouble:
        return [trouble]
    return program_restart(options, ['node', os.path.join(HERE, 'work_queue_amqplib.js')])


CASES = {case.__name__: case for case in (
    relocation, damage, damage_heads, files_lost, answered_is_durable, settled_is_synced,
    shim_bites, never_reused, no_old_bindings, model, locked, newer_format, restart_pika,
    restart_amqplib)}
