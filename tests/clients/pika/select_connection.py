"""An asynchronous consumer and publisher, built on the callbacks of SelectConnection."""

import pika

from support import parameters, unique

MESSAGES = [b"message %d" % number for number in range(100)]


class Example:
    """Opens, declares, consumes, publishes, acknowledges, cancels and closes, step after step."""

    def __init__(self):
        self.received = []
        self.steps = []
        self.exchange = unique("select_connection")
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
        channel.exchange_declare(
            exchange=self.exchange,
            exchange_type="topic",
            auto_delete=True,
            callback=self.on_exchange_declared,
        )

    def on_channel_closed(self, _channel, reason):
        self.steps.append("channel closed")
        if not isinstance(reason, pika.exceptions.ChannelClosedByClient):
            raise reason
        self.connection.close()

    def on_exchange_declared(self, _frame):
        self.steps.append("exchange declared")
        self.channel.queue_declare(queue="", exclusive=True, callback=self.on_queue_declared)

    def on_queue_declared(self, frame):
        self.steps.append("queue declared")
        self.queue = frame.method.queue
        self.channel.queue_bind(
            self.queue, self.exchange, routing_key="example.#", callback=self.on_bound
        )

    def on_bound(self, _frame):
        self.steps.append("queue bound")
        self.channel.basic_qos(prefetch_count=10, callback=self.on_qos)

    def on_qos(self, _frame):
        self.steps.append("prefetch set")
        self.tag = self.channel.basic_consume(
            self.queue, self.on_message, callback=self.on_consuming
        )

    def on_consuming(self, frame):
        self.steps.append("consuming")
        assert frame.method.consumer_tag == self.tag, frame
        for body in MESSAGES:
            self.channel.basic_publish(self.exchange, "example.text", body)

    def on_message(self, channel, method, _properties, body):
        self.received.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(self.received) == len(MESSAGES):
            channel.basic_cancel(self.tag, callback=self.on_cancelled)

    def on_cancelled(self, _frame):
        self.steps.append("cancelled")
        self.channel.close()


def main():
    example = Example()
    example.run()
    assert example.received == MESSAGES, example.received
    assert example.steps == [
        "exchange declared",
        "queue declared",
        "queue bound",
        "prefetch set",
        "consuming",
        "cancelled",
        "channel closed",
    ], example.steps
    assert isinstance(example.close_reason, pika.exceptions.ConnectionClosedByClient), (
        example.close_reason
    )


if __name__ == "__main__":
    main()
