// Attention in half precision: attention.cu's idea on tensor cores. Queries, keys, values and results are float16 or
// bfloat16; scores, probabilities, running sums and accumulators are float.
//
// Forward. A block is four warps and has 64 queries, 16 a warp; keys and values come 64 at a time. A warp multiplies its
// queries with all keys of the tile, moves maximum and sum on, and multiplies the probabilities, narrowed to 16 bits in
// the registers they are in, with the values. The rows of a warp's scores lie with four neighbouring lanes, so a row's
// maximum takes two shuffles. Nothing but tiles goes through shared memory, and a barrier stands only where tiles change.
//
// Backward, as in attention.cu, is two kernels, so that each sum has one owner. For dQ a warp has 16 queries. For dK and dV
// a warp has 16 keys and works on the transposed scores, keys by queries, because then probabilities and their gradients
// are laid out as the left factors of dV += P^T dC and dK += dS^T Q.
//
// Dropout: a counter gives the fate of four neighbouring keys, and these lie with two lanes (or, transposed, four). So the
// block draws a tile's mask together while it loads the tile, four bits a counter, and everybody looks it up.
//
// Rows of a tile are HEAD + 8 numbers apart: the eight rows that a fragment takes at one column hit different banks.
#include "attention.cuh"
#include "tensor_cores.cuh"

constexpr int STRIDE = HEAD + 8;
constexpr int ROWS = 64;           // queries (or keys) of a block: 16 a warp
constexpr int FORWARD_KEYS = 64;   // in a tile
constexpr int BACKWARD_TILE = 32;  // keys (or queries) in a tile, backward, where accumulators take more registers
constexpr int COLUMNS = HEAD / 8;  // of fragments, in a row of results
// Blocks that a multiprocessor is to hold at least, forward; 0: as the compiler likes. For some heads it likes one more, and
// would then keep some numbers in memory, since a thread has too few registers for them.
constexpr int BLOCKS = HEAD == 48 ? 4 : HEAD == 96 ? 3 : 0;

// Rows first .. first + rows - 1 of head n into shared memory, zeros behind row `count` and column D. All threads take
// part, four columns at a time, neighbouring threads neighbouring columns.
__device__ __forceinline__ void load_tile(REAL* tile, int rows, In<REAL> x, int first, int count, int n, int N, int D) {
    for (int i = threadIdx.x; i < rows * (HEAD / 4); i += THREADS) {
        int row = i / (HEAD / 4), c = i % (HEAD / 4) * 4;
        Quad<REAL> quad = {};
        if (row < count) quad = x.quad(((int64)(first + row) * N + n) * D + c, D - c, D % 4 == 0);
        REAL* to = tile + row * STRIDE + c;
#pragma unroll
        for (int k = 0; k < 4; k++) to[k] = quad.x[k];
    }
}

// Which of `keys` keys from `key` on each of `queries` queries keeps: four bits a byte, keys / 4 bytes a query.
__device__ __forceinline__ void draw_tile(unsigned char* kept, const Dropout& draw, int queries, int first_query,
                                          int keys, int key, int n, int N) {
    if (draw.threshold == 0) return;
    for (int i = threadIdx.x; i < queries * (keys / 4); i += THREADS) {
        unsigned words[4], bits = 0;
        philox(key / 4 + i % (keys / 4), (first_query + i / (keys / 4)) * N + n, draw.seed, draw.stream, words);
#pragma unroll
        for (int k = 0; k < 4; k++) bits |= (words[k] >= draw.threshold ? 1u : 0u) << k;
        kept[i] = (unsigned char)bits;
    }
}

__device__ __forceinline__ float mask_of(const unsigned char* kept, const Dropout& draw, int query, int keys, int key) {
    if (draw.threshold == 0) return 1.0f;
    return kept[query * (keys / 4) + key / 4] >> key % 4 & 1 ? draw.scale : 0.0f;
}

