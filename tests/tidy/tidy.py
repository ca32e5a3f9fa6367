#!/usr/bin/python3
"""Checks the rules of the house that no compiler knows.

Complaints have the form of a compiler's (`file:line: error: text`). The last line of output is
`N passed, N failed`, where each rule counts as one. docs/CONTRIBUTING.md tells what the rules are
for; the limits and the include graph are the tables below.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# Which folder may include which, directly; what those may include is allowed as well. The same
# graph is in CMakeLists.txt for the linker.
FOLDERS = {
    'broker/base': [],
    'amqp': ['broker/base'],
    'routing': ['broker/base'],
    'persistence': ['broker/base'],
    'certs': ['broker/base'],
    'broker/net': ['broker/base'],
    'broker/core': ['amqp', 'routing', 'persistence', 'broker/net'],
    'broker/control': ['broker/base'],
    'broker/config': ['broker/core'],
    'broker/auth': ['broker/core'],
    'broker/topology': ['broker/config', 'broker/auth'],
    'broker/admin': ['broker/config'],
    'broker/session': ['broker/core', 'broker/auth', 'broker/control', 'broker/topology', 'certs',
                       'broker/admin'],
    'broker/perf': ['amqp', 'certs'],
    'broker/cli': ['broker/session', 'broker/perf', 'certs'],
    'broker': ['broker/cli'],
}

# Libraries that one place hides from the rest: pattern, folder, and whether one file there is all.
HIDDEN_LIBRARIES = [
    (re.compile(r'rocksdb/'), 'persistence', False),
    (re.compile(r'openssl/ssl\.h'), 'certs', False),
    (re.compile(r'pcre2\.h'), 'broker/base', True),
    (re.compile(r'yaml\.h'), 'broker/config', True),
    (re.compile(r'microhttpd\.h'), 'broker/admin', True),
]

FILE_LINES_HARD, FILE_LINES_SOFT = 800, 500
FUNCTION_LINES_HARD, FUNCTION_LINES_SOFT = 90, 70
PROSE_WORDS_MIN, PROSE_WORDS_MIN_INTERNAL = 6, 3

BANNED_FUNCTIONS = {
    'strcpy': 'a bounded copy',
    'strcat': 'a bounded copy',
    'sprintf': 'snprintf',
    'vsprintf': 'vsnprintf',
    'strtok': 'a parser without hidden state',
    'gets': 'fgets',
    'atoi': 'strtol, and check its result',
    'atol': 'strtol, and check its result',
    'atof': 'strtod, and check its result',
    'localtime': 'localtime_r',
    'gmtime': 'gmtime_r',
    'rand': 'broker/base/rand.h',
    'srand': 'broker/base/rand.h',
}

# A test that prints its seed may use these.
REPEATABLE_RANDOMNESS = ('rand', 'srand')

# Programs written as the tutorials of their libraries write them.
TUTORIAL_FOLDER = 'tests/clients'

# This file and its tests have to name what they forbid.
FORBIDDEN_TEXT_EXEMPT = ('tests/tidy/tidy.py', 'tests/tidy/test_tidy.py')
FORBIDDEN_TEXT = [
    (re.compile(r'\b(TODO|FIXME|XXX|HACK)\b'), 'say what is so now, or do it'),
    (re.compile(r'\bstub(s|bed)?\b', re.IGNORECASE), 'say what it really is'),
]

SKIPPED_FOLDERS = {'build', 'node_modules', '__pycache__', 'rail-data', 'corpus'}
TEXT_SUFFIXES = {'.c', '.h', '.def', '.py', '.js', '.sh', '.md', '.cmake', '.yml', '.yaml', '.txt'}
TEXT_NAMES = {'dev', 'run', 'CMakePresets.json', '.clang-format', '.clang-tidy', '.gitignore'}

COMMENT_OR_LITERAL = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(<[^>\n]+>|"[^"\n]+")', re.MULTILINE)


class Source:
    """A text file of the project: its lines, and for C its text without comments."""

    def __init__(self, root, path):
        self.path = path
        self.folder = os.path.dirname(path)
        self.suffix = os.path.splitext(path)[1]
        with open(os.path.join(root, path), encoding='utf-8', newline='') as file:
            self.text = file.read()
        self.lines = self.text.split('\n')

    def is_c(self):
        return self.suffix in ('.c', '.h')

    def in_tests(self):
        return self.path.startswith('tests/')

    def line_of(self, offset):
        return self.text.count('\n', 0, offset) + 1

    def code(self):
        """The text with comments and literals blanked; offsets and lines stay true."""
        return blank(self.text, literals=True)

    def includes(self):
        """Yields (line, name, quoted) of each #include."""
        for match in INCLUDE.finditer(blank(self.text, literals=False)):
            name = match.group(1)
            yield self.line_of(match.start(1)), name[1:-1], name.startswith('"')


