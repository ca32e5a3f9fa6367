#!/bin/bash
# The tools over TLS, with and without a certificate of the client's own.
. "$(dirname "$0")/support.sh"

# With --server and --port they do not take --ssl.
secure=(--url="amqps://${AMQP_USER:-guest}:${AMQP_PASSWORD:-guest}@localhost:$AMQPS_PORT/%2F")
trusting=("${secure[@]}" --cacert="$AMQPS_DIRECTORY/ca.pem")
known=("${trusting[@]}" --cert="$AMQPS_DIRECTORY/client.pem" --key="$AMQPS_DIRECTORY/client-key.pem")

expect "declared name" "$(amqp-declare-queue "${trusting[@]}" --durable --queue="$queue")" "$queue"
amqp-publish "${known[@]}" --routing-key="$queue" --body="hello"
expect "body" "$(amqp-get "${trusting[@]}" --queue="$queue")" "hello"
expect "messages deleted" "$(amqp-delete-queue "${known[@]}" --queue="$queue")" "0"

fails "opening socket" amqp-get "${secure[@]}" --cacert="$AMQPS_DIRECTORY/client.pem" --queue="$queue"