// s (16 rows of `a` from `row` on, TILE rows of `b`) = a b^T: fragment j has rows 8 j .. of b.
template <int TILE>
__device__ __forceinline__ void multiply_rows(float (&s)[TILE / 8][4], const REAL* a, int row, const REAL* b) {
#pragma unroll
    for (int j = 0; j < TILE / 8; j++) {
#pragma unroll
        for (int e = 0; e < 4; e++) s[j][e] = 0.0f;
    }
#pragma unroll 2
    for (int k = 0; k < HEAD; k += 16) {
        unsigned left[4], right[2];
        fragment_a<STRIDE>(left, a, row, k);
#pragma unroll
        for (int j = 0; j < TILE / 8; j++) {
            fragment_b_of_rows<STRIDE>(right, b, 8 * j, k);
            mma(REAL(), s[j], left, right);
        }
    }
}

// sum (16, HEAD) += weights (16, TILE) times TILE rows of `values`.
template <int TILE>
__device__ __forceinline__ void weigh(float (&sum)[COLUMNS][4], const float (&weights)[TILE / 8][4],
                                      const REAL* values) {
#pragma unroll
    for (int j = 0; j < TILE / 16; j++) {
        const float(&l)[4] = weights[2 * j], (&r)[4] = weights[2 * j + 1];
        unsigned left[4] = {packed(l[0], l[1]), packed(l[2], l[3]), packed(r[0], r[1]), packed(r[2], r[3])}, right[2];
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            fragment_b_of_columns<STRIDE>(right, values, 16 * j, 8 * c);
            mma(REAL(), sum[c], left, right);
        }
    }
}

// Rows g and g + 8 of a warp's 16 rows of results, times a factor each; `first` is the packed row of the warp's first.
__device__ __forceinline__ void write_rows(Out<REAL> y, const float (&sum)[COLUMNS][4], const float (&factor)[2],
                                           int first, int count, int n, int N, int D) {
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = g + 8 * half;
        if (row >= count) continue;
        int64 at = ((int64)(first + row) * N + n) * D;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            int d = 8 * c + 2 * t;
            y.set_two(at + d, sum[c][2 * half] * factor[half], sum[c][2 * half + 1] * factor[half], D - d, D % 2 == 0);
        }
    }
}

// qkv (3, T, N, D) to context (T, N, D) and logs (N, T): log2 of each query's sum of 2^score. Grid (units, N).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_forward(In<REAL> qkv, In<int> units, Out<REAL> context, Out<float> logs, int T, int N, int D,
                      float scale, unsigned threshold, float keep_scale, uint64 seed, uint64 stream) {
    SHARED_MEMORY(float, shared);
    REAL* queries = reinterpret_cast<REAL*>(shared);   // 64 rows
    REAL* keys = queries + ROWS * STRIDE;              // 64 rows
    REAL* values = keys + FORWARD_KEYS * STRIDE;       // 64 rows
    unsigned char* kept = reinterpret_cast<unsigned char*>(values + FORWARD_KEYS * STRIDE);
    Dropout draw = {threshold, keep_scale, seed, stream};
    int n = blockIdx.y, warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    Unit unit = unit_of(units, ROWS);
    int64 part = (int64)T * N * D;
    In<REAL> q = {qkv.data}, k = {qkv.data + part}, v = {qkv.data + 2 * part};

    float sum[COLUMNS][4] = {}, top[2] = {-INFINITY, -INFINITY}, total[2] = {};
    load_tile(queries, ROWS, q, unit.first, unit.count, n, N, D);
    for (int key = unit.begin; key < unit.end; key += FORWARD_KEYS) {
        int count = min(FORWARD_KEYS, unit.end - key);
        load_tile(keys, FORWARD_KEYS, k, key, count, n, N, D);
        load_tile(values, FORWARD_KEYS, v, key, count, n, N, D);
        draw_tile(kept, draw, ROWS, unit.first, FORWARD_KEYS, key - unit.begin, n, N);
        __syncthreads();  // the tiles are there
        float s[FORWARD_KEYS / 8][4];
        multiply_rows<FORWARD_KEYS>(s, queries, 16 * warp, keys);
#pragma unroll
        for (int half = 0; half < 2; half++) {  // rows g and g + 8
            float highest = top[half];
#pragma unroll
            for (int j = 0; j < FORWARD_KEYS / 8; j++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float& score = s[j][2 * half + e];
                    score = 8 * j + 2 * t + e < count ? score * scale : -INFINITY;
                    highest = fmaxf(highest, score);
                }
            }
            highest = warp_max<4>(highest);  // the four lanes of a row
            float base = highest == -INFINITY ? 0.0f : highest;  // -inf - -inf would be NaN
            float factor = exp2f(top[half] - base);
            top[half] = highest;
            total[half] *= factor;
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) {
                sum[c][2 * half] *= factor;
                sum[c][2 * half + 1] *= factor;
            }
#pragma unroll
            for (int j = 0; j < FORWARD_KEYS / 8; j++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float p = exp2f(s[j][2 * half + e] - base);
                    total[half] += p;
                    s[j][2 * half + e] =
                        p * mask_of(kept, draw, 16 * warp + g + 8 * half, FORWARD_KEYS, 8 * j + 2 * t + e);
                }
            }
        }
        weigh<FORWARD_KEYS>(sum, s, values);
        __syncthreads();  // nobody reads these tiles any more
    }
    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float all = warp_sum<4>(total[half]);
        int row = 16 * warp + g + 8 * half;
        factor[half] = 1.0f / all;
        if (row < unit.count && t == 0) logs.set((int64)n * T + unit.first + row, top[half] + log2f(all));
    }
    write_rows(context, sum, factor, unit.first + 16 * warp, unit.count - 16 * warp, n, N, D);
}

