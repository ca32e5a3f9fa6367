'use strict';

/* Bodies of every awkward size, from none to ten megabytes, come back byte for byte. */

const assert = require('node:assert/strict');
const { createCipheriv } = require('node:crypto');
const { Inbox, connect, declarePrivateQueue, run } = require('./support');

const SEED = 'a fixed key of 32 bytes for AES.';
const FRAME_OVERHEAD = 8;

/* Repeatable bytes without pattern: the key stream of a cipher. */
function pseudoRandom(size) {
    const cipher = createCipheriv('aes-256-ctr', SEED, Buffer.alloc(16));
    return cipher.update(Buffer.alloc(size));
}

/* Empty, tiny, around one and two full frames, and many frames. */
function sizes(frameMax) {
    const full = frameMax - FRAME_OVERHEAD;
    return [0, 1, full - 1, full, full + 1, 2 * full, 2 * full + 1, 10 * 1024 * 1024, 0];
}

async function checkRoundTrips(frameMax) {
    const connection = await connect({ frameMax });
    const channel = await connection.createChannel();
    const queue = await declarePrivateQueue(channel);
    const inbox = new Inbox();
    await channel.consume(queue, inbox.push);
    for (const size of sizes(frameMax)) {
        const sent = pseudoRandom(size);
        channel.sendToQueue(queue, sent, { messageId: String(size) });
        const message = await inbox.take();
        assert.equal(message.properties.messageId, String(size));
        assert.equal(message.content.length, size);
        assert(message.content.equals(sent), `a body of ${size} bytes was changed`);
        channel.ack(message);
    }
    await connection.close();
}

async function main() {
    await checkRoundTrips(131072);
    await checkRoundTrips(4096);
}

run(main);
