"""The manual pages and the completion say what --help says."""

import os
import re
import shutil
import subprocess
import tempfile

from harness import test, check, equal

PLAIN = True


def ask(t, *words):
    return subprocess.run([t.broker.railmq, *words], capture_output=True, text=True, check=True,
                          timeout=60).stdout


def names_of(text):
    """What a help lists: a name behind two spaces, or a star and a space, with a text."""
    return re.findall(r'^[* ] ([a-z][a-z0-9_-]*)(?: {2}|$)', text, re.MULTILINE)


def options_of(text):
    """(name, short name, argument) of each."""
    return [(name, letter, value) for letter, name, value in re.findall(
        r'^  (?:(-\S+), )?--([a-z-]+)(?: ([A-Za-z][^ \n]*))?', text, re.MULTILINE)]


def commands(t):
    """The help of each command by its name; of commands with commands, of those."""
    found = {}
    for name in names_of(ask(t, '--help')):
        text = ask(t, name, '--help')
        if '\nCommands:\n' in text:
            for inner in names_of(text):
                found[f'{name} {inner}'] = ask(t, name, inner, '--help')
        elif name != 'help':
            found[name] = text
    check(len(found) > 15, f'commands: {list(found)}')
    return found


def flat(text):
    """Without line breaks and indents."""
    return ' '.join(text.split())


def rendered(t, name):
    """As a reader sees it; the formatter has nothing to complain of."""
    done = subprocess.run(['groff', '-man', '-Tascii', '-P-c', '-ww', '-rLL=2000n'],
                          input=ask(t, 'help', name),
                          capture_output=True, text=True, check=True, timeout=60)
    equal(done.stderr, '', 'what groff says')
    return re.sub('.\b', '', done.stdout)


@test(process=True)
def every_option_is_in_the_page(t):
    page = rendered(t, 'railmq.1')
    sections = {part.split('[OPTION]')[0].strip(): part
                for part in re.split(r'\n   railmq ', page[page.index('\nOPTIONS'):])[1:]}
    equal(sorted(sections), sorted(commands(t)), 'sections')
    for name in names_of(ask(t, '--help')):
        check(re.search(rf'^ {{7}}{name}\b', page, re.MULTILINE), f'no {name} in the list')
    for command, text in commands(t).items():
        section = sections[command]
        for option, letter, value in options_of(text):
            if option == 'help' and command != 'perf':
                continue
            line = (f'{letter}, ' if letter else '') + f'--{option}' + (f' {value}' if value else '')
            check(re.search(rf'^ {{7}}{re.escape(line)}( \.\.\.)?( |$)', section,
                            re.MULTILINE), f'no "{line}" of {command} in:\n{section}')
        for name in names_of(text):
            check(re.search(rf'^ {{7}}{name}\b', section, re.MULTILINE),
                  f'no {name} of {command} in:\n{section}')
        if command != 'perf':
            begin = flat(text.split('\nOptions:')[0].split('\n\n', 1)[1])
            check(begin in flat(section), f'not what {command} is for: {begin}')


@test(process=True)
def every_key_is_in_the_page(t):
    page = rendered(t, 'railmq.yaml.5')
    text = ask(t, 'help', 'config')
    keys = re.findall(r'^  (\S.*)$', text[text.index('\nKeys:'):], re.MULTILINE)
    check(len(keys) > 30, f'keys: {keys}')
    for key in keys:
        check(re.search(rf'^ {{7}}{re.escape(key.strip())}( |$)', page, re.MULTILINE),
              f'no {key}')
    check('    data_dir: /var/lib/railmq\n' in page, 'the example is not as it was written')


class Completion:
    """What bash would offer, without a terminal."""

    def __init__(self, t):
        self.script = ask(t, 'help', 'railmq.bash')
        self.directory = tempfile.mkdtemp(prefix='rail-completion-')

    def run(self, text):
        # As its loader does, in a function.
        done = subprocess.run(
            ['bash', '--norc', '-uc', f'load() {{ {self.script}\n}}; load; {text}'],
            cwd=self.directory, capture_output=True, text=True, check=False, timeout=60)
        equal((done.returncode, done.stderr), (0, ''), 'exit status and errors')
        return done.stdout

    def offers(self, *words):
        """For the last of the words."""
        quoted = ' '.join(f"'{word}'" for word in ('railmq', *words))
        return sorted(self.run(f'COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _railmq; '
                               'printf "%s\\n" "${COMPREPLY[@]}"').split())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory)


@test(process=True)
def every_option_is_completed(t):
    with Completion(t) as it:
        names = names_of(ask(t, '--help'))
        equal(it.offers(''), sorted(names), 'commands')
        check(set(names) < set(it.offers('help', '')), 'not each can be explained')
        table = it.run('for command in "${!_railmq_words[@]}"; do '
                       'echo "$command:${_railmq_words["$command"]}"; done')
        offered = {line.split(':')[0]: line.split(':')[1].split() for line in table.splitlines()}
        values = it.run('printf "%s\\n" "${!_railmq_values[@]}"').splitlines()
        found = commands(t)
        equal(sorted(set(offered) - {'railmq', 'help', 'store', 'certs'}), sorted(found),
              'commands with options')
        for command, text in found.items():
            options = options_of(text)
            equal(sorted(offered[command]), sorted([f'--{name}' for name, _, _ in options] +
                                                   names_of(text)), f'words of {command}')
            wanted = [f'{command} {word}' for name, letter, value in options if value
                      for word in (f'--{name}', letter) if word]
            equal(sorted(value for value in values if value.startswith(f'{command} -')),
                  sorted(wanted), f'options of {command} with a value')


@test(process=True)
def completion_at_work(t):
    with Completion(t) as it:
        equal(it.offers('list-q'), ['list-queues'], 'a command')
        equal(it.offers('store', ''), ['backup', 'info', 'restore', 'salvage', 'verify'], 'commands of store')
        equal(it.offers('store', 'info', '--'),
              ['--config', '--data-dir', '--help', '--json'], 'options of store info')
        equal(it.offers('list_queues', 'messages_'), ['messages_ready', 'messages_unacknowledged'],
              'columns, with an underscore in the command')
        equal(it.offers('list-queues', 'name', '--vh'), ['--vhost'], 'an option behind a column')
        for name in ('one.yaml', 'other file'):
            with open(os.path.join(it.directory, name), 'w', encoding='utf-8'):
                pass
        os.mkdir(os.path.join(it.directory, 'on'))
        equal(it.offers('serve', '--config', 'one'), ['one.yaml'], 'a file')
        equal(it.offers('serve', '-c', 'oth'), ['file', 'other'], 'a name with a space, in words')
        equal(it.offers('serve', '--config', '=', 'one'), ['one.yaml'], 'a file behind =')
        equal(it.offers('serve', '--data-dir', '='), ['on'], 'a directory behind =')
        equal(it.offers('check', 'one'), ['one.yaml'], 'an argument')
        equal(it.offers('list-queues', '--vhost', ''), [], 'a value that nobody knows')
        equal(it.offers('nonsense', ''), [], 'a command that is none')
