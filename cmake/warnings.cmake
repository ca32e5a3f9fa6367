# The warning set of the house: -Wconversion is the bug detector of a wire parser, so it is on from
# the first line of code. Errors only in presets, so that packagers with other compilers can build.
set(RAIL_WARNINGS
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wundef -Wformat=2 -Wcast-qual -Wwrite-strings -Wswitch-enum
    -Wimplicit-fallthrough -Wnull-dereference -fno-common)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  list(APPEND RAIL_WARNINGS -Wthread-safety)
endif()
if(RAIL_WERROR)
  list(APPEND RAIL_WARNINGS -Werror)
endif()

set(RAIL_HARDENING -fstack-protector-strong)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  list(APPEND RAIL_HARDENING -D_FORTIFY_SOURCE=2)
endif()

set(RAIL_SANITIZE_FLAGS "")
if(RAIL_SANITIZE)
  set(RAIL_SANITIZE_FLAGS -fsanitize=${RAIL_SANITIZE} -fno-sanitize-recover=all)
  if(RAIL_JEMALLOC)
    message(FATAL_ERROR "RAIL_JEMALLOC and RAIL_SANITIZE exclude each other: the sanitizers bring their own allocator")
  endif()
endif()
if(RAIL_FUZZ)
  list(APPEND RAIL_SANITIZE_FLAGS -fsanitize=fuzzer-no-link)
endif()
