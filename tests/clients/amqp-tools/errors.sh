#!/bin/bash
# What the tools say when the broker refuses.
. "$(dirname "$0")/support.sh"

fails "NOT_FOUND" amqp-get "${broker[@]}" --queue="$queue"
fails "NOT_FOUND" amqp-consume "${broker[@]}" --queue="$queue" cat
fails "403" amqp-get "${broker[@]}" --password=wrong --queue="$queue"

# Deleting what is not there is no error, and neither is publishing to nobody.
expect "messages deleted" "$(amqp-delete-queue "${broker[@]}" --queue="$queue")" "0"
amqp-publish "${broker[@]}" --routing-key="$queue" --body="nobody listens"
