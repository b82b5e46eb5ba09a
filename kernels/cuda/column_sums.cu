// The sum of the rows of an array: how the partial sums of a bias's gradient become one.
//
// A thread has a column and walks down it; neighbouring threads read neighbouring numbers. Rows are added in order, in
// double precision: the same bits every time, and thousands of partial sums lose nothing.
#include "device.cuh"

// x (R, C) to sums (C,).
extern "C" __global__ void __launch_bounds__(128) column_sums(In<REAL> x, Out<float> sums, int R, int C) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= C) return;
    double total = 0.0;
    for (int r = 0; r < R; r++) total += x[(int64)r * C + c];
    sums.set(c, (float)total);
}
