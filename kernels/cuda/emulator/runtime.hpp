// CUDA C++ on the CPU: what a .cu file finds in place of the CUDA headers when it is compiled as C++.
//
// This header is put in front of an unmodified .cu file (g++ -include runtime.hpp). Words of the language that the CPU
// has no use for become nothing; threadIdx and its siblings ask who is running; barriers, shuffles and tensor-core
// products are calls into runtime.cpp, where the threads of a block wait for one another.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#define EMULATED 1
#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#ifdef EMULATOR_THREADS
#define __shared__ static  // one block after the other, all its threads in this one process
#else
#define __shared__ static thread_local  // each worker runs one block at a time
#endif
#define SHARED_MEMORY(type, name) type* name = static_cast<type*>(emulator::shared_memory())

struct uint3 {
    unsigned x, y, z;
};
using dim3 = uint3;

namespace emulator {

struct Place {
    uint3 thread, block, block_size, grid;
};

// What a launch is told by Python (emulator/library.py holds the same structure).
struct Launch {
    unsigned grid[3], block[3];
    unsigned shared_bytes;
    int count;                        // of arguments
    void* const* arguments;           // addresses of their values
    const char* kinds;                // 'p' an array, 'i' an integer, 'f' a real number
    const int* sizes;                 // of the number, or of an element of the array
    int buffers;                      // arrays that the kernel may touch
    const unsigned char* const* begins;
    const unsigned char* const* ends;
    int workers;
    unsigned long long loaded, stored;  // bytes of global memory, filled in by the run
    char error[512];                    // empty if all went well
};

const Place& self();
void* shared_memory();
void seen_load(const void* address, unsigned bytes);
void seen_store(const void* address, unsigned bytes);
void sync_block(int line);
[[noreturn]] void fail(const char* message);

// What a warp does together. Each lane in `mask` hands over an input, an output and a number, and goes on when the one
// that came last has done `work` for all of them.
struct Lane {
    const void* in;
    void* out;
    int number;
};
using Work = void (*)(Lane (&lanes)[32], unsigned mask);
void together(unsigned mask, Lane lane, Work work);

void atomic_add(float* address, float value);

// ---- launching ---------------------------------------------------------------------------------------------------------

using Body = void (*)(void* const* arguments);
void run(Launch& launch, Body body);
void refuse(Launch& launch, int position, const char* wanted);

template <class A, class = void>
struct Argument {  // a number
    static constexpr char kind = std::is_floating_point_v<A> ? 'f' : 'i';
    static constexpr int size = sizeof(A);
};
template <class A>
struct Argument<A, std::void_t<typename A::element>> {  // In<T>, Out<T>: a pointer in disguise
    static_assert(sizeof(A) == sizeof(void*));
    static constexpr char kind = 'p';
    static constexpr int size = sizeof(typename A::element);
};
template <class T>
struct Argument<T*, void> {
    static constexpr char kind = 'p';
    static constexpr int size = sizeof(T);
};

template <auto kernel>
struct Kernel;
template <class... A, void (*kernel)(A...)>
struct Kernel<kernel> {
    template <std::size_t... i>
    static void call(void* const* arguments, std::index_sequence<i...>) {
        kernel(*static_cast<std::remove_const_t<A>*>(arguments[i])...);
    }
    static void body(void* const* arguments) { call(arguments, std::index_sequence_for<A...>()); }

    // A wrong number, order or size of arguments would be garbage on a GPU; here it is an error.
    static void start(Launch& launch) {
        constexpr char kinds[] = {Argument<std::remove_const_t<A>>::kind..., 0};
        constexpr int sizes[] = {Argument<std::remove_const_t<A>>::size..., 0};
        if (launch.count != int(sizeof...(A))) return refuse(launch, int(sizeof...(A)), "that many arguments");
        for (int i = 0; i < launch.count; i++) {
            if (launch.kinds[i] != kinds[i]) {
                return refuse(launch, i, kinds[i] == 'p' ? "an array" : kinds[i] == 'i' ? "an integer" : "a real number");
            }
            if (launch.sizes[i] != sizes[i]) return refuse(launch, i, "another size of number");
        }
        run(launch, body);
    }
};

}  // namespace emulator

#define threadIdx (emulator::self().thread)
#define blockIdx (emulator::self().block)
#define blockDim (emulator::self().block_size)
#define gridDim (emulator::self().grid)
#define SEEN_LOAD(address, bytes) emulator::seen_load(address, bytes)
#define SEEN_STORE(address, bytes) emulator::seen_store(address, bytes)
#define __syncthreads() emulator::sync_block(__LINE__)

// ---- warps -------------------------------------------------------------------------------------------------------------

