"""Worlds whose disk is full for a while, in spite of all that the broker does to stay clear of that:
it blocks publishers, confirms nothing, opens its store again when there is room, and goes on. It may
also be killed on the way."""

import errno
import os
import signal
import time

from faults import JOURNAL, FailingDiskWorld
from books import SETTLE_WINDOW_S

FULL_SECONDS = 20
POINTS = ('reopen.closed', 'reopen.opened')
# What meets the full disk, how many calls go before, and how many find it full.
ROUNDS = [('write', 40, 1), ('write', 60, 3), ('write', 150, 12), ('create', 14, 4),
          ('write', 50, 2, POINTS[0]), ('write', 300, 10, POINTS[1]), ('write', 300, 12)]


class FullDiskWorld(FailingDiskWorld):
    """Its faults heal, so the broker must not end by itself."""

    def __init__(self, subject, seed, library):
        super().__init__(subject, seed, 'write', library)
        self.counts = ROUNDS
        self.healed = 0
        self.is_met = False  # A full disk, in this round.

    def arm(self):
        self.name, after, full, *point = self.counts[self.round - 1]
        first = self.random.randint(after // 2, after)
        last = first + self.random.randint(1, full) - 1
        self.point = point[0] if point else None
        faults = {'fault': f'{self.point}:1'} if point else {}
        self.server.configure(journal_bytes=JOURNAL, **faults)
        self.server.environment = {
            'LD_PRELOAD': self.library, 'RAIL_DISKFAULT_ROOT': self.server.data + '/store',
            'RAIL_DISKFAULT_CALL': self.name, 'RAIL_DISKFAULT_COUNT': str(first),
            'RAIL_DISKFAULT_LAST': str(last), 'RAIL_DISKFAULT_ERROR': str(errno.ENOSPC),
            'RAIL_DISKFAULT_MARK': self.mark}
        if self.random.random() < 0.5:
            self.server.environment['RAIL_DISKFAULT_SHORT'] = '1'
        self.fault = f'{self.name} {first} to {last}, {self.point}'
        if os.path.exists(self.mark):
            os.unlink(self.mark)

    def said(self, text):
        return any(text in line for line in list(self.server.lines))

    def wait_for_end(self):
        """Until the disk has been full and has room again, and settlements of that time are safe;
        or until it died on the way. A slow one may only meet the fault when nobody waits any more."""
        deadline = time.monotonic() + FULL_SECONDS
        while (self.server.alive() and time.monotonic() < deadline and
               not (self.said('event=store.full state=off') and not self.is_stuck())):
            if not os.path.exists(self.mark) and time.monotonic() > deadline - FULL_SECONDS / 2:
                break
            time.sleep(0.003)
        self.is_met = os.path.exists(self.mark)
        if self.server.alive():
            time.sleep(SETTLE_WINDOW_S)
        self.killed_at = time.monotonic()
        self.healed += self.said('event=store.full state=off')

    def work(self):
        started, actors = self.begin()
        self.wait_for_end()
        alive = self.server.alive()
        self.stopping.set()
        status = self.server.end(signal.SIGKILL)
        self.join(actors)
        self.judge_end_of(started, alive, status)
        self.disarm()
        del self.ledger.books['st']

    def judge_end_of(self, started, alive, status):
        refused = status == 1 and self.said('railmq: cannot start: ')
        died = self.point is not None and status == -signal.SIGKILL
        if refused and not started:
            return
        if self.said('event=store.failed') or not (alive or died):
            self.ledger.complain(f'{self.fault}: it ended by itself, status {status}\n'
                                 f'{self.server.log_tail()}')
        elif not (alive and self.is_met):
            pass
        elif self.is_stuck():
            self.ledger.complain(f'{self.fault}: it does not go on\n{self.server.log_tail()}')
        elif self.said('event=store.full') and self.point:
            self.ledger.complain(f'{self.fault}: it never came to {self.point}')

    def play(self):
        complaints = super().play()
        if self.round == len(self.counts) and not complaints and self.healed == 0:
            complaints.append('no disk was ever full: the test tests nothing')
        return complaints
