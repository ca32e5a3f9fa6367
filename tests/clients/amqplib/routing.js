'use strict';

/* Routing: a direct exchange sends a message to the queues bound with exactly its key. */

const assert = require('node:assert/strict');
const { bodiesUntil, connect, declarePrivateQueue, run, unique } = require('./support');

async function main() {
    const connection = await connect();
    const channel = await connection.createChannel();
    const exchange = unique('routing');
    await channel.assertExchange(exchange, 'direct', { durable: false, autoDelete: true });
    const errors = await declarePrivateQueue(channel);
    const everything = await declarePrivateQueue(channel);
    await channel.bindQueue(errors, exchange, 'error');
    /* The same binding twice is one binding: nothing may arrive twice. */
    await channel.bindQueue(errors, exchange, 'error');
    for (const severity of ['info', 'warning', 'error']) {
        await channel.bindQueue(everything, exchange, severity);
    }

    for (const severity of ['info', 'error', 'warning', 'Error', 'error.disk', '', 'error']) {
        channel.publish(exchange, severity, Buffer.from(severity));
    }
    channel.sendToQueue(errors, Buffer.from('end'));
    channel.sendToQueue(everything, Buffer.from('end'));
    assert.deepEqual(await bodiesUntil(channel, errors, 'end'), ['error', 'error']);
    assert.deepEqual(await bodiesUntil(channel, everything, 'end'), [
        'info',
        'error',
        'warning',
        'error',
    ]);

    await channel.unbindQueue(errors, exchange, 'error');
    channel.publish(exchange, 'error', Buffer.from('error'));
    channel.sendToQueue(errors, Buffer.from('end'));
    assert.deepEqual(await bodiesUntil(channel, errors, 'end'), []);

    /* An auto-delete exchange goes with its last binding. */
    await channel.deleteQueue(everything);
    channel.on('error', () => {});
    await assert.rejects(channel.checkExchange(exchange), { code: 404 });
    await connection.close();
}

run(main);
