#ifndef BROKER_CLI_ADMIN_COMMANDS_H
#define BROKER_CLI_ADMIN_COMMANDS_H

/* `railmq status` and `railmq list-...`: what a running broker says of itself through its control
 * socket. One thread. */

/* argv[0] is "status". Returns the exit status. */
int status_main(int argc, char **argv);

/* argv[0] is "list-queues" and so on; the listings are a table in broker/session/listings.h. */
int list_main(int argc, char **argv);

#endif
