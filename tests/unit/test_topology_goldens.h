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

#endif
