// y = gelu(x + bias), and gelu by itself, exact and in its tanh form.
//
// Bound by memory: an array four times as wide as the model is read once and written once. Forward, a thread takes four
// neighbouring columns at a time. Backward, a block has a strip of rows and a thread the same four columns in each of
// them, so the bias's gradient grows in its registers; column_sums.cu adds the strips up, in order.
#include "device.cuh"

// Phi(x) = (1 + erf(x / sqrt 2)) / 2, written with erfc where the sum would cancel.
__device__ __forceinline__ float normal_cdf(float x) { return 0.5f * erfcf(-0.70710678118654752f * x); }

__device__ __forceinline__ float gelu(float x) { return x * normal_cdf(x); }

// d/dx x Phi(x) = Phi(x) + x phi(x)
__device__ __forceinline__ float gelu_slope(float x) {
    return normal_cdf(x) + x * 0.39894228040143268f * expf(-0.5f * x * x);
}

// x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3)
__device__ __forceinline__ float gelu_tanh(float x) {
    return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
}

__device__ __forceinline__ float gelu_tanh_slope(float x) {
    float t = tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x));
    float du = 0.79788456080286536f * (1.0f + 3.0f * 0.044715f * x * x);
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * du;
}

// x, y (R, F), bias (F,); one thread per group of four columns, any grid.
extern "C" __global__ void __launch_bounds__(256)
    bias_gelu_forward(In<REAL> x, In<float> bias, Out<REAL> y, int R, int F) {
    int groups = (F + 3) / 4;
    bool whole = F % 4 == 0;
    int64 all = (int64)R * groups, step = (int64)gridDim.x * blockDim.x;
    for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += step) {
        int c = 4 * (int)(i % groups);
        int64 at = i / groups * F + c;
        Four v = x.four(at, F - c, whole), b = bias.four(c, F - c, whole);
#pragma unroll
        for (int k = 0; k < 4; k++) v.x[k] = gelu(v.x[k] + b.x[k]);
        y.set_four(at, v, F - c, whole);
    }
}

// dy, x, dx (R, F); partial (strips, F). Block (i, j) has columns 4 blockDim i .. and rows strip j ..
extern "C" __global__ void __launch_bounds__(128)
    bias_gelu_backward(In<REAL> dy, In<REAL> x, In<float> bias, Out<REAL> dx, Out<float> partial, int R, int F,
                       int strip) {
    int c = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (c >= F) return;  // no barrier follows
    bool whole = F % 4 == 0;
    Four b = bias.four(c, F - c, whole), sums = {};
    int first = blockIdx.y * strip, end = min(first + strip, R);
    for (int row = first; row < end; row++) {
        int64 at = (int64)row * F + c;
        Four g = dy.four(at, F - c, whole), v = x.four(at, F - c, whole);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            g.x[k] *= gelu_slope(v.x[k] + b.x[k]);
            sums.x[k] += g.x[k];
        }
        dx.set_four(at, g, F - c, whole);
    }
    partial.set_four((int64)blockIdx.y * F + c, sums, F - c, whole);
}

// y = f(x), or dx = dy f'(x), for n numbers; one thread per group of four, any grid.
template <float (*f)(float)>
__device__ __forceinline__ void each(In<REAL> x, Out<REAL> y, int64 n) {
    for (int64 i = 4 * ((int64)blockIdx.x * blockDim.x + threadIdx.x); i < n; i += 4 * (int64)gridDim.x * blockDim.x) {
        int count = n - i < 4 ? (int)(n - i) : 4;
        Four v = x.four(i, count, count == 4);
#pragma unroll
        for (int k = 0; k < 4; k++) v.x[k] = f(v.x[k]);
        y.set_four(i, v, count, count == 4);
    }
}

template <float (*slope)(float)>
__device__ __forceinline__ void each_backward(In<REAL> dy, In<REAL> x, Out<REAL> dx, int64 n) {
    for (int64 i = 4 * ((int64)blockIdx.x * blockDim.x + threadIdx.x); i < n; i += 4 * (int64)gridDim.x * blockDim.x) {
        int count = n - i < 4 ? (int)(n - i) : 4;
        Four v = x.four(i, count, count == 4), g = dy.four(i, count, count == 4);
#pragma unroll
        for (int k = 0; k < 4; k++) g.x[k] *= slope(v.x[k]);
        dx.set_four(i, g, count, count == 4);
    }
}

extern "C" __global__ void __launch_bounds__(256) gelu_forward(In<REAL> x, Out<REAL> y, int64 n) { each<gelu>(x, y, n); }

extern "C" __global__ void __launch_bounds__(256) gelu_tanh_forward(In<REAL> x, Out<REAL> y, int64 n) {
    each<gelu_tanh>(x, y, n);
}

extern "C" __global__ void __launch_bounds__(256) gelu_backward(In<REAL> dy, In<REAL> x, Out<REAL> dx, int64 n) {
    each_backward<gelu_slope>(dy, x, dx, n);
}

extern "C" __global__ void __launch_bounds__(256) gelu_tanh_backward(In<REAL> dy, In<REAL> x, Out<REAL> dx, int64 n) {
    each_backward<gelu_tanh_slope>(dy, x, dx, n);
}
