'use strict';

/* Publish/subscribe: a fanout exchange copies each message to every subscriber's own queue. */

const assert = require('node:assert/strict');
const { bodiesUntil, connect, declarePrivateQueue, run, unique } = require('./support');

async function subscribe(exchange) {
    const connection = await connect();
    const channel = await connection.createChannel();
    const queue = await declarePrivateQueue(channel);
    await channel.bindQueue(queue, exchange, '');
    return { connection, channel, queue };
}

/* Nobody but the connection that declared an exclusive queue may touch it. */
async function checkExclusive(connection, queue) {
    const stranger = await connection.createChannel();
    stranger.on('error', () => {});
    await assert.rejects(stranger.checkQueue(queue), { code: 405 });
}

async function main() {
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    const exchange = unique('pub_sub');
    await channel.assertExchange(exchange, 'fanout', { durable: false });
    try {
        channel.publish(exchange, '', Buffer.from('nobody listens yet'));
        await channel.waitForConfirms();
        const subscribers = [];
        while (subscribers.length < 3) {
            subscribers.push(await subscribe(exchange));
        }
        const queues = subscribers.map(({ queue }) => queue);
        assert(queues.every((queue) => queue.startsWith('amq.gen-')));
        assert.equal(new Set(queues).size, 3);

        const logs = Array.from({ length: 20 }, (_, number) => `log ${number}`);
        for (const log of [...logs, 'end']) {
            channel.publish(exchange, log, Buffer.from(log));
        }
        for (const subscriber of subscribers) {
            const received = await bodiesUntil(subscriber.channel, subscriber.queue, 'end');
            assert.deepEqual(received, logs);
        }

        await checkExclusive(connection, queues[0]);
        for (const subscriber of subscribers) {
            await subscriber.connection.close();
        }
    } finally {
        await channel.deleteExchange(exchange);
    }
    await connection.close();
}

run(main);
