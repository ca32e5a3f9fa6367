"""Loss of power: a broker that runs with powerloss.c preloaded is killed, and its data directory is
cut back to what was synced, plus a random part of what was not."""

import collections
import os
import shutil
import subprocess
import threading
import time

import broker
import server

PAGE = 4096
SAMPLE_SECONDS = 0.1
HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = ['-std=gnu11', '-D_GNU_SOURCE', '-O1', '-g', '-fPIC', '-shared', '-Wall', '-Wextra',
         '-Werror']


def build(directory, name='powerloss'):
    """Compiles the library to preload; its path."""
    library = os.path.join(directory, name + '.so')
    compiler = os.environ.get('CC', 'cc').split()
    subprocess.run([*compiler, *FLAGS, '-o', library, os.path.join(HERE, name + '.c'), '-ldl'],
                   check=True)
    return library


class Disk:
    """What the journal of one process tells, replayed: which names and octets are sure."""

    def __init__(self, baseline):
        self.sizes = {inode: size for inode, size in baseline.values()}
        self.written = {}
        self.names = {path: inode for path, (inode, _) in baseline.items()}
        self.pending = collections.defaultdict(list)

    def replay(self, lines):
        for line in lines:
            if line.endswith('\n'):
                kind, *fields = line.split()
                getattr(self, 'on_' + kind)(*fields)

    def on_C(self, inode, path):
        self.sizes[int(inode)] = 0
        self.pending[os.path.dirname(path)].append((None, path, int(inode)))

    def on_R(self, inode, source, target):
        self.pending[os.path.dirname(target)].append((source, target, int(inode)))

    def on_U(self, inode, path):
        self.pending[os.path.dirname(path)].append((path, None, int(inode)))

    def on_T(self, inode, size):
        self.sizes[int(inode)] = min(self.sizes.get(int(inode), 0), int(size))

    def on_W(self, inode, start, end):
        first, _ = self.written.get(int(inode), (int(start), None))
        self.written[int(inode)] = first, int(end)

    def on_S(self, inode, size):
        self.sizes[int(inode)] = int(size)
        self.written.pop(int(inode), None)

    def on_Z(self, inode, size):
        self.sizes[int(inode)] = int(size)

    def unsure(self, inode):
        """From where to where a file that keeps its size was written over since the last sync."""
        start, end = self.written.get(inode, (0, 0))
        return start, min(end, self.sizes[inode])

    def on_D(self, path):
        self.apply(path, len(self.pending[path]))

    def apply(self, directory, count):
        """The first so many changes of names are on disk: a directory keeps their order."""
        for source, target, inode in self.pending[directory][:count]:
            self.names.pop(source, None)
            if target is not None:
                self.names[target] = inode
        del self.pending[directory][:count]

    def settle(self, rand):
        """Some of what nobody synced was written all the same."""
        for directory, changes in self.pending.items():
            self.apply(directory, rand.choice([0, len(changes), rand.randint(0, len(changes))]))


def torn(rand, sure, size):
    """Where a file ends after the loss: not before what is sure."""
    if size <= sure:
        return size
    return rand.choice([sure, sure, size, rand.randint(sure, size), rand.randint(sure, size)])


def scar(rand, path, sure, end):
    """Now and then the pages of what was not synced have not all been written."""
    if end <= sure or rand.choice([True, False]):
        return
    start = rand.randint(sure, end)
    start = max(sure, start - start % PAGE)
    with open(path, 'r+b') as file:
        file.seek(start)
        file.write(bytes(min(PAGE, end - start)))


def unwrite(rand, path, start, end):
    """What was written over zeros and not synced may be zeros again, all of it, its end, or a page.
    How much is gone."""
    if end <= start:
        return 0
    left = torn(rand, start, end)
    with open(path, 'r+b') as file:
        file.seek(left)
        file.write(bytes(end - left))
    scar(rand, path, start, left)
    return end - left


def files(directory):
    """Path, inode and size of everything below."""
    return {path: (status.st_ino, status.st_size)
            for path, status in broker.files_below(directory)}


class PoweredServer(server.Server):
    """A broker whose death by SIGKILL is a loss of power."""

    def __init__(self, railmq, library, rand, lies=False):
        super().__init__(railmq)
        self.rand = rand
        self.lost = 0
        self.lies = lies
        self.journal = os.path.join(self.directory, 'journal')
        self.graves = os.path.join(self.directory, 'graves')
        self.environment = {'LD_PRELOAD': library, 'RAIL_POWERLOSS_ROOT': self.data,
                            'RAIL_POWERLOSS_JOURNAL': self.journal,
                            'RAIL_POWERLOSS_GRAVES': self.graves}
        if lies:
            self.environment['RAIL_POWERLOSS_LIE'] = '1'

    def spawn(self, address, data):
        shutil.rmtree(self.graves, ignore_errors=True)
        os.mkdir(self.graves)
        open(self.journal, 'w', encoding='utf-8').close()
        self.baseline = files(self.data)
        process = super().spawn(address, data)
        self.samples = []
        self.sampler = threading.Thread(target=self.sample, args=[process], daemon=True)
        self.sampler.start()
        return process

    @property
    def witness(self):
        return os.path.join(self.data, 'witness')

    def sample(self, process):
        """The witness is mapped and synced at leisure: what it was now and then is what a loss of
        power may leave of it."""
        while process.poll() is None:
            try:
                with open(self.witness, 'rb') as file:
                    octets = file.read()
            except FileNotFoundError:
                octets = b''
            if len(octets) == 2 * PAGE and any(octets):
                self.samples.append(octets)
            time.sleep(SAMPLE_SECONDS)

    def age_witness(self):
        self.sampler.join()
        if not self.lies and self.samples and os.path.exists(self.witness):
            with open(self.witness, 'rb') as file:
                choices = [*self.samples, *[file.read()] * len(self.samples)]
            with open(self.witness, 'wb') as file:
                file.write(self.rand.choice(choices)[:PAGE] + self.rand.choice(choices)[PAGE:])

    def lose_power(self):
        """Cuts the directory back; the process has been killed."""
        disk = Disk(self.baseline)
        with open(self.journal, encoding='utf-8') as journal:
            disk.replay(journal)
        disk.settle(self.rand)
        present = {inode: (path, size) for place in (self.graves, self.data)
                   for path, (inode, size) in files(place).items()}
        after = self.data + '.after'
        for path, inode in disk.names.items():
            source, size = present[inode]
            target = after + path.removeprefix(self.data)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(source, target)
            end = torn(self.rand, disk.sizes[inode], size)
            self.lost += size - end
            os.truncate(target, end)
            scar(self.rand, target, disk.sizes[inode], end)
            self.lost += unwrite(self.rand, target, *disk.unsure(inode))
        os.makedirs(after, exist_ok=True)
        shutil.rmtree(self.data)
        os.rename(after, self.data)
        self.age_witness()
