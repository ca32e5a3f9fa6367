"""Heartbeats: a connection that asks for one a second survives doing nothing."""

from support import connect, declare_private_queue

HEARTBEAT_S = 1
IDLE_S = 3.5


def main():
    connection = connect(heartbeat=HEARTBEAT_S)
    channel = connection.channel()
    queue = declare_private_queue(channel)
    # The silence is the subject here: it lasts more than the two missed heartbeats after which
    # the broker would give the connection up.
    connection.process_data_events(time_limit=IDLE_S)
    assert connection.is_open
    channel.basic_publish(exchange="", routing_key=queue, body=b"still alive")
    assert channel.basic_get(queue, auto_ack=True)[2] == b"still alive"
    connection.close()


if __name__ == "__main__":
    main()
