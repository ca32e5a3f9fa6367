#include "broker/session/resources.h"

#include <dirent.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

static uint64_t
read_resident(void)
{
    unsigned long long size = 0;
    unsigned long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t
count_descriptors(void)
{
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return 0;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count > 3 ? count - 3 : 0; /* Not ".", "..", and the one that reads. */
}

void
resources_read(const char *data_dir, struct resources *out)
{
    struct statvfs disk;
    struct rlimit limit;
    struct rusage usage;
    *out = (struct resources){ .resident = read_resident(), .descriptors = count_descriptors() };
    if (statvfs(data_dir, &disk) == 0) {
        out->disk_free = (uint64_t)disk.f_bavail * disk.f_frsize;
        out->disk_total = (uint64_t)disk.f_blocks * disk.f_frsize;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        out->descriptors_max = limit.rlim_cur;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        out->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Segments that were never writable hold what is in the file and nothing else. */
static int
forget_segments(struct dl_phdr_info *object, size_t size, void *context)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)size;
    (void)context;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W)
            continue;
        const uintptr_t from = (object->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        const uintptr_t to = object->dlpi_addr + segment->p_vaddr + segment->p_filesz;
        madvise((void *)from, to - from, MADV_DONTNEED); /* If it fails they stay. */
    }
    return 0;
}

void
resources_forget_start(void)
{
    dl_iterate_phdr(forget_segments, NULL);
}