namespace emulator {

template <class T, int how>  // how: 0 a lane by its number, 1 exclusive or, 2 so many lanes further up
void shuffle(Lane (&lanes)[32], unsigned mask) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    T given[32];
    for (int i = 0; i < 32; i++) {
        if (mask >> i & 1) std::memcpy(&given[i], lanes[i].in, sizeof(T));
    }
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        int from = how == 0 ? lanes[i].number & 31 : how == 1 ? i ^ lanes[i].number : i + lanes[i].number;
        if (from > 31) from = i;  // as the hardware does at the end of the warp
        if (!(mask >> from & 1)) fail("a shuffle reads from a lane that its mask leaves out");
        std::memcpy(lanes[i].out, &given[from], sizeof(T));
    }
}

template <class T, int how>
T shuffled(unsigned mask, T value, int number) {
    T result;
    together(mask, {&value, &result, number}, shuffle<T, how>);
    return result;
}

inline void nothing(Lane (&)[32], unsigned) {}

inline void vote(Lane (&lanes)[32], unsigned mask) {
    unsigned yes = 0;
    for (int i = 0; i < 32; i++) {
        if (mask >> i & 1 && lanes[i].number) yes |= 1u << i;
    }
    for (int i = 0; i < 32; i++) {
        if (mask >> i & 1) *static_cast<unsigned*>(lanes[i].out) = yes;
    }
}

}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int lane) {
    return emulator::shuffled<T, 0>(mask, value, lane);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
    return emulator::shuffled<T, 1>(mask, value, lanes);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int lanes) {
    return emulator::shuffled<T, 2>(mask, value, lanes);
}
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulator::together(mask, {}, emulator::nothing); }
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    unsigned yes;
    emulator::together(mask, {nullptr, &yes, predicate}, emulator::vote);
    return yes;
}

// ---- numbers -----------------------------------------------------------------------------------------------------------

inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }

namespace emulator {

inline float from_bfloat(unsigned short bits) { return __uint_as_float(unsigned(bits) << 16); }

// float16 in integer arithmetic, round to nearest even: what cvt.f32.f16 and cvt.rn.f16.f32 do.
inline float from_half(unsigned short bits) {
    unsigned sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31, fraction = bits & 0x3ffu;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
    if (exponent) return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
    float value = float(fraction) * 0x1p-24f;
    return sign ? -value : value;
}

inline unsigned short to_half(float value) {
    unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return (unsigned short)(sign | 0x7fffu);   // NaN
    if (bits >= 0x477ff000u) return (unsigned short)(sign | 0x7c00u);  // from 65520 on: infinity
    if (bits < 0x38800000u) {                                          // below 2^-14: multiples of 2^-24
        return (unsigned short)(sign | unsigned(std::lrint(double(__uint_as_float(bits)) * 0x1p24)));
    }
    bits += 0xfffu + (bits >> 13 & 1);  // to even
    return (unsigned short)(sign | ((bits >> 13) - (112u << 10)));
}

// ---- tensor cores ------------------------------------------------------------------------------------------------------

// mma.sync.m16n8k16: d (16, 8) += a (16, 16) b (16, 8), each array spread over the registers of the 32 lanes as PTX
// lays it out. With g = lane / 4 and t = lane % 4, a register holds two neighbouring 16-bit numbers:
//   a[0] row g,  columns 2t, 2t+1     a[2] row g,   columns 2t+8, 2t+9     b[0] rows 2t, 2t+1 of column g
//   a[1] row g+8, the same            a[3] row g+8, the same               b[1] rows 2t+8, 2t+9 of column g
//   d[0], d[1] row g, columns 2t, 2t+1                                     d[2], d[3] row g+8, the same
struct Fragments {
    const unsigned *a, *b;
};

template <float (*widen)(unsigned short)>
void matrix_product(Lane (&lanes)[32], unsigned mask) {
    if (mask != 0xffffffffu) fail("a tensor-core product needs all 32 lanes");
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const Fragments& given = *static_cast<const Fragments*>(lanes[lane].in);
        int g = lane / 4, t = lane % 4;
        for (int k = 0; k < 2; k++) {
            for (int half = 0; half < 2; half++) {
                a[g][2 * t + 8 * half + k] = widen((unsigned short)(given.a[2 * half] >> 16 * k));
                a[g + 8][2 * t + 8 * half + k] = widen((unsigned short)(given.a[2 * half + 1] >> 16 * k));
                b[2 * t + 8 * half + k][g] = widen((unsigned short)(given.b[half] >> 16 * k));
            }
        }
    }
    float d[16][8] = {};
    for (int i = 0; i < 16; i++) {
        for (int k = 0; k < 16; k++) {
            for (int j = 0; j < 8; j++) d[i][j] += a[i][k] * b[k][j];
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        float* out = static_cast<float*>(lanes[lane].out);
        int g = lane / 4, t = lane % 4;
        for (int k = 0; k < 2; k++) {
            out[k] += d[g][2 * t + k];
            out[2 + k] += d[g + 8][2 * t + k];
        }
    }
}

template <float (*widen)(unsigned short)>
void mma_16x8x16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    Fragments given = {a, b};
    together(0xffffffffu, {&given, d, 0}, matrix_product<widen>);
}

}  // namespace emulator
