"""What the pika programs share: where the broker is, unique names and the watchdog.

Importing this module arms the watchdog: a program that has not ended after 30 seconds prints the
stack of every thread and exits with status 1.
"""

import faulthandler
import os
import uuid

import pika

faulthandler.dump_traceback_later(30, exit=True)

USER = os.environ.get("AMQP_USER", "guest")
PASSWORD = os.environ.get("AMQP_PASSWORD", "guest")


def parameters(user=USER, password=PASSWORD, **changes):
    """The connection parameters the environment gives, with the given changes."""
    settings = {
        "host": os.environ.get("AMQP_HOST", "127.0.0.1"),
        "port": int(os.environ.get("AMQP_PORT", "5672")),
        "virtual_host": os.environ.get("AMQP_VHOST", "/"),
        "credentials": pika.PlainCredentials(user, password),
    }
    settings.update(changes)
    return pika.ConnectionParameters(**settings)


def connect(**changes):
    return pika.BlockingConnection(parameters(**changes))


def unique(subject):
    """A name no other program and no other run uses."""
    return "clients.pika.%s.%s" % (subject, uuid.uuid4().hex)


def wait_for(connection, condition):
    """Handles events of the connection until the condition holds; the watchdog bounds the wait."""
    while not condition():
        connection.process_data_events(time_limit=1)


def declare_private_queue(channel):
    """Declares an exclusive queue that the server names, and returns its name."""
    return channel.queue_declare(queue="", exclusive=True).method.queue


def bodies_until(channel, queue, last):
    """Consumes from the queue up to the message whose body is `last`; returns the bodies before.

    With a last message sent after all others this shows what did not arrive without any wait.
    """
    bodies = []
    for _method, _properties, body in channel.consume(queue, auto_ack=True):
        if body == last:
            break
        bodies.append(body)
    channel.cancel()
    return bodies


def expect_error(error, action, *arguments, **keywords):
    """Runs the action, which has to raise `error`, and returns what was raised."""
    try:
        action(*arguments, **keywords)
    except error as raised:
        return raised
    raise AssertionError("no %s was raised" % error.__name__)
