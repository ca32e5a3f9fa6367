'use strict';

/* Consumer cancel notification: whoever consumes from a queue learns that it was deleted. */

const assert = require('node:assert/strict');
const { Inbox, connect, run, unique } = require('./support');

async function main() {
    const owner = await connect();
    const subscriber = await connect();
    const queue = unique('cancel_notify');
    const ownerChannel = await owner.createChannel();
    await ownerChannel.assertQueue(queue, { durable: false });

    const channel = await subscriber.createChannel();
    const inboxes = [new Inbox(), new Inbox()];
    for (const inbox of inboxes) {
        await channel.consume(queue, inbox.push, { noAck: true });
    }
    ownerChannel.sendToQueue(queue, Buffer.from('before the end'));
    ownerChannel.sendToQueue(queue, Buffer.from('before the end'));
    for (const inbox of inboxes) {
        assert.equal((await inbox.take()).content.toString(), 'before the end');
    }

    /* amqplib tells a consumer of its end with a null message. */
    await ownerChannel.deleteQueue(queue);
    for (const inbox of inboxes) {
        assert.equal(await inbox.take(), null);
    }

    /* A cancelled consumer costs the channel nothing else. */
    await channel.assertQueue('', { exclusive: true });
    await owner.close();
    await subscriber.close();
}

run(main);
