"""Expiry of single messages, and a work queue that tries failed tasks again after a while.

The retry is made of two queues that dead-letter to each other: a rejected task waits in the second
until its expiration takes it back; after three failures the worker parks it.
"""

import pika

from support import connect, declare_private_queue, unique

ATTEMPTS = 3


def declare_with_dead_letters(channel, target, **more):
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target, **more}
    return channel.queue_declare(queue="", exclusive=True, arguments=arguments).method.queue


def check_expiration(channel):
    """What has its time over goes to the exchange for dead letters; what has not stays."""
    dead = declare_private_queue(channel)
    queue = declare_with_dead_letters(channel, dead)
    for body, expiration in ((b"short", "50"), (b"long", "3600000")):
        properties = pika.BasicProperties(expiration=expiration, message_id=body.decode())
        channel.basic_publish("", queue, body, properties)

    _method, properties, body = next(channel.consume(dead, auto_ack=True))
    channel.cancel()
    assert body == b"short" and properties.message_id == "short", (body, properties)
    assert properties.expiration is None, "a dead letter would expire again"
    death = properties.headers["x-death"][0]
    assert (death["queue"], death["reason"], death["count"]) == (queue, "expired", 1), death
    assert death["original-expiration"] == "50", death
    assert properties.headers["x-first-death-queue"] == queue, properties.headers

    method, properties, body = channel.basic_get(queue, auto_ack=True)
    assert (body, properties.expiration) == (b"long", "3600000"), (body, properties)
    assert method.message_count == 0


def failures(properties, queue):
    deaths = (properties.headers or {}).get("x-death", [])
    return sum(death["count"] for death in deaths
               if (death["queue"], death["reason"]) == (queue, "rejected"))


def check_retry(channel):
    """Three attempts, then the task is parked; others overtake it in the meantime."""
    work, parked = unique("retry.work"), declare_private_queue(channel)
    waiting = declare_with_dead_letters(channel, work, **{"x-message-ttl": 50})
    channel.queue_declare(work, exclusive=True, arguments={
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": waiting})
    channel.basic_qos(prefetch_count=1)
    channel.basic_publish("", work, b"fails", pika.BasicProperties(delivery_mode=2))
    channel.basic_publish("", work, b"works")

    attempts = []
    for method, properties, body in channel.consume(work):
        attempts.append(body)
        if body == b"works":
            channel.basic_ack(method.delivery_tag)
        elif failures(properties, work) + 1 < ATTEMPTS:
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_publish("", parked, body, properties)
            channel.basic_ack(method.delivery_tag)
            break
    channel.cancel()
    assert attempts == [b"fails", b"works", b"fails", b"fails"], attempts

    _method, properties, body = channel.basic_get(parked, auto_ack=True)
    assert (body, properties.delivery_mode) == (b"fails", 2), (body, properties)
    deaths = {(death["queue"], death["reason"]): death["count"]
              for death in properties.headers["x-death"]}
    assert deaths == {(work, "rejected"): 2, (waiting, "expired"): 2}, deaths
    for queue in (work, waiting):
        assert channel.queue_declare(queue, passive=True).method.message_count == 0, queue


def main():
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    check_expiration(channel)
    check_retry(channel)
    connection.close()


main()
