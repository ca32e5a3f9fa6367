#!/bin/bash
# amqp-consume runs a command for each message: from a queue that is there, and from one that it
# declares and binds to an exchange itself and that goes when it ends.
. "$(dirname "$0")/support.sh"

directory=$(mktemp --directory)
trap 'rm -rf "$directory"' EXIT
mkfifo "$directory/bodies"
bound="$queue.bound"
key="$queue.key"

# wait_for_get STATUS - polls the bound queue until amqp-get ends like this; 1 is an error, here
# that there is no such queue, and 2 an empty queue.
wait_for_get() {
    local status
    until
        status=0
        amqp-get "${broker[@]}" --queue="$bound" >"$directory/get" 2>&1 || status=$?
        [[ $status == "$1" ]]
    do
        :
    done
}

amqp-declare-queue "${broker[@]}" --queue="$queue" >/dev/null
printf 'a\nb\nc\n' | amqp-publish "${broker[@]}" --routing-key="$queue" --line-buffered
bodies=$(amqp-consume "${broker[@]}" --queue="$queue" --prefetch-count=1 --count=2 cat)
expect "two bodies" "$bodies" $'a\nb'
expect "messages left" "$(amqp-delete-queue "${broker[@]}" --queue="$queue")" "1"

amqp-consume "${broker[@]}" --queue="$bound" --exchange=amq.topic --routing-key="$key.#" \
    --count=4 -- bash -c 'cat; echo' >"$directory/bodies" &
consumer=$!
exec 3<"$directory/bodies"
wait_for_get 2
# It binds before it consumes: the first message, sent past the exchange, shows that it is ready.
amqp-publish "${broker[@]}" --routing-key="$bound" --body="ready"
read -r body <&3
expect "first body" "$body" "ready"

amqp-publish "${broker[@]}" --exchange=amq.topic --routing-key="other" --body="not for us"
for number in 1 2 3; do
    amqp-publish "${broker[@]}" --exchange=amq.topic --routing-key="$key.a.b" --body="body $number"
    read -r body <&3
    expect "body $number" "$body" "body $number"
done
wait "$consumer"
wait_for_get 1
