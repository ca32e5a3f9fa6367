#ifndef TESTS_UNIT_TEST_TOPOLOGY_GOLDENS_H
#define TESTS_UNIT_TEST_TOPOLOGY_GOLDENS_H

/*
 * Every message that the readers of what is to exist can give, with the place it points to: input
 * and the whole report. HOME must be set, and RAIL_TEST_UNSET not.
 */

struct golden {
    const char *text;
    const char *report;
};

static const struct golden golden_shapes[] = {
    { "version: 1\n"
      "users: []\n",
      "broker.yaml:2:8: error: users must be a mapping, got a list [RAIL-E011]\n"
      "    2 | users: []\n"
      "      |        ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts: 5\n",
      "broker.yaml:2:9: error: vhosts must be a mapping, got a single value [RAIL-E011]\n"
      "    2 | vhosts: 5\n"
      "      |         ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts: {/: []}\n",
      "broker.yaml:2:13: error: vhost \"/\" must be a mapping, got a list [RAIL-E011]\n"
      "    2 | vhosts: {/: []}\n"
      "      |             ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: [a]\n",
      "broker.yaml:4:13: error: queues must be a mapping, got a list [RAIL-E011]\n"
      "    4 |     queues: [a]\n"
      "      |             ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: [a]}\n",
      "broker.yaml:4:17: error: queue \"q\" must be a mapping, got a list [RAIL-E011]\n"
      "    4 |     queues: {q: [a]}\n"
      "      |                 ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: [a]}}\n",
      "broker.yaml:4:29: error: the arguments of queue \"q\" must be a mapping, got a list "
      "[RAIL-E011]\n"
      "    4 |     queues: {q: {arguments: [a]}}\n"
      "      |                             ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {durable: {a: b}}}\n",
      "broker.yaml:4:27: error: durable of queue \"q\" must be a single value, got a mapping "
      "[RAIL-E011]\n"
      "    4 |     queues: {q: {durable: {a: b}}}\n"
      "      |                           ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    exchanges: {x: {type: [a]}}\n",
      "broker.yaml:4:27: error: type of exchange \"x\" must be a single value, got a list "
      "[RAIL-E011]\n"
      "    4 |     exchanges: {x: {type: [a]}}\n"
      "      |                           ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    limits: 5\n",
      "broker.yaml:4:13: error: limits of vhost \"/\" must be a mapping, got a single value "
      "[RAIL-E011]\n"
      "    4 |     limits: 5\n"
      "      |             ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: {from: x}}}\n",
      "broker.yaml:4:28: error: bindings must be a list, got a mapping [RAIL-E011]\n"
      "    4 |     queues: {q: {bindings: {from: x}}}\n"
      "      |                            ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [x]}}\n",
      "broker.yaml:4:29: error: a binding must be a mapping, got a single value [RAIL-E011]\n"
      "    4 |     queues: {q: {bindings: [x]}}\n"
      "      |                             ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{from: [x]}]}}\n",
      "broker.yaml:4:36: error: from of a binding must be a single value, got a list [RAIL-E011]\n"
      "    4 |     queues: {q: {bindings: [{from: [x]}]}}\n"
      "      |                                    ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{from: amq.topic, keys: a}]}}\n",
      "broker.yaml:4:53: error: keys of a binding must be a list, got a single value [RAIL-E011]\n"
      "    4 |     queues: {q: {bindings: [{from: amq.topic, keys: a}]}}\n"
      "      |                                                     ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{from: amq.topic, key: [a]}]}}\n",
      "broker.yaml:4:52: error: a routing key must be a single value, got a list [RAIL-E011]\n"
      "    4 |     queues: {q: {bindings: [{from: amq.topic, key: [a]}]}}\n"
      "      |                                                    ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{from: amq.topic, arguments: [a]}]}}\n",
      "broker.yaml:4:58: error: the arguments of a binding of queue \"q\" must be a mapping, got a "
      "list [RAIL-E011]\n"
      "    4 |     queues: {q: {bindings: [{from: amq.topic, arguments: [a]}]}}\n"
      "      |                                                          ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    topic_permissions: {guest: []}\n",
      "broker.yaml:4:32: error: topic permissions of a user must be a mapping, got a list "
      "[RAIL-E011]\n"
      "    4 |     topic_permissions: {guest: []}\n"
      "      |                                ^\n"
      "1 error\n" },
    { "version: 1\n"
      "users: {a: {tags: {b: c}}}\n",
      "broker.yaml:2:19: error: tags of user \"a\" must be a list of at most 64 words, got a "
      "mapping [RAIL-E011]\n"
      "    2 | users: {a: {tags: {b: c}}}\n"
      "      |                   ^\n"
      "1 error\n" },
    { "version: 1\n"
      "users: {a: {tags: [[b]]}}\n",
      "broker.yaml:2:20: error: tags must be a single value, got a list [RAIL-E011]\n"
      "    2 | users: {a: {tags: [[b]]}}\n"
      "      |                    ^\n"
      "1 error\n" },
    { "version: 1\n"
      "apply: []\n",
      "broker.yaml:2:8: error: apply must be a mapping, got a list [RAIL-E011]\n"
      "    2 | apply: []\n"
      "      |        ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: {x-message-ttl: [1]}}}\n",
      "broker.yaml:4:45: error: x-message-ttl of queue \"q\" must be a single value, got a list "
      "[RAIL-E011]\n"
      "    4 |     queues: {q: {arguments: {x-message-ttl: [1]}}}\n"
      "      |                                             ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {type: [a]}}\n",
      "broker.yaml:4:24: error: type must be a single value, got a list [RAIL-E011]\n"
      "    4 |     queues: {q: {type: [a]}}\n"
      "      |                        ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {state: [a], replace: {a: b}}}\n",
      "broker.yaml:4:25: error: state must be present or absent, got a list [RAIL-E021]\n"
      "    4 |     queues: {q: {state: [a], replace: {a: b}}}\n"
      "      |                         ^\n"
      "broker.yaml:4:39: error: replace must be deny or allow, got a mapping [RAIL-E021]\n"
      "    4 |     queues: {q: {state: [a], replace: {a: b}}}\n"
      "      |                                       ^\n"
      "2 errors\n" },
};