// dqkv[0] (T, N, D). Grid (units of 64 queries, N).
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_backward_queries(In<REAL> qkv, In<REAL> dcontext, In<float> logs, In<float> deltas, In<int> units,
                               Out<REAL> dqkv, int T, int N, int D, float scale, float score_scale, unsigned threshold,
                               float keep_scale, uint64 seed, uint64 stream) {
    SHARED_MEMORY(float, shared);
    REAL* queries = reinterpret_cast<REAL*>(shared);  // 64 rows
    REAL* dcontexts = queries + ROWS * STRIDE;        // 64 rows
    REAL* keys = dcontexts + ROWS * STRIDE;           // 32 rows
    REAL* values = keys + BACKWARD_TILE * STRIDE;     // 32 rows
    unsigned char* kept = reinterpret_cast<unsigned char*>(values + BACKWARD_TILE * STRIDE);
    Dropout draw = {threshold, keep_scale, seed, stream};
    int n = blockIdx.y, warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    Unit unit = unit_of(units, ROWS);
    int64 part = (int64)T * N * D;
    In<REAL> q = {qkv.data}, k = {qkv.data + part}, v = {qkv.data + 2 * part};

    float dq[COLUMNS][4] = {}, log[2], delta[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = 16 * warp + g + 8 * half;
        log[half] = row < unit.count ? logs[(int64)n * T + unit.first + row] : 0.0f;
        delta[half] = row < unit.count ? deltas[(int64)n * T + unit.first + row] : 0.0f;
    }
    load_tile(queries, ROWS, q, unit.first, unit.count, n, N, D);
    load_tile(dcontexts, ROWS, dcontext, unit.first, unit.count, n, N, D);
    for (int key = unit.begin; key < unit.end; key += BACKWARD_TILE) {
        int count = min(BACKWARD_TILE, unit.end - key);
        load_tile(keys, BACKWARD_TILE, k, key, count, n, N, D);
        load_tile(values, BACKWARD_TILE, v, key, count, n, N, D);
        draw_tile(kept, draw, ROWS, unit.first, BACKWARD_TILE, key - unit.begin, n, N);
        __syncthreads();  // the tiles are there
        float s[BACKWARD_TILE / 8][4], dp[BACKWARD_TILE / 8][4];
        multiply_rows<BACKWARD_TILE>(s, queries, 16 * warp, keys);
        multiply_rows<BACKWARD_TILE>(dp, dcontexts, 16 * warp, values);
#pragma unroll
        for (int j = 0; j < BACKWARD_TILE / 8; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = 16 * warp + g + e / 2 * 8, column = 8 * j + 2 * t + e % 2;
                bool real = row < unit.count && column < count;
                float p = exp2f(s[j][e] * scale - log[e / 2]);
                float ds = p * (dp[j][e] * mask_of(kept, draw, row, BACKWARD_TILE, column) - delta[e / 2]);
                s[j][e] = real ? ds : 0.0f;
            }
        }
        weigh<BACKWARD_TILE>(dq, s, keys);
        __syncthreads();  // nobody reads these tiles any more
    }
    float factor[2] = {score_scale, score_scale};
    write_rows({dqkv.data}, dq, factor, unit.first + 16 * warp, unit.count - 16 * warp, n, N, D);
}

