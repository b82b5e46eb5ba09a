// What attention.cu and attention_half.cu have in common.
#pragma once
#include "device.cuh"

// D rounded up to a multiple of 16, at most 128; columns behind D are zeros.
#ifndef HEAD
#define HEAD 64
#endif

constexpr int THREADS = 128;

// What a block works on: rows first .. first + count - 1 of the packed batch, in a sequence that is begin .. end - 1.
struct Unit {
    int first, count, begin, end;
};

__device__ __forceinline__ Unit unit_of(In<int> units, int rows) {
    int first = units[3 * blockIdx.x], begin = units[3 * blockIdx.x + 1], end = units[3 * blockIdx.x + 2];
    return {first, min(rows, end - first), begin, end};
}

// delta (N, T): the sum over the columns of dcontext * context. A warp has a row of (T, N, D).
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_delta(In<REAL> dcontext, In<REAL> context, Out<float> delta, int T, int N, int D) {
    int64 row = (int64)blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP;
    if (row >= (int64)T * N) return;  // a whole warp
    float sum = 0.0f;
    for (int d = threadIdx.x % WARP; d < D; d += WARP) sum += dcontext[row * D + d] * context[row * D + d];
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) delta.set(row % N * T + row / N, sum);
}