def blank(text, literals):
    def replace(match):
        if match.group().startswith(('"', "'")) and not literals:
            return match.group()
        return re.sub(r'[^\n]', ' ', match.group())
    return COMMENT_OR_LITERAL.sub(replace, text)


class Tree:
    """All files that the rules are about, and what was found wrong with them."""

    def __init__(self, root):
        self.root = str(root)
        self.sources = [Source(self.root, path) for path in sorted(self.walk())]
        self.errors = []
        self.notes = []

    def walk(self):
        for folder, subfolders, names in os.walk(self.root):
            subfolders[:] = [name for name in subfolders if name not in SKIPPED_FOLDERS and
                             (name == '.ci' or not name.startswith('.'))]
            for name in names:
                if name in TEXT_NAMES or os.path.splitext(name)[1] in TEXT_SUFFIXES:
                    yield os.path.relpath(os.path.join(folder, name), self.root)

    def c_sources(self):
        return [source for source in self.sources if source.is_c()]

    def headers(self):
        return [source for source in self.sources if source.suffix == '.h']

    def exists(self, path):
        return os.path.exists(os.path.join(self.root, path))

    def error(self, source, line, text):
        self.errors.append(f'{source.path}:{line}: error: {text}')


def allowed_folders(folder):
    """The folder itself and everything below it in the graph."""
    allowed, ahead = set(), [folder]
    while ahead:
        folder = ahead.pop()
        if folder not in allowed:
            allowed.add(folder)
            ahead += FOLDERS[folder]
    return allowed


def check_include_graph(tree):
    for source in tree.c_sources():
        if source.in_tests():
            continue
        if source.folder not in FOLDERS:
            tree.error(source, 1, f'the folder {source.folder}/ is not in the include graph; say '
                       'in tests/tidy/tidy.py what it may include')
            continue
        allowed = allowed_folders(source.folder)
        for line, name, quoted in source.includes():
            target = os.path.dirname(name)
            if quoted and target in FOLDERS and target not in allowed:
                tree.error(source, line, f'{source.folder}/ may not include {target}/')
            elif quoted and target.startswith('tests'):
                tree.error(source, line, 'only tests include tests')


def check_include_paths(tree):
    for source in tree.c_sources():
        for line, name, quoted in source.includes():
            if not quoted or tree.exists(name):
                continue
            beside = os.path.join(source.folder, name)
            if not source.in_tests():
                tree.error(source, line, f'"{name}" is not a path from the root of the repository')
            elif not tree.exists(beside):
                tree.error(source, line, f'there is no {name}, nor {beside}')


def check_internal_headers(tree):
    for source in tree.c_sources():
        for line, name, quoted in source.includes():
            folder = os.path.dirname(name)
            if (quoted and name.endswith('_internal.h') and folder not in ('', source.folder)
                    and not source.in_tests()):
                tree.error(source, line, f'{name} is for the files of {folder}/ alone')


