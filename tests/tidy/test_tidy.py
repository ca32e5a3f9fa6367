#!/usr/bin/python3
"""Plants one offence after another in a small tree, and expects tidy.py to find just that one."""

import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tidy  # noqa: E402

HEADER = '''#ifndef AMQP_FRAME_H
#define AMQP_FRAME_H

/* The frame boundary: where a frame starts and where it ends. Pure; any thread. */

#include <stddef.h>

size_t frame_size(const char *at);

#endif
'''
SOURCE = '''#include "amqp/frame.h"

#include <string.h>

size_t
frame_size(const char *at)
{
    return strlen(at);
}
'''


class TidyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write('amqp/frame.h', HEADER)
        self.write('amqp/frame.c', SOURCE)

    def write(self, path, text):
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding='utf-8')

    def header(self, path, text='', prose='What this planted header is for, and who owns it.'):
        guard = path.upper().replace('/', '_').replace('.', '_')
        self.write(path, f'#ifndef {guard}\n#define {guard}\n\n/* {prose} */\n\n{text}#endif\n')

    def complaints(self):
        """All rules that complain, with their complaints."""
        found = {}
        for name, check in tidy.CHECKS.items():
            tree = tidy.Tree(self.root)
            check(tree)
            if tree.errors:
                found[name] = tree.errors
        return found

    def expect(self, rule, place):
        found = self.complaints()
        self.assertEqual(list(found), [rule], found)
        self.assertTrue(found[rule][0].startswith(place + ': error: '), found)

    def test_clean_tree(self):
        self.assertEqual(self.complaints(), {})

    def test_include_against_the_graph(self):
        self.header('broker/core/queue.h')
        self.write('amqp/frame.c', SOURCE + '#include "broker/core/queue.h"\n')
        self.expect('include graph', 'amqp/frame.c:10')

    def test_include_in_a_comment_is_none(self):
        self.header('broker/core/queue.h')
        self.write('amqp/frame.c', SOURCE + '/*\n#include "broker/core/queue.h"\n*/\n')
        self.assertEqual(self.complaints(), {})

    def test_include_that_the_graph_allows_through_others(self):
        self.write('broker/session/channel.c', '#include "amqp/frame.h"\n')
        self.assertEqual(self.complaints(), {})

    def test_unknown_folder(self):
        self.write('amqp2/frame.c', '')
        self.expect('include graph', 'amqp2/frame.c:1')

    def test_include_of_tests(self):
        self.header('tests/unit/test_helper.h')
        self.write('amqp/frame.c', SOURCE + '#include "tests/unit/test_helper.h"\n')
        self.expect('include graph', 'amqp/frame.c:10')

    def test_include_not_from_the_root(self):
        self.write('amqp/frame.c', SOURCE.replace('amqp/frame.h', 'frame.h'))
        self.expect('include paths', 'amqp/frame.c:1')

    def test_own_header_not_first(self):
        self.write('amqp/frame.c', '#include <stdio.h>\n' + SOURCE)
        self.expect('include order', 'amqp/frame.c:1')

    def test_internal_header_of_another_folder(self):
        self.header('amqp/frame_internal.h')
        self.write('broker/core/queue.c', '#include "amqp/frame_internal.h"\n')
        self.expect('internal headers', 'broker/core/queue.c:1')

    def test_hidden_libraries(self):
        self.write('persistence/engine_rocksdb.c', '#include <rocksdb/c.h>\n')
        self.write('certs/tls.c', '#include <openssl/ssl.h>\n')
        self.write('broker/config/yaml_tree.c', '#include <yaml.h>\n')
        self.assertEqual(self.complaints(), {})
        self.write('amqp/frame.c', SOURCE + '#include <rocksdb/c.h>\n')
        self.expect('hidden libraries', 'amqp/frame.c:10')

    def test_library_that_two_files_include(self):
        self.write('broker/config/one.c', '#include <yaml.h>\n')
        self.write('broker/config/two.c', '#include <yaml.h>\n')
        self.expect('hidden libraries', 'broker/config/two.c:1')

    def test_long_file(self):
        self.write('amqp/frame.c', SOURCE + '\n' * tidy.FILE_LINES_HARD)
        self.expect('file length', f'amqp/frame.c:{tidy.FILE_LINES_HARD}')

    def test_long_function(self):
        lines = '    at++;\n' * tidy.FUNCTION_LINES_HARD
        self.write('amqp/frame.c', SOURCE.replace('    return', lines + '    return'))
        self.expect('function length', 'amqp/frame.c:7')
        self.write('amqp/frame.c', SOURCE.replace('    return', lines[10:] + '    return'))
        self.assertEqual(self.complaints(), {})

    def test_wrong_guard(self):
        self.write('amqp/frame.h', HEADER.replace('AMQP_FRAME_H', 'FRAME_H'))
        self.expect('header guards', 'amqp/frame.h:1')

    def test_header_without_prose(self):
        self.header('amqp/wire.h', prose='Wire.')
        self.expect('header prose', 'amqp/wire.h:1')

    def test_header_that_needs_another(self):
        self.header('amqp/wire.h', 'extern uint8_t wire;\n')
        self.expect('headers compile alone', 'amqp/wire.h:1')

    def test_forbidden_text(self):
        for word in ('TODO', 'FIXME', 'XXX', 'HACK', 'stub', 'Stubs', f'{self.root}/x',
                     '/tmp/rail/x'):
            self.write('docs/NOTES.md', f'# Notes\n\nSee {word}.\n')
            self.expect('forbidden text', 'docs/NOTES.md:3')
        for word in ('stubborn', '/tmp/railmq', f'home{self.root}-x', 'TODOS'):
            self.write('docs/NOTES.md', f'{word}\n')
            self.assertEqual(self.complaints(), {})

    def test_banned_functions(self):
        for call in ('strcpy(a, b)', 'sprintf(a, "%d", 1)', 'strtok (a, b)', 'rand()', 'atoi(a)'):
            self.write('amqp/frame.c', SOURCE.replace('return strlen(at)', call))
            self.expect('banned functions', 'amqp/frame.c:8')
        for call in ('snprintf(a)', 'localtime_r(a)', 'rows->rand()', '"strcpy(a, b)"'):
            self.write('amqp/frame.c', SOURCE.replace('return strlen(at)', call))
            self.assertEqual(self.complaints(), {})

    def test_banned_functions_that_tests_may_use(self):
        self.write('tests/unit/test_amqp_frame.c', SOURCE.replace('strlen(at)', 'rand()'))
        self.write('tests/clients/rabbitmq-c/rpc.c', SOURCE.replace('strlen(at)', 'atoi(at)'))
        self.assertEqual(self.complaints(), {})

    def test_white_space(self):
        for text in ('\treturn;\n', 'return; \n', 'return;'):
            self.write('amqp/frame.c', SOURCE + text)
            self.expect('white space', 'amqp/frame.c:10')

    def test_dead_link(self):
        self.write('docs/NOTES.md', '[one](../amqp/frame.h#L1) [two](https://example.org/)\n')
        self.assertEqual(self.complaints(), {})
        self.write('docs/NOTES.md', 'See\n[three](three.md).\n')
        self.expect('documentation links', 'docs/NOTES.md:2')


if __name__ == '__main__':
    unittest.main()
