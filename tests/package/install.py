#!/usr/bin/python3
"""Installs the Debian package in a fresh Debian below a directory of its own, uses it there, and
removes it again. Nothing is installed on this machine. It takes root, debootstrap and a mirror of
Debian's packages; without the first two nothing is tested, which the output says.

The system under test is not booted: a service manager is tested by tests/protocol/test_service.py,
and here only its judgement of the unit.

The last line of output is `N passed, N failed`.
"""

import argparse
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from run import equal, make_package, run

CONFIGURATION = 'etc/railmq/broker.yaml'
TIMEOUT_S = 120


class System:
    """A Debian below a directory, with processes, mounts and a network of its own."""

    def __init__(self, root):
        self.root = root

    def command(self, *words):
        """Mounts go with the last process."""
        return ['unshare', '--mount', '--pid', '--fork', '--kill-child', 'chroot', str(self.root),
                'sh', '-c', 'mount -t proc proc /proc && exec "$@"', 'sh', *map(str, words)]

    def run(self, *words, status=0):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=TIMEOUT_S,
                              env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C.UTF-8',
                                   'DEBIAN_FRONTEND': 'noninteractive'})
        output = done.stdout + done.stderr
        equal(done.returncode, status, f'exit status of {" ".join(map(str, words))}:\n{output}')
        return output

    def apt(self, *words):
        return self.run('apt-get', '-y', '--no-install-recommends', *words)

    def exists(self, path):
        return os.path.lexists(self.root / path)

    def owner(self, path):
        return self.run('stat', '-c', '%a %U:%G', f'/{path}').strip()


def make_base(tar):
    """The system without the package. It is kept, since making it takes a minute."""
    release = re.search(r'^VERSION_CODENAME=(\w+)$', pathlib.Path('/etc/os-release').read_text(
        encoding='utf-8'), re.MULTILINE)[1]
    with tempfile.TemporaryDirectory(prefix='rail-base-') as folder:
        root = pathlib.Path(folder) / 'root'
        run('debootstrap', '--variant=minbase', release, root)
        system = System(root)
        shutil.copy('/etc/resolv.conf', root / 'etc/resolv.conf')
        system.apt('update')
        made = tar.with_suffix('.new')
        run('tar', '-C', root, '--one-file-system', '-cf', made, '.')
        made.rename(tar)


def is_user_there(system):
    passwd = (system.root / 'etc/passwd').read_text(encoding='utf-8')
    return re.search(r'^railmq:x:\d+:\d+:[^:]*:/var/lib/railmq:/usr/sbin/nologin$', passwd,
                     re.MULTILINE) is not None


def test_install(system):
    """With what brings the unit's manager along, as on every machine that has one."""
    system.apt('install', '/tmp/railmq.deb')
    equal(is_user_there(system), True, 'user')
    for path, wanted in {'etc/railmq': '750 root:railmq', CONFIGURATION: '640 root:railmq',
                         'usr/bin/railmq': '755 root:root',
                         'var/lib/railmq': '750 railmq:railmq'}.items():
        equal(system.owner(path), wanted, f'mode of /{path}')
    equal(system.exists('etc/systemd/system/multi-user.target.wants/railmq.service'), True,
          'link that starts the service')
    equal(system.run('dpkg', '--verify', 'railmq'), '', 'dpkg --verify')


def test_program(system):
    version = system.run('dpkg-query', '-W', '-f', '${Version}', 'railmq')
    equal(system.run('railmq', '--version'), f'railmq {version}\n', 'version')
    as_user = ('setpriv', '--reuid=railmq', '--regid=railmq', '--clear-groups')
    system.run(*as_user, 'railmq', 'check', f'/{CONFIGURATION}')
    system.run('setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups', 'railmq', 'check',
               f'/{CONFIGURATION}', status=1)


def test_unit(system):
    """Also that every program it names is there."""
    equal(system.run('systemd-analyze', 'verify', '/lib/systemd/system/railmq.service'), '',
          'systemd-analyze verify')


@contextlib.contextmanager
def broker(system):
    """As the service starts it. Nobody else has its ports: the network is its own."""
    script = '''setpriv --reuid=railmq --regid=railmq --clear-groups \\
            railmq serve --config /etc/railmq/broker.yaml >/tmp/log 2>&1 &
        printf '%s\\n' started
        read -r line
        kill -TERM $!
        wait $!'''
    command = system.command('sh', '-c', script)
    with subprocess.Popen([*command[:1], '--net', *command[1:]], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            yield
            process.stdin.write('stop\n')
            process.stdin.close()
            log = (system.root / 'tmp/log').read_text(encoding='utf-8')
            equal(process.wait(timeout=TIMEOUT_S), 0, f'exit status of the broker:\n{log}')
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)


