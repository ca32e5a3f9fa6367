#!/usr/bin/python3
"""Runs the client programs against a broker; README.md beside this file says how."""

import argparse
import concurrent.futures
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# A program has its own deadline of 30 s; this one is for a program whose watchdog failed.
PROGRAM_DEADLINE_S = 45
BROKER_START_S = 20
BROKER_STOP_S = 20
READY_LINE = "Server startup complete"
START_ATTEMPTS = 5
LOG_TAIL_LINES = 40
C_FLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


class Failure(Exception):
    """Something that a person has to read about; the text says it all."""


class Program:
    """One client program: what to run, and why it cannot be run, should that be so."""

    def __init__(self, path):
        self.path = path
        self.name = path.relative_to(HERE).as_posix()
        self.folder = path.parent.name
        self.command = None
        self.broken = None


def find_programs(pattern):
    suffixes = {
        "pika": ".py",
        "celery": ".py",
        "amqplib": ".js",
        "rabbitmq-c": ".c",
        "amqp-tools": ".sh",
    }
    programs = [
        Program(path)
        for folder, suffix in suffixes.items()
        for path in sorted((HERE / folder).glob("*" + suffix))
        if path.stem != "support"
    ]
    programs = [program for program in programs if pattern in program.name]
    # The heartbeat programs mostly wait: started first, they wait beside the work of the others.
    return sorted(programs, key=lambda program: program.path.stem != "heartbeat")


def run_command(command, **options):
    """Runs a preparing command; returns nothing, or its output if it failed."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )
    except FileNotFoundError:
        return "%s is not installed" % command[0]
    if done.returncode == 0:
        return None
    return "%s failed with status %d:\n%s" % (" ".join(command), done.returncode, done.stdout)


def installed_packages(lock_file):
    """The packages a package lock names, without the project's own entry."""
    try:
        packages = json.loads(lock_file.read_text())["packages"]
    except (OSError, ValueError, KeyError):
        return None
    return {path: entry.get("version") for path, entry in packages.items() if path}


def install_npm_packages(folder):
    """Brings node_modules up to the package lock; returns nothing, or what went wrong."""
    lock_file = folder / "package-lock.json"
    with lock_file.open() as lock:
        # Another run may be at it: the second one finds the work done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = installed_packages(lock_file)
        if wanted == installed_packages(folder / "node_modules" / ".package-lock.json"):
            return None
        return run_command(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder)


def compile_program(program, build_directory):
    compiler = os.environ.get("CC", "cc").split()
    executable = build_directory / program.path.stem
    sources = [str(program.path), str(program.path.with_name("support.c"))]
    program.command = [str(executable)]
    program.broken = run_command(
        [*compiler, *C_FLAGS, "-o", str(executable), *sources, "-lrabbitmq"]
    )


def prepare(programs, build_directory, pool):
    """Gives every program its command, and those that cannot run the reason."""
    compiled = [program for program in programs if program.folder == "rabbitmq-c"]
    compiling = [pool.submit(compile_program, program, build_directory) for program in compiled]
    npm_trouble = None
    if any(program.folder == "amqplib" for program in programs):
        npm_trouble = install_npm_packages(HERE / "amqplib")
    for program in programs:
        if program.folder in ("pika", "celery"):
            program.command = ["/usr/bin/python3", str(program.path)]
        elif program.folder == "amqplib":
            program.command = ["node", str(program.path)]
            program.broken = npm_trouble
        elif program.folder == "amqp-tools":
            program.command = ["bash", str(program.path)]
    for future in compiling:
        future.result()


# Beside guest, whom a new store has: the user whom the client's certificate names.
CONFIGURATION = """version: 1
users:
  client: {}
vhosts:
  /:
    permissions:
      client: {configure: ".*", write: ".*", read: ".*"}
"""


