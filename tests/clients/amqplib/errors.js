'use strict';

/* Errors: each closes what it should, with its code, and leaves the rest usable. */

const assert = require('node:assert/strict');
const { connect, run, unique } = require('./support');

/* The events a channel or connection reports its end with; `error` comes with the reason. */
function ending(emitter) {
    return {
        raised: new Promise((resolve) => emitter.once('error', resolve)),
        closed: new Promise((resolve) => emitter.once('close', resolve)),
    };
}

/* A fresh channel's call fails with the code; only the channel is closed. */
async function checkChannelError(connection, code, text, call) {
    const channel = await connection.createChannel();
    const { raised, closed } = ending(channel);
    await assert.rejects(call(channel), (error) => {
        assert.equal(error.code, code);
        assert(error.message.includes(text), error.message);
        return true;
    });
    assert.equal((await raised).code, code);
    await closed;
    assert.throws(() => channel.sendToQueue('any', Buffer.alloc(0)), /Channel closed/);
}

async function checkChannelErrors(connection) {
    const queue = unique('errors');
    const nowhere = unique('nowhere');
    const channel = await connection.createChannel();
    await channel.assertQueue(queue, { exclusive: true });
    const noQueue = `NOT_FOUND - no queue '${nowhere}'`;
    const cases = [
        [404, noQueue, (fresh) => fresh.checkQueue(nowhere)],
        [404, noQueue, (fresh) => fresh.consume(nowhere, () => {})],
        [404, noQueue, (fresh) => fresh.get(nowhere)],
        [404, `no exchange '${nowhere}'`, (fresh) => fresh.bindQueue(queue, nowhere, 'key')],
        [
            406,
            "PRECONDITION_FAILED - inequivalent arg 'auto_delete'",
            (fresh) =>
                fresh.assertQueue(queue, { durable: true, exclusive: true, autoDelete: true }),
        ],
        [
            406,
            "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct'",
            (fresh) => fresh.assertExchange('amq.direct', 'fanout'),
        ],
        [403, 'ACCESS_REFUSED', (fresh) => fresh.assertQueue('amq.reserved-name')],
        [403, 'ACCESS_REFUSED', (fresh) => fresh.deleteExchange('amq.direct')],
    ];
    for (const [code, text, call] of cases) {
        await checkChannelError(connection, code, text, call);
    }

    /* The channel opened before all this never noticed. */
    channel.sendToQueue(queue, Buffer.from('still here'));
    const message = await channel.get(queue, { noAck: true });
    assert.equal(message.content.toString(), 'still here');
}

async function checkUnknownDeliveryTag(connection) {
    const channel = await connection.createChannel();
    const { raised } = ending(channel);
    channel.ack({ fields: { deliveryTag: 99 } });
    const error = await raised;
    assert.equal(error.code, 406);
    assert.match(error.message, /unknown delivery tag 99/);
}

/* An exchange type nobody knows is the connection's end, not just the channel's. */
async function checkConnectionError() {
    const connection = await connect();
    const { raised, closed } = ending(connection);
    const channel = await connection.createChannel();
    await assert.rejects(channel.assertExchange(unique('errors'), 'no-such-type'));
    assert.equal((await raised).code, 503);
    await closed;
}

async function checkRefusedLogins() {
    const refused = /Handshake terminated by server: 403 \(ACCESS[-_]REFUSED\)/;
    await assert.rejects(connect({ password: 'wrong' }), refused);
    await assert.rejects(connect({ username: unique('nobody') }), refused);
    /* A refusal this late amqplib does not look into: it says what came instead of the ok. */
    await assert.rejects(connect({ vhost: unique('nowhere') }), /got <ConnectionClose/);
}

async function main() {
    const connection = await connect();
    await checkChannelErrors(connection);
    await checkUnknownDeliveryTag(connection);
    await connection.close();
    await checkConnectionError();
    await checkRefusedLogins();
}

run(main);