def check_hidden_libraries(tree):
    for pattern, folder, one_file in HIDDEN_LIBRARIES:
        first = None
        for source in tree.c_sources():
            for line, name, quoted in source.includes():
                if quoted or not pattern.match(name) or source.in_tests():
                    continue
                if source.folder != folder:
                    tree.error(source, line, f'<{name}> may be included in {folder}/ only')
                elif one_file and first not in (None, source.path):
                    tree.error(source, line, f'<{name}> is already included by {first}, which '
                               'hides it from the others')
                first = first or source.path


def check_include_order(tree):
    """Own header first, so that each header is shown to need nothing before it."""
    for source in tree.c_sources():
        own = source.path[:-1] + 'h'
        if source.suffix != '.c' or source.in_tests() or not tree.exists(own):
            continue
        names = [(line, name) for line, name, _ in source.includes()]
        if own in [name for _, name in names] and names[0][1] != own:
            tree.error(source, names[0][0], f'"{own}" comes first')


def functions(source):
    """Yields (line, name, lines of the body). A brace alone in column 0 opens a function body."""
    lines = source.code().split('\n')
    start = None
    for index, line in enumerate(lines):
        if line.rstrip() == '{':
            start = index
        elif line.startswith('}') and start is not None:
            yield start + 1, function_name(lines, start), index - start - 1
            start = None


def function_name(lines, brace):
    for line in reversed(lines[max(0, brace - 12):brace]):
        match = re.match(r'(\w+)\(', line)
        if match:
            return match.group(1)
    return 'a function'


def check_file_length(tree):
    long = 0
    for source in tree.sources:
        if source.suffix not in ('.c', '.h', '.py', '.js', '.sh', '') or 'json' in source.path:
            continue
        count = len(source.lines) - 1
        long += source.is_c() and count > FILE_LINES_SOFT
        if count > FILE_LINES_HARD:
            tree.error(source, FILE_LINES_HARD, f'{count} lines; {FILE_LINES_HARD} are the limit')
    tree.notes.append(f'{long} C files have more than {FILE_LINES_SOFT} lines')


def check_function_length(tree):
    long = []
    for source in tree.c_sources():
        for line, name, count in functions(source):
            if count > FUNCTION_LINES_HARD:
                tree.error(source, line, f'{name} has {count} lines; {FUNCTION_LINES_HARD} are '
                           'the limit')
            elif count > FUNCTION_LINES_SOFT:
                long.append(f'{source.path}:{line}: {name}, {count} lines')
    tree.notes.append(f'{len(long)} functions have more than {FUNCTION_LINES_SOFT} lines' +
                      ''.join(f'\n    {entry}' for entry in long))


def check_header_guards(tree):
    for source in tree.headers():
        guard = re.sub(r'[^A-Z0-9]', '_', source.path.upper())
        directives = re.findall(r'^#.*', source.code(), re.MULTILINE)
        if directives[:2] != [f'#ifndef {guard}', f'#define {guard}']:
            tree.error(source, 1, f'the include guard is not {guard}')


def check_header_prose(tree):
    for source in tree.headers():
        body = re.sub(r'^\s*#ifndef \w+\n#define \w+\n', '', source.text)
        opening = re.match(r'\s*/\*(.*?)\*/', body, re.DOTALL)
        internal = source.path.endswith('_internal.h')
        wanted = PROSE_WORDS_MIN_INTERNAL if internal else PROSE_WORDS_MIN
        if not opening or len(re.findall(r'[A-Za-z]{2,}', opening.group(1))) < wanted:
            tree.error(source, 1, 'a header opens with a comment that says what the module is '
                       'for, who owns it and which thread uses it')


def compile_header(tree, source):
    command = [*os.environ.get('CC', 'gcc').split(), '-std=gnu11', '-D_GNU_SOURCE', '-Wall',
               '-Wextra', '-Werror', '-fsyntax-only', '-I.', '-x', 'c', '-']
    unit = f'#include "{source.path}"\n'
    if 'cmocka.h' in source.text:
        # cmocka leaves it to its includer to have these.
        unit = '#include <setjmp.h>\n#include <stdarg.h>\n#include <stddef.h>\n' \
               '#include <stdint.h>\n' + unit
    # gcc looks for quoted includes beside the file first, which for a pipe is the current folder.
    done = subprocess.run(command, input=unit, cwd=tree.root, capture_output=True, text=True,
                          check=False)
    return done.stderr if done.returncode else None


