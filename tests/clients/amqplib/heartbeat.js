'use strict';

/*
 * Heartbeats: a connection that asks for one a second survives doing nothing. amqplib gives up a
 * broker that is silent for two intervals, so this sees the heartbeats of both sides.
 */

const assert = require('node:assert/strict');
const { setTimeout: delay } = require('node:timers/promises');
const { connect, declarePrivateQueue, run } = require('./support');

const HEARTBEAT_S = 1;
const IDLE_MS = 3500;

async function main() {
    const connection = await connect({ heartbeat: HEARTBEAT_S });
    const failed = new Promise((_, reject) => connection.on('error', reject));
    const channel = await connection.createChannel();
    const queue = await declarePrivateQueue(channel);
    /* The silence is the subject here: it outlasts what either side would tolerate. */
    await Promise.race([delay(IDLE_MS), failed]);
    channel.sendToQueue(queue, Buffer.from('still alive'));
    const message = await Promise.race([channel.get(queue, { noAck: true }), failed]);
    assert.equal(message.content.toString(), 'still alive');
    await connection.close();
}

run(main);
