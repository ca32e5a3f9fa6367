#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

/*
 * The interface of a fuzz target: one function that takes any octets, checks what must hold for
 * all of them with ASSERT, and leaves nothing behind. libFuzzer calls it, or replay_main.c.
 */

#include <stddef.h>
#include <stdint.h>

/* Always 0. The octets belong to the caller. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
