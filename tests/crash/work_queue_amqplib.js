'use strict';

/*
 * Work queue whose broker is restarted in order in the middle: nothing confirmed is lost, nothing
 * done is done again, and what was in work comes back marked as redelivered.
 *
 * Prints `restart` when the broker should be restarted and reads the new port.
 */

const assert = require('node:assert/strict');
const readline = require('node:readline');
const { once } = require('node:events');
const { Inbox, connect, run, unique } = require('../clients/amqplib/support');

const exchange = unique('restart');
const queue = unique('restart');
const lines = readline.createInterface({ input: process.stdin });
const options = { persistent: true, contentType: 'text/plain', headers: { origin: 'amqplib' } };

async function openChannel(changes) {
    const connection = await connect(changes);
    const channel = await connection.createConfirmChannel();
    await channel.prefetch(10);
    await channel.assertExchange(exchange, 'topic', { durable: true });
    await channel.assertQueue(queue, { durable: true });
    return { connection, channel };
}

async function publish(channel, from, to) {
    for (let number = from; number < to; number++) {
        channel.publish(exchange, `task.${number}`, Buffer.from(`${number}`), options);
    }
    await channel.waitForConfirms();
}

async function restart({ connection }) {
    const closed = once(connection, 'close');
    const line = once(lines, 'line');
    connection.on('error', () => {});
    console.log('restart');
    const [reason] = await closed;
    assert.match(String(reason), /320/);
    return openChannel({ port: Number((await line)[0]) });
}

async function main() {
    let broker = await openChannel();
    let inbox = new Inbox();
    await broker.channel.bindQueue(queue, exchange, 'task.*');
    await publish(broker.channel, 0, 30);
    await broker.channel.consume(queue, inbox.push);
    const held = await inbox.takeMany(10);
    broker.channel.ack(held[4], true);
    /* A round trip: the broker has the acknowledgements. */
    await broker.channel.checkQueue(queue);

    broker = await restart(broker);
    await publish(broker.channel, 30, 35);
    assert.equal((await broker.channel.checkQueue(queue)).messageCount, 30);
    inbox = new Inbox();
    await broker.channel.consume(queue, inbox.push);
    for (let number = 5; number < 35; number++) {
        const task = await inbox.take();
        assert.equal(task.content.toString(), `${number}`);
        assert.equal(task.fields.exchange, exchange);
        assert.equal(task.fields.routingKey, `task.${number}`);
        assert.equal(task.properties.deliveryMode, 2);
        assert.equal(task.properties.headers.origin, 'amqplib');
        if (number < 10 || number >= 30) {
            assert.equal(task.fields.redelivered, number < 10);
        }
        broker.channel.ack(task);
    }
    await broker.channel.checkQueue(queue);

    broker = await restart(broker);
    assert.equal((await broker.channel.checkQueue(queue)).messageCount, 0);
    await broker.channel.deleteQueue(queue);
    await broker.channel.deleteExchange(exchange);
    await broker.connection.close();
}

run(main);
