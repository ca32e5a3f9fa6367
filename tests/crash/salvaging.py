"""Stores that are damaged, and what `railmq store salvage` makes of them: a store that a broker
starts on, with nothing in it that was not there before. What is lost is told, and so is that
something may be back."""

import os
import random
import re
import shutil
import signal

import broker
import cases
import server
from books import QueueBook
from clerk import read_queue
from copies import Ground

# So short that some of the messages lie in chunks.
JOURNAL = '8KiB'
# Damage to these alone costs no message: the rows are elsewhere.
SPARE = ('CURRENT', 'MANIFEST', 'OPTIONS', 'IDENTITY', 'LOCK', 'witness', 'ballast')
HARMS_MIN = 30
DELIVERED = 10


def content(directory):
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, 'rb') as file:
                found[path] = file.read()
    return found


def make_store(subject, rand):
    """Of a few starts; some messages are settled, some were delivered, some lie in chunks."""
    subject.configure(journal_bytes=JOURNAL)
    subject.start()
    books = {name: QueueBook(name) for name in ('f0', 'f1', 'f2')}
    for step in range(3):
        channel = cases.open_channel(subject)
        for book in books.values():
            channel.declare(book.name, durable=True)
            messages = list(cases.make_messages(rand, f'{book.name}.{step}', 120))
            for message in messages:
                message.key = book.name
                message.number += step * 1000
                book.add(message, confirmed=True)
            cases.publish_confirmed(channel.connection, messages)
            for number in range(25 + DELIVERED):
                method = channel.get(book.name, no_ack=False)
                copy, _ = book.find(method)
                copy.delivered = True
                if number < 25:
                    channel.ack(method.delivery_tag)
                    copy.settled = copy.settled_durably = True
        channel.connection.finish()
        subject.end(signal.SIGTERM)
        if step < 2:
            subject.start()
    return books


class Found:
    """What a salvaged queue has that it should not, and what it lacks."""

    def __init__(self, book, deliveries):
        self.count = len(deliveries)
        self.wrong = []
        names = []
        for method in deliveries:
            copy, wrong = book.find(method)
            self.wrong += wrong
            if copy is None:
                continue
            names.append(copy.message.name)
            if copy.delivered and not method.redelivered:
                self.wrong.append(f'{book.name}: message {names[-1]} was delivered, but is not '
                                  'marked as redelivered')
        there = [book.copies[name] for name in names]
        self.wrong += book.judge_order(there)
        self.wrong += [f'{book.name}: message {name} is there twice'
                       for name in set(names) if names.count(name) > 1]
        self.lost = [name for name, copy in book.copies.items()
                     if not copy.settled and name not in names]
        self.back = [copy.message.name for copy in there if copy.settled]


def find(subject, books):
    """Queue by queue; one that is not there is empty."""
    found = {}
    complaints = []
    channel = cases.open_channel(subject)
    for name, book in books.items():
        channel.send('queue.declare', queue=name, passive=True)
        answer = channel.take('queue.declare-ok', 'channel.close')
        if answer.name == 'channel.close':
            channel = channel.connection.channel()
            found[name] = Found(book, [])
        else:
            found[name] = Found(book, read_queue(channel, name, complaints))
    channel.connection.finish()
    return found, complaints


def judge_found(found, output, status, spares):
    """Against what salvage has told."""
    for name, here in found.items():
        yield from here.wrong
        told = re.search(rf'^/\t{name}\t(\d+)\t(\d+)$', output, re.MULTILINE)
        saved = int(told[1]) if told else 0
        if saved != here.count:
            yield f'{name}: {saved} messages are told to be saved, {here.count} are there'
        if (here.lost or here.back) and status == 0:
            yield (f'{name}: {len(here.lost)} are lost and {len(here.back)} are back, and nothing '
                   'was damaged')
        if here.lost and spares:
            yield f'{name}: {len(here.lost)} are lost for nothing, {here.lost[0]} and others'


def judge_harmed(subject, books, spares, seen):
    """Salvages the store that lies in the data directory."""
    ground = Ground(subject)
    saved = ground.new('saved')
    before = content(subject.data)
    command = ground.run('salvage', '--data-dir', subject.data, saved)
    if content(subject.data) != before:
        yield 'the damaged store is no longer what it was'
    if command.status not in (0, 1) or not os.path.isdir(os.path.join(saved, 'store')):
        yield f'exit status {command.status}, and there is no new store\n{command.output}'
        return
    if command.status == 1 and 'damaged, see above' not in command.output:
        yield f'what is damaged is not told:\n{command.output}'
    shutil.rmtree(subject.data)
    os.rename(saved, subject.data)
    try:
        subject.start()
    except broker.BrokerFailure as failure:
        yield f'{failure}\n{command.output}'
        return
    found, complaints = find(subject, books)
    subject.end(signal.SIGKILL)
    complaints += judge_found(found, command.output, command.status, spares)
    yield from complaints
    if complaints:
        yield command.output
    seen['lost'] += sum(len(here.lost) for here in found.values())
    seen['back'] += sum(len(here.back) for here in found.values())
    seen['refused'] += command.status


def harms(data, rand, count):
    """(name, the file that is harmed, what does it)."""
    paths = sorted(path for path, (_, size) in cases.power.files(data).items() if size)
    flips = [cases.random_flip(data, rand) for _ in range(count)]
    flips += rand.sample([(path, head + octet, bit) for path in paths if cases.is_framed(path)
                          for head in cases.frame_heads(path) for octet in (4, 5, 6)
                          for bit in range(8)], count)
    flips += [(path, head + 20, 0) for path in paths if path.endswith('.log')
              for head in cases.frame_heads(path)[:3]]
    for path, offset, bit in flips:
        yield (f'bit {bit} of octet {offset} of {os.path.basename(path)} flipped', path,
               lambda path=path, offset=offset, bit=bit: cases.flip(path, offset, bit))
    for path in paths:
        name = os.path.basename(path)
        size = os.path.getsize(path)
        yield f'{name} deleted', path, lambda path=path: os.unlink(path)
        yield f'{name} cut', path, lambda path=path, size=size: os.truncate(path, size // 2)
        yield f'last page of {name} zeroed', path, lambda path=path: cases.zero_last_page(path)


def salvage(options, seed):
    """All kinds of damage that the damage and files_lost cases know."""
    rand = random.Random(seed)
    subject = server.Server(os.path.abspath(options.railmq))
    complaints, seen = [], {'lost': 0, 'back': 0, 'refused': 0}
    try:
        books = make_store(subject, rand)
        whole = subject.data + '.whole'
        made = list(harms(subject.data, rand, max(HARMS_MIN, options.rounds)))
        os.rename(subject.data, whole)
        for name, path, harm in made:
            shutil.copytree(whole, subject.data)
            harm()
            harmed = shutil.copytree(subject.data, subject.data + '.harmed')
            spares = os.path.basename(path).startswith(SPARE)
            found = list(judge_harmed(subject, books, spares, seen))
            complaints += [f'{name}: {text}' for text in found]
            if found and options.keep:
                os.makedirs(options.keep, exist_ok=True)
                shutil.move(harmed, os.path.join(options.keep, name.replace(' ', '_')))
            shutil.rmtree(harmed, ignore_errors=True)
            shutil.rmtree(subject.data)
    finally:
        subject.remove()
    if not all(seen.values()):
        complaints.append(f'the test tests nothing: {seen}')
    return complaints


CASES = {'salvage': salvage}
