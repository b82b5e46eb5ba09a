// Tensor cores: a warp multiplies a 16 x 16 by a 16 x 8 matrix of 16-bit numbers in one instruction, sums in float.
//
// Each matrix is spread over the registers of the 32 lanes. Lane l is g = l / 4 and t = l % 4; a register holds two
// neighbouring numbers. Of A, rows g and g + 8 and columns 2t, 2t+1 and 2t+8, 2t+9; of B, the same rows as A has columns,
// and column g; of the sum D, rows g and g + 8, columns 2t, 2t+1. So what one product leaves in D's registers, narrowed
// to 16 bits, is already laid out as the A of a next one: probabilities go from the scores to the product with V without
// leaving the registers.
#pragma once
#include "device.cuh"

// d += a b; the first argument only says which kind of 16-bit numbers.
__device__ __forceinline__ void mma(float16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef EMULATED
    emulator::mma_16x8x16<emulator::from_half>(d, a, b);
#elif __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else  // sm_75 multiplies eight columns of A by eight rows of B at a time
#pragma unroll
    for (int half = 0; half < 2; half++) {
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
    }
#endif
}

// bfloat16 came with sm_80; on sm_75 the launching code takes the kernels without tensor cores.
__device__ __forceinline__ void mma(bfloat16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef EMULATED
    emulator::mma_16x8x16<emulator::from_bfloat>(d, a, b);
#else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Two numbers, narrowed, in one register; `low` is the left one.
__device__ __forceinline__ unsigned packed(float low, float high) {
    return narrow<REAL>(low).bits | (unsigned)narrow<REAL>(high).bits << 16;
}

// Two neighbours in shared memory, at an even place.
__device__ __forceinline__ unsigned pair(const REAL* from) { return *reinterpret_cast<const unsigned*>(from); }

// A: rows row .. row + 15 and columns k .. k + 15 of a tile in shared memory.
template <int STRIDE>
__device__ __forceinline__ void fragment_a(unsigned (&a)[4], const REAL* tile, int row, int k) {
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    const REAL* from = tile + (row + g) * STRIDE + k + 2 * t;
    a[0] = pair(from);
    a[1] = pair(from + 8 * STRIDE);
    a[2] = pair(from + 8);
    a[3] = pair(from + 8 * STRIDE + 8);
}

// B, whose column n is row `row` + n of a tile: the products of A's rows with the tile's rows. Columns k .. k + 15.
template <int STRIDE>
__device__ __forceinline__ void fragment_b_of_rows(unsigned (&b)[2], const REAL* tile, int row, int k) {
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    const REAL* from = tile + (row + g) * STRIDE + k + 2 * t;
    b[0] = pair(from);
    b[1] = pair(from + 8);
}

// B, whose row i is row `row` + i of a tile: A's rows weigh the tile's rows. Columns c .. c + 7. The two numbers of a
// register lie one below the other in the tile and are fetched one by one.
template <int STRIDE>
__device__ __forceinline__ void fragment_b_of_columns(unsigned (&b)[2], const REAL* tile, int row, int c) {
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    const REAL* from = tile + (row + 2 * t) * STRIDE + c + g;
    b[0] = from[0].bits | (unsigned)from[STRIDE].bits << 16;
    b[1] = from[8 * STRIDE].bits | (unsigned)from[9 * STRIDE].bits << 16;
}
