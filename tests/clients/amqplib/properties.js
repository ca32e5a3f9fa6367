'use strict';

/* Every message property and every kind of header value arrives as it was sent. */

const assert = require('node:assert/strict');
const { Inbox, connect, declarePrivateQueue, run, settings } = require('./support');

const HEADERS = {
    text: 'naïve ☃ text',
    'empty text': '',
    bytes: Buffer.from([0, 1, 254, 255]),
    true: true,
    false: false,
    zero: 0,
    byte: -128,
    short: -32768,
    int: -2147483648,
    long: -(2 ** 52),
    'large long': 2 ** 52,
    double: 3.141592653589793,
    'negative double': -0.5,
    void: null,
    time: { '!': 'timestamp', value: 1772323198 },
    price: { '!': 'decimal', value: { places: 2, digits: 1234 } },
    table: { inner: { innermost: { depth: 3, list: [{ a: 1 }, { b: null }] } }, empty: {} },
    array: ['one', 2, [3, [4.5, []]], { five: 5 }, null, false],
};
/* Types one has to ask for by name arrive as plain numbers. */
const TYPED = {
    float: [{ '!': 'float', value: 0.25 }, 0.25],
    'unsigned byte': [{ '!': 'uint8', value: 255 }, 255],
    'unsigned short': [{ '!': 'uint16', value: 65535 }, 65535],
    'unsigned int': [{ '!': 'uint32', value: 4294967295 }, 4294967295],
    'small long': [{ '!': 'int64', value: 1 }, 1],
    'whole double': [{ '!': 'double', value: 2 }, 2],
};
/* amqplib has no way to send a cluster id, the fourteenth property. */
const SENT = {
    contentType: 'application/json',
    contentEncoding: 'gzip',
    headers: HEADERS,
    deliveryMode: 2,
    priority: 7,
    correlationId: 'correlation',
    replyTo: 'reply queue',
    expiration: '3600000',
    messageId: 'm-1',
    timestamp: 1772323198,
    type: 'order.created',
    userId: settings.username,
    appId: 'clients',
};
const NAMES = [...Object.keys(SENT), 'clusterId'];

async function main() {
    const connection = await connect();
    const channel = await connection.createChannel();
    const queue = await declarePrivateQueue(channel);
    const inbox = new Inbox();
    await channel.consume(queue, inbox.push, { noAck: true });

    const roundTrip = async (properties) => {
        channel.sendToQueue(queue, Buffer.from('body'), properties);
        const message = await inbox.take();
        assert.equal(message.content.toString(), 'body');
        return message.properties;
    };

    const received = await roundTrip(SENT);
    for (const [name, value] of Object.entries(SENT)) {
        assert.deepEqual(received[name], value, name);
    }
    assert.deepEqual(Object.keys(received.headers), Object.keys(HEADERS), 'order of the headers');

    /* One property at a time: each has its own flag on the wire. amqplib always sends headers. */
    for (const [name, value] of Object.entries(SENT)) {
        const alone = await roundTrip({ [name]: value });
        for (const other of NAMES.filter((each) => each !== 'headers' || name === 'headers')) {
            assert.deepEqual(alone[other], other === name ? value : undefined, other);
        }
    }

    const headers = Object.entries(TYPED).map(([name, [sent]]) => [name, sent]);
    const typed = await roundTrip({ headers: Object.fromEntries(headers) });
    for (const [name, [, expected]] of Object.entries(TYPED)) {
        assert.equal(typed.headers[name], expected, name);
    }
    await connection.close();
}

run(main);
