'use strict';

/* Exclusive consumer: it has the queue to itself, or it is refused. */

const assert = require('node:assert/strict');
const { connect, run, unique } = require('./support');

async function checkRefused(connection, queue, options) {
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    await assert.rejects(
        channel.consume(queue, () => {}, options),
        (error) => error.code === 403 && error.message.includes('in exclusive use'),
    );
}

async function main() {
    const connection = await connect();
    const rival = await connect();
    const channel = await connection.createChannel();
    const queue = unique('exclusive_consumer');
    await channel.assertQueue(queue, { durable: false });
    try {
        const { consumerTag } = await channel.consume(queue, () => {}, { exclusive: true });
        await checkRefused(rival, queue);
        await checkRefused(rival, queue, { exclusive: true });
        await checkRefused(connection, queue);

        /* Once it has gone the queue is anybody's, but no longer for one alone. */
        await channel.cancel(consumerTag);
        const rivalChannel = await rival.createChannel();
        await rivalChannel.consume(queue, () => {});
        await channel.consume(queue, () => {});
        await checkRefused(connection, queue, { exclusive: true });
    } finally {
        await channel.deleteQueue(queue);
    }
    await connection.close();
    await rival.close();
}

run(main);
