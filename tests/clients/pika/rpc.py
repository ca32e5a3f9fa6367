"""Remote procedure call, with the client's own callback queue and with direct reply-to."""

import concurrent.futures
import uuid

import pika

from support import connect, declare_private_queue, expect_error, unique, wait_for

DIRECT = "amq.rabbitmq.reply-to"


def fibonacci(number):
    previous, current = 0, 1
    for _ in range(number):
        previous, current = current, previous + current
    return previous


class Server:
    """Answers requests on its own connection until it is told to stop."""

    def __init__(self, queue):
        self.connection = connect()
        self.channel = self.connection.channel()
        self.channel.queue_declare(queue=queue, exclusive=True)
        self.channel.basic_qos(prefetch_count=1)
        self.channel.basic_consume(queue=queue, on_message_callback=self.on_request)

    def on_request(self, channel, method, properties, body):
        channel.basic_publish(
            exchange="",
            routing_key=properties.reply_to,
            properties=pika.BasicProperties(correlation_id=properties.correlation_id),
            body=str(fibonacci(int(body))).encode(),
        )
        channel.basic_ack(delivery_tag=method.delivery_tag)

    def run(self):
        self.channel.start_consuming()
        self.connection.close()

    def stop(self):
        self.connection.add_callback_threadsafe(self.channel.stop_consuming)


class Client:
    def __init__(self, server_queue, direct):
        self.server_queue = server_queue
        self.replies = {}
        self.connection = connect()
        self.channel = self.connection.channel()
        self.reply_to = DIRECT if direct else declare_private_queue(self.channel)
        self.channel.basic_consume(
            queue=self.reply_to, on_message_callback=self.on_reply, auto_ack=True
        )

    def on_reply(self, _channel, _method, properties, body):
        self.replies[properties.correlation_id] = body

    def request(self, number):
        correlation_id = str(uuid.uuid4())
        self.channel.basic_publish(
            exchange="",
            routing_key=self.server_queue,
            properties=pika.BasicProperties(
                reply_to=self.reply_to, correlation_id=correlation_id
            ),
            body=str(number).encode(),
        )
        return correlation_id

    def reply(self, correlation_id):
        wait_for(self.connection, lambda: correlation_id in self.replies)
        return int(self.replies.pop(correlation_id))

    def call(self, number):
        return self.reply(self.request(number))


def check_calls(client):
    assert client.call(0) == 0
    assert client.call(30) == 832040
    requests = [(number, client.request(number)) for number in range(20)]
    for number, correlation_id in reversed(requests):
        assert client.reply(correlation_id) == fibonacci(number)
    assert not client.replies, client.replies


def check_direct_reply_to_needs_no_ack(connection):
    """Replies are not stored, so nothing could be acknowledged."""
    channel = connection.channel()
    error = expect_error(
        pika.exceptions.ChannelClosedByBroker,
        channel.basic_consume,
        queue=DIRECT,
        on_message_callback=lambda *_: None,
    )
    assert error.reply_code == 406, error


def main():
    queue = unique("rpc")
    server = Server(queue)
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as threads:
        running = threads.submit(server.run)
        clients = [Client(queue, direct) for direct in (False, True, True)]
        for client in clients:
            check_calls(client)
        check_direct_reply_to_needs_no_ack(clients[0].connection)
        for client in clients:
            client.connection.close()
        server.stop()
        running.result()


if __name__ == "__main__":
    main()
