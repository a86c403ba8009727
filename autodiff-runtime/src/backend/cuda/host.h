// What the printed text finds on a card, for a C compiler: a block's threads are fibers that run one after the other and
// change at every barrier, in a direction that the caller chooses (results must not depend on it). Each fiber has a stack
// of its own, made once; they change by long jumps, which need no call of the system.

#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(n)
#define KERNEL static
#define HOST_CALL(name, ...) \
    void call_##name(void **a) { name(__VA_ARGS__); }

typedef struct { unsigned x, y, z; } place3;
static place3 threadIdx, blockIdx, gridDim;

enum { MOST = 256, STACK = 96 << 10 };
static ucontext_t first[MOST], origin;
static jmp_buf fibers[MOST], scheduler;
static char *stacks[MOST];
static volatile int waiting[MOST], done[MOST];
static volatile double shuffled[MOST];
static volatile int voted[MOST];
static void (*work)(void **);
static void **parameters;

static void jump(void) {
    if (!_setjmp(fibers[threadIdx.x])) _longjmp(scheduler, 1);
}
// By way of pointers that the compiler cannot see through: whatever another fiber may have written is read again.
static void (*volatile leave)(void) = jump;
static void barrier(int line) {
    waiting[threadIdx.x] = line;
    leave();
    __asm__ volatile("" ::: "memory");
}
static void fiber(void) {
    leave();
    for (;;) {
        work(parameters);
        done[threadIdx.x] = 1;
        leave();
    }
}
static void enter(unsigned t) {
    threadIdx.x = t;
    if (_setjmp(scheduler)) return;
    if (stacks[t]) _longjmp(fibers[t], 1);
    stacks[t] = malloc(STACK);
    getcontext(&first[t]);
    first[t].uc_stack.ss_sp = stacks[t];
    first[t].uc_stack.ss_size = STACK;
    first[t].uc_link = &origin;
    makecontext(&first[t], fiber, 0);
    setcontext(&first[t]);
}

static void (*volatile resume)(unsigned) = enter;

// Runs a kernel; 0, or the line of a barrier that not all threads of a block reached.
int run_grid(void (*call)(void **), void **a, unsigned gx, unsigned gy, unsigned block, int backwards) {
    work = call;
    parameters = a;
    gridDim.x = gx; gridDim.y = gy; gridDim.z = 1;
    for (unsigned t = 0; t < block; ++t) if (!stacks[t]) resume(t);
    for (unsigned b = 0; b < gx * gy; ++b) {
        const unsigned at = backwards ? gx * gy - 1 - b : b;
        blockIdx.x = at % gx; blockIdx.y = at / gx;
        for (unsigned t = 0; t < block; ++t) done[t] = 0;
        for (unsigned left = block; left;) {
            int line = 0;
            for (unsigned i = 0; i < block; ++i) {
                const unsigned t = backwards ? block - 1 - i : i;
                if (done[t]) continue;
                resume(t);
                if (done[t]) { --left; continue; }
                if (line && line != waiting[t]) return waiting[t];
                line = waiting[t];
            }
        }
    }
    return 0;
}

#define __syncthreads() barrier(__LINE__)
#define __shfl_xor_sync(mask, v, o) ({                                                       \
    shuffled[threadIdx.x] = (double)(v);                                                      \
    barrier(__LINE__);                                                                        \
    const __typeof__(v) got = (__typeof__(v))shuffled[threadIdx.x ^ (o)];                     \
    barrier(__LINE__);                                                                        \
    got; })
#define __ballot_sync(mask, v) ({                                                            \
    voted[threadIdx.x] = (v) != 0;                                                            \
    barrier(__LINE__);                                                                        \
    unsigned all = 0;                                                                         \
    for (unsigned l = 0; l < 32; ++l) all |= (unsigned)voted[(threadIdx.x & ~31u) + l] << l;   \
    barrier(__LINE__);                                                                        \
    all; })
#define __popc __builtin_popcount
#define __dmul_rn(a, b) ((a) * (b))
#define __dadd_rn(a, b) ((a) + (b))
static inline unsigned long long __double_as_longlong(double x) { unsigned long long y; memcpy(&y, &x, 8); return y; }
static inline double __longlong_as_double(unsigned long long x) { double y; memcpy(&y, &x, 8); return y; }
