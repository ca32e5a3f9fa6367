#ifndef BROKER_CLI_SCHEMA_H
#define BROKER_CLI_SCHEMA_H

/* `railmq schema`. Gets its own name as argv[0] and returns the exit status. */
int schema_main(int argc, char **argv);

#endif
