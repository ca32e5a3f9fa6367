#include "broker/control/socket_path.h"

#include "broker/control/control.h"

#include <fcntl.h>
#include <stdio.h>

int
socket_directory_open(const char *directory)
{
    return open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

struct sockaddr_un
socket_address(int directory)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory,
             CONTROL_SOCKET);
    return address;
}
