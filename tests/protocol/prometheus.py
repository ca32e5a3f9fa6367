"""A reader of Prometheus' text format that accepts no more than the format allows."""

import re

NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
SAMPLE = re.compile(rf'({NAME})(?:\{{(.*)\}})? (\S+)')
SUFFIXES = {'histogram': ('_bucket', '_sum', '_count')}


class BadMetrics(AssertionError):
    pass


def require(condition, text):
    if not condition:
        raise BadMetrics(text)


def read_labels(text):
    labels, at = {}, 0
    while at < len(text):
        found = LABEL.match(text, at)
        require(found, f'labels: {text!r}')
        require(found[1] not in labels, f'label twice: {text!r}')
        labels[found[1]] = re.sub(r'\\(.)', lambda m: {'n': '\n'}.get(m[1], m[1]), found[2])
        at = found.end()
        require(at == len(text) or text[at] == ',', f'labels: {text!r}')
        at += 1
    return labels


def read(text):
    """{name: [(labels, value)]} of all samples, after every rule has been checked."""
    require(text.endswith('\n'), 'the last line has no end')
    types, helped, samples, family = {}, set(), {}, None
    for line in text[:-1].split('\n'):
        if line.startswith('# HELP '):
            name = line.split(' ', 3)[2]
            require(name not in helped, f'HELP of {name} twice')
            helped.add(name)
        elif line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ')
            require(name not in types, f'TYPE of {name} twice')
            require(kind in ('counter', 'gauge', 'histogram'), line)
            require(kind != 'counter' or name.endswith('_total'), f'counter {name} lacks _total')
            types[name], family = kind, name
        else:
            found = SAMPLE.fullmatch(line)
            require(found, f'line: {line!r}')
            names = [family + suffix for suffix in SUFFIXES.get(types.get(family), ('',))]
            require(found[1] in names, f'{found[1]} stands below TYPE of {family}')
            value = (read_labels(found[2] or ''), float(found[3]))
            require(value[0] not in [labels for labels, _ in samples.get(found[1], [])],
                    f'sample twice: {line}')
            samples.setdefault(found[1], []).append(value)
    require(set(types) == helped, f'HELP and TYPE differ: {set(types) ^ helped}')
    for name, kind in types.items():
        if kind == 'histogram':
            check_histogram(name, samples)
    return samples


def check_histogram(name, samples):
    buckets = [(float(labels['le']), value) for labels, value in samples[f'{name}_bucket']]
    require(buckets == sorted(buckets), f'buckets of {name} do not ascend')
    require(buckets[-1][0] == float('inf'), f'{name} has no +Inf')
    require(buckets[-1][1] == samples[f'{name}_count'][0][1], f'count of {name}')