def test_broker(system):
    """The packaged configuration, the user, the data directory and the control socket together."""
    file = system.root / 'tmp/queue.yaml'
    file.write_text('version: 1\nvhosts: {/: {queues: {kept: {}}}}\n', encoding='utf-8')
    for made in (True, False):
        with broker(system):
            wait_for_broker(system)
            if made:
                system.run('railmq', 'apply', '--data-dir', '/var/lib/railmq', '/tmp/queue.yaml')
            listed = system.run('railmq', 'list-queues', '-c', f'/{CONFIGURATION}', '-q', 'name')
            equal(listed, 'kept\n', 'queues')


def wait_for_broker(system):
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return system.run('railmq', 'status', '-c', f'/{CONFIGURATION}')
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def test_upgrade(system):
    """A configuration that somebody has changed stays, with its owner."""
    path = system.root / CONFIGURATION
    changed = path.read_text(encoding='utf-8') + '# changed\n'
    path.write_text(changed, encoding='utf-8')
    system.apt('install', '--reinstall', '/tmp/railmq.deb')
    equal(path.read_text(encoding='utf-8'), changed, 'configuration')
    equal(system.owner(CONFIGURATION), '640 root:railmq', 'mode of the configuration')


def test_remove(system):
    """Only the program goes."""
    (system.root / 'var/log/railmq').mkdir()
    (system.root / 'var/log/railmq/broker.log').write_text('a line\n', encoding='utf-8')
    system.apt('remove', 'railmq')
    equal([system.exists(path) for path in (
        'usr/bin/railmq', CONFIGURATION, 'var/lib/railmq/store', 'var/log/railmq/broker.log')],
        [False, True, True, True], 'program, configuration, store and log')


def test_install_again(system):
    """On what removing has left: the queue is there."""
    system.apt('install', '/tmp/railmq.deb')
    equal('# changed' in (system.root / CONFIGURATION).read_text(encoding='utf-8'), True,
          'the changed configuration')
    with broker(system):
        wait_for_broker(system)
        equal(system.run('railmq', 'list-queues', '-c', f'/{CONFIGURATION}', '-q', 'name'),
              'kept\n', 'queues')


def test_purge(system):
    """All but the messages, and the user whom they belong to."""
    system.apt('purge', 'railmq')
    found = run('find', system.root, '-xdev', '-path', '*/proc', '-prune', '-o', '-name',
                '*railmq*', '-print').splitlines()
    # What dpkg and apt keep of every package, and what the test has put there.
    ours = [path.removeprefix(str(system.root)) for path in found]
    equal(sorted(path for path in ours if not path.startswith('/tmp/')), ['/var/lib/railmq'],
          'what is left')
    equal(is_user_there(system), True, 'user')
    equal(system.exists('var/lib/railmq/store'), True, 'store')


def test_purge_of_an_unused_one(system):
    """Where there are no messages nothing is left. Without a service manager, as in containers."""
    shutil.rmtree(system.root / 'var/lib/railmq')
    system.apt('purge', 'systemd')
    system.apt('install', 'systemd-standalone-sysusers', '/tmp/railmq.deb')
    equal(system.exists('usr/bin/systemctl'), False, 'a service manager')
    equal(system.owner('var/lib/railmq'), '750 railmq:railmq', 'mode of the data directory')
    system.apt('purge', 'railmq')
    equal(system.exists('var/lib/railmq'), False, 'data directory')


def run_all(system):
    """In order: each goes on with what the one before it has left. After a failure none does."""
    passed = 0
    for name, function in list(globals().items()):
        if not name.startswith('test_'):
            continue
        try:
            function(system)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            print(f'FAIL {name[5:]}: {error}')
            print(f'{passed} passed, 1 failed')
            return 1
        passed += 1
        print(f'ok   {name[5:]}', flush=True)
    print(f'{passed} passed, 0 failed')
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', required=True, type=pathlib.Path, help='a build directory')
    parser.add_argument('--base', required=True, type=pathlib.Path,
                        help='a tar file of the Debian without the package; made if it is missing')
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which('debootstrap') is None:
        print('     not root, or no debootstrap here: the package is not installed anywhere')
        print('0 passed, 0 failed')
        return 0
    if not options.base.exists():
        make_base(options.base)
    with tempfile.TemporaryDirectory(prefix='rail-install-') as folder:
        root = pathlib.Path(folder) / 'root'
        root.mkdir()
        run('tar', '-C', root, '-xpf', options.base)
        package = make_package(options.build.resolve(), pathlib.Path(folder))
        shutil.copy(package, root / 'tmp/railmq.deb')
        return run_all(System(root))


if __name__ == '__main__':
    sys.exit(main())