// dqkv[1] and dqkv[2] (T, N, D). Grid (units of 64 keys, N).
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_backward_keys(In<REAL> qkv, In<REAL> dcontext, In<float> logs, In<float> deltas, In<int> units,
                            Out<REAL> dqkv, int T, int N, int D, float scale, float score_scale, unsigned threshold,
                            float keep_scale, uint64 seed, uint64 stream) {
    SHARED_MEMORY(float, shared);
    float* log = shared;                                  // of 32 queries
    float* delta = shared + BACKWARD_TILE;                // of 32 queries
    REAL* keys = reinterpret_cast<REAL*>(shared + 2 * BACKWARD_TILE);  // 64 rows
    REAL* values = keys + ROWS * STRIDE;                  // 64 rows
    REAL* queries = values + ROWS * STRIDE;               // 32 rows
    REAL* dcontexts = queries + BACKWARD_TILE * STRIDE;   // 32 rows
    unsigned char* kept = reinterpret_cast<unsigned char*>(dcontexts + BACKWARD_TILE * STRIDE);
    Dropout draw = {threshold, keep_scale, seed, stream};
    int n = blockIdx.y, warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    Unit unit = unit_of(units, ROWS);
    int64 part = (int64)T * N * D;
    In<REAL> q = {qkv.data}, k = {qkv.data + part}, v = {qkv.data + 2 * part};

    float dk[COLUMNS][4] = {}, dv[COLUMNS][4] = {};
    load_tile(keys, ROWS, k, unit.first, unit.count, n, N, D);
    load_tile(values, ROWS, v, unit.first, unit.count, n, N, D);
    for (int first = unit.begin; first < unit.end; first += BACKWARD_TILE) {
        int count = min(BACKWARD_TILE, unit.end - first);
        load_tile(queries, BACKWARD_TILE, q, first, count, n, N, D);
        load_tile(dcontexts, BACKWARD_TILE, dcontext, first, count, n, N, D);
        draw_tile(kept, draw, BACKWARD_TILE, first, ROWS, unit.first - unit.begin, n, N);
        if (threadIdx.x < BACKWARD_TILE) {
            int row = threadIdx.x;
            log[row] = row < count ? logs[(int64)n * T + first + row] : 0.0f;
            delta[row] = row < count ? deltas[(int64)n * T + first + row] : 0.0f;
        }
        __syncthreads();  // the tiles are there
        float s[BACKWARD_TILE / 8][4], dp[BACKWARD_TILE / 8][4];
        multiply_rows<BACKWARD_TILE>(s, keys, 16 * warp, queries);  // (keys, queries)
        multiply_rows<BACKWARD_TILE>(dp, values, 16 * warp, dcontexts);
#pragma unroll
        for (int j = 0; j < BACKWARD_TILE / 8; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = 16 * warp + g + e / 2 * 8, column = 8 * j + 2 * t + e % 2;  // of a key, of a query
                bool real = row < unit.count && column < count;
                float p = real ? exp2f(s[j][e] * scale - log[column]) : 0.0f;
                float mask = mask_of(kept, draw, column, ROWS, row);
                dp[j][e] = real ? p * (dp[j][e] * mask - delta[column]) : 0.0f;
                s[j][e] = p * mask;
            }
        }
        weigh<BACKWARD_TILE>(dv, s, dcontexts);
        weigh<BACKWARD_TILE>(dk, dp, queries);
        __syncthreads();  // nobody reads these tiles any more
    }
    float scores[2] = {score_scale, score_scale}, ones[2] = {1.0f, 1.0f};
    write_rows({dqkv.data + part}, dk, scores, unit.first + 16 * warp, unit.count - 16 * warp, n, N, D);
    write_rows({dqkv.data + 2 * part}, dv, ones, unit.first + 16 * warp, unit.count - 16 * warp, n, N, D);
}
