'use strict';

/* Consumer priorities: the consumer of the highest priority is served while it can take more. */

const assert = require('node:assert/strict');
const { Inbox, connect, declarePrivateQueue, run } = require('./support');

async function consumer(connection, queue, priority, prefetch) {
    const inbox = new Inbox();
    const channel = await connection.createChannel();
    await channel.prefetch(prefetch);
    await channel.consume(queue, inbox.push, { priority });
    return { channel, inbox };
}

async function takeBodies({ inbox }, count) {
    return (await inbox.takeMany(count)).map((message) => message.content.toString());
}

async function main() {
    const connection = await connect();
    const publisher = await connection.createConfirmChannel();
    const queue = await declarePrivateQueue(publisher);
    const low = await consumer(connection, queue, -1, 10);
    const high = await consumer(connection, queue, 10, 2);
    const middle = await consumer(connection, queue, 5, 1);

    const publish = async (body) => {
        publisher.sendToQueue(queue, Buffer.from(body));
        await publisher.waitForConfirms();
    };
    for (const body of ['1', '2', '3', '4']) {
        await publish(body);
    }
    const first = await high.inbox.take();
    assert.equal(first.content.toString(), '1');
    assert.deepEqual(await takeBodies(high, 1), ['2']);
    assert.deepEqual(await takeBodies(middle, 1), ['3']);
    assert.deepEqual(await takeBodies(low, 1), ['4']);

    /* An acknowledgement makes room, and the next message goes to the top again. */
    high.channel.ack(first);
    await high.channel.checkQueue(queue);
    await publish('5');
    assert.deepEqual(await takeBodies(high, 1), ['5']);
    for (const { inbox } of [low, middle, high]) {
        assert.equal(inbox.items.length, 0);
    }
    await connection.close();
}

run(main);
