'use strict';

/* Remote procedure call, with the client's own callback queue and with direct reply-to. */

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { connect, declarePrivateQueue, run, unique } = require('./support');

const DIRECT = 'amq.rabbitmq.reply-to';

function fibonacci(number) {
    let [previous, current] = [0, 1];
    for (let i = 0; i < number; i += 1) {
        [previous, current] = [current, previous + current];
    }
    return previous;
}

async function serve(queue) {
    const connection = await connect();
    const channel = await connection.createChannel();
    await channel.assertQueue(queue, { exclusive: true });
    await channel.prefetch(1);
    await channel.consume(queue, (request) => {
        const answer = fibonacci(Number(request.content.toString()));
        channel.sendToQueue(request.properties.replyTo, Buffer.from(String(answer)), {
            correlationId: request.properties.correlationId,
        });
        channel.ack(request);
    });
    return connection;
}

class Client {
    static async start(serverQueue, direct) {
        const client = new Client();
        client.serverQueue = serverQueue;
        client.waiting = new Map();
        client.connection = await connect();
        client.channel = await client.connection.createChannel();
        client.replyTo = direct ? DIRECT : await declarePrivateQueue(client.channel);
        await client.channel.consume(client.replyTo, (reply) => client.onReply(reply), {
            noAck: true,
        });
        return client;
    }

    onReply(reply) {
        const { correlationId } = reply.properties;
        this.waiting.get(correlationId)(Number(reply.content.toString()));
        this.waiting.delete(correlationId);
    }

    call(number) {
        const correlationId = randomUUID();
        const answer = new Promise((resolve) => this.waiting.set(correlationId, resolve));
        this.channel.sendToQueue(this.serverQueue, Buffer.from(String(number)), {
            correlationId,
            replyTo: this.replyTo,
        });
        return answer;
    }
}

async function checkCalls(client) {
    assert.equal(await client.call(0), 0);
    assert.equal(await client.call(30), 832040);
    const numbers = Array.from({ length: 20 }, (_, number) => number);
    const answers = await Promise.all(numbers.map((number) => client.call(number)));
    assert.deepEqual(answers, numbers.map(fibonacci));
    assert.equal(client.waiting.size, 0);
}

/* Replies are not stored, so nothing could be acknowledged. */
async function checkDirectReplyToNeedsNoAck(connection) {
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    await assert.rejects(
        channel.consume(DIRECT, () => {}),
        { code: 406 },
    );
}

async function main() {
    const queue = unique('rpc');
    const server = await serve(queue);
    const clients = [];
    for (const direct of [false, true, true]) {
        clients.push(await Client.start(queue, direct));
    }
    await Promise.all(clients.map(checkCalls));
    await checkDirectReplyToNeedsNoAck(clients[0].connection);
    for (const client of clients) {
        await client.connection.close();
    }
    await server.close();
}

run(main);
