// y = gamma (x - mean) / sqrt(var + eps) + beta over rows of H. See layer_norm.cuh for who does what.
#include "layer_norm.cuh"

// x, y (R, H); mean, inv_std (R,). A warp a row; shared: (H rounded up to four) floats a warp.
extern "C" __global__ void __launch_bounds__(128)
    layer_norm_forward(In<REAL> x, In<float> gamma, In<float> beta, Out<REAL> y, Out<float> mean, Out<float> inv_std,
                       int R, int H, float eps) {
    SHARED_MEMORY(float, shared);
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, row = blockIdx.x * (blockDim.x / WARP) + warp;
    if (row >= R) return;  // a whole warp goes; nobody waits for it, since there is no barrier
    WarpRow w = {shared + warp * 4 * ((H + 3) / 4), H, lane};
    int64 at = (int64)row * H;
    float total = 0.0f;
    for (int g = lane; g < w.groups(); g += WARP) w.keep(g, x.four(at + 4 * g, H - 4 * g, w.whole()), total);
    float m = warp_sum(total) / (float)H, s = w.inverse_deviation(m, eps);
    w.write(y, at, m, s, gamma, beta);
    if (lane == 0) {
        mean.set(row, m);
        inv_std.set(row, s);
    }
}

// dy, x, dx (R, H); partial (strips, 2, H). A block takes `strip` rows. With longer rows one block at a time is enough: to
// fit more in, the compiler would keep some numbers in memory.
extern "C" __global__ void __launch_bounds__(256, PER > 1 ? 1 : 0)
    layer_norm_backward(In<REAL> dy, In<REAL> x, In<float> gamma, In<float> mean, In<float> inv_std, Out<REAL> dx,
                        Out<float> partial, int R, int H, int strip) {
    SHARED_MEMORY(float, shared);
    bool whole = H % 4 == 0;
    ColumnSums sums = {};
    Four scale[PER];
#pragma unroll
    for (int i = 0; i < PER; i++) {
        int c = 4 * (threadIdx.x + i * blockDim.x);
        scale[i] = gamma.four(c, H - c, whole);
    }
    int first = blockIdx.x * strip, end = min(first + strip, R);
    for (int row = first; row < end; row++) {
        Four g[PER], v[PER];
        float m = mean[row], s = inv_std[row];
#pragma unroll
        for (int i = 0; i < PER; i++) {
            int c = 4 * (threadIdx.x + i * blockDim.x);
            g[i] = dy.four((int64)row * H + c, H - c, whole);
            v[i] = x.four((int64)row * H + c, H - c, whole);
#pragma unroll
            for (int k = 0; k < 4; k++) v[i].x[k] = (v[i].x[k] - m) * s;
        }
        sums.row(g, v, scale, s, H, shared + (row & 1) * 2 * (blockDim.x / WARP));
#pragma unroll
        for (int i = 0; i < PER; i++) {
            int c = 4 * (threadIdx.x + i * blockDim.x);
            dx.set_four((int64)row * H + c, v[i], H - c, whole);
        }
    }
#pragma unroll
    for (int i = 0; i < PER; i++) {
        int c = 4 * (threadIdx.x + i * blockDim.x);
        partial.set_four((int64)(2 * blockIdx.x) * H + c, sums.dgamma[i], H - c, whole);
        partial.set_four((int64)(2 * blockIdx.x + 1) * H + c, sums.dbeta[i], H - c, whole);
    }
}
