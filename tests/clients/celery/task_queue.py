"""Celery: priorities, retries, countdown and ETA, groups, remote control and the task of a dead
worker, on workers that this program starts and stops."""

import contextlib
import datetime
import faulthandler
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import uuid

import celery
import kombu
from celery.signals import worker_ready

faulthandler.dump_traceback_later(30, exit=True)

# The watchdog ends the program first; a result that does not come would otherwise have no end.
RESULT_SECONDS = 25


def broker_url():
    def part(name, default):
        return urllib.parse.quote(os.environ.get(name, default), safe="")

    return "amqp://%s:%s@%s:%s/%s" % (
        part("AMQP_USER", "guest"),
        part("AMQP_PASSWORD", "guest"),
        os.environ.get("AMQP_HOST", "127.0.0.1"),
        os.environ.get("AMQP_PORT", "5672"),
        part("AMQP_VHOST", "/"),
    )


# Program and workers are the same file, and agree by this name.
NAME = os.environ.setdefault("CELERY_TEST_NAME", "clients.celery." + uuid.uuid4().hex)
app = celery.Celery(NAME, broker=broker_url(), backend="rpc://", set_as_current=True)
app.conf.update(
    task_queues=[kombu.Queue(NAME, routing_key=NAME, queue_arguments={"x-max-priority": 9})],
    task_default_queue=NAME,
    task_default_exchange=NAME,
    task_default_routing_key=NAME,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_redirect_stdouts=False,
    broker_connection_max_retries=1,
    control_exchange=NAME,
    event_exchange=NAME + ".events",
)

noted = []


@app.task(name="note")
def note(text):
    noted.append(text)
    return list(noted)


@app.task(name="add")
def add(left, right):
    return left + right


@app.task(name="stubborn", bind=True, max_retries=3, acks_late=False)
def stubborn(self, failures):
    """Fails so many times before it says how often it was tried again."""
    if self.request.retries < failures:
        raise self.retry(countdown=0.05, exc=ValueError("not yet"))
    return self.request.retries


@app.task(name="clock")
def clock():
    return time.time()


@app.task(name="deadly", bind=True)
def deadly(self):
    """Ends the process that runs it, except when it comes again."""
    if not self.request.delivery_info["redelivered"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@worker_ready.connect
def tell(**_):
    print("ready", flush=True)


@contextlib.contextmanager
def worker(name, *options):
    """A worker process that is ready; it has to end by itself before the block is left."""
    command = [sys.executable, __file__, "worker", "-n", name, "-l", "warning", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            # Celery prints a banner before.
            assert "ready\n" in process.stdout, "the worker did not start"
            yield process
            process.wait()
        finally:
            process.kill()


def node(role):
    return "%s@%s" % (role, NAME)


def waiting():
    with app.connection_for_read() as connection:
        return connection.default_channel.queue_declare(NAME, passive=True).message_count


def check_priorities():
    """Tasks that wait for a worker are run in the order of their priorities, if still in time."""
    sent = [(1, "low"), (5, "middle"), (9, "high"), (5, "middle too"), (0, "least")]
    for priority, text in sent:
        note.apply_async((text,), priority=priority, ignore_result=True)
    note.apply_async(("too late",), priority=8, expires=0.05, ignore_result=True)
    last = note.apply_async(("last",), priority=0)
    while waiting() > len(sent) + 1:
        pass
    with worker(node("single"), "-P", "solo", "--without-mingle") as process:
        got = last.get(RESULT_SECONDS)
        assert got == ["high", "middle", "middle too", "low", "least", "last"], got
        check_retries()
        check_time()
        stop(node("single"))
        assert process.wait() == 0, process.returncode


def check_retries():
    assert stubborn.delay(3).get(RESULT_SECONDS) == 3
    failed = stubborn.delay(4)
    try:
        failed.get(RESULT_SECONDS)
    except ValueError as error:
        assert str(error) == "not yet", error
    else:
        raise AssertionError("a task was tried again more often than it may be")


def check_time():
    """A worker holds tasks until their time. It holds one here at most, unless the broker calls
    itself RabbitMQ 3: then Celery limits the channel instead of the consumer, and widens that."""
    now = time.time()
    later = clock.apply_async(countdown=0.4)
    eta = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=0.2)
    dated = clock.apply_async(eta=eta)
    assert add.delay(2, 3).get(RESULT_SECONDS) == 5
    assert dated.get(RESULT_SECONDS) >= eta.timestamp() - 0.001
    assert later.get(RESULT_SECONDS) >= now + 0.4


def stop(name):
    assert app.control.ping([name], timeout=RESULT_SECONDS, limit=1) == [{name: {"ok": "pong"}}]
    app.control.shutdown([name])


def check_pool():
    """Several processes share the work; the worker asks others what they know, and is asked."""
    with worker(node("pool"), "-P", "prefork", "-c", "2") as process:
        results = celery.group(add.s(i, i) for i in range(40)).apply_async()
        assert results.get(RESULT_SECONDS) == [2 * i for i in range(40)]
        chained = celery.chain(add.s(1, 2), add.s(3), add.s(4)).apply_async()
        assert chained.get(RESULT_SECONDS) == 10
        queues = app.control.inspect([node("pool")], timeout=RESULT_SECONDS, limit=1).active_queues()
        assert [queue["name"] for queue in queues[node("pool")]] == [NAME], queues
        stop(node("pool"))
        assert process.wait() == 0, process.returncode


def check_dead_worker():
    """The task of a worker that is killed as a whole goes to the next one."""
    result = deadly.delay()
    with worker(node("doomed"), "-P", "solo", "--without-mingle") as process:
        assert process.wait() == -signal.SIGKILL, process.returncode
    with worker(node("heir"), "-P", "solo", "--without-mingle"):
        assert result.get(RESULT_SECONDS) == "survived"
        stop(node("heir"))


def delete_all():
    with app.connection_for_write() as connection:
        channel = connection.channel()
        left = channel.queue_delete(NAME)
        for exchange in (NAME, NAME + ".events", NAME + ".pidbox", "reply.%s.pidbox" % NAME):
            channel.exchange_delete(exchange)
    return left


def main():
    try:
        check_priorities()
        check_pool()
        check_dead_worker()
    finally:
        left = delete_all()
    assert left == 0, "%d tasks were left" % left


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        app.worker_main(sys.argv[1:])
    else:
        main()
