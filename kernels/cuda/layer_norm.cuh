// Layer normalisation of one row, for layer_norm.cu and add_layer_norm.cu.
//
// Forward, a warp has a row. Its numbers are read from global memory once, into shared memory, and mean, variance and
// result are three walks over that copy. Lane l owns groups l, l + 32, ... of four columns, in every walk: what a lane
// reads from the copy it wrote itself, so no barrier is needed.
//
// Backward, a block has a strip of rows and a thread owns the same columns in each of them: PER groups of four. So the
// sums over rows (dgamma, dbeta, dbias) stay in the thread's registers, nobody meets anybody, and no atomics are needed.
// The sums over a row are taken by the whole block. Each strip writes its column sums to its own line of `partial`, and
// column_sums.cu adds the lines up in order: the same bits every time.
#pragma once
#include "device.cuh"

#ifndef PER
#define PER 1
#endif

// The warp's copy of a row, and what it does with it.
struct WarpRow {
    float* copy;
    int H, lane;

    __device__ __forceinline__ int groups() const { return (H + 3) / 4; }
    __device__ __forceinline__ bool whole() const { return H % 4 == 0; }

    // Keeps four columns and adds them to `total`; columns behind the end come as zeros and stay out of every sum.
    __device__ __forceinline__ void keep(int group, const Four& four, float& total) {
#pragma unroll
        for (int k = 0; k < 4; k++) {
            copy[4 * group + k] = four.x[k];
            total += four.x[k];
        }
    }
    // 1 / sqrt(var + eps). The squares are taken of what is left after subtracting the mean: sum(x^2) - H mean^2 would
    // be the difference of two large numbers.
    __device__ __forceinline__ float inverse_deviation(float mean, float eps) const {
        float squares = 0.0f;
        for (int g = lane; g < groups(); g += WARP) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                float centred = copy[4 * g + k] - mean;
                squares += 4 * g + k < H ? centred * centred : 0.0f;
            }
        }
        return 1.0f / sqrtf(warp_sum(squares) / (float)H + eps);
    }
    template <class T>
    __device__ __forceinline__ void write(Out<T> y, int64 at, float mean, float inv_std, In<float> gamma,
                                          In<float> beta) const {
        for (int g = lane; g < groups(); g += WARP) {
            int left = H - 4 * g;
            Four scale = gamma.four(4 * g, left, whole()), shift = beta.four(4 * g, left, whole()), result;
#pragma unroll
            for (int k = 0; k < 4; k++) {
                result.x[k] = (copy[4 * g + k] - mean) * inv_std * scale.x[k] + shift.x[k];
            }
            y.set_four(at + 4 * g, result, left, whole());
        }
    }
};

// Two sums over the block at once, as `block_sum`; `scratch` has room for two a warp.
__device__ __forceinline__ void block_sums(float& a, float& b, float* scratch) {
    a = warp_sum(a);
    b = warp_sum(b);
    if (threadIdx.x % WARP == 0) {
        scratch[2 * (threadIdx.x / WARP)] = a;
        scratch[2 * (threadIdx.x / WARP) + 1] = b;
    }
    __syncthreads();
    a = b = 0.0f;
    for (int w = 0; w < (int)blockDim.x / WARP; w++) {
        a += scratch[2 * w];
        b += scratch[2 * w + 1];
    }
}

// A thread's columns of the sums over rows.
struct ColumnSums {
    Four dgamma[PER], dbeta[PER];

    // From dy and x_hat of one row to the row's gradient, in place of x_hat; the row's part of the sums is added. All
    // threads of the block come here together. `scratch` alternates between rows, so that a fast warp writing the next
    // row's sums does not meet a slow one still reading this row's: two rows on, everybody has passed a barrier.
    __device__ __forceinline__ void row(const Four (&dy)[PER], Four (&x_hat)[PER], const Four (&gamma)[PER],
                                        float inv_std, int H, float* scratch) {
        float through_mean = 0.0f, through_var = 0.0f;
#pragma unroll
        for (int i = 0; i < PER; i++) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                dgamma[i].x[k] += dy[i].x[k] * x_hat[i].x[k];
                dbeta[i].x[k] += dy[i].x[k];
                float dx_hat = dy[i].x[k] * gamma[i].x[k];
                through_mean += dx_hat;
                through_var += dx_hat * x_hat[i].x[k];
            }
        }
        block_sums(through_mean, through_var, scratch);
        through_mean /= (float)H;
        through_var /= (float)H;
#pragma unroll
        for (int i = 0; i < PER; i++) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                float dx_hat = dy[i].x[k] * gamma[i].x[k];
                x_hat[i].x[k] = inv_std * (dx_hat - through_mean - x_hat[i].x[k] * through_var);
            }
        }
    }
};
