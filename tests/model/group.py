"""Programs that are played together on one broker: those with restarts share them, each going on
from where it was."""

import itertools
import signal
import time

from books import SETTLE_WINDOW_S
from player import Place, Player
import amqp
import programs

RESTARTS = ('stop', 'quiet', 'kill')
names = itertools.count(1)


def restarts_of(program):
    return [name for name, _ in program['steps'] if name in RESTARTS]


class Failure:
    def __init__(self, program, text):
        self.program = program
        self.text = text


def play(server, program, place=None, deadline=amqp.DEADLINE):
    """Plays one program by itself; its failure, or None."""
    failures = play_group(server, [program], deadline, place)
    return failures[0] if failures else None


def play_group(server, group, deadline=amqp.DEADLINE, place=None):
    """Programs with the same restarts; yields those that failed. The broker is up before and after."""
    failures = []
    kinds = restarts_of(group[0])
    going = [Player(place or Place(server.address, deadline), program, f'model.{next(names)}')
             for program in group]
    parts = {player: player.play() for player in going}
    for kind in [*kinds, None]:
        going = [player for player in going if goes_on(player, parts[player], failures)]
        if kind is None or not going:
            break
        text = restart(server, kind, going)
        if text:
            failures += [Failure(player.program, text) for player in going]
            break
    if place is None:
        for player in parts:
            player.place.close()
    return failures


def goes_on(player, part, failures):
    """Plays up to the next restart; false at the end."""
    try:
        next(part)
        return True
    except StopIteration:
        return False
    except amqp.Mismatch as error:
        failures.append(Failure(player.program, str(error)))
        player.place.close()
        return False


def restart(server, kind, players):
    """Ends the process and starts another; what went wrong."""
    if kind == 'quiet':
        time.sleep(SETTLE_WINDOW_S)
    for player in players:
        player.killed_at = time.monotonic()
    alive = server.alive()
    status = server.end(signal.SIGTERM if kind == 'stop' else signal.SIGKILL)
    if not alive or (kind == 'stop' and status != 0):
        return f'the broker ended with status {status}:\n{server.log_tail()}'
    if kind != 'stop' and hasattr(server, 'lose_power'):
        server.lose_power()
    server.start()
    for player in players:
        player.place.address = server.address
    return None


def make_group(seed, count, kinds):
    """Programs of successive seeds."""
    return [programs.generate(seed + number, kinds) for number in range(count)]
