#ifndef BROKER_CORE_MEMORY_TOTAL_H
#define BROKER_CORE_MEMORY_TOTAL_H

/*
 * How much memory this process may use: the tightest limit of its control groups (version 2, or
 * version 1), and never more than the machine has. Reads /proc and /sys; nothing is cached. Any
 * thread.
 */

#include <stdint.h>

/* In octets; never 0. */
uint64_t memory_total_bytes(void);

/* The same with other places for /proc/self/cgroup and /sys/fs/cgroup, for tests. UINT64_MAX if no
 * control group limits the memory. */
uint64_t memory_cgroup_limit(const char *cgroup_file, const char *cgroup_root);

#endif
