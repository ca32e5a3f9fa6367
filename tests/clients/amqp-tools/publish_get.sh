#!/bin/bash
# Declare a queue, publish to it, get from it and delete it, each with its own tool.
. "$(dirname "$0")/support.sh"

expect "declared name" "$(amqp-declare-queue "${broker[@]}" --durable --queue="$queue")" "$queue"

# An empty queue is told by the exit status.
status=0
amqp-get "${broker[@]}" --queue="$queue" || status=$?
expect "status of amqp-get on an empty queue" "$status" 2

# The publisher's connection is closed in order, so the broker has taken the message by then.
amqp-publish "${broker[@]}" --routing-key="$queue" --persistent --body="hello"
expect "first body" "$(amqp-get "${broker[@]}" --queue="$queue")" "hello"

# A message per line of standard input, then one with all of it.
printf 'one\ntwo\n' | amqp-publish "${broker[@]}" --routing-key="$queue" --line-buffered
printf 'three\nfour' | amqp-publish "${broker[@]}" --routing-key="$queue" \
    --content-type=text/plain --header "priority: high"
expect "first line" "$(amqp-get "${broker[@]}" --queue="$queue")" "one"
expect "second line" "$(amqp-get "${broker[@]}" --queue="$queue")" "two"
expect "all of it" "$(amqp-get "${broker[@]}" --queue="$queue")" $'three\nfour'

amqp-publish "${broker[@]}" --routing-key="$queue" --body="left behind"
fails "PRECONDITION_FAILED" amqp-delete-queue "${broker[@]}" --if-empty --queue="$queue"
expect "messages deleted" "$(amqp-delete-queue "${broker[@]}" --queue="$queue")" "1"
fails "NOT_FOUND" amqp-get "${broker[@]}" --queue="$queue"
