#ifndef BROKER_SESSION_RESOURCES_H
#define BROKER_SESSION_RESOURCES_H

/* What the process takes, and what there is, as the kernel tells it. Any thread. */

#include <stdint.h>

/* Octets, unless the name says otherwise. Zero for what cannot be read. */
struct resources {
    uint64_t resident;
    uint64_t disk_free; /* On the file system of the data directory, for us. */
    uint64_t disk_total;
    uint64_t descriptors;
    uint64_t descriptors_max;
    double cpu_seconds;
};

void resources_read(const char *data_dir, struct resources *out);

/* Unmaps the pages of programs and libraries that were looked at so far: most of them, the linker's
 * tables above all, only while the process started. What is used again comes back from the page
 * cache, without a read. */
void resources_forget_start(void);

#endif
