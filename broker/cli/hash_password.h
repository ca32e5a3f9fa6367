#ifndef BROKER_CLI_HASH_PASSWORD_H
#define BROKER_CLI_HASH_PASSWORD_H

/* railmq hash-password: reads a password, and prints what goes into a configuration file. Returns
 * an exit status. One thread. */
int hash_password_main(int argc, char **argv);

#endif
