"""The asyncio adapter: pika's callbacks awaited as futures on an asyncio event loop."""

import asyncio

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

from support import parameters


class Futures:
    """Turns the callbacks of one connection into futures that also fail if it closes."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.pending = set()

    def future(self):
        future = self.loop.create_future()
        self.pending.add(future)
        future.add_done_callback(self.pending.discard)
        return future

    def callback(self):
        """A future, and a callback that resolves it with its last argument."""
        future = self.future()
        return future, lambda *arguments: future.set_result(arguments[-1])

    def fail(self, _source, error):
        if isinstance(error, pika.exceptions.ChannelClosedByClient):
            return
        for future in list(self.pending):
            future.set_exception(error)

    async def call(self, method, *arguments, **keywords):
        future, callback = self.callback()
        method(*arguments, callback=callback, **keywords)
        return await future


async def open_connection(futures):
    opened, on_open = futures.callback()
    AsyncioConnection(
        parameters=parameters(),
        on_open_callback=on_open,
        on_open_error_callback=futures.fail,
        on_close_callback=futures.fail,
    )
    return await opened


async def open_channel(futures, connection):
    opened, on_open = futures.callback()
    connection.channel(on_open_callback=on_open)
    channel = await opened
    channel.add_on_close_callback(futures.fail)
    return channel


async def consume_what_is_published(futures, connection):
    channel = await open_channel(futures, connection)
    frame = await futures.call(channel.queue_declare, "", exclusive=True)
    queue = frame.method.queue
    inbox = asyncio.Queue()

    def on_message(_channel, method, properties, body):
        inbox.put_nowait((method, properties, body))

    await futures.call(channel.basic_consume, queue, on_message)
    for number in range(50):
        channel.basic_publish("", queue, b"%d" % number, pika.BasicProperties(priority=1))
        method, properties, body = await inbox.get()
        assert (body, properties.priority) == (b"%d" % number, 1), (body, properties)
        assert method.delivery_tag == number + 1, method
        channel.basic_ack(method.delivery_tag)
    return channel


async def check_error_reaches_the_future(futures, channel):
    try:
        await futures.call(channel.queue_declare, "amq.no-such-queue", passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 404, error
    else:
        raise AssertionError("a missing queue was found")


async def main():
    futures = Futures()
    connection = await open_connection(futures)
    channels = await asyncio.gather(
        *(consume_what_is_published(futures, connection) for _ in range(3))
    )
    await check_error_reaches_the_future(futures, channels[0])
    closed = futures.future()
    connection.close()
    try:
        await closed
    except pika.exceptions.ConnectionClosedByClient:
        pass


if __name__ == "__main__":
    asyncio.run(main())
