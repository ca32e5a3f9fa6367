"""TLS: the broker proves who it is, the client may do so too, and messages of any size get through.
With the mechanism EXTERNAL the certificate is all that a client needs to log in."""

import os
import ssl

import pika

from support import connect, declare_private_queue, expect_error

PORT = int(os.environ["AMQPS_PORT"])
DIRECTORY = os.environ["AMQPS_DIRECTORY"]


def connect_with(context, name="localhost", **changes):
    return connect(port=PORT, ssl_options=pika.SSLOptions(context, name), **changes)


def trusting():
    return ssl.create_default_context(cafile=os.path.join(DIRECTORY, "ca.pem"))


def check_messages(connection):
    channel = connection.channel()
    channel.confirm_delivery()
    queue = declare_private_queue(channel)
    bodies = [os.urandom(size) for size in (0, 1, 1000, 16384, 100000, 3000000)]
    for body in bodies:
        channel.basic_publish(exchange="", routing_key=queue, body=body)
    received = []
    for _method, _properties, body in channel.consume(queue, auto_ack=True):
        received.append(body)
        if len(received) == len(bodies):
            break
    assert received == bodies


def main():
    connection = connect_with(trusting())
    check_messages(connection)
    connection.close()

    context = trusting()
    context.load_cert_chain(
        os.path.join(DIRECTORY, "client.pem"), os.path.join(DIRECTORY, "client-key.pem")
    )
    connection = connect_with(context)
    check_messages(connection)
    connection.close()

    external = pika.credentials.ExternalCredentials()
    connection = connect_with(context, credentials=external)
    check_messages(connection)
    channel = connection.channel()
    channel.confirm_delivery()
    queue = declare_private_queue(channel)
    own_name = pika.BasicProperties(user_id="client")
    channel.basic_publish(exchange="", routing_key=queue, body=b"", properties=own_name)
    connection.close()

    # Without a certificate there is no such mechanism.
    expect_error(
        pika.exceptions.AMQPError,
        connect_with,
        trusting(),
        credentials=external,
    )

    # Somebody who does not know the authority, and somebody who wants another host.
    refused = ssl.SSLCertVerificationError
    expect_error(refused, connect_with, ssl.create_default_context())
    expect_error(refused, connect_with, trusting(), "other.example")


if __name__ == "__main__":
    main()
