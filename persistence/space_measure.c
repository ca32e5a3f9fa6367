/* The real file system: what is free on it, and what the store's log holds. */

#include "persistence/space.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* A log that is being written has room allocated behind its end. Files come and go meanwhile. */
static void
add_file(int directory, const char *name, struct space_reading *reading)
{
    struct stat status;
    const char *suffix = strrchr(name, '.');
    const bool is_log = suffix != NULL && strcmp(suffix, ".log") == 0;
    const bool is_table = suffix != NULL && strcmp(suffix, ".sst") == 0;
    if ((!is_log && !is_table) || fstatat(directory, name, &status, 0) != 0)
        return;
    const uint64_t size = (uint64_t)status.st_size;
    const uint64_t allocated = (uint64_t)status.st_blocks * 512u;
    if (is_table) {
        reading->tables += size;
        return;
    }
    reading->unflushed += size;
    if (allocated > size)
        reading->ahead += allocated - size;
    if (allocated > reading->log_file)
        reading->log_file = allocated;
}

bool
space_measure_directory(void *context, struct space_reading *reading)
{
    char path[4200];
    const char *directory = context;
    struct statvfs status;
    if (statvfs(directory, &status) != 0)
        return false;
    *reading = (struct space_reading){
        .total = (uint64_t)status.f_blocks * status.f_frsize,
        .free = (uint64_t)status.f_bavail * status.f_frsize,
    };
    snprintf(path, sizeof(path), "%s/store", directory);
    DIR *store = opendir(path);
    if (store == NULL)
        return true; /* There is none yet. */
    for (struct dirent *entry; (entry = readdir(store)) != NULL;)
        add_file(dirfd(store), entry->d_name, reading);
    closedir(store);
    return true;
}
