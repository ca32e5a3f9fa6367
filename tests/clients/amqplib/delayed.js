'use strict';

/* Delayed messages: an x-delayed-message exchange hands on what is due, by the rules of a topic. */

const assert = require('node:assert/strict');
const { Inbox, connect, declarePrivateQueue, run, unique } = require('./support');

function publish(channel, exchange, key, delay) {
    channel.publish(exchange, key, Buffer.from(String(delay)), { headers: { 'x-delay': delay } });
}

async function main() {
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    const exchange = unique('delayed');
    await channel.assertExchange(exchange, 'x-delayed-message', {
        autoDelete: true,
        arguments: { 'x-delayed-type': 'topic' },
    });
    const queue = await declarePrivateQueue(channel);
    await channel.bindQueue(queue, exchange, 'later.#');
    const inbox = new Inbox();
    await channel.consume(queue, (message) => inbox.push({ message, at: Date.now() }), {
        noAck: true,
    });

    const begin = Date.now();
    publish(channel, exchange, 'elsewhere', 1);
    for (const delay of [300, 100, 200, 0]) {
        publish(channel, exchange, `later.${delay}`, delay);
    }
    await channel.waitForConfirms();

    const arrived = [];
    for (const { message, at } of await inbox.takeMany(4)) {
        const delay = Number(message.content);
        assert.ok(at - begin >= delay - 1, `${delay} came after ${at - begin} ms`);
        assert.equal(Math.abs(message.properties.headers['x-delay']), delay);
        assert.equal(message.fields.exchange, exchange);
        assert.equal(message.fields.routingKey, `later.${delay}`);
        arrived.push(delay);
    }
    assert.deepEqual(arrived, [0, 100, 200, 300]);
    await connection.close();
}

run(main);