def check_headers_alone(tree):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda source: compile_header(tree, source), tree.headers())
        for source, trouble in zip(tree.headers(), results):
            if trouble:
                tree.error(source, 1, 'does not compile alone:\n    ' +
                           trouble.rstrip().replace('\n', '\n    '))


def place_of_work(root):
    """A pattern for paths that only exist where somebody works on this tree, or did."""
    own = pathlib.Path(root).resolve()
    shared = (pathlib.Path('/'), pathlib.Path(tempfile.gettempdir()).resolve())
    place = own if own.parent in shared else own.parent
    return re.compile(rf'(?<![\w.]){re.escape(str(place))}(?![\w-])|(?<![\w.])/tmp/[\w.-]+/')


def check_forbidden_text(tree):
    forbidden = [*FORBIDDEN_TEXT,
                 (place_of_work(tree.root), 'this path exists on one machine only')]
    for source in tree.sources:
        if source.path in FORBIDDEN_TEXT_EXEMPT:
            continue
        for number, line in enumerate(source.lines, 1):
            for pattern, advice in forbidden:
                match = pattern.search(line)
                if match:
                    tree.error(source, number, f"'{match.group()}': {advice}")


def check_banned_functions(tree):
    pattern = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED_FUNCTIONS) + r')\s*\(')
    for source in tree.c_sources():
        if source.folder.startswith(TUTORIAL_FOLDER):
            continue
        for match in pattern.finditer(source.code()):
            name = match.group(1)
            if name in REPEATABLE_RANDOMNESS and source.in_tests():
                continue
            tree.error(source, source.line_of(match.start()),
                       f'{name} is banned; use {BANNED_FUNCTIONS[name]}')


def check_white_space(tree):
    for source in tree.sources:
        for number, line in enumerate(source.lines, 1):
            if '\t' in line and (source.is_c() or source.suffix == '.def'):
                tree.error(source, number, 'a tab; indent with four spaces')
            if line != line.rstrip() and source.suffix != '.md':
                tree.error(source, number, 'white space at the end of the line')
        if source.text and not source.text.endswith('\n'):
            tree.error(source, len(source.lines), 'the last line has no end')


def check_documentation_links(tree):
    link = re.compile(r'\]\(([^)#\s]+)[^)]*\)')
    for source in tree.sources:
        if source.suffix != '.md':
            continue
        for number, line in enumerate(source.lines, 1):
            for target in link.findall(line):
                if '://' in target or target.startswith('mailto:'):
                    continue
                if not tree.exists(os.path.normpath(os.path.join(source.folder, target))):
                    tree.error(source, number, f'the link leads nowhere: {target}')


CHECKS = collections.OrderedDict([
    ('include graph', check_include_graph),
    ('include paths', check_include_paths),
    ('include order', check_include_order),
    ('internal headers', check_internal_headers),
    ('hidden libraries', check_hidden_libraries),
    ('file length', check_file_length),
    ('function length', check_function_length),
    ('header guards', check_header_guards),
    ('header prose', check_header_prose),
    ('headers compile alone', check_headers_alone),
    ('forbidden text', check_forbidden_text),
    ('banned functions', check_banned_functions),
    ('white space', check_white_space),
    ('documentation links', check_documentation_links),
])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--root', type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2],
                        help='of the tree to check (default: the repository of this file)')
    parser.add_argument('filter', nargs='?', default='', help='only rules whose name has this')
    options = parser.parse_args()
    tree = Tree(options.root)
    passed = failed = 0
    for name, check in CHECKS.items():
        if options.filter not in name:
            continue
        before = len(tree.errors)
        check(tree)
        if len(tree.errors) == before:
            passed += 1
            continue
        failed += 1
        print('\n'.join(tree.errors[before:]))
        print(f'FAILED {name}')
    for note in tree.notes:
        print(f'note: {note}')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
