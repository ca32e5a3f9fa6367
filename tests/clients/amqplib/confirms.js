'use strict';

/* Publisher confirms: one by one, in batches, asynchronously; a returned message comes first. */

const assert = require('node:assert/strict');
const { connect, declarePrivateQueue, run, unique } = require('./support');

function publishAndWait(channel, queue, body) {
    return new Promise((resolve, reject) => {
        channel.sendToQueue(queue, Buffer.from(body), { persistent: true }, (error) =>
            error ? reject(error) : resolve(),
        );
    });
}

async function count(channel, queue) {
    return (await channel.checkQueue(queue)).messageCount;
}

async function checkOneByOne(channel, queue) {
    for (let number = 1; number <= 30; number += 1) {
        await publishAndWait(channel, queue, `message ${number}`);
        assert.equal(await count(channel, queue), number);
    }
    await channel.purgeQueue(queue);
}

async function checkBatches(channel, queue) {
    for (let batch = 1; batch <= 5; batch += 1) {
        for (let number = 0; number < 100; number += 1) {
            channel.sendToQueue(queue, Buffer.from(`message ${number}`), { persistent: true });
        }
        await channel.waitForConfirms();
        assert.equal(await count(channel, queue), 100 * batch);
    }
    await channel.purgeQueue(queue);
}

/* Each of a long stream is confirmed once, alone or together with those before it. */
async function checkStream(channel, queue) {
    const total = 1000;
    const confirmed = new Array(total).fill(0);
    for (let number = 0; number < total; number += 1) {
        channel.sendToQueue(queue, Buffer.from(`message ${number}`), {}, (error) => {
            assert.equal(error, null);
            confirmed[number] += 1;
        });
    }
    await channel.waitForConfirms();
    assert(confirmed.every((times) => times === 1));
    assert.equal(await count(channel, queue), total);
}

async function checkReturnedFirst(channel, queue) {
    const events = [];
    const nowhere = unique('nowhere');
    channel.on('return', (message) => {
        assert.equal(message.fields.replyCode, 312);
        assert.equal(message.fields.replyText, 'NO_ROUTE');
        assert.equal(message.fields.routingKey, nowhere);
        assert.equal(message.content.toString(), 'return to sender');
        events.push(`return ${message.properties.messageId}`);
    });
    const publish = (messageId, key, mandatory) => {
        const body = Buffer.from('return to sender');
        channel.publish('', key, body, { messageId, mandatory }, () =>
            events.push(`ack ${messageId}`),
        );
    };
    publish('routed', queue, true);
    publish('lost', nowhere, true);
    publish('dropped', nowhere, false);
    await channel.waitForConfirms();
    const returned = events.filter((event) => event.startsWith('return'));
    assert.deepEqual(returned, ['return lost']);
    assert(events.indexOf('return lost') < events.indexOf('ack lost'), events.join());
    assert.deepEqual(events.filter((event) => event.startsWith('ack')).sort(), [
        'ack dropped',
        'ack lost',
        'ack routed',
    ]);
}

async function main() {
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    const queue = await declarePrivateQueue(channel);
    await checkOneByOne(channel, queue);
    await checkBatches(channel, queue);
    await checkStream(channel, queue);
    await checkReturnedFirst(channel, queue);
    await connection.close();
}

run(main);
