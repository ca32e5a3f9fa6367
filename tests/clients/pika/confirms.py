"""Publisher confirms one by one, and what happens to a message that no queue takes."""

import pika

from support import connect, declare_private_queue, expect_error, unique


def main():
    connection = connect()
    channel = connection.channel()
    queue = declare_private_queue(channel)
    channel.confirm_delivery()

    for number in range(50):
        channel.basic_publish(
            exchange="",
            routing_key=queue,
            body=b"%d" % number,
            properties=pika.BasicProperties(delivery_mode=2),
            mandatory=True,
        )
        # Each call returns once its message is confirmed, so the queue holds it now.
        count = channel.queue_declare(queue=queue, passive=True).method.message_count
        assert count == number + 1, count

    nowhere = unique("nowhere")
    error = expect_error(
        pika.exceptions.UnroutableError,
        channel.basic_publish,
        exchange="",
        routing_key=nowhere,
        body=b"return to sender",
        properties=pika.BasicProperties(message_id="lost"),
        mandatory=True,
    )
    assert len(error.messages) == 1, error.messages
    returned = error.messages[0]
    assert returned.method.reply_code == 312, returned.method
    assert returned.method.reply_text == "NO_ROUTE", returned.method
    assert returned.method.exchange == "", returned.method
    assert returned.method.routing_key == nowhere, returned.method
    assert returned.properties.message_id == "lost", returned.properties
    assert returned.body == b"return to sender", returned.body

    # Without the mandatory flag the message is confirmed and gone.
    channel.basic_publish(exchange="", routing_key=nowhere, body=b"gone")

    error = expect_error(
        pika.exceptions.ChannelClosedByBroker,
        channel.basic_publish,
        exchange=nowhere,
        routing_key="",
        body=b"there is no such exchange",
    )
    assert error.reply_code == 404, error
    connection.close()


if __name__ == "__main__":
    main()
