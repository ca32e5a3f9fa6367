'use strict';

/* Headers exchange: bindings match on the message's headers, all or any of them. */

const assert = require('node:assert/strict');
const { bodiesUntil, connect, declarePrivateQueue, run, unique } = require('./support');

const BINDINGS = {
    all: { 'x-match': 'all', format: 'pdf', type: 'report' },
    any: { 'x-match': 'any', format: 'pdf', type: 'report' },
    'all by default': { format: 'pdf', type: 'report' },
    flag: { 'x-match': 'all', urgent: true },
    'empty all': { 'x-match': 'all' },
    'empty any': { 'x-match': 'any' },
};
const MESSAGES = {
    'pdf report': { format: 'pdf', type: 'report' },
    'pdf report with more': { format: 'pdf', type: 'report', urgent: false },
    'pdf log': { format: 'pdf', type: 'log' },
    'zip report': { format: 'zip', type: 'report', urgent: true },
    'no headers': undefined,
};
const PDF_REPORTS = ['pdf report', 'pdf report with more'];
const EXPECTED = {
    all: PDF_REPORTS,
    any: [...PDF_REPORTS, 'pdf log', 'zip report'],
    'all by default': PDF_REPORTS,
    flag: ['zip report'],
    'empty all': Object.keys(MESSAGES),
    'empty any': [],
};

async function main() {
    const connection = await connect();
    const channel = await connection.createChannel();
    const exchange = unique('headers_exchange');
    await channel.assertExchange(exchange, 'headers', { durable: false });
    try {
        const queues = new Map();
        for (const [name, bindingArguments] of Object.entries(BINDINGS)) {
            queues.set(name, await declarePrivateQueue(channel));
            await channel.bindQueue(queues.get(name), exchange, '', bindingArguments);
        }
        for (const [body, headers] of Object.entries(MESSAGES)) {
            channel.publish(exchange, 'ignored', Buffer.from(body), { headers });
        }
        for (const [name, queue] of queues) {
            channel.sendToQueue(queue, Buffer.from('end'));
            const received = await bodiesUntil(channel, queue, 'end');
            assert.deepEqual(received, EXPECTED[name], `what ${name} took`);
        }
    } finally {
        await channel.deleteExchange(exchange);
    }
    await connection.close();
}

run(main);
