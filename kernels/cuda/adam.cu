// One step of Adam for all parameters of a model, and the global norm of their gradients, in a launch each.
//
// A model has hundreds of arrays, most of them small; a launch for each would be hundreds of launches of microseconds.
// So the arrays are cut into pieces of PIECE numbers, and a block has a piece. Two tables tell it which: `pieces` the
// array's number and where in it to begin, `arrays` the array's addresses and length. Pieces do not overlap, and a thread
// reads and writes the same numbers: nobody meets.
//
// Bound by memory: p, g, m, v are read once and p, m, v written once, 28 bytes a parameter. The factor of clipping is
// applied to g on its way in, and it comes from the GPU's own memory: the CPU never waits to learn it.
#include "device.cuh"

constexpr int PIECE = 4096;
constexpr int THREADS = 256;

struct Arrays {
    float *p, *m, *v;
    const float* g;
    int64 size;
};

// Line i of the table: p, g, m, v, size, and a row of `numbers` (see adam_step).
__device__ __forceinline__ Arrays arrays_of(In<int64> table, int i) {
    return {(float*)table[6 * i], (float*)table[6 * i + 2], (float*)table[6 * i + 3], (const float*)table[6 * i + 1],
            table[6 * i + 4]};
}

// partial[piece] = the sum of the squares of a piece of the gradients. The threads' parts are added in a fixed order.
extern "C" __global__ void __launch_bounds__(THREADS)
    sum_of_squares(In<int64> table, In<int> pieces, Out<float> partial) {
    SHARED_MEMORY(float, shared);
    Arrays a = arrays_of(table, pieces[2 * blockIdx.x]);
    int64 first = (int64)pieces[2 * blockIdx.x + 1] * PIECE, end = first + PIECE < a.size ? first + PIECE : a.size;
    In<float> g = {a.g};
    float sum = 0.0f;
    for (int64 i = first + threadIdx.x; i < end; i += THREADS) sum += g[i] * g[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) partial.set(blockIdx.x, sum);
}

// norm[0] = scale times the root of the sum of partial (n,); norm[1] = what gradients are to be multiplied with: scale
// times min(1, largest / (norm + 1e-6)), or NaN if the norm is not finite. One block; the sum in double precision.
extern "C" __global__ void __launch_bounds__(THREADS)
    norm_and_factor(In<float> partial, Out<float> norm, int n, float largest, In<float> scale) {
    SHARED_MEMORY(double, sums);
    double sum = 0.0;
    for (int i = threadIdx.x; i < n; i += THREADS) sum += partial[i];
    sums[threadIdx.x] = sum;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();  // what the other half holds is complete
        if ((int)threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) {
        float length = (float)sqrt(sums[0]) * scale[0];
        float factor = fminf(1.0f, largest / (length + 1e-6f)) * scale[0];
        norm.set(0, length);
        norm.set(1, length - length == 0.0f ? factor : NAN);
    }
}

// One step. numbers (rows, 9): what p is multiplied with (or with l2 the weight of p in the gradient), beta1, 1 - beta1,
// beta2, 1 - beta2, the root of v's bias correction, eps, the rate over m's bias correction, and l2. factor (1,): of the
// gradients; if it is NaN, nothing is stepped.
//
// Bias correction and rate depend on how many steps were taken, and a step that was left out is none. The CPU does not
// know of it yet: skipped (1,) is counted here. So it sends the numbers for each case, and an array's row of the table is
// the case that none was left out; the k-th row after it is for k.
extern "C" __global__ void __launch_bounds__(THREADS)
    adam_step(In<int64> table, In<int> pieces, In<float> numbers, In<float> factor, In<int> skipped) {
    float scale = factor[0];
    if (scale != scale) return;
    int which = pieces[2 * blockIdx.x];
    Arrays a = arrays_of(table, which);
    int64 first = (int64)pieces[2 * blockIdx.x + 1] * PIECE, end = first + PIECE < a.size ? first + PIECE : a.size;
    In<float> c = {numbers.data + 9 * (table[6 * which + 5] + skipped[0])}, g = {a.g};
    InOut<float> p = {a.p}, m = {a.m}, v = {a.v};
    float decay = c[0], beta1 = c[1], rest1 = c[2], beta2 = c[3], rest2 = c[4], root = c[5], eps = c[6], rate = c[7];
    bool l2 = c[8] != 0.0f;
    // a view into an array may begin anywhere; whole arrays begin at multiples of 16 bytes
    bool whole = ((int64)a.p | (int64)a.g | (int64)a.m | (int64)a.v) % 16 == 0;
    for (int64 i = first + 4 * threadIdx.x; i < end; i += 4 * THREADS) {
        int count = end - i < 4 ? (int)(end - i) : 4;
        bool quad = whole && count == 4;
        Four value = p.four(i, count, quad), grad = g.four(i, count, quad);
        Four mean = m.four(i, count, quad), square = v.four(i, count, quad);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            float gradient = grad.x[k] * scale;
            if (l2) {
                gradient += decay * value.x[k];
            } else {
                value.x[k] *= decay;
            }
            mean.x[k] = mean.x[k] * beta1 + rest1 * gradient;
            square.x[k] = square.x[k] * beta2 + rest2 * (gradient * gradient);
            value.x[k] -= rate * (mean.x[k] / (sqrtf(square.x[k]) / root + eps));
        }
        p.set_four(i, value, count, quad);
        m.set_four(i, mean, count, quad);
        v.set_four(i, square, count, quad);
    }
}