static const struct golden golden_keys[] = {
    { "version: 1\n"
      "apply: {prun: owned, x: 1}\n",
      "broker.yaml:2:9: error: unknown key \"prun\" in apply; did you mean \"prune\"? [RAIL-E004]\n"
      "    2 | apply: {prun: owned, x: 1}\n"
      "      |         ^~~~\n"
      "broker.yaml:2:22: error: unknown key \"x\" in apply [RAIL-E004]\n"
      "    2 | apply: {prun: owned, x: 1}\n"
      "      |                      ^\n"
      "2 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queue: {}\n",
      "broker.yaml:4:5: error: unknown key \"queue\" in vhost \"/\"; did you mean \"queues\"? "
      "[RAIL-E004]\n"
      "    4 |     queue: {}\n"
      "      |     ^~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    bananas: {}\n",
      "broker.yaml:4:5: error: unknown key \"bananas\" in vhost \"/\" [RAIL-E004]\n"
      "    4 |     bananas: {}\n"
      "      |     ^~~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    limits: {max-queue: 5}\n",
      "broker.yaml:4:14: error: unknown key \"max-queue\" in limits of vhost \"/\"; did you mean "
      "\"max-queues\"? [RAIL-E004]\n"
      "    4 |     limits: {max-queue: 5}\n"
      "      |              ^~~~~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    exchanges: {x: {typ: topic}}\n",
      "broker.yaml:4:21: error: unknown key \"typ\" in exchange \"x\"; did you mean \"type\"? "
      "[RAIL-E004]\n"
      "    4 |     exchanges: {x: {typ: topic}}\n"
      "      |                     ^~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {argument: {}}}\n",
      "broker.yaml:4:18: error: unknown key \"argument\" in queue \"q\"; did you mean "
      "\"arguments\"? [RAIL-E004]\n"
      "    4 |     queues: {q: {argument: {}}}\n"
      "      |                  ^~~~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{form: amq.topic}]}}\n",
      "broker.yaml:4:29: error: a binding must have the key \"from\" [RAIL-E013]\n"
      "    4 |     queues: {q: {bindings: [{form: amq.topic}]}}\n"
      "      |                             ^\n"
      "   = hint: write {from: exchange, key: \"routing.key\"}\n"
      "broker.yaml:4:30: error: unknown key \"form\" in a binding; did you mean \"from\"? "
      "[RAIL-E004]\n"
      "    4 |     queues: {q: {bindings: [{form: amq.topic}]}}\n"
      "      |                              ^~~~\n"
      "2 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{key: a}]}}\n",
      "broker.yaml:4:29: error: a binding must have the key \"from\" [RAIL-E013]\n"
      "    4 |     queues: {q: {bindings: [{key: a}]}}\n"
      "      |                             ^\n"
      "   = hint: write {from: exchange, key: \"routing.key\"}\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    policies: {p: {pattern: a, definition: {max-lenght: 5}, aply_to: all}}\n",
      "broker.yaml:4:45: error: unknown key \"max-lenght\" of policy \"p\"; did you mean "
      "\"max-length\"? [RAIL-E004]\n"
      "    4 |     policies: {p: {pattern: a, definition: {max-lenght: 5}, aply_to: all}}\n"
      "      |                                             ^~~~~~~~~~\n"
      "broker.yaml:4:61: error: unknown key \"aply_to\" in policy \"p\"; did you mean "
      "\"apply_to\"? [RAIL-E004]\n"
      "    4 |     policies: {p: {pattern: a, definition: {max-lenght: 5}, aply_to: all}}\n"
      "      |                                                             ^~~~~~~\n"
      "2 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    policies: {p: {apply_to: all}}\n",
      "broker.yaml:4:16: error: a policy must have the key \"pattern\" [RAIL-E013]\n"
      "    4 |     policies: {p: {apply_to: all}}\n"
      "      |                ^\n"
      "broker.yaml:4:16: error: a policy must have the key \"definition\" [RAIL-E013]\n"
      "    4 |     policies: {p: {apply_to: all}}\n"
      "      |                ^\n"
      "2 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    operator_policies: {p: {pattern: a, definition: {overflow: drop-head}}}\n",
      "broker.yaml:4:54: error: unknown key \"overflow\" of operator policy \"p\" [RAIL-E004]\n"
      "    4 |     operator_policies: {p: {pattern: a, definition: {overflow: drop-head}}}\n"
      "      |                                                      ^~~~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "users: {a: {pasword: x, limits: {max-channel: 5}}}\n",
      "broker.yaml:2:13: error: unknown key \"pasword\" in user \"a\"; did you mean \"password\"? "
      "[RAIL-E004]\n"
      "    2 | users: {a: {pasword: x, limits: {max-channel: 5}}}\n"
      "      |             ^~~~~~~\n"
      "broker.yaml:2:34: error: unknown key \"max-channel\" in limits of user \"a\"; did you mean "
      "\"max-channels\"? [RAIL-E004]\n"
      "    2 | users: {a: {pasword: x, limits: {max-channel: 5}}}\n"
      "      |                                  ^~~~~~~~~~~\n"
      "2 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    permissions: {guest: {konfigure: a}}\n",
      "broker.yaml:4:27: error: unknown key \"konfigure\" in permission of user \"guest\"; did you "
      "mean \"configure\"? [RAIL-E004]\n"
      "    4 |     permissions: {guest: {konfigure: a}}\n"
      "      |                           ^~~~~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    parameters: {shovel: {}}\n",
      "broker.yaml:4:18: warning: parameters (shovels, federation) have no effect in this broker "
      "[RAIL-W105]\n"
      "    4 |     parameters: {shovel: {}}\n"
      "      |                  ^~~~~~\n"
      "1 warning\n" },
};

