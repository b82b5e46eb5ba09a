// What all kernels share: numbers in 16 and 32 bits, arrays in global memory, sums over a warp and a block, dropout.
//
// The same text is compiled by NVRTC for a GPU and, behind emulator/runtime.hpp, by a C++ compiler for the CPU. The
// few lines that differ are here, so that no .cu file knows of it. No CUDA header is needed.
//
// REAL, given on the command line, is what activations are kept in: float, float16 or bfloat16. Every sum, and every
// parameter (bias, gamma, table, optimiser state), is float: 16 bits save memory and bandwidth, not arithmetic.
#pragma once

#ifndef EMULATED
#define SHARED_MEMORY(type, name) extern __shared__ __align__(16) type name[]
#define SEEN_LOAD(address, bytes)
#define SEEN_STORE(address, bytes)
#endif
#ifndef REAL
#define REAL float
#endif

#ifndef INFINITY  // NVRTC has no <math.h>
#define INFINITY __uint_as_float(0x7f800000u)
#define NAN __uint_as_float(0x7fffffffu)
#endif

typedef unsigned long long uint64;
typedef long long int64;

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// ---- numbers -----------------------------------------------------------------------------------------------------------

struct float16 {  // 5 bits of exponent, 10 of fraction
    unsigned short bits;
};
struct bfloat16 {  // the upper half of a float: 8 bits of exponent, 7 of fraction
    unsigned short bits;
};

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ int widen(int x) { return x; }
__device__ __forceinline__ int64 widen(int64 x) { return x; }
__device__ __forceinline__ float widen(bfloat16 x) { return __uint_as_float((unsigned)x.bits << 16); }
__device__ __forceinline__ float widen(float16 x) {
#ifdef EMULATED
    return emulator::from_half(x.bits);
#else
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
#endif
}

// To the nearest number of the narrower kind, ties to even.
template <class T>
__device__ __forceinline__ T narrow(float x);
template <>
__device__ __forceinline__ float narrow<float>(float x) {
    return x;
}
template <>
__device__ __forceinline__ bfloat16 narrow<bfloat16>(float x) {
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return bfloat16{0x7fff};  // NaN stays NaN
    return bfloat16{(unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}
template <>
__device__ __forceinline__ float16 narrow<float16>(float x) {
#ifdef EMULATED
    return float16{emulator::to_half(x)};
#else
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return float16{bits};
#endif
}

// ---- arrays in global memory -------------------------------------------------------------------------------------------
//
// A pointer that says what it is for. A kernel reads In, writes Out, and does both with InOut; the emulator counts what
// goes through. In is never written while the kernel runs, so loads may go through the read-only cache.
//
// A GPU moves 16 bytes an instruction as easily as 4, so rows are walked four numbers at a time wherever a row's length
// is a multiple of four (`whole`); elsewhere one at a time, and a group at the end of a row may be short.

struct __align__(16) Four {
    float x[4];
};

// Four floats in shared memory, at an address that is a multiple of 16 bytes.
__device__ __forceinline__ Four shared_four(const float* from) { return *reinterpret_cast<const Four*>(from); }

// Four numbers of 4 or 2 bytes, in one instruction.
template <class T>
struct Quad {
    T x[4];
};

template <class T>
__device__ __forceinline__ Quad<T> load_quad(const T* from) {
    SEEN_LOAD(from, 4 * sizeof(T));
    Quad<T> quad;
#ifdef EMULATED
    std::memcpy(&quad, from, sizeof quad);
#else
    if constexpr (sizeof(T) == 4) {
        float4 v = *reinterpret_cast<const float4*>(from);
        quad.x[0] = v.x;
        quad.x[1] = v.y;
        quad.x[2] = v.z;
        quad.x[3] = v.w;
    } else {
        uint2 v = *reinterpret_cast<const uint2*>(from);
        quad.x[0].bits = (unsigned short)v.x;
        quad.x[1].bits = (unsigned short)(v.x >> 16);
        quad.x[2].bits = (unsigned short)v.y;
        quad.x[3].bits = (unsigned short)(v.y >> 16);
    }
#endif
    return quad;
}

template <class T>
__device__ __forceinline__ void store_quad(T* to, const Quad<T>& quad) {
    SEEN_STORE(to, 4 * sizeof(T));
#ifdef EMULATED
    std::memcpy(to, &quad, sizeof quad);
#else
    if constexpr (sizeof(T) == 4) {
        *reinterpret_cast<float4*>(to) = make_float4(quad.x[0], quad.x[1], quad.x[2], quad.x[3]);
    } else {
        unsigned low = quad.x[0].bits | (unsigned)quad.x[1].bits << 16;
        unsigned high = quad.x[2].bits | (unsigned)quad.x[3].bits << 16;
        *reinterpret_cast<uint2*>(to) = make_uint2(low, high);
    }
#endif
}

template <class T>
struct In {
    using element = T;
    const T* data;

    __device__ __forceinline__ auto operator[](int64 i) const {
        SEEN_LOAD(data + i, sizeof(T));
        return widen(data[i]);
    }
    // Numbers i .. i + 3 as they are; if not `whole`, the first `count` of them, zeros behind.
    __device__ __forceinline__ Quad<T> quad(int64 i, int count, bool whole) const {
        if (whole && count > 0) return load_quad(data + i);
        Quad<T> quad = {};
#pragma unroll
        for (int k = 0; k < 4; k++) {
            if (k < count) {
                SEEN_LOAD(data + i + k, sizeof(T));
                quad.x[k] = data[i + k];
            }
        }
        return quad;
    }
    // Numbers i .. i + 3 as floats; if not `whole`, the first `count` of them, zeros behind.
    __device__ __forceinline__ Four four(int64 i, int count, bool whole) const {
        Four four = {};
        if (whole) {
            if (count > 0) {
                Quad<T> quad = load_quad(data + i);
#pragma unroll
                for (int k = 0; k < 4; k++) four.x[k] = widen(quad.x[k]);
            }
        } else {
#pragma unroll
            for (int k = 0; k < 4; k++) four.x[k] = k < count ? (*this)[i + k] : 0.0f;
        }
        return four;
    }
};

template <class T>
struct InOut {
    using element = T;
    T* data;

    __device__ __forceinline__ auto operator[](int64 i) const { return In<T>{data}[i]; }
    __device__ __forceinline__ Four four(int64 i, int count, bool whole) const {
        return In<T>{data}.four(i, count, whole);
    }
    __device__ __forceinline__ void set(int64 i, float value) const {
        SEEN_STORE(data + i, sizeof(T));
        data[i] = narrow<T>(value);
    }
    __device__ __forceinline__ void set_four(int64 i, const Four& four, int count, bool whole) const {
        if (whole) {
            if (count > 0) {
                Quad<T> quad;
#pragma unroll
                for (int k = 0; k < 4; k++) quad.x[k] = narrow<T>(four.x[k]);
                store_quad(data + i, quad);
            }
        } else {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                if (k < count) set(i + k, four.x[k]);
            }
        }
    }
    // += where several threads may meet; the order, and so the last bit of the sum, is left to chance.
    __device__ __forceinline__ void add(int64 i, float value) const {
        SEEN_LOAD(data + i, sizeof(T));
        SEEN_STORE(data + i, sizeof(T));
#ifdef EMULATED
        emulator::atomic_add(data + i, value);
#else
        atomicAdd(data + i, value);
#endif
    }
};

// An array that is only written. `set_two` writes two neighbours at once if `pair` says that they lie at an even place.
template <class T>
struct Out {
    using element = T;
    T* data;

    __device__ __forceinline__ void set(int64 i, float value) const { InOut<T>{data}.set(i, value); }
    __device__ __forceinline__ void set_four(int64 i, const Four& four, int count, bool whole) const {
        InOut<T>{data}.set_four(i, four, count, whole);
    }
    __device__ __forceinline__ void set_two(int64 i, float a, float b, int count, bool pair) const {
        static_assert(sizeof(T) == 2, "for 16-bit numbers");
        if (pair && count >= 2) {
            SEEN_STORE(data + i, 4);
            *reinterpret_cast<unsigned*>(data + i) = narrow<T>(a).bits | (unsigned)narrow<T>(b).bits << 16;
        } else {
            if (count > 0) set(i, a);
            if (count > 1) set(i + 1, b);
        }
    }
};

// ---- sums over a warp and over a block ---------------------------------------------------------------------------------

// The sum over `width` neighbouring lanes, known to each of them: at each step a lane adds what the lane across has.
template <int width = WARP>
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int across = width / 2; across > 0; across /= 2) x += __shfl_xor_sync(ALL_LANES, x, across);
    return x;
}

