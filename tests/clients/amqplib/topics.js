'use strict';

/* Topics: `*` stands for exactly one word of the routing key, `#` for any number of words. */

const assert = require('node:assert/strict');
const { bodiesUntil, connect, declarePrivateQueue, run, unique } = require('./support');

const KEYS = [
    'kern.critical',
    'kern.info',
    'kern',
    'cron.critical',
    'kern.disk.critical',
    'quick.orange.rabbit',
    'lazy.orange.male.rabbit',
    'lazy',
];
const MATCHES = {
    'kern.critical': ['kern.critical'],
    'kern.*': ['kern.critical', 'kern.info'],
    '*.critical': ['kern.critical', 'cron.critical'],
    'kern.#': ['kern.critical', 'kern.info', 'kern', 'kern.disk.critical'],
    '#.critical': ['kern.critical', 'cron.critical', 'kern.disk.critical'],
    '*.orange.*': ['quick.orange.rabbit'],
    'lazy.#': ['lazy.orange.male.rabbit', 'lazy'],
    'lazy.#.rabbit': ['lazy.orange.male.rabbit'],
    '*': ['kern', 'lazy'],
    '#': KEYS,
};

async function main() {
    const connection = await connect();
    const channel = await connection.createChannel();
    const exchange = unique('topics');
    await channel.assertExchange(exchange, 'topic', { durable: false });
    try {
        const queues = new Map();
        for (const pattern of Object.keys(MATCHES)) {
            queues.set(pattern, await declarePrivateQueue(channel));
            await channel.bindQueue(queues.get(pattern), exchange, pattern);
        }
        for (const key of KEYS) {
            channel.publish(exchange, key, Buffer.from(key));
        }
        for (const [pattern, queue] of queues) {
            channel.sendToQueue(queue, Buffer.from('end'));
            const received = await bodiesUntil(channel, queue, 'end');
            assert.deepEqual(received, MATCHES[pattern], `what ${pattern} matched`);
        }
    } finally {
        await channel.deleteExchange(exchange);
    }
    await connection.close();
}

run(main);
