'use strict';

/*
 * Expiry of single messages, and a work queue that tries failed tasks again after a while.
 *
 * The retry is made of two queues that dead-letter to each other: a rejected task waits in the
 * second until its time there is over; after three failures the worker parks it.
 */

const assert = require('node:assert/strict');
const { Inbox, connect, declarePrivateQueue, run, unique } = require('./support');

const ATTEMPTS = 3;

async function declareWithDeadLetters(channel, name, target, more) {
    const { queue } = await channel.assertQueue(name, {
        exclusive: true,
        deadLetterExchange: '',
        deadLetterRoutingKey: target,
        ...more,
    });
    return queue;
}

async function waiting(channel, queue) {
    return (await channel.checkQueue(queue)).messageCount;
}

/* What has its time over goes to the exchange for dead letters; what has not stays. */
async function checkExpiration(channel) {
    const dead = await declarePrivateQueue(channel);
    const queue = await declareWithDeadLetters(channel, '', dead);
    const inbox = new Inbox();
    await channel.consume(dead, inbox.push, { noAck: true });
    channel.sendToQueue(queue, Buffer.from('short'), { expiration: 50, messageId: 'short' });
    channel.sendToQueue(queue, Buffer.from('long'), { expiration: 3600000 });
    await channel.waitForConfirms();

    const { content, properties } = await inbox.take();
    assert.equal(content.toString(), 'short');
    assert.equal(properties.messageId, 'short');
    assert.equal(properties.expiration, undefined, 'a dead letter would expire again');
    const [death] = properties.headers['x-death'];
    assert.deepEqual([death.queue, death.reason, death.count], [queue, 'expired', 1]);
    assert.equal(death['original-expiration'], '50');
    assert.equal(properties.headers['x-first-death-queue'], queue);

    const kept = await channel.get(queue, { noAck: true });
    assert.equal(kept.content.toString(), 'long');
    assert.equal(kept.properties.expiration, '3600000');
    assert.equal(kept.fields.messageCount, 0);
}

function deathsOf(message) {
    const deaths = (message.properties.headers || {})['x-death'] || [];
    return new Map(deaths.map((death) => [`${death.queue} ${death.reason}`, death.count]));
}

/* Three attempts, then the task is parked; others overtake it in the meantime. */
async function checkRetry(channel) {
    const work = unique('retry.work');
    const parked = await declarePrivateQueue(channel);
    const later = await declareWithDeadLetters(channel, '', work, { messageTtl: 50 });
    await declareWithDeadLetters(channel, work, later);
    const inbox = new Inbox();
    await channel.prefetch(1);
    const { consumerTag } = await channel.consume(work, inbox.push);
    channel.sendToQueue(work, Buffer.from('fails'), { persistent: true });
    channel.sendToQueue(work, Buffer.from('works'));

    const attempts = [];
    for (;;) {
        const task = await inbox.take();
        const body = task.content.toString();
        attempts.push(body);
        if (body === 'works') {
            channel.ack(task);
        } else if ((deathsOf(task).get(`${work} rejected`) || 0) + 1 < ATTEMPTS) {
            channel.reject(task, false);
        } else {
            channel.sendToQueue(parked, task.content, task.properties);
            await channel.waitForConfirms();
            channel.ack(task);
            break;
        }
    }
    await channel.cancel(consumerTag);
    assert.deepEqual(attempts, ['fails', 'works', 'fails', 'fails']);

    const last = await channel.get(parked, { noAck: true });
    assert.equal(last.content.toString(), 'fails');
    assert.equal(last.properties.deliveryMode, 2);
    assert.deepEqual(deathsOf(last), new Map([[`${later} expired`, 2], [`${work} rejected`, 2]]));
    assert.equal(await waiting(channel, work), 0);
    assert.equal(await waiting(channel, later), 0);
}

async function main() {
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await checkExpiration(channel);
    await checkRetry(channel);
    await connection.close();
}

run(main);
