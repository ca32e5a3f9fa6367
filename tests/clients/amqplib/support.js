'use strict';

/* What the amqplib programs share: where the broker is, unique names, the watchdog and inboxes. */

const { randomUUID } = require('node:crypto');
const amqp = require('amqplib');

const DEADLINE_MS = 30000;

const settings = {
    protocol: 'amqp',
    hostname: process.env.AMQP_HOST || '127.0.0.1',
    port: Number(process.env.AMQP_PORT || 5672),
    username: process.env.AMQP_USER || 'guest',
    password: process.env.AMQP_PASSWORD || 'guest',
    vhost: encodeURIComponent(process.env.AMQP_VHOST || '/'),
};

/* Connects where the environment says, with the given changes. */
function connect(changes) {
    return amqp.connect({ ...settings, ...changes }, { noDelay: true });
}

/* A name no other program and no other run uses. */
function unique(subject) {
    return `clients.amqplib.${subject}.${randomUUID()}`;
}

/* Runs the program: status 0 when it resolves, 1 when it rejects or takes longer than 30 s. */
function run(main) {
    setTimeout(() => {
        console.error(`not finished after ${DEADLINE_MS} ms`);
        process.exit(1);
    }, DEADLINE_MS);
    main().then(
        () => process.exit(0),
        (error) => {
            console.error(error);
            process.exit(1);
        },
    );
}

/* Keeps what arrives until somebody takes it. Push anything; `take` resolves in the same order. */
class Inbox {
    constructor() {
        this.items = [];
        this.takers = [];
        this.push = this.push.bind(this);
    }

    push(item) {
        const taker = this.takers.shift();
        if (taker) {
            taker(item);
        } else {
            this.items.push(item);
        }
    }

    async take() {
        if (this.items.length > 0) {
            return this.items.shift();
        }
        return new Promise((resolve) => this.takers.push(resolve));
    }

    async takeMany(count) {
        const taken = [];
        while (taken.length < count) {
            taken.push(await this.take());
        }
        return taken;
    }
}

async function declarePrivateQueue(channel) {
    const { queue } = await channel.assertQueue('', { exclusive: true });
    return queue;
}

/*
 * Consumes from the queue up to the message whose body is `last` and returns the bodies before it.
 * With a last message sent after all others this shows what did not arrive without any wait.
 */
async function bodiesUntil(channel, queue, last) {
    const inbox = new Inbox();
    const { consumerTag } = await channel.consume(queue, inbox.push, { noAck: true });
    const bodies = [];
    for (;;) {
        const body = (await inbox.take()).content.toString();
        if (body === last) {
            break;
        }
        bodies.push(body);
    }
    await channel.cancel(consumerTag);
    return bodies;
}

module.exports = { Inbox, bodiesUntil, connect, declarePrivateQueue, run, settings, unique };
