// y = LayerNorm(residual + dropout(x + bias)): four ops of the model in one walk over memory.
//
// Bound by memory: forward reads x and residual and writes y, nothing else of that size. Backward forms the sum anew from
// x and residual, and draws the mask anew, rather than reading what forward would have had to write.
// See layer_norm.cuh for who does what.
#include "layer_norm.cuh"

// Four columns of residual + dropout(x + bias); `mask` is what dropout multiplied with.
__device__ __forceinline__ Four sum_of(const Four& x, const Four& bias, const Four& residual, const Four& mask) {
    Four s;
#pragma unroll
    for (int k = 0; k < 4; k++) s.x[k] = residual.x[k] + (x.x[k] + bias.x[k]) * mask.x[k];
    return s;
}

__device__ __forceinline__ Four mask_of(const Dropout& draw, int group, int row) {
    if (draw.threshold == 0) return Four{1.0f, 1.0f, 1.0f, 1.0f};
    return dropout_four(draw, group, row);
}

// x, residual, y (R, H); mean, inv_std (R,). A warp a row; shared: (H rounded up to four) floats a warp.
extern "C" __global__ void __launch_bounds__(128)
    add_layer_norm_forward(In<REAL> x, In<float> bias, In<REAL> residual, In<float> gamma, In<float> beta, Out<REAL> y,
                           Out<float> mean, Out<float> inv_std, int R, int H, float eps, unsigned threshold,
                           float scale, uint64 seed, uint64 stream) {
    SHARED_MEMORY(float, shared);
    Dropout draw = {threshold, scale, seed, stream};
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, row = blockIdx.x * (blockDim.x / WARP) + warp;
    if (row >= R) return;  // a whole warp goes; nobody waits for it, since there is no barrier
    WarpRow w = {shared + warp * 4 * ((H + 3) / 4), H, lane};
    int64 at = (int64)row * H;
    float total = 0.0f;
    for (int g = lane; g < w.groups(); g += WARP) {
        int left = H - 4 * g;
        Four s = sum_of(x.four(at + 4 * g, left, w.whole()), bias.four(4 * g, left, w.whole()),
                        residual.four(at + 4 * g, left, w.whole()), mask_of(draw, g, row));
        w.keep(g, s, total);
    }
    float m = warp_sum(total) / (float)H, s = w.inverse_deviation(m, eps);
    w.write(y, at, m, s, gamma, beta);
    if (lane == 0) {
        mean.set(row, m);
        inv_std.set(row, s);
    }
}

// dy, x, residual, dx, dresidual (R, H); partial (strips, 3, H): dgamma, dbeta, dbias. A block takes `strip` rows.
// Without dropout dx would equal dresidual and is not written.
extern "C" __global__ void __launch_bounds__(256)
    add_layer_norm_backward(In<REAL> dy, In<REAL> x, In<float> bias, In<REAL> residual, In<float> gamma, In<float> mean,
                            In<float> inv_std, Out<REAL> dx, Out<REAL> dresidual, Out<float> partial, int R, int H,
                            int strip, unsigned threshold, float scale, uint64 seed, uint64 stream) {
    SHARED_MEMORY(float, shared);
    Dropout draw = {threshold, scale, seed, stream};
    bool whole = H % 4 == 0;
    ColumnSums sums = {};
    Four dbias[PER] = {}, scales[PER], shifts[PER];
#pragma unroll
    for (int i = 0; i < PER; i++) {
        int c = 4 * (threadIdx.x + i * blockDim.x);
        scales[i] = gamma.four(c, H - c, whole);
        shifts[i] = bias.four(c, H - c, whole);
    }
    int first = blockIdx.x * strip, end = min(first + strip, R);
    for (int row = first; row < end; row++) {
        Four g[PER], v[PER], mask[PER];
        float m = mean[row], s = inv_std[row];
#pragma unroll
        for (int i = 0; i < PER; i++) {
            int group = threadIdx.x + i * blockDim.x, c = 4 * group;
            int64 at = (int64)row * H + c;
            mask[i] = mask_of(draw, group, row);
            g[i] = dy.four(at, H - c, whole);
            v[i] = sum_of(x.four(at, H - c, whole), shifts[i], residual.four(at, H - c, whole), mask[i]);
#pragma unroll
            for (int k = 0; k < 4; k++) v[i].x[k] = (v[i].x[k] - m) * s;
        }
        sums.row(g, v, scales, s, H, shared + (row & 1) * 2 * (blockDim.x / WARP));
#pragma unroll
        for (int i = 0; i < PER; i++) {  // v is now the gradient of the sum, and so of the residual
            int c = 4 * (threadIdx.x + i * blockDim.x);
            dresidual.set_four((int64)row * H + c, v[i], H - c, whole);
#pragma unroll
            for (int k = 0; k < 4; k++) {
                v[i].x[k] *= mask[i].x[k];
                dbias[i].x[k] += v[i].x[k];
            }
            if (threshold) dx.set_four((int64)row * H + c, v[i], H - c, whole);
        }
    }
#pragma unroll
    for (int i = 0; i < PER; i++) {
        int c = 4 * (threadIdx.x + i * blockDim.x);
        int64 line = (int64)(3 * blockIdx.x) * H + c;
        partial.set_four(line, sums.dgamma[i], H - c, whole);
        partial.set_four(line + H, sums.dbeta[i], H - c, whole);
        partial.set_four(line + 2 * (int64)H, dbias[i], H - c, whole);
    }
}
