"""Makes a program that fails smaller, as long as it still fails."""

import copy
import time

ATTEMPTS_MAX = 300


class Shrinker:
    def __init__(self, program, fails, seconds):
        self.program = program
        self.end = time.monotonic() + seconds
        self.fails = fails  # Whether a program does; may play it more than once.
        self.attempts = 0

    def try_it(self, program):
        if self.is_tired():
            return False
        self.attempts += 1
        if not self.fails(program):
            return False
        self.program = program
        return True

    def is_tired(self):
        return self.attempts >= ATTEMPTS_MAX or time.monotonic() > self.end

    def shrink(self):
        before = None
        while before != self.program and not self.is_tired():
            before = self.program
            self.drop_steps()
            self.drop_messages()
            self.drop_arguments()
        return self.program

    def drop_steps(self):
        """Halves, quarters, and so on down to single steps, the last ones first."""
        size = max(1, len(self.program['steps']) // 2)
        while True:
            end = len(self.program['steps'])
            while end > 0:
                start = max(0, end - size)
                steps = self.program['steps']
                self.try_it({**self.program, 'steps': steps[:start] + steps[end:]})
                end = start
            if size == 1:
                return
            size //= 2

    def drop_messages(self):
        for number, (name, arguments) in enumerate(self.program['steps']):
            if name != 'publish':
                continue
            for index in reversed(range(len(arguments['messages']))):
                if len(self.program['steps'][number][1]['messages']) > 1:
                    program = copy.deepcopy(self.program)
                    del program['steps'][number][1]['messages'][index]
                    self.try_it(program)
            for index, message in enumerate(self.program['steps'][number][1]['messages']):
                for key in list(message):
                    program = copy.deepcopy(self.program)
                    del program['steps'][number][1]['messages'][index][key]
                    self.try_it(program)

    def drop_arguments(self):
        for queue in ('q', 'd'):
            if 'dead_letters' in self.program[queue]:
                program = copy.deepcopy(self.program)
                del program[queue]['dead_letters']
                self.try_it(program)
            for key in list(self.program[queue]['arguments']):
                program = copy.deepcopy(self.program)
                del program[queue]['arguments'][key]
                self.try_it(program)
        for number, (_, arguments) in enumerate(self.program['steps']):
            for key, value in arguments.items():
                if value is True or (key in ('priority', 'prefetch') and value):
                    program = copy.deepcopy(self.program)
                    del program['steps'][number][1][key]
                    self.try_it(program)
