// y = x m / (1 - p), m drawn from a counter: forward and backward are the same kernel, for backward draws m again.
//
// A thread takes four neighbouring columns, which are the four words of one counter, and goes on a whole grid further
// until the array is done. It is bound by memory: 8 bytes a number against some 80 integer instructions for four.
#include "device.cuh"

// x, y (R, C); one thread per group of four columns, any grid.
extern "C" __global__ void __launch_bounds__(256)
    dropout(In<REAL> x, Out<REAL> y, int R, int C, unsigned threshold, float scale, uint64 seed, uint64 stream) {
    Dropout draw = {threshold, scale, seed, stream};
    int groups = (C + 3) / 4;
    int64 all = (int64)R * groups, step = (int64)gridDim.x * blockDim.x;
    for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += step) {
        int row = (int)(i / groups), group = (int)(i % groups);
        int64 at = (int64)row * C + 4 * group;
        Four v = x.four(at, C - 4 * group, C % 4 == 0), m = dropout_four(draw, group, row);
#pragma unroll
        for (int k = 0; k < 4; k++) v.x[k] *= m.x[k];
        y.set_four(at, v, C - 4 * group, C % 4 == 0);
    }
}
