#ifndef BROKER_CLI_CERTS_H
#define BROKER_CLI_CERTS_H

/* `railmq certs`: certificates to begin with. One thread. */

/* argv[0] is "certs". Returns the exit status. */
int certs_main(int argc, char **argv);

#endif
