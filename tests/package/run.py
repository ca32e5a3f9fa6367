#!/usr/bin/python3
"""Checks what `cmake --install` and `cpack` make of a build: that everything is where the unit, the
documents and Debian expect it. Nothing is installed on this machine.

The last line of output is `N passed, N failed`.
"""

import argparse
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = {
    'etc/railmq/broker.yaml': 0o640,
    'usr/bin/railmq': 0o755,
    'usr/lib/systemd/system/railmq.service': 0o644,
    'usr/lib/sysusers.d/railmq.conf': 0o644,
    'usr/share/bash-completion/completions/railmq': 0o644,
    'usr/share/doc/railmq/CONFIGURATION.md': 0o644,
    'usr/share/doc/railmq/FEATURES.md': 0o644,
    'usr/share/doc/railmq/OPERATIONS.md': 0o644,
    'usr/share/doc/railmq/README.md': 0o644,
    'usr/share/doc/railmq/copyright': 0o644,
    'usr/share/man/man1/railmq.1.gz': 0o644,
    'usr/share/man/man5/railmq.yaml.5.gz': 0o644,
}
LIBRARIES = ['libc6', 'libmicrohttpd12', 'libpcre2-8-0', 'librocksdb7.8', 'libssl3', 'libxxhash0',
             'libyaml-0-2']


def run(*command, env=None, cwd=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, cwd=cwd, check=False)
    if done.returncode != 0:
        raise AssertionError(f'{command} failed with {done.returncode}:\n{done.stdout}{done.stderr}')
    return done.stdout


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f'{what}: expected {wanted}, got {got}')


def files_below(folder):
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
            for path in folder.rglob('*') if path.is_file()}


def install(build, folder):
    run('cmake', '--install', build, '--prefix', '/usr', env={'DESTDIR': str(folder)})


def test_installed_files(build, scratch):
    folder = scratch / 'installed'
    install(build, folder)
    equal(files_below(folder), FILES, 'files')
    run(folder / 'usr/bin/railmq', '--version')
    run(folder / 'usr/bin/railmq', 'check', folder / 'etc/railmq/broker.yaml')


def test_a_configuration_that_is_there_stays(build, scratch):
    folder = scratch / 'twice'
    install(build, folder)
    path = folder / 'etc/railmq/broker.yaml'
    path.write_text('version: 1\n', encoding='utf-8')
    install(build, folder)
    equal(path.read_text(encoding='utf-8'), 'version: 1\n', 'configuration')


def test_the_unit_is_sound(build, scratch):
    if shutil.which('systemd-analyze') is None:
        print('     no systemd-analyze here: the unit is not verified')
        return
    text = (ROOT / 'packaging/railmq.service').read_text(encoding='utf-8')
    equal(len(re.findall(r'^ExecStart=railmq serve --config /etc/railmq/broker.yaml$', text,
                         re.MULTILINE)), 1, 'lines of ExecStart')
    unit = scratch / 'railmq.service'
    unit.write_text(text.replace('ExecStart=railmq', f'ExecStart={build / "railmq"}'),
                    encoding='utf-8')
    done = subprocess.run(['systemd-analyze', 'verify', unit], capture_output=True, text=True,
                          check=False)
    equal((done.returncode, done.stderr), (0, ''), 'systemd-analyze verify')


def test_the_user_can_be_made(build, scratch):
    del build
    if shutil.which('systemd-sysusers') is None:
        print('     no systemd-sysusers here')
        return
    root = scratch / 'users'
    (root / 'etc').mkdir(parents=True)
    run('systemd-sysusers', f'--root={root}', ROOT / 'packaging/railmq.sysusers')
    passwd = (root / 'etc/passwd').read_text(encoding='utf-8')
    if not re.search(r'^railmq:[^:]*:\d+:\d+:[^:]*:/var/lib/railmq:/usr/sbin/nologin$', passwd,
                     re.MULTILINE):
        raise AssertionError(f'no such user: {passwd}')


def make_package(build, scratch):
    folder = scratch / 'package'
    folder.mkdir(exist_ok=True)
    run('cpack', '-G', 'DEB', '--config', build / 'CPackConfig.cmake', '-B', folder, cwd=folder)
    found = list(folder.glob('*.deb'))
    equal(len(found), 1, 'packages')
    return found[0]


def test_the_debian_package(build, scratch):
    if shutil.which('dpkg-deb') is None or shutil.which('dpkg-shlibdeps') is None:
        print('     no dpkg-deb or dpkg-shlibdeps here: no package is built')
        return
    package = make_package(build, scratch)
    version = run(build / 'railmq', '--version').split()[1]
    architecture = run('dpkg', '--print-architecture').strip()
    equal(package.name, f'railmq_{version}_{architecture}.deb', 'name')
    content, control = scratch / 'content', scratch / 'control'
    run('dpkg-deb', '-x', package, content)
    run('dpkg-deb', '-e', package, control)
    equal(files_below(content), FILES, 'files')
    listing = run('dpkg-deb', '-c', package)
    equal({line.split()[1] for line in listing.splitlines()}, {'root/root'}, 'owners')
    fields = run('dpkg-deb', '-f', package, 'Depends')
    for library in LIBRARIES:
        if not re.search(rf'(^|, ){re.escape(library)}( |,|$)', fields):
            raise AssertionError(f'it does not depend on {library}: {fields}')
    equal((control / 'conffiles').read_text(encoding='utf-8'), '/etc/railmq/broker.yaml\n',
          'conffiles')
    for name in ('postinst', 'prerm', 'postrm'):
        equal(stat.S_IMODE((control / name).stat().st_mode), 0o755, f'mode of {name}')
        run('sh', '-n', control / name)
    run('md5sum', '--check', '--quiet', control / 'md5sums', cwd=content)
    run(content / 'usr/bin/railmq', 'check', content / 'etc/railmq/broker.yaml')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', required=True, type=pathlib.Path, help='a build directory')
    build = parser.parse_args().build.resolve()
    passed = failed = 0
    for name, function in list(globals().items()):
        if not name.startswith('test_'):
            continue
        with tempfile.TemporaryDirectory(prefix='rail-package-') as scratch:
            try:
                function(build, pathlib.Path(scratch))
                passed += 1
                print(f'ok   {name[5:]}')
            except AssertionError as error:
                failed += 1
                print(f'FAIL {name[5:]}: {error}')
    print(f'{passed} passed, {failed} failed')
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