static const struct golden golden_values[] = {
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    exchanges: {x: {type: topik, durable: yes}}\n",
      "broker.yaml:4:27: error: type of exchange \"x\" must be one of direct, fanout, topic, "
      "headers, x-consistent-hash, x-delayed-message, x-random, got \"topik\" [RAIL-E021]\n"
      "    4 |     exchanges: {x: {type: topik, durable: yes}}\n"
      "      |                           ^~~~~\n"
      "broker.yaml:4:43: error: durable of exchange \"x\" must be true or false, got \"yes\" "
      "[RAIL-E021]\n"
      "    4 |     exchanges: {x: {type: topik, durable: yes}}\n"
      "      |                                           ^~~\n"
      "2 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {type: clasic}}\n",
      "broker.yaml:4:24: error: type of queue \"q\" must be one of classic, quorum, stream, got "
      "\"clasic\" [RAIL-E021]\n"
      "    4 |     queues: {q: {type: clasic}}\n"
      "      |                        ^~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {type: classic, arguments: {x-queue-type: quorum}}}\n",
      "broker.yaml:4:24: error: type of queue \"q\" is \"classic\", and x-queue-type is \"quorum\" "
      "[RAIL-E026]\n"
      "    4 |     queues: {q: {type: classic, arguments: {x-queue-type: quorum}}}\n"
      "      |                        ^~~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {type: quorum, durable: false}}\n",
      "broker.yaml:4:17: error: the broker refuses queue \"q\": PRECONDITION_FAILED - invalid "
      "property 'non-durable' for queue 'q' in vhost '/' [RAIL-E024]\n"
      "    4 |     queues: {q: {type: quorum, durable: false}}\n"
      "      |                 ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {type: quorum, arguments: {x-max-priority: 3}}}\n",
      "broker.yaml:4:43: error: the broker refuses queue \"q\": PRECONDITION_FAILED - invalid arg "
      "'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue [RAIL-E024]\n"
      "    4 |     queues: {q: {type: quorum, arguments: {x-max-priority: 3}}}\n"
      "      |                                           ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {type: stream}}\n",
      "broker.yaml:4:17: error: the broker refuses queue \"q\": PRECONDITION_FAILED - invalid arg "
      "'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type 'stream'\" [RAIL-E024]\n"
      "    4 |     queues: {q: {type: stream}}\n"
      "      |                 ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: {x-dead-letter-routing-key: a}}}\n",
      "broker.yaml:4:29: error: the broker refuses queue \"q\": PRECONDITION_FAILED - invalid arg "
      "'x-dead-letter-routing-key' for queue 'q' in vhost '/': routing_key_but_no_dlx_defined "
      "[RAIL-E024]\n"
      "    4 |     queues: {q: {arguments: {x-dead-letter-routing-key: a}}}\n"
      "      |                             ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {state: gone, replace: maybe}}\n",
      "broker.yaml:4:25: error: state must be present or absent, got \"gone\" [RAIL-E021]\n"
      "    4 |     queues: {q: {state: gone, replace: maybe}}\n"
      "      |                         ^~~~\n"
      "broker.yaml:4:40: error: replace must be deny or allow, got \"maybe\" [RAIL-E021]\n"
      "    4 |     queues: {q: {state: gone, replace: maybe}}\n"
      "      |                                        ^~~~~\n"
      "2 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: {x-message-ttl: soon, x-expires: 0, x-max-length: -1, "
      "x-max-length-bytes: 2 gigs}}}\n",
      "broker.yaml:4:45: error: x-message-ttl of queue \"q\" must be a duration, got \"soon\" "
      "[RAIL-E021]\n"
      "    4 |     queues: {q: {arguments: {x-message-ttl: soon, x-expires: 0, x-max-length: -1, "
      "x-max-length-bytes...\n"
      "      |                                             ^~~~\n"
      "   = hint: write 1500 (milliseconds), 500ms, 30s, 10min, 24h or 7d\n"
      "broker.yaml:4:62: error: x-expires of queue \"q\" must be between 1 and 315360000000, got "
      "\"0\" [RAIL-E022]\n"
      "    4 |     queues: {q: {arguments: {x-message-ttl: soon, x-expires: 0, x-max-length: -1, "
      "x-max-length-bytes...\n"
      "      |                                                              ^\n"
      "broker.yaml:4:79: error: x-max-length of queue \"q\" must be between 0 and "
      "9223372036854775807, got \"-1\" [RAIL-E022]\n"
      "    4 |     queues: {q: {arguments: {x-message-ttl: soon, x-expires: 0, x-max-length: -1, "
      "x-max-length-bytes...\n"
      "      |                                                                               ^~\n"
      "broker.yaml:4:103: error: x-max-length-bytes of queue \"q\" must be a size, got \"2 gigs\" "
      "[RAIL-E021]\n"
      "    4 | ...: soon, x-expires: 0, x-max-length: -1, x-max-length-bytes: 2 gigs}}}\n"
      "      |                                                                ^~~~~~\n"
      "   = hint: write 2GiB (1024-based) or 2GB (1000-based)\n"
      "4 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: {x-max-priority: 256, x-overflow: drop, "
      "x-single-active-consumer: 1}}}\n",
      "broker.yaml:4:46: error: x-max-priority of queue \"q\" must be between 0 and 255, got "
      "\"256\" [RAIL-E022]\n"
      "    4 |     queues: {q: {arguments: {x-max-priority: 256, x-overflow: drop, "
      "x-single-active-consumer: 1}}}\n"
      "      |                                              ^~~\n"
      "broker.yaml:4:63: error: x-overflow of queue \"q\" must be one of drop-head, "
      "reject-publish, reject-publish-dlx, got \"drop\" [RAIL-E021]\n"
      "    4 |     queues: {q: {arguments: {x-max-priority: 256, x-overflow: drop, "
      "x-single-active-consumer: 1}}}\n"
      "      |                                                               ^~~~\n"
      "broker.yaml:4:95: error: x-single-active-consumer of queue \"q\" must be true or false, got "
      "\"1\" [RAIL-E021]\n"
      "    4 |     queues: {q: {arguments: {x-max-priority: 256, x-overflow: drop, "
      "x-single-active-consumer: 1}}}\n"
      "      |                                                                                     "
      "          ^\n"
      "3 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: {x-max-length: \"${env:RAIL_TEST_UNSET}\", x-overflow: "
      "\"${env:HOME}\"}}}\n",
      "broker.yaml:4:44: error: environment variable RAIL_TEST_UNSET is not set [RAIL-E007]\n"
      "    4 |     queues: {q: {arguments: {x-max-length: \"${env:RAIL_TEST_UNSET}\", x-overflow: "
      "\"${env:HOME}\"}}}\n"
      "      |                                            ^~~~~~~~~~~~~~~~~~~~~~~~\n"
      "broker.yaml:4:82: error: x-overflow of queue \"q\" must be one of drop-head, "
      "reject-publish, reject-publish-dlx, got the value of \"${env:HOME}\" [RAIL-E021]\n"
      "    4 |     queues: {q: {arguments: {x-max-length: \"${env:RAIL_TEST_UNSET}\", x-overflow: "
      "\"${env:HOME}\"}}}\n"
      "      |                                                                                  "
      "^~~~~~~~~~~~~\n"
      "2 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: {x-mesage-ttl: 5, x-mine: 5}}}\n",
      "broker.yaml:4:30: warning: argument \"x-mesage-ttl\" of queue \"q\" has no effect; did you "
      "mean \"x-message-ttl\"? [RAIL-W105]\n"
      "    4 |     queues: {q: {arguments: {x-mesage-ttl: 5, x-mine: 5}}}\n"
      "      |                              ^~~~~~~~~~~~\n"
      "1 warning\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: {a: {\"@tag\": \"T\", \"@octets\": \"00\"}, b: {\"@tag\": "
      "\"TT\"}, c: {\"@tag\": \"S\", \"@octets\": \"0g\"}}}}\n",
      "broker.yaml:4:33: error: a of queue \"q\" must be a field with tag and octets, got a "
      "mapping [RAIL-E021]\n"
      "    4 |     queues: {q: {arguments: {a: {\"@tag\": \"T\", \"@octets\": \"00\"}, b: "
      "{\"@tag\": \"TT\"}, c: {\"@tag\": \"S\", ...\n"
      "      |                                 ^\n"
      "   = hint: write {\"@tag\": \"T\", \"@octets\": \"000000006553f100\"}\n"
      "broker.yaml:4:68: error: b of queue \"q\" must be a field with tag and octets, got a "
      "mapping [RAIL-E021]\n"
      "    4 |     queues: {q: {arguments: {a: {\"@tag\": \"T\", \"@octets\": \"00\"}, b: "
      "{\"@tag\": \"TT\"}, c: {\"@tag\": \"S\", ...\n"
      "      |                                                                    ^\n"
      "   = hint: write {\"@tag\": \"T\", \"@octets\": \"000000006553f100\"}\n"
      "broker.yaml:4:87: error: c of queue \"q\" must be a field with tag and octets, got a "
      "mapping [RAIL-E021]\n"
      "    4 |     queues: {q: {arguments: {a: {\"@tag\": \"T\", \"@octets\": \"00\"}, b: "
      "{\"@tag\": \"TT\"}, c: {\"@tag\": \"S\", ...\n"
      "      |                                                                                     "
      "  ^\n"
      "   = hint: write {\"@tag\": \"T\", \"@octets\": \"000000006553f100\"}\n"
      "3 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    exchanges: {x: {type: x-delayed-message}}\n",
      "broker.yaml:4:20: error: the broker refuses exchange \"x\": PRECONDITION_FAILED - Invalid "
      "argument, 'x-delayed-type' must be an existing exchange type [RAIL-E024]\n"
      "    4 |     exchanges: {x: {type: x-delayed-message}}\n"
      "      |                    ^\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    policies: {p: {pattern: \"a(\", priority: high, apply_to: everything, definition: "
      "{ha-mode: all, max-length: many}}}\n",
      "broker.yaml:4:29: error: pattern of policy \"p\" must be a regular expression: missing "
      "closing parenthesis at character 3, got \"a(\" [RAIL-E023]\n"
      "    4 |     policies: {p: {pattern: \"a(\", priority: high, apply_to: everything, "
      "definition: {ha-mode: all, m...\n"
      "      |                             ^~~~\n"
      "broker.yaml:4:45: error: priority of policy \"p\" must be a whole number, got \"high\" "
      "[RAIL-E021]\n"
      "    4 |     policies: {p: {pattern: \"a(\", priority: high, apply_to: everything, "
      "definition: {ha-mode: all, m...\n"
      "      |                                             ^~~~\n"
      "broker.yaml:4:61: error: apply_to of policy \"p\" must be one of all, queues, exchanges, "
      "classic_queues, quorum_queues, streams, got \"everything\" [RAIL-E021]\n"
      "    4 |     policies: {p: {pattern: \"a(\", priority: high, apply_to: everything, "
      "definition: {ha-mode: all, m...\n"
      "      |                                                             ^~~~~~~~~~\n"
      "broker.yaml:4:95: warning: ha-mode of policy \"p\" has no effect in this broker "
      "[RAIL-W105]\n"
      "    4 |     policies: {p: {pattern: \"a(\", priority: high, apply_to: everything, "
      "definition: {ha-mode: all, m...\n"
      "      |                                                                                     "
      "          ^~~\n"
      "broker.yaml:4:112: error: max-length of policy \"p\" must be a whole number, got \"many\" "
      "[RAIL-E021]\n"
      "    4 | ...pply_to: everything, definition: {ha-mode: all, max-length: many}}}\n"
      "      |                                                                ^~~~\n"
      "4 errors, 1 warning\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    permissions: {guest: {read: \"[\"}}\n",
      "broker.yaml:4:33: error: read of permission of user \"guest\" must be a regular expression: "
      "missing terminating ] for character class at character 2, got \"[\" [RAIL-E023]\n"
      "    4 |     permissions: {guest: {read: \"[\"}}\n"
      "      |                                 ^~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    default_queue_type: fast\n"
      "    description: \"a\\tb\"\n"
      "    tags: [\"a\\tb\"]\n"
      "    limits: {max-queues: 1.5}\n",
      "broker.yaml:4:25: error: default_queue_type of vhost \"/\" must be one of classic, quorum, "
      "stream, got \"fast\" [RAIL-E021]\n"
      "    4 |     default_queue_type: fast\n"
      "      |                         ^~~~\n"
      "broker.yaml:5:18: error: description of vhost \"/\" must be text without control "
      "characters, got \"a\\x09b\" [RAIL-E021]\n"
      "    5 |     description: \"a\\tb\"\n"
      "      |                  ^~~~~~\n"
      "broker.yaml:6:12: error: tags of vhost \"/\" must be text without control characters, got "
      "\"a\\x09b\" [RAIL-E021]\n"
      "    6 |     tags: [\"a\\tb\"]\n"
      "      |            ^~~~~~\n"
      "broker.yaml:7:26: error: limits.max-queues of vhost \"/\" must be a whole number, got "
      "\"1.5\" [RAIL-E021]\n"
      "    7 |     limits: {max-queues: 1.5}\n"
      "      |                          ^~~\n"
      "4 errors\n" },
    { "version: 1\n"
      "users: {a: {password: x, password_hash: {sha256: "
      "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}}\n",
      "broker.yaml:2:41: error: user \"a\" has password or password_hash, not both [RAIL-E026]\n"
      "    2 | users: {a: {password: x, password_hash: {sha256: "
      "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}...\n"
      "      |                                         ^\n"
      "1 error\n" },
    { "version: 1\n"
      "users: {a: {password_hash: {md5: x}}, b: {password_hash: short}, c: {password_hash: "
      "{sha512: short}}}\n",
      "broker.yaml:2:28: error: password_hash of user \"a\" must be a mapping of sha256 or sha512 "
      "to a hash in base64, got a mapping [RAIL-E021]\n"
      "    2 | users: {a: {password_hash: {md5: x}}, b: {password_hash: short}, c: {password_hash: "
      "{sha512: short}}...\n"
      "      |                            ^\n"
      "   = hint: write password_hash: {sha256: \"...\"}\n"
      "broker.yaml:2:58: error: password_hash of user \"b\" must be 48 characters of base64 "
      "[RAIL-E021]\n"
      "    2 | users: {a: {password_hash: {md5: x}}, b: {password_hash: short}, c: {password_hash: "
      "{sha512: short}}...\n"
      "      |                                                          ^~~~~\n"
      "   = hint: it is the base64 of 4 octets of salt and the digest of salt and password\n"
      "broker.yaml:2:94: error: password_hash of user \"c\" must be 92 characters of base64 "
      "[RAIL-E021]\n"
      "    2 | users: {a: {password_hash: {md5: x}}, b: {password_hash: short}, c: {password_hash: "
      "{sha512: short}}...\n"
      "      |                                                                                     "
      "         ^~~~~\n"
      "   = hint: it is the base64 of 4 octets of salt and the digest of salt and password\n"
      "3 errors\n" },
    { "version: 1\n"
      "users: {a: {password: \"${env:RAIL_TEST_UNSET}\"}}\n",
      "broker.yaml:2:23: error: environment variable RAIL_TEST_UNSET is not set [RAIL-E007]\n"
      "    2 | users: {a: {password: \"${env:RAIL_TEST_UNSET}\"}}\n"
      "      |                       ^~~~~~~~~~~~~~~~~~~~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "users: {a: {password: \"a\\tb\"}}\n",
      "broker.yaml:2:23: error: password of user \"a\" must be text without control characters "
      "[RAIL-E021]\n"
      "    2 | users: {a: {password: \"a\\tb\"}}\n"
      "      |                       ^~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "apply: {on_start: yes, prune: some, delete_queues: no, on_conflict: x}\n",
      "broker.yaml:2:19: error: apply.on_start must be false or true, got \"yes\" [RAIL-E021]\n"
      "    2 | apply: {on_start: yes, prune: some, delete_queues: no, on_conflict: x}\n"
      "      |                   ^~~\n"
      "broker.yaml:2:31: error: apply.prune must be one of none, owned, all, got \"some\" "
      "[RAIL-E021]\n"
      "    2 | apply: {on_start: yes, prune: some, delete_queues: no, on_conflict: x}\n"
      "      |                               ^~~~\n"
      "broker.yaml:2:52: error: apply.delete_queues must be one of never, if-empty, always, got "
      "\"no\" [RAIL-E021]\n"
      "    2 | apply: {on_start: yes, prune: some, delete_queues: no, on_conflict: x}\n"
      "      |                                                    ^~\n"
      "broker.yaml:2:69: error: apply.on_conflict must be fail or replace, got \"x\" [RAIL-E021]\n"
      "    2 | apply: {on_start: yes, prune: some, delete_queues: no, on_conflict: x}\n"
      "      |                                                                     ^\n"
      "4 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{from: amq.headers, arguments: {x-match: some}}]}}\n",
      "broker.yaml:4:70: error: x-match of a binding of queue \"q\" must be one of all, any, "
      "all-with-x, any-with-x, got \"some\" [RAIL-E021]\n"
      "    4 |     queues: {q: {bindings: [{from: amq.headers, arguments: {x-match: some}}]}}\n"
      "      |                                                                      ^~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{from: amq.topic, key: a, keys: [b]}]}}\n",
      "broker.yaml:4:61: error: a binding has key or keys, not both [RAIL-E026]\n"
      "    4 |     queues: {q: {bindings: [{from: amq.topic, key: a, keys: [b]}]}}\n"
      "      |                                                             ^\n"
      "1 error\n" },
    { "version: 1\n"
      "apply: {prune: [a]}\n",
      "broker.yaml:2:16: error: apply.prune must be one of none, owned, all, got a list "
      "[RAIL-E021]\n"
      "    2 | apply: {prune: [a]}\n"
      "      |                ^\n"
      "1 error\n" },
};

static const struct golden golden_names[] = {
    { "version: 1\n"
      "vhosts: {\"\": {}}\n",
      "broker.yaml:2:10: error: the name of a vhost is empty [RAIL-E025]\n"
      "    2 | vhosts: {\"\": {}}\n"
      "      |          ^~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {\"\": {}, amq.q: {}, "
      "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": {}}\n",
      "broker.yaml:4:14: error: the name of a queue is empty [RAIL-E025]\n"
      "    4 |     queues: {\"\": {}, amq.q: {}, "
      "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\n"
      "      |              ^~\n"
      "broker.yaml:4:22: error: queue names that begin with \"amq.\" are reserved [RAIL-E025]\n"
      "    4 |     queues: {\"\": {}, amq.q: {}, "
      "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\n"
      "      |                      ^~~~~\n"
      "   = hint: choose another name; the exchanges amq.direct, amq.topic and so on are always "
      "there\n"
      "broker.yaml:4:33: error: the name of a queue must be at most 255 octets long, it has 256 "
      "[RAIL-E025]\n"
      "    4 |     queues: {\"\": {}, amq.q: {}, "
      "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\n"
      "      |                                 "
      "^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
      "3 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    exchanges: {amq.mine: {}}\n",
      "broker.yaml:4:17: error: exchange names that begin with \"amq.\" are reserved [RAIL-E025]\n"
      "    4 |     exchanges: {amq.mine: {}}\n"
      "      |                 ^~~~~~~~\n"
      "   = hint: choose another name; the exchanges amq.direct, amq.topic and so on are always "
      "there\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{from: amq.topic, key: "
      "\"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
      "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
      "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\"}]}}\n",
      "broker.yaml:4:52: error: a routing key must be at most 255 octets long, it has 256 "
      "[RAIL-E025]\n"
      "    4 |     queues: {q: {bindings: [{from: amq.topic, key: "
      "\"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk...\n"
      "      |                                                    "
      "^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: "
      "{\"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
      "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
      "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\": 1}}}\n",
      "broker.yaml:4:30: error: the name of an argument of queue \"q\" is longer than 255 octets "
      "[RAIL-E025]\n"
      "    4 |     queues: {q: {arguments: "
      "{\"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...\n"
      "      |                              "
      "^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues:\n"
      "      q:\n"
      "        bindings:\n"
      "          - {from: amq.topic, keys: [a, a]}\n",
      "broker.yaml:7:41: error: binding of queue \"q\" to exchange \"amq.topic\" with key \"a\" in "
      "vhost \"/\" is written twice [RAIL-E003]\n"
      "    7 |           - {from: amq.topic, keys: [a, a]}\n"
      "      |                                         ^\n"
      "broker.yaml:7:38: note: first written here\n"
      "    7 |           - {from: amq.topic, keys: [a, a]}\n"
      "      |                                      ^\n"
      "1 error\n" },
};

