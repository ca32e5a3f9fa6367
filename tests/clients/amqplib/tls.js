'use strict';

/* TLS: the broker proves who it is, the client may do so too, and messages of any size get through.
 * With the mechanism EXTERNAL the certificate is all that a client needs to log in. */

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { readFileSync } = require('node:fs');
const amqp = require('amqplib');
const { declarePrivateQueue, run } = require('./support');

const directory = process.env.AMQPS_DIRECTORY;
const url = `amqps://localhost:${process.env.AMQPS_PORT}`;
const file = (name) => readFileSync(`${directory}/${name}`);

async function checkMessages(options) {
    const connection = await amqp.connect(url, options);
    const channel = await connection.createConfirmChannel();
    const queue = await declarePrivateQueue(channel);
    for (const size of [0, 1, 1000, 16384, 100000, 3000000]) {
        const body = randomBytes(size);
        channel.sendToQueue(queue, body);
        await channel.waitForConfirms();
        const message = await channel.get(queue, { noAck: true });
        assert(message.content.equals(body), `body of ${size} octets`);
    }
    await connection.close();
}

async function main() {
    const ca = [file('ca.pem')];
    await checkMessages({ ca });
    await checkMessages({ ca, cert: file('client.pem'), key: file('client-key.pem') });
    const certificate = { ca, cert: file('client.pem'), key: file('client-key.pem') };
    await checkMessages({ ...certificate, credentials: amqp.credentials.external() });
    await assert.rejects(amqp.connect(url, { ca, credentials: amqp.credentials.external() }));
    await assert.rejects(amqp.connect(url, {}), { code: /SELF_SIGNED|UNABLE_TO/ });
    await assert.rejects(amqp.connect(url, { ca, servername: 'other.example' }), {
        code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
}

run(main);
