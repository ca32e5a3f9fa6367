'use strict';

/* Work queue: workers share a durable queue fairly, and the task of a dead worker is redone. */

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { Inbox, connect, run, unique } = require('./support');

/* Takes one unacknowledged task at a time. */
class Worker {
    static async start(queue) {
        const worker = new Worker();
        worker.inbox = new Inbox();
        worker.connection = await connect();
        worker.channel = await worker.connection.createChannel();
        await worker.channel.prefetch(1);
        await worker.channel.consume(queue, worker.inbox.push, { noAck: false });
        return worker;
    }

    async take() {
        const task = await this.inbox.take();
        assert.equal(this.inbox.items.length, 0, 'prefetch 1 was exceeded');
        return task;
    }

    /* Closing the channel first: it hands over the acknowledgements that are still on their way. */
    async stop() {
        await this.channel.close();
        await this.connection.close();
    }
}

async function waiting(channel, queue) {
    return (await channel.checkQueue(queue)).messageCount;
}

async function newTask(channel, queue, body) {
    channel.sendToQueue(queue, Buffer.from(body), { persistent: true });
    await channel.waitForConfirms();
}

async function checkFairDispatch(channel, queue) {
    const workers = [await Worker.start(queue), await Worker.start(queue)];
    await newTask(channel, queue, 'first');
    await newTask(channel, queue, 'second');
    const held = [await workers[0].take(), await workers[1].take()];
    assert.deepEqual(held.map((task) => task.content.toString()).sort(), ['first', 'second']);
    for (const task of held) {
        assert.equal(task.properties.deliveryMode, 2);
        assert.equal(task.fields.redelivered, false);
    }

    await newTask(channel, queue, 'third');
    assert.equal(await waiting(channel, queue), 1, 'a busy worker was given a second task');
    workers[0].channel.ack(held[0]);
    const third = await workers[0].take();
    assert.equal(third.content.toString(), 'third');
    workers[0].channel.ack(third);
    workers[1].channel.ack(held[1]);
    for (const worker of workers) {
        await worker.stop();
    }
    assert.equal(await waiting(channel, queue), 0);
}

async function checkDeadWorker(channel, queue) {
    await newTask(channel, queue, 'task that kills');
    const doomed = fork(__filename, ['worker', queue]);
    const [report] = await once(doomed, 'message');
    assert.equal(report, 'task that kills');
    doomed.kill('SIGKILL');

    const survivor = await Worker.start(queue);
    const task = await survivor.take();
    assert.equal(task.content.toString(), 'task that kills');
    assert.equal(task.fields.redelivered, true, 'the task came back without the mark');
    survivor.channel.ack(task);
    await survivor.stop();
    assert.equal(await waiting(channel, queue), 0);
}

/* The worker that dies: it reports its task and never acknowledges. */
async function workForever(queue) {
    const worker = await Worker.start(queue);
    const task = await worker.take();
    process.send(task.content.toString());
    return new Promise(() => {});
}

async function main() {
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    const queue = unique('work_queue');
    assert.equal((await channel.assertQueue(queue, { durable: true })).queue, queue);
    try {
        await checkFairDispatch(channel, queue);
        await checkDeadWorker(channel, queue);
    } finally {
        await channel.deleteQueue(queue);
    }
    await connection.close();
}

if (process.argv[2] === 'worker') {
    run(() => workForever(process.argv[3]));
} else {
    run(main);
}
