// Softmax cross-entropy over a vocabulary, from the scores, never from probabilities:
//     loss of a row = ln(sum_k exp(x_k)) - x_label,    its gradient = softmax(x) - one-hot(label).
//
// A row is tens of thousands of numbers, so a block has a row. Maximum and sum are found in one walk: a thread keeps the
// largest score it has seen and the sum of exp(score - largest), and scales the sum when a larger one comes ("online
// softmax"); then the threads' pairs are joined, first in each warp, then across the warps. A second walk, whose reads
// come from the second-level cache, writes the gradient. Neighbouring threads read neighbouring numbers.
//
// No kernel asks the CPU how many rows count: `weigh_rows` finds 1 / that number on the GPU, where the others read it.
#include "device.cuh"

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / WARP;

// The largest score, and the sum of exp(score - top).
struct Mass {
    float top, sum;
};

__device__ __forceinline__ Mass joined(Mass a, Mass b) {
    float top = fmaxf(a.top, b.top);
    if (top == -INFINITY) return {top, a.sum + b.sum};  // nothing yet: -inf - -inf would be NaN
    return {top, a.sum * expf(a.top - top) + b.sum * expf(b.top - top)};
}

// The mass of a row of V scores, each plus its bias if there is one, known to all threads of the block.
template <bool biased>
__device__ __forceinline__ Mass row_mass(In<REAL> x, In<float> bias, int64 at, int V, float* scratch) {
    Mass mine = {-INFINITY, 0.0f};
    for (int c = threadIdx.x; c < V; c += THREADS) {
        float score = x[at + c] + (biased ? bias[c] : 0.0f);
        if (score > mine.top) {
            mine.sum *= expf(mine.top - score);
            mine.top = score;
        }
        mine.sum += mine.top == -INFINITY ? expf(score) : expf(score - mine.top);  // NaN stays NaN
    }
#pragma unroll
    for (int across = WARP / 2; across > 0; across /= 2) {
        Mass other = {__shfl_xor_sync(ALL_LANES, mine.top, across), __shfl_xor_sync(ALL_LANES, mine.sum, across)};
        mine = joined(mine, other);
    }
    if (threadIdx.x % WARP == 0) {
        scratch[2 * (threadIdx.x / WARP)] = mine.top;
        scratch[2 * (threadIdx.x / WARP) + 1] = mine.sum;
    }
    __syncthreads();
    Mass all = {scratch[0], scratch[1]};
    for (int w = 1; w < WARPS; w++) all = joined(all, Mass{scratch[2 * w], scratch[2 * w + 1]});
    return all;
}

// weight[0] = 1 / the number of labels that count, at least 1. One block.
extern "C" __global__ void __launch_bounds__(THREADS) weigh_rows(In<int64> labels, Out<float> weight, int M, int64 ignored) {
    SHARED_MEMORY(float, shared);
    float counted = 0.0f;  // exact up to 2^24 rows
    for (int r = threadIdx.x; r < M; r += THREADS) counted += labels[r] != ignored ? 1.0f : 0.0f;
    counted = block_sum(counted, shared);
    if (threadIdx.x == 0) weight.set(0, 1.0f / fmaxf(counted, 1.0f));
}

// loss[0] = weight[0] times the sum of the rows' losses, always added up in the same order. One block.
extern "C" __global__ void __launch_bounds__(THREADS) mean_loss(In<float> losses, In<float> weight, Out<float> loss, int M) {
    SHARED_MEMORY(float, shared);
    float total = 0.0f;
    for (int r = threadIdx.x; r < M; r += THREADS) total += losses[r];
    total = block_sum(total, shared);
    if (threadIdx.x == 0) loss.set(0, total * weight[0]);
}

// logits (M, V), labels (M,) to losses (M,) and, for backward, logs (M,): ln of a row's sum of exp. A block a row.
extern "C" __global__ void __launch_bounds__(THREADS)
    cross_entropy_forward(In<REAL> logits, In<int64> labels, Out<float> losses, Out<float> logs, int V, int64 ignored) {
    SHARED_MEMORY(float, shared);
    int row = blockIdx.x;
    int64 at = (int64)row * V, label = labels[row];
    if (label == ignored) {  // the whole block
        if (threadIdx.x == 0) {
            losses.set(row, 0.0f);
            logs.set(row, 0.0f);
        }
        return;
    }
    Mass mass = row_mass<false>(logits, {}, at, V, shared);
    if (threadIdx.x == 0) {
        float log = logf(mass.sum);
        losses.set(row, log + (mass.top - logits[at + label]));  // the difference first: top may be large
        logs.set(row, log + mass.top);
    }
}

// dlogits (M, V) = (softmax - one-hot) * weight[0] * dloss[0]; zeros in rows that do not count. A block a row.
extern "C" __global__ void __launch_bounds__(THREADS)
    cross_entropy_backward(In<REAL> logits, In<int64> labels, In<float> logs, In<float> weight, In<float> dloss,
                           Out<REAL> dlogits, int V, int64 ignored) {
    int row = blockIdx.x;
    int64 at = (int64)row * V, label = labels[row];
    float factor = label == ignored ? 0.0f : weight[0] * dloss[0], log = logs[row];
    for (int c = threadIdx.x; c < V; c += THREADS) {
        float p = label == ignored ? 0.0f : expf(logits[at + c] - log);
        dlogits.set(at + c, (c == label ? p - 1.0f : p) * factor);
    }
}

// scores (M, V), still without bias, are replaced by softmax - one-hot, zeros in rows that do not count; losses (M,).
// Not yet divided by the number of rows, so that 16 bits hold it. A thread reads and writes columns that no other does.
extern "C" __global__ void __launch_bounds__(THREADS)
    score_rows(InOut<REAL> scores, In<float> bias, In<int64> labels, Out<float> losses, int V, int64 ignored,
               int wanted) {
    SHARED_MEMORY(float, shared);
    int row = blockIdx.x;
    int64 at = (int64)row * V, label = labels[row];
    bool counts = label != ignored;
    Mass mass = {0.0f, 1.0f};
    if (counts) mass = row_mass<true>({scores.data}, bias, at, V, shared);  // the whole block, or nobody
    if (threadIdx.x == 0) losses.set(row, 0.0f);
    if (counts && threadIdx.x == 0) {
        losses.set(row, logf(mass.sum) + (mass.top - (scores[at + label] + bias[label])));
    }
    __syncthreads();  // the score at the label has been read: it may be overwritten
    if (!wanted) return;
    float inverse = 1.0f / mass.sum;
    for (int c = threadIdx.x; c < V; c += THREADS) {
        float p = counts ? expf(scores[at + c] + bias[c] - mass.top) * inverse : 0.0f;
        scores.set(at + c, counts && c == label ? p - 1.0f : p);
    }
}
