#ifndef BROKER_CLI_STORE_H
#define BROKER_CLI_STORE_H

/* `railmq store`: commands about what a broker keeps on disk, running or stopped. One thread. */

/* argv[0] is "store". Returns the exit status. */
int store_main(int argc, char **argv);

#endif
