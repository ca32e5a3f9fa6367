"""Random operations, compared with a reference model after each of them."""

import amqp
from harness import test
from model import Driver

WEIGHT = 10


def play(t, steps, **sizes):
    driver = Driver(t, **sizes)
    try:
        for _ in range(steps):
            driver.step()
        driver.finish()
    except AssertionError as error:
        last = '\n'.join(driver.history[-25:])
        raise amqp.Mismatch(f'--seed {t.seed}: {error}\nlast operations:\n{last}') from error


@test(rows={str(number): number for number in range(6)})
def several_queues(t, _):
    play(t, 200)


@test(rows={str(number): number for number in range(4)})
def one_queue(t, _):
    play(t, 200, connections=1, queues=1)


@test
def many_sessions(t):
    play(t, 200, connections=6, queues=5)
