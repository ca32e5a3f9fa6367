#ifndef BROKER_PERF_PERF_H
#define BROKER_PERF_PERF_H

/*
 * `railmq perf`: a load generator for any AMQP 0-9-1 broker, with the option names of RabbitMQ
 * PerfTest. It shares its machine with the broker it measures, so it is built to be cheap: no
 * allocation and no clock reading a message, whole buffers a system call.
 *
 * Reading order: perf_options (what to do), perf_topology (queues and who uses which), perf_run
 * (phases of a run), perf_worker and perf_link (threads and sockets), perf_producer and
 * perf_consumer (the two hot loops), perf_report (what comes out).
 */

/* Runs one load test. argv[0] is the name of the subcommand. Returns the exit code of the process:
 * 0, 1 if the run failed, 64 if the command line is wrong. Blocks signals; call it from main. */
int perf_main(int argc, char **argv);

#endif
