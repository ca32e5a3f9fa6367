"""Random programs. A program is plain data: what the queue `q` and the target of its dead letters `d`
are declared with, and steps, each a name and arguments of a method of the player. A step that does
not apply is passed over, so that any part of a program is a program.

Where a broker may do things in one order or the other, and it would matter, the generator keeps
away: it says so at each place."""

import json
import random

FAR = 3600000
PRIORITIES_MAX = 9


class Generator:
    def __init__(self, seed, restarts=()):
        self.random = random.Random(seed)
        self.restarts = restarts

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, *choices):
        return self.random.choice(choices)

    def make(self):
        self.kind = self.pick_kind()
        self.is_long = self.chance(0.15)  # Its messages leave memory, and come back.
        q, d = self.make_queue(), self.make_target()
        if self.restarts or 'x-queue-type' in q['arguments']:
            q['durable'] = True
        if self.restarts or 'x-queue-type' in d['arguments']:
            d['durable'] = True
        if not d:
            d = {'arguments': {}}
        self.q, self.d = q, d
        return {'q': q, 'd': d, 'parting': self.random.randrange(4), 'fading': self.pick_fading(),
                'steps': self.make_steps()}

    def pick_fading(self):
        """Not where it could come back: neither after a crash, nor from the target."""
        if not self.may_expire or self.is_limited or self.kind in ('back', 'loop'):
            return 0
        return self.random.randrange(3)

    def pick_kind(self):
        """What makes the target of dead letters interesting."""
        kinds = ['plain', 'plain', 'limited', 'priority', 'back', 'loop', 'counting']
        if 'kill' in self.restarts:
            kinds = ['plain', 'counting', 'priority']  # Nothing comes twice to a queue.
        return self.random.choice(kinds)

    def dies_often(self):
        """Few messages die again and again, now here, now there: at a stop that would be in any order."""
        return self.kind == 'back' and not self.restarts

    def make_queue(self):
        arguments, queue = {}, {'durable': self.chance(0.4)}
        self.is_limited = self.kind != 'loop' and self.chance(0.45)
        # Which of those in excess goes depends on when what expires goes, in a limited target, or when
        # the head has to be read; and after a crash what has expired may come and go again.
        self.may_expire = (self.kind != 'limited' and 'kill' not in self.restarts and
                           not (self.is_limited and self.restarts))
        if self.chance(0.25):
            arguments['x-queue-type'] = 'quorum'
        elif self.kind != 'loop' and self.chance(0.35):
            arguments['x-max-priority'] = self.random.randrange(1, 6)
        if self.is_limited:
            self.limit(arguments)
        if self.chance(0.12):
            arguments['x-message-ttl'] = FAR
        elif self.may_expire and self.chance(0.18):
            arguments['x-message-ttl'] = 0 if self.is_limited else self.pick(0, 1)
        if self.dies_often():
            arguments['x-delivery-limit'] = self.random.randrange(2)
        elif self.chance(0.3):
            arguments['x-delivery-limit'] = self.random.randrange(4)
        if self.chance(0.15):
            arguments['x-single-active-consumer'] = True
        if self.kind != 'plain' or self.chance(0.6):
            queue['dead_letters'] = self.pick('default', 'default', 'key', 'exchange')
        self.has_short_ttl = arguments.get('x-message-ttl', FAR) < FAR
        return {**queue, 'arguments': arguments}

    def limit(self, arguments):
        which = self.pick('length', 'length', 'octets', 'both')
        if which != 'octets':
            arguments['x-max-length'] = self.random.randrange(5) * (10 if self.is_long else 1)
        if which != 'length':
            arguments['x-max-length-bytes'] = self.pick(0, 10, 100, 1000, 2500) * (
                40 if self.is_long else 1)
        overflow = ['drop-head', 'reject-publish']
        if 'kill' in self.restarts:
            overflow = ['reject-publish']  # What comes back stays.
        if 'x-queue-type' not in arguments:
            overflow.append('reject-publish-dlx')
        if 'kill' in self.restarts or self.chance(0.7):
            arguments['x-overflow'] = self.random.choice(overflow)

    def make_target(self):
        arguments = {}
        target = {'durable': self.chance(0.4), 'arguments': arguments}
        if self.kind == 'limited':
            arguments['x-max-length'] = self.random.randrange(1, 4)
            arguments['x-overflow'] = self.pick('drop-head', 'reject-publish')
        elif self.kind == 'priority':
            arguments['x-max-priority'] = self.random.randrange(1, 6)
        elif self.kind == 'counting':
            arguments[self.pick('x-queue-type', 'x-queue-type', 'x-delivery-limit')] = 'quorum'
            if 'x-delivery-limit' in arguments:
                arguments['x-delivery-limit'] = 2
        elif self.kind in ('back', 'loop'):
            target['dead_letters'] = 'default'
        if self.kind == 'loop':
            arguments['x-message-ttl'] = self.pick(0, 1)
        elif self.dies_often():
            arguments['x-delivery-limit'] = self.random.randrange(2)
        return target

    # Steps.

    def make_steps(self):
        names = {'publish': 14, 'consume': 5, 'cancel': 2, 'get': 5, 'settle': 16, 'recover': 1,
                 'close': 1, 'fail': 1, 'disconnect': 1, 'purge': 1}
        if 'x-single-active-consumer' in self.q['arguments']:  # There is a line of those who wait.
            names.update(consume=12, cancel=5)
        longest = 26
        if self.dies_often():
            names.update(publish=3, get=20, settle=30)
            longest = 80
        steps = []
        for kind in (*self.restarts, None):
            for name in self.random.choices(list(names), list(names.values()),
                                            k=self.random.randrange(3, longest)):
                arguments = getattr(self, name)()
                if arguments is not None:
                    steps.append([name, arguments])
            if kind:
                steps.append([kind, {}])
        return steps

    def session(self):
        return self.random.randrange(3)

    def queue(self):
        return 'd' if self.chance(0.5 if self.dies_often() else 0.2) else 'q'

    def publish(self):
        count = self.random.choice((1, 5, 20, 40) if self.is_long else (1, 1, 1, 2, 3, 5))
        messages = [self.message() for _ in range(count)]
        arguments = self.q['arguments']
        priority = messages[0].get('priority')
        # A write may be taken in several parts, in each of which consumers get the most urgent.
        for message in messages:
            if 'priority' in message or self.is_long:
                message['priority'] = priority or 0
        target = self.queue()
        chancy = self.has_short_ttl or any('expiration' in message for message in messages)
        if self.is_limited and chancy or (target == 'q' and 'x-max-priority' in arguments and
                                          'x-max-length-bytes' in arguments):
            messages = messages[:1]
        return {'queue': target, 'messages': messages}

    def message(self):
        sizes = (0, 100, 1000, 4000, 8000) if self.is_long else (0, 1, 9, 10, 11, 100, 1000)
        message = {'size': self.pick(*sizes), 'persistent': self.chance(0.6)}
        if self.chance(0.6):
            message['priority'] = self.random.randrange(PRIORITIES_MAX + 1)
        if self.chance(0.1):
            message['expiration'] = str(FAR)
        elif self.may_expire and self.chance(0.15):
            # What dies later than others comes back after them, to a queue where little lives long.
            at_once = self.is_limited or self.kind == 'back' and self.has_short_ttl
            message['expiration'] = '0' if at_once else self.pick('0', '1')
        return message

    def consume(self):
        queue = self.queue()
        # What comes in parts goes to consumers as it comes, and what expires does not wait.
        if queue == 'd' and self.kind in ('loop', 'priority', 'limited'):
            return None
        if queue == 'q' and self.kind == 'loop' and self.has_short_ttl:
            return None
        # What expires in memory goes before what expires outside of it.
        if self.is_long and self.may_expire and (queue == 'd' or self.kind in ('back', 'loop')):
            return None
        arguments = {'session': self.session(), 'queue': queue, 'prefetch': self.pick(0, 1, 1, 2, 3),
                     'no_ack': self.chance(0.12)}
        if self.chance(0.3) and 'x-single-active-consumer' not in self.q['arguments']:
            arguments['priority'] = self.random.randrange(-1, 3)
        return arguments

    def cancel(self):
        return {'session': self.session(), 'index': self.random.randrange(2)}

    def get(self):
        return {'session': self.session(), 'queue': self.queue(), 'no_ack': self.chance(0.3)}

    def settle(self):
        return {'session': self.session(), 'fate': self.pick('ack', 'requeue', 'discard'),
                'index': self.random.randrange(6), 'multiple': self.chance(0.3),
                'all_of_them': self.chance(0.2), 'reject': self.chance(0.5)}

    def recover(self):
        return {'session': self.session()}

    close = fail = recover

    def disconnect(self):
        return {'orderly': self.chance(0.5)}

    def purge(self):
        return {'queue': self.queue()}


def generate(seed, restarts=()):
    return Generator(seed, restarts).make()


def write(program):
    """As text, a step a line."""
    steps = ',\n'.join('  ' + json.dumps(step) for step in program['steps'])
    head = ''.join(f'{json.dumps(key)}: {json.dumps(value)},\n'
                   for key, value in program.items() if key != 'steps')
    return f'{{{head}"steps": [\n{steps}\n]}}\n'


def read(text):
    return json.loads(text)