static const struct golden golden_lint[] = {
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    exchanges: {orders: {type: topic}}\n"
      "    queues: {q: {bindings: [{from: order}]}}\n",
      "broker.yaml:5:36: error: queue \"q\" binds from unknown exchange \"order\" in vhost \"/\"; "
      "did you mean \"orders\"? [RAIL-E034]\n"
      "    5 |     queues: {q: {bindings: [{from: order}]}}\n"
      "      |                                    ^~~~~\n"
      "   = hint: declare the exchange in the file, too, also if a program declares it\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{from: nowhere}]}}\n",
      "broker.yaml:4:36: error: queue \"q\" binds from unknown exchange \"nowhere\" in vhost \"/\" "
      "[RAIL-E034]\n"
      "    4 |     queues: {q: {bindings: [{from: nowhere}]}}\n"
      "      |                                    ^~~~~~~\n"
      "   = hint: declare the exchange in the file, too, also if a program declares it\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {bindings: [{from: \"\"}]}}\n",
      "broker.yaml:4:36: error: queue \"q\" cannot be bound to the default exchange [RAIL-E021]\n"
      "    4 |     queues: {q: {bindings: [{from: \"\"}]}}\n"
      "      |                                    ^~\n"
      "   = hint: every queue is bound to it by its name already\n"
      "1 error\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    permissions: {bob: {read: a}}\n"
      "    topic_permissions: {bob: {amq.topic: {read: a}}}\n",
      "broker.yaml:4:19: error: permissions in vhost \"/\" for unknown user \"bob\" [RAIL-E034]\n"
      "    4 |     permissions: {bob: {read: a}}\n"
      "      |                   ^~~\n"
      "   = hint: declare the user in the file, under users\n"
      "broker.yaml:5:31: error: permissions in vhost \"/\" for unknown user \"bob\" [RAIL-E034]\n"
      "    5 |     topic_permissions: {bob: {amq.topic: {read: a}}}\n"
      "      |                               ^~~~~~~~~\n"
      "   = hint: declare the user in the file, under users\n"
      "2 errors\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    exchanges: {x: {arguments: {alternate-exchange: y}}}\n",
      "broker.yaml:4:17: warning: exchange \"x\" has as alternate unknown exchange \"y\" in vhost "
      "\"/\" [RAIL-W101]\n"
      "    4 |     exchanges: {x: {arguments: {alternate-exchange: y}}}\n"
      "      |                 ^\n"
      "   = hint: messages that lead nowhere are dropped until it exists\n"
      "1 warning\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: {x-dead-letter-exchange: dlx}}}\n",
      "broker.yaml:4:14: warning: queue \"q\" sends dead letters to unknown exchange \"dlx\" in "
      "vhost \"/\" [RAIL-W102]\n"
      "    4 |     queues: {q: {arguments: {x-dead-letter-exchange: dlx}}}\n"
      "      |              ^\n"
      "   = hint: dead letters are dropped until it exists\n"
      "1 warning\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues: {q: {arguments: {x-dead-letter-exchange: \"\", x-dead-letter-routing-key: "
      "r}}}\n",
      "broker.yaml:4:14: warning: queue \"q\" sends dead letters to unknown queue \"r\" in vhost "
      "\"/\" [RAIL-W102]\n"
      "    4 |     queues: {q: {arguments: {x-dead-letter-exchange: \"\", "
      "x-dead-letter-routing-key: r}}}\n"
      "      |              ^\n"
      "   = hint: dead letters are dropped until it exists\n"
      "1 warning\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    queues:\n"
      "      a: {arguments: {x-message-ttl: 1s, x-dead-letter-exchange: \"\", "
      "x-dead-letter-routing-key: b}}\n"
      "      b: {arguments: {x-max-length: 5, x-dead-letter-exchange: \"\", "
      "x-dead-letter-routing-key: a}}\n",
      "broker.yaml:5:7: warning: dead letters of queue \"a\" come back to it without anybody's "
      "rejecting them [RAIL-W103]\n"
      "    5 |       a: {arguments: {x-message-ttl: 1s, x-dead-letter-exchange: \"\", "
      "x-dead-letter-routing-key: b}}\n"
      "      |       ^\n"
      "   = hint: a message is dropped when it comes to a queue for the second time\n"
      "broker.yaml:6:7: warning: dead letters of queue \"b\" come back to it without anybody's "
      "rejecting them [RAIL-W103]\n"
      "    6 |       b: {arguments: {x-max-length: 5, x-dead-letter-exchange: \"\", "
      "x-dead-letter-routing-key: a}}\n"
      "      |       ^\n"
      "   = hint: a message is dropped when it comes to a queue for the second time\n"
      "2 warnings\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    exchanges: {x: {type: fanout}}\n"
      "    queues:\n"
      "      a: {arguments: {x-message-ttl: 1s, x-dead-letter-exchange: x}, bindings: [{from: "
      "x}]}\n",
      "broker.yaml:6:7: warning: dead letters of queue \"a\" come back to it without anybody's "
      "rejecting them [RAIL-W103]\n"
      "    6 |       a: {arguments: {x-message-ttl: 1s, x-dead-letter-exchange: x}, bindings: "
      "[{from: x}]}\n"
      "      |       ^\n"
      "   = hint: a message is dropped when it comes to a queue for the second time\n"
      "1 warning\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    exchanges: {x: {internal: true}}\n"
      "    queues: {q: {bindings: [{from: x}]}}\n",
      "broker.yaml:5:14: warning: queue \"q\" is bound to internal exchanges only, and nothing "
      "leads to these [RAIL-W104]\n"
      "    5 |     queues: {q: {bindings: [{from: x}]}}\n"
      "      |              ^\n"
      "   = hint: bind the internal exchange to another one, or set internal: false\n"
      "1 warning\n" },
    { "version: 1\n"
      "vhosts:\n"
      "  /:\n"
      "    exchanges: {x: {state: absent}}\n"
      "    queues: {q: {bindings: [{from: x}]}, p: {state: absent, bindings: [{from: "
      "amq.topic}]}}\n",
      "broker.yaml:5:36: error: queue \"q\" binds from unknown exchange \"x\" in vhost \"/\" "
      "[RAIL-E034]\n"
      "    5 |     queues: {q: {bindings: [{from: x}]}, p: {state: absent, bindings: [{from: "
      "amq.topic}]}}\n"
      "      |                                    ^\n"
      "   = hint: declare the exchange in the file, too, also if a program declares it\n"
      "broker.yaml:5:79: error: a binding leads to unknown queue \"p\" in vhost \"/\" [RAIL-E034]\n"
      "    5 |     queues: {q: {bindings: [{from: x}]}, p: {state: absent, bindings: [{from: "
      "amq.topic}]}}\n"
      "      |                                                                               "
      "^~~~~~~~~\n"
      "2 errors\n" },
};

#endif
