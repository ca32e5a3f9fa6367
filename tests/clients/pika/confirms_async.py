"""Publisher confirms in batches and asynchronously, with SelectConnection."""

import pika

from support import parameters, unique

BATCHES = 5
BATCH_SIZE = 100
STREAM_SIZE = 1000
LAST = BATCHES * BATCH_SIZE + STREAM_SIZE


class Publisher:
    """Publishes some batches, each confirmed before the next, then a long stream, and at last an
    unroutable message between two routable ones."""

    def __init__(self):
        self.next_tag = 1
        self.unconfirmed = set()
        self.events = []
        self.batches = 0
        self.finished = False
        self.close_reason = None
        self.connection = pika.SelectConnection(
            parameters=parameters(),
            on_open_callback=self.on_connection_open,
            on_open_error_callback=self.on_connection_open_error,
            on_close_callback=self.on_connection_closed,
        )

    def run(self):
        self.connection.ioloop.start()

    def on_connection_open_error(self, _connection, error):
        raise error

    def on_connection_open(self, connection):
        connection.channel(on_open_callback=self.on_channel_open)

    def on_connection_closed(self, _connection, reason):
        self.close_reason = reason
        self.connection.ioloop.stop()

    def on_channel_open(self, channel):
        self.channel = channel
        channel.add_on_close_callback(self.on_channel_closed)
        channel.add_on_return_callback(self.on_return)
        channel.queue_declare(queue="", exclusive=True, callback=self.on_queue_declared)

    def on_channel_closed(self, _channel, reason):
        if not self.finished:
            raise reason

    def on_queue_declared(self, frame):
        self.queue = frame.method.queue
        self.channel.confirm_delivery(self.on_confirm, callback=self.on_confirm_selected)

    def on_confirm_selected(self, _frame):
        self.publish_batch()

    def publish(self, routing_key):
        self.channel.basic_publish(
            exchange="",
            routing_key=routing_key,
            body=b"message %d" % self.next_tag,
            properties=pika.BasicProperties(message_id=str(self.next_tag), delivery_mode=2),
            mandatory=True,
        )
        self.unconfirmed.add(self.next_tag)
        self.next_tag += 1

    def publish_batch(self):
        self.batches += 1
        size = BATCH_SIZE if self.batches <= BATCHES else STREAM_SIZE
        for _ in range(size):
            self.publish(self.queue)

    def publish_unroutable(self):
        self.publish(self.queue)
        self.publish(unique("nowhere"))
        self.publish(self.queue)

    def on_return(self, _channel, method, properties, _body):
        assert method.reply_code == 312, method
        self.events.append(("return", int(properties.message_id)))

    def on_confirm(self, frame):
        assert isinstance(frame.method, pika.spec.Basic.Ack), frame
        tag = frame.method.delivery_tag
        confirmed = {tag}
        if frame.method.multiple:
            confirmed = {earlier for earlier in self.unconfirmed if earlier <= tag}
        assert tag in self.unconfirmed, "tag %d was confirmed twice or never published" % tag
        self.unconfirmed -= confirmed
        self.events.extend(("ack", each) for each in sorted(confirmed))
        if not self.unconfirmed:
            self.on_all_confirmed()

    def on_all_confirmed(self):
        if self.batches <= BATCHES:
            self.publish_batch()
        elif self.next_tag == LAST + 1:
            self.publish_unroutable()
        else:
            self.channel.queue_declare(
                queue=self.queue, passive=True, callback=self.on_queue_counted
            )

    def on_queue_counted(self, frame):
        assert frame.method.message_count == LAST + 2, frame.method
        self.finished = True
        self.connection.close()


def main():
    publisher = Publisher()
    publisher.run()
    assert publisher.finished, publisher.close_reason
    lost = LAST + 2
    acks = sorted(tag for kind, tag in publisher.events if kind == "ack")
    assert acks == list(range(1, LAST + 4)), "not every message was confirmed once"
    returns = [tag for kind, tag in publisher.events if kind == "return"]
    assert returns == [lost], returns
    position = publisher.events.index
    assert position(("return", lost)) < position(("ack", lost)), "confirmed before returned"


if __name__ == "__main__":
    main()