template <int width = WARP>
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int across = width / 2; across > 0; across /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, across));
    return x;
}

// The sum over all threads of a block, known to each: warps by themselves, then their sums through `scratch` (one float
// a warp in shared memory). The caller sees to it that nobody still reads `scratch` from an earlier sum: by another
// barrier in between, or by taking turns between two scratches.
__device__ __forceinline__ float block_sum(float x, float* scratch) {
    x = warp_sum(x);
    int warps = blockDim.x / WARP;
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = x;
    __syncthreads();
    float total = 0.0f;
    for (int w = 0; w < warps; w++) total += scratch[w];
    return total;
}

// ---- dropout -----------------------------------------------------------------------------------------------------------

// What one call of dropout draws from: words below `threshold` (the probability times 2^32) are dropped, what is kept is
// multiplied by `scale`. A threshold of 0 drops nothing. Numbers for numbers what minibert/philox.py and the CPU use.
struct Dropout {
    unsigned threshold;
    float scale;
    uint64 seed, stream;
};

// Philox4x32-10 (Salmon et al. 2011): four random words for counter (group, row, stream). Column c of a row has word
// c % 4 of group c / 4: its fate hangs on its place alone, so that any kernel, tiled as it likes, draws the same mask.
__device__ __forceinline__ void philox(unsigned group, unsigned row, uint64 seed, uint64 stream, unsigned (&words)[4]) {
    unsigned c0 = group, c1 = row, c2 = (unsigned)stream, c3 = (unsigned)(stream >> 32);
    unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
#pragma unroll
    for (int i = 0; i < 10; i++) {
        unsigned high0 = __umulhi(c0, 0xD2511F53u), low0 = c0 * 0xD2511F53u;
        unsigned high1 = __umulhi(c2, 0xCD9E8D57u), low1 = c2 * 0xCD9E8D57u;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

// What four neighbouring columns, from 4 * group on, of a row are multiplied with.
__device__ __forceinline__ Four dropout_four(const Dropout& d, unsigned group, unsigned row) {
    unsigned words[4];
    philox(group, row, d.seed, d.stream, words);
    Four m;
#pragma unroll
    for (int k = 0; k < 4; k++) m.x[k] = words[k] >= d.threshold ? d.scale : 0.0f;
    return m;
}
