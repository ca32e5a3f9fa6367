"""Bookkeeping of publisher confirms."""

import amqp


class ConfirmAuditor:
    """Numbers the publishes of a confirm channel and checks every ack and nack: nothing is
    answered twice, skipped, or answered before it was published."""

    def __init__(self, channel):
        channel.call('confirm.select')
        self.channel = channel
        self.published = 0
        self.waiting = set()
        self.acked = set()
        self.nacked = set()

    def publish(self, *arguments, **options):
        """Returns the number of the publish."""
        self.published += 1
        self.waiting.add(self.published)
        self.channel.publish(*arguments, **options)
        return self.published

    def settle(self, method):
        """Takes a basic.ack or basic.nack; returns the numbers that it answers."""
        tag = method.delivery_tag
        if not 1 <= tag <= self.published:
            raise amqp.Mismatch(f'{method} after {self.published} publishes')
        if tag not in self.waiting:
            raise amqp.Mismatch(f'{method}: {tag} was answered before')
        numbers = {number for number in self.waiting if number <= tag} if method.multiple else {tag}
        self.waiting -= numbers
        (self.acked if method.name == 'basic.ack' else self.nacked).update(numbers)
        return numbers

    def drain(self):
        """Settles what has been received already."""
        while self.channel.inbox and self.channel.inbox[0].name in ('basic.ack', 'basic.nack'):
            self.settle(self.channel.inbox.popleft())

    def wait(self):
        """Waits until every publish is answered."""
        while self.waiting:
            self.settle(self.channel.connection.next(
                self.channel.number, lambda method: method.name in ('basic.ack', 'basic.nack')))
        self.channel.sync()
        if any(method.name in ('basic.ack', 'basic.nack') for method in self.channel.inbox):
            raise amqp.Mismatch(f'answers without a publish: {list(self.channel.inbox)}')

    def wait_for(self, number):
        while number in self.waiting:
            self.settle(self.channel.connection.next(
                self.channel.number, lambda method: method.name in ('basic.ack', 'basic.nack')))
