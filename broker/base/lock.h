#ifndef BROKER_BASE_LOCK_H
#define BROKER_BASE_LOCK_H

/*
 * Locks that clang's -Wthread-safety can see. Acquisition order, the only one allowed:
 *
 *     vhost topology (rwlock)  >  queue  >  effects list  >  outbox  >  mailbox
 *
 * Never two locks of the same kind at once. Nothing blocks while it holds one: no I/O, no waiting
 * for another thread's work. docs/THREADS.md tells which fields each protects.
 */

#include "broker/base/panic.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#ifdef __clang__
#define LOCK_ATTRIBUTE(x) __attribute__((x))
#else
#define LOCK_ATTRIBUTE(x)
#endif

#define CAPABILITY(name) LOCK_ATTRIBUTE(capability(name))
#define ACQUIRES(...) LOCK_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define ACQUIRES_SHARED(...) LOCK_ATTRIBUTE(acquire_shared_capability(__VA_ARGS__))
#define RELEASES(...) LOCK_ATTRIBUTE(release_capability(__VA_ARGS__))
#define RELEASES_SHARED(...) LOCK_ATTRIBUTE(release_shared_capability(__VA_ARGS__))
#define REQUIRES(...) LOCK_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) LOCK_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
#define UNCHECKED_LOCKING LOCK_ATTRIBUTE(no_thread_safety_analysis)

struct CAPABILITY("mutex") lock {
    pthread_mutex_t mutex;
};

struct CAPABILITY("rwlock") rwlock {
    pthread_rwlock_t rwlock;
};

static inline void
lock_init(struct lock *l)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    /* Holders are quick: spinning a little beats sleeping. */
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    const int error = pthread_mutex_init(&l->mutex, &attributes);
    ASSERT(error == 0);
    pthread_mutexattr_destroy(&attributes);
}

static inline void
lock_fini(struct lock *l)
{
    pthread_mutex_destroy(&l->mutex);
}

static inline void
lock_acquire(struct lock *l) ACQUIRES(*l) UNCHECKED_LOCKING
{
    const int error = pthread_mutex_lock(&l->mutex);
    ASSERT(error == 0);
}

static inline void
lock_release(struct lock *l) RELEASES(*l) UNCHECKED_LOCKING
{
    const int error = pthread_mutex_unlock(&l->mutex);
    ASSERT(error == 0);
}

/* A condition whose waits end by the monotonic clock. */
static inline void
cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* False when that moment has come. It may be centuries away: such a number of milliseconds is none
 * of nanoseconds. */
static inline bool
cond_wait_until_ms(pthread_cond_t *c, struct lock *l, uint64_t when_ms)
    REQUIRES(*l) UNCHECKED_LOCKING
{
    const struct timespec until = { (time_t)(when_ms / 1000u), (long)(when_ms % 1000u) * 1000000L };
    return pthread_cond_timedwait(c, &l->mutex, &until) == 0;
}

static inline bool
cond_wait_until_ns(pthread_cond_t *c, struct lock *l, uint64_t when_ns)
    REQUIRES(*l) UNCHECKED_LOCKING
{
    const struct timespec until = { (time_t)(when_ns / 1000000000u),
                                    (long)(when_ns % 1000000000u) };
    return pthread_cond_timedwait(c, &l->mutex, &until) == 0;
}

static inline void
rwlock_init(struct rwlock *l)
{
    /* Readers come all the time and never recursively: a writer must not starve. */
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    const int error = pthread_rwlock_init(&l->rwlock, &attributes);
    ASSERT(error == 0);
    pthread_rwlockattr_destroy(&attributes);
}

static inline void
rwlock_fini(struct rwlock *l)
{
    pthread_rwlock_destroy(&l->rwlock);
}

static inline void
rwlock_read(struct rwlock *l) ACQUIRES_SHARED(*l) UNCHECKED_LOCKING
{
    const int error = pthread_rwlock_rdlock(&l->rwlock);
    ASSERT(error == 0);
}

static inline void
rwlock_read_end(struct rwlock *l) RELEASES_SHARED(*l) UNCHECKED_LOCKING
{
    const int error = pthread_rwlock_unlock(&l->rwlock);
    ASSERT(error == 0);
}

static inline void
rwlock_write(struct rwlock *l) ACQUIRES(*l) UNCHECKED_LOCKING
{
    const int error = pthread_rwlock_wrlock(&l->rwlock);
    ASSERT(error == 0);
}

static inline void
rwlock_write_end(struct rwlock *l) RELEASES(*l) UNCHECKED_LOCKING
{
    const int error = pthread_rwlock_unlock(&l->rwlock);
    ASSERT(error == 0);
}

#endif
