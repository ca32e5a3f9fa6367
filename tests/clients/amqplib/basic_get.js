'use strict';

/* basic.get: polling a queue, with and without acknowledgement, rejecting and requeuing. */

const assert = require('node:assert/strict');
const { connect, declarePrivateQueue, run } = require('./support');

async function expectGet(channel, queue, body, expected) {
    const message = await channel.get(queue);
    assert.notEqual(message, false, `the queue has no ${body}`);
    assert.equal(message.content.toString(), body);
    for (const [name, value] of Object.entries(expected)) {
        assert.equal(message.fields[name], value, `${name} of ${body}`);
    }
    return message;
}

async function main() {
    const connection = await connect();
    const channel = await connection.createChannel();
    const queue = await declarePrivateQueue(channel);
    assert.equal(await channel.get(queue), false);

    for (const body of ['one', 'two', 'three']) {
        channel.sendToQueue(queue, Buffer.from(body));
    }
    const one = await channel.get(queue, { noAck: true });
    assert.equal(one.content.toString(), 'one');
    assert.equal(one.fields.messageCount, 2);
    assert.equal(one.fields.exchange, '');
    assert.equal(one.fields.routingKey, queue);

    let two = await expectGet(channel, queue, 'two', { messageCount: 1, redelivered: false });
    let three = await expectGet(channel, queue, 'three', { messageCount: 0, redelivered: false });
    assert.equal(await channel.get(queue), false);

    /* Requeued messages go back to their old places. */
    channel.reject(three, true);
    channel.nack(two, false, true);
    two = await expectGet(channel, queue, 'two', { messageCount: 1, redelivered: true });
    three = await expectGet(channel, queue, 'three', { messageCount: 0, redelivered: true });

    channel.reject(two, false);
    await channel.recover();
    await expectGet(channel, queue, 'three', { messageCount: 0, redelivered: true });
    channel.ackAll();
    assert.equal(await channel.get(queue), false);

    for (let number = 0; number < 10; number += 1) {
        channel.sendToQueue(queue, Buffer.from(String(number)));
    }
    assert.equal((await channel.purgeQueue(queue)).messageCount, 10);
    assert.equal(await channel.get(queue), false);
    await connection.close();
}

run(main);