class Broker:
    """A broker process of our own, its log, and the data directory it runs on."""

    def __init__(self, executable, data_directory):
        self.executable = executable
        self.data_directory = data_directory
        self.tls_directory = data_directory + "-tls"
        self.host = "127.0.0.1"
        self.process = None

    def start(self):
        trouble = run_command([self.executable, "certs", "init", self.tls_directory])
        if trouble:
            raise Failure(trouble)
        self.configuration = os.path.join(self.tls_directory, "broker.yaml")
        with open(self.configuration, "w", encoding="utf-8") as stream:
            stream.write(CONFIGURATION)
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = free_port()
            self.tls_port = free_port()
            if self.start_once():
                return
            self.process.wait()
            self.reader.join()
            clashed = any("in use" in line for line in self.lines)
            if not clashed or attempt == START_ATTEMPTS:
                raise Failure(
                    "%s ended with status %d before it listened; its log:\n%s"
                    % (self.executable, self.process.returncode, self.log_tail())
                )

    def start_once(self):
        """Starts the process and waits until it listens; false if it ended instead."""
        self.lines = []
        self.ready = False
        self.settled = threading.Event()
        command = [self.executable, "serve", "--config", self.configuration, "--listen", "%s:%d" % (self.host, self.port)]
        command += ["--listen-tls", "%s:%d" % (self.host, self.tls_port)]
        command += ["--tls-dir", self.tls_directory]
        try:
            self.process = subprocess.Popen(
                [*command, "--data-dir", self.data_directory],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise Failure("cannot start %s: %s" % (self.executable, error.strerror)) from error
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()
        if not self.settled.wait(BROKER_START_S):
            self.kill()
            raise Failure(
                "%s did not print \"%s\" within %d s; its log:\n%s"
                % (self.executable, READY_LINE, BROKER_START_S, self.log_tail())
            )
        return self.ready

    def read_log(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if READY_LINE in line:
                self.ready = True
                self.settled.set()
        self.settled.set()

    def log_tail(self):
        return "\n".join("    " + line for line in self.lines[-LOG_TAIL_LINES:]) or "    (empty)"

    def has_ended(self):
        return self.process.poll() is not None

    def kill(self):
        if self.process is not None and not self.has_ended():
            self.process.kill()
            self.process.wait()

    def stop(self):
        """Ends the broker in order; returns nothing, or what went wrong."""
        if self.has_ended():
            self.reader.join()
            return "the broker had ended with status %d" % self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(BROKER_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return "the broker did not end within %d s of SIGTERM" % BROKER_STOP_S
        self.reader.join()
        return None if status == 0 else "the broker ended with status %d after SIGTERM" % status


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_program(program, environment, broker):
    """Runs one program; returns its outcome: nothing, or what to tell about the failure."""
    if program.broken:
        return program.broken
    if broker is not None and broker.has_ended():
        return "not run: the broker has ended"
    try:
        process = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        return "cannot start %s: %s" % (program.command[0], error.strerror)
    try:
        output, _ = process.communicate(timeout=PROGRAM_DEADLINE_S)
    except subprocess.TimeoutExpired:
        # The session holds the program's own children too.
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return "killed after %d s\n%s" % (PROGRAM_DEADLINE_S, output)
    if process.returncode == 0:
        return None
    return "exit status %d\n%s" % (process.returncode, output)


class Report:
    """Prints one line for each outcome and counts them."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.lock = threading.Lock()

    def add(self, name, trouble, seconds):
        with self.lock:
            if trouble is None:
                self.passed += 1
                print("ok   %s %.1fs" % (name, seconds), flush=True)
                return
            self.failed += 1
            print("FAIL %s %.1fs" % (name, seconds))
            for line in trouble.rstrip("\n").splitlines():
                print("     " + line)
            sys.stdout.flush()


def run_all(programs, address, broker, pool, report):
    host, port = address
    environment = dict(os.environ, AMQP_HOST=host, AMQP_PORT=str(port))
    if broker is not None:
        environment.update(AMQPS_PORT=str(broker.tls_port), AMQPS_DIRECTORY=broker.tls_directory)

    def run_and_report(program):
        started = time.monotonic()
        trouble = run_program(program, environment, broker)
        report.add(program.name, trouble, time.monotonic() - started)

    for future in [pool.submit(run_and_report, program) for program in programs]:
        future.result()


def run_on_own_broker(executable, programs, directory, pool, report):
    broker = Broker(executable, str(directory / "data"))
    os.mkdir(broker.data_directory)
    try:
        broker.start()
        run_all(programs, (broker.host, broker.port), broker, pool, report)
        started = time.monotonic()
        trouble = broker.stop()
        report.add("broker stops with status 0", trouble, time.monotonic() - started)
    finally:
        broker.kill()
    if report.failed:
        print("the end of the broker's log:\n" + broker.log_tail())


def parse_arguments():
    parser = argparse.ArgumentParser(description="Run the client programs against a broker.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--railmq", metavar="PATH", help="start this broker and stop it afterwards")
    where.add_argument("--broker", metavar="HOST:PORT", help="use a broker that is running")
    parser.add_argument("--jobs", type=int, default=4, help="programs at a time (default 4)")
    parser.add_argument("filter", nargs="?", default="", help="only programs whose name has this")
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error("--jobs must be at least 1")
    if arguments.broker is not None:
        host, separator, port = arguments.broker.rpartition(":")
        if not (host and separator and port.isdigit()):
            parser.error("--broker must be HOST:PORT, not '%s'" % arguments.broker)
        arguments.address = (host.strip("[]"), int(port))
    return arguments


def main():
    arguments = parse_arguments()
    programs = find_programs(arguments.filter)
    if arguments.railmq is None and "AMQPS_PORT" not in os.environ:
        programs = [program for program in programs if program.path.stem != "tls"]
    if not programs:
        raise Failure("no program has '%s' in its name" % arguments.filter)
    report = Report()
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(tempfile.mkdtemp(prefix="railmq-clients-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(arguments.jobs))
        prepare(programs, directory, pool)
        if arguments.railmq is not None:
            executable = os.path.abspath(arguments.railmq)
            run_on_own_broker(executable, programs, directory, pool, report)
        else:
            run_all(programs, arguments.address, None, pool, report)
    print("%d passed, %d failed" % (report.passed, report.failed))
    return 1 if report.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print("run.py: %s" % failure, file=sys.stderr)
        sys.exit(1)
