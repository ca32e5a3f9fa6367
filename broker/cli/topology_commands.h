#ifndef BROKER_CLI_TOPOLOGY_COMMANDS_H
#define BROKER_CLI_TOPOLOGY_COMMANDS_H

/*
 * `railmq plan`, `apply`, `export` and `import`: what exists as a file. They read and check files
 * themselves, so that ${...} and errors are the caller's, and ask the broker that runs on the data
 * directory for the rest. Plans and exports of a broker that does not run are made here, from its
 * store. Each gets its own name as argv[0] and returns the exit status.
 */

int plan_main(int argc, char **argv);
int apply_main(int argc, char **argv);
int export_main(int argc, char **argv);
int import_main(int argc, char **argv);

#endif
