# What the amqp-tools programs share; sourced by each of them.
#
# Fails the program on the first command that fails, arms the 30-second watchdog, and sets:
#   broker  array with the connection options of every tool
#   queue   a name no other program and no other run uses

set -euo pipefail

broker=(
    --server="${AMQP_HOST:-127.0.0.1}"
    --port="${AMQP_PORT:-5672}"
    --vhost="${AMQP_VHOST:-/}"
    --username="${AMQP_USER:-guest}"
    --password="${AMQP_PASSWORD:-guest}"
)
queue="clients.amqp-tools.$(basename "$0" .sh).$(cat /proc/sys/kernel/random/uuid)"

# A shell cannot interrupt the command it waits for, so the program runs itself under timeout(1).
if [[ ${AMQP_WATCHED:-} != yes ]]; then
    AMQP_WATCHED=yes exec timeout --kill-after=1 30 bash "$0"
fi

# expect WHAT ACTUAL EXPECTED
expect() {
    if [[ $2 != "$3" ]]; then
        printf '%s: expected "%s", got "%s"\n' "$1" "$3" "$2" >&2
        exit 1
    fi
}

# fails TEXT COMMAND... - the command has to fail and to say TEXT.
fails() {
    local text=$1 output
    shift
    if output=$("$@" 2>&1); then
        printf 'did not fail: %s\n' "$*" >&2
        exit 1
    fi
    if [[ $output != *"$text"* ]]; then
        printf 'expected "%s" from: %s\ngot: %s\n' "$text" "$*" "$output" >&2
        exit 1
    fi
}
