'use strict';

/* Two hundred channels on one connection work side by side, and their numbers are used again. */

const assert = require('node:assert/strict');
const { connect, declarePrivateQueue, run } = require('./support');

const CHANNELS = 200;

/* Every channel publishes to its neighbour's queue before any of them looks. */
async function checkAll(channels, queues) {
    channels.forEach((channel, index) => {
        const neighbour = queues[(index + 1) % queues.length];
        channel.sendToQueue(neighbour, Buffer.from(`from ${index}`));
    });
    await Promise.all(channels.map((channel) => channel.waitForConfirms()));
    await Promise.all(
        channels.map(async (channel, index) => {
            const message = await channel.get(queues[index]);
            const sender = (index + channels.length - 1) % channels.length;
            assert.equal(message.content.toString(), `from ${sender}`);
            assert.equal(message.fields.deliveryTag, 1, 'delivery tags belong to a channel');
            channel.ack(message);
        }),
    );
}

async function main() {
    const connection = await connect();
    const open = () =>
        Promise.all(Array.from({ length: CHANNELS }, () => connection.createConfirmChannel()));
    let channels = await open();
    const queues = await Promise.all(channels.map(declarePrivateQueue));
    assert.equal(new Set(queues).size, CHANNELS);
    await checkAll(channels, queues);

    await Promise.all(channels.map((channel) => channel.close()));
    channels = await open();
    await checkAll(channels, queues);
    await connection.close();
}

run(main);
