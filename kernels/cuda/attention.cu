// Attention over packed sequences: context = softmax(Q K^T / sqrt(D)) V for each head of each sequence, with dropout on
// the probabilities, and its gradient. The L x L scores of a head exist only as tiles in shared memory and registers.
//
// Forward. A block has 64 queries of one head of one sequence, and walks over that sequence's keys, 32 at a time. With
// each tile of keys the queries' running maximum m and sum l of exp(score - m) move on, and what has been summed so far
// is scaled to the new maximum ("online softmax": Milakov & Gimelshein 2018; in tiles, Dao et al. 2022). In the end a
// query keeps its context and one more number, the logarithm of its sum. Queries are read once; keys and values once
// for every 64 queries, and no faster way of reading them exists without more shared memory for more queries.
//
// Backward computes every tile of probabilities anew from that logarithm. Two kernels divide the work so that each sum
// has one owner: one has 32 queries and walks over the keys (dQ), the other 32 keys and walks over the queries (dK and
// dV). Each needs the scores, which are thus computed once more than with atomics, but results are the same bits every
// time. What both need, delta = sum(dC * context) of a query, is a kernel of its own.
//
// Tiles and threads. A block is 128 threads: 16 rows of 8. In a tile of scores, thread (r, c) has queries r, r + 16, ..
// and keys 4c .. 4c+3: four neighbouring keys are the four words of one dropout counter. Tiles of Q, K, V lie in shared
// memory with HEAD + 4 floats a row, so that threads that read different rows at the same column hit different banks.
// Key j of a tile of 32 lies in row (j % 4) * 8 + j / 4, for the same reason: the eight threads of a row read keys 0, 4,
// 8, ... at one time.
//
// Scores are kept in base 2: exp2 is the instruction that the hardware has, and log2(e) goes into the scale.
#include "attention.cuh"

constexpr int ACROSS = 8;               // threads along a row of a tile of scores
constexpr int DOWN = THREADS / ACROSS;  // and from row to row
constexpr int KEYS = 32;                // in a tile
constexpr int STRIDE = HEAD + 4;        // floats from row to row of a tile of Q, K or V
constexpr int SCORES = KEYS + 4;        // and of a tile of scores
constexpr int PAIRS = HEAD / 16;        // pairs of columns that a thread has of a row of results
constexpr int FORWARD = 4;              // queries a thread has in a tile, forward: 64 in all
constexpr int BACKWARD = 2;             // and in backward's kernel of dQ: 32
// Blocks that a multiprocessor is to hold at least. Large heads fill its shared memory with one: then a thread may have
// all the registers it wants, and the compiler must not save some by keeping numbers in memory.
constexpr int BLOCKS = HEAD > 64 ? 1 : 3;
constexpr int INNER = HEAD > 96 ? 1 : 2;  // and in the kernel of dK and dV, where four tiles must find room: 16 or 32

__device__ __forceinline__ int key_row(int key) { return key % 4 * 8 + key / 4; }

// Rows first .. first + rows - 1 of head n into shared memory, zeros behind row `count` and column D. All threads take
// part, four columns at a time, neighbouring threads neighbouring columns.
template <bool keys>
__device__ __forceinline__ void load_tile(float* tile, int rows, In<REAL> x, int first, int count, int n, int N, int D) {
    for (int i = threadIdx.x; i < rows * (HEAD / 4); i += THREADS) {
        int row = i / (HEAD / 4), c = i % (HEAD / 4) * 4;
        Four four = {};
        if (row < count) four = x.four(((int64)(first + row) * N + n) * D + c, D - c, D % 4 == 0);
        *reinterpret_cast<Four*>(tile + (keys ? key_row(row) : row) * STRIDE + c) = four;
    }
}

// s[i][j] += the product of row r + 16 i of `queries` with key 4 c + j.
template <int ROWS>
__device__ __forceinline__ void products(const float* queries, const float* keys, float (&s)[ROWS][4]) {
    int c = threadIdx.x % ACROSS, r = threadIdx.x / ACROSS;
#pragma unroll 2
    for (int d = 0; d < HEAD; d += 4) {
        Four k[4];
#pragma unroll
        for (int j = 0; j < 4; j++) k[j] = shared_four(keys + (j * 8 + c) * STRIDE + d);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            Four q = shared_four(queries + (r + DOWN * i) * STRIDE + d);
#pragma unroll
            for (int j = 0; j < 4; j++) {
#pragma unroll
                for (int e = 0; e < 4; e++) s[i][j] += q.x[e] * k[j].x[e];
            }
        }
    }
}

// sum[i] += over all 32 keys of weight (row r + 16 i, key) times the key's row of `values`; a thread has the columns
// 2 c, 2 c + 1, 2 c + 16, ... `weights` has a row of SCORES floats for each query.
template <int ROWS, bool keys>
__device__ __forceinline__ void weigh(const float* weights, const float* values, float (&sum)[ROWS][2 * PAIRS]) {
    int c = threadIdx.x % ACROSS, r = threadIdx.x / ACROSS;
#pragma unroll 2
    for (int four = 0; four < KEYS / 4; four++) {
        Four w[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++) w[i] = shared_four(weights + (r + DOWN * i) * SCORES + 4 * four);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const float* row = values + (keys ? e * 8 + four : 4 * four + e) * STRIDE + 2 * c;
#pragma unroll
            for (int p = 0; p < PAIRS; p++) {
                float a = row[16 * p], b = row[16 * p + 1];
#pragma unroll
                for (int i = 0; i < ROWS; i++) {
                    sum[i][2 * p] += w[i].x[e] * a;
                    sum[i][2 * p + 1] += w[i].x[e] * b;
                }
            }
        }
    }
}

// Columns 2 c, 2 c + 1, 2 c + 16, ... of one row of a result.
__device__ __forceinline__ void write_row(Out<REAL> y, int64 at, const float (&row)[2 * PAIRS], float factor, int D) {
    int c = 2 * (threadIdx.x % ACROSS);
#pragma unroll
    for (int p = 0; p < PAIRS; p++) {
        if (c + 16 * p < D) y.set(at + c + 16 * p, row[2 * p] * factor);
        if (c + 16 * p + 1 < D) y.set(at + c + 16 * p + 1, row[2 * p + 1] * factor);
    }
}

__device__ __forceinline__ Four mask_of(const Dropout& draw, int key, int row) {
    if (draw.threshold == 0) return Four{{1.0f, 1.0f, 1.0f, 1.0f}};
    return dropout_four(draw, key / 4, row);
}

// qkv (3, T, N, D) to context (T, N, D) and logs (N, T): log2 of each query's sum of 2^score. Grid (units, N).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_forward(In<REAL> qkv, In<int> units, Out<REAL> context, Out<float> logs, int T, int N, int D,
                      float scale, unsigned threshold, float keep_scale, uint64 seed, uint64 stream) {
    SHARED_MEMORY(float, shared);
    float* queries = shared;                              // 64 rows
    float* tile = queries + FORWARD * DOWN * STRIDE;      // 32 rows: keys, and after them their values
    float* weights = tile + KEYS * STRIDE;                // 64 rows
    Dropout draw = {threshold, keep_scale, seed, stream};
    int n = blockIdx.y, c = threadIdx.x % ACROSS, r = threadIdx.x / ACROSS;
    Unit unit = unit_of(units, FORWARD * DOWN);
    int64 part = (int64)T * N * D;
    In<REAL> q = {qkv.data}, k = {qkv.data + part}, v = {qkv.data + 2 * part};

    float sum[FORWARD][2 * PAIRS] = {}, top[FORWARD], total[FORWARD] = {};
#pragma unroll
    for (int i = 0; i < FORWARD; i++) top[i] = -INFINITY;
    load_tile<false>(queries, FORWARD * DOWN, q, unit.first, unit.count, n, N, D);

    for (int key = unit.begin; key < unit.end; key += KEYS) {
        int count = min(KEYS, unit.end - key);
        load_tile<true>(tile, KEYS, k, key, count, n, N, D);
        __syncthreads();  // the keys (and, the first time, the queries) are there
        float s[FORWARD][4] = {};
        products(queries, tile, s);
#pragma unroll
        for (int i = 0; i < FORWARD; i++) {
            float highest = top[i];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                s[i][j] = 4 * c + j < count ? s[i][j] * scale : -INFINITY;
                highest = fmaxf(highest, s[i][j]);
            }
            highest = warp_max<ACROSS>(highest);  // the eight threads of a row
            float base = highest == -INFINITY ? 0.0f : highest;  // -inf - -inf would be NaN
            float factor = exp2f(top[i] - base);
            top[i] = highest;
            total[i] *= factor;  // of this thread's keys only; the eight parts are added up at the end
            Four mask = mask_of(draw, key - unit.begin + 4 * c, (unit.first + r + DOWN * i) * N + n), weight;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float e = exp2f(s[i][j] - base);
                total[i] += e;
                weight.x[j] = e * mask.x[j];
            }
            *reinterpret_cast<Four*>(weights + (r + DOWN * i) * SCORES + 4 * c) = weight;
#pragma unroll
            for (int p = 0; p < 2 * PAIRS; p++) sum[i][p] *= factor;
        }
        __syncthreads();  // nobody reads the keys any more: their values may take their place
        load_tile<false>(tile, KEYS, v, key, count, n, N, D);
        __syncthreads();  // the values and all weights are there
        weigh<FORWARD, false>(weights, tile, sum);
        __syncthreads();  // nobody reads the values or the weights any more
    }
#pragma unroll
    for (int i = 0; i < FORWARD; i++) {
        int row = r + DOWN * i, t = unit.first + row;
        float all = warp_sum<ACROSS>(total[i]);  // before anybody leaves: a shuffle wants all its lanes
        if (row < unit.count) {
            write_row(context, ((int64)t * N + n) * D, sum[i], 1.0f / all, D);
            if (c == 0) logs.set((int64)n * T + t, top[i] + log2f(all));
        }
    }
}

// The gradient of a tile of scores. On entry s are the products of queries and keys, dp those of dcontext and values.
// On return s are the weights that forward used (after dropout), dp the gradients of the scores before scaling.
template <int ROWS>
__device__ __forceinline__ void through_softmax(float (&s)[ROWS][4], float (&dp)[ROWS][4], const float (&log)[ROWS],
                                                const float (&delta)[ROWS], const Dropout& draw, int first_query,
                                                int queries, int key, int keys, int n, int N, float scale) {
    int c = threadIdx.x % ACROSS, r = threadIdx.x / ACROSS;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        Four mask = mask_of(draw, key + 4 * c, (first_query + r + DOWN * i) * N + n);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            bool real = r + DOWN * i < queries && 4 * c + j < keys;
            float p = real ? exp2f(s[i][j] * scale - log[i]) : 0.0f;
            dp[i][j] = real ? p * (dp[i][j] * mask.x[j] - delta[i]) : 0.0f;
            s[i][j] = p * mask.x[j];
        }
    }
}

// dqkv[0] (T, N, D). Grid (units of 32 queries, N).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_backward_queries(In<REAL> qkv, In<REAL> dcontext, In<float> logs, In<float> deltas, In<int> units,
                               Out<REAL> dqkv, int T, int N, int D, float scale, float score_scale, unsigned threshold,
                               float keep_scale, uint64 seed, uint64 stream) {
    SHARED_MEMORY(float, shared);
    float* queries = shared;                            // 32 rows
    float* dcontexts = queries + BACKWARD * DOWN * STRIDE;  // 32 rows
    float* tile = dcontexts + BACKWARD * DOWN * STRIDE;     // 32 rows: values, and after them their keys
    float* dscores = tile + KEYS * STRIDE;                  // 32 rows
    Dropout draw = {threshold, keep_scale, seed, stream};
    int n = blockIdx.y, c = threadIdx.x % ACROSS, r = threadIdx.x / ACROSS;
    Unit unit = unit_of(units, BACKWARD * DOWN);
    int64 part = (int64)T * N * D;
    In<REAL> q = {qkv.data}, k = {qkv.data + part}, v = {qkv.data + 2 * part};

    float dq[BACKWARD][2 * PAIRS] = {}, log[BACKWARD], delta[BACKWARD];
#pragma unroll
    for (int i = 0; i < BACKWARD; i++) {
        int row = r + DOWN * i;
        log[i] = row < unit.count ? logs[(int64)n * T + unit.first + row] : 0.0f;
        delta[i] = row < unit.count ? deltas[(int64)n * T + unit.first + row] : 0.0f;
    }
    load_tile<false>(queries, BACKWARD * DOWN, q, unit.first, unit.count, n, N, D);
    load_tile<false>(dcontexts, BACKWARD * DOWN, dcontext, unit.first, unit.count, n, N, D);

    for (int key = unit.begin; key < unit.end; key += KEYS) {
        int count = min(KEYS, unit.end - key);
        load_tile<true>(tile, KEYS, v, key, count, n, N, D);
        __syncthreads();  // the values (and, the first time, the queries) are there
        float dp[BACKWARD][4] = {}, s[BACKWARD][4] = {};
        products(dcontexts, tile, dp);
        __syncthreads();  // nobody reads the values any more
        load_tile<true>(tile, KEYS, k, key, count, n, N, D);
        __syncthreads();  // the keys are there
        products(queries, tile, s);
        through_softmax(s, dp, log, delta, draw, unit.first, unit.count, key - unit.begin, count, n, N, scale);
#pragma unroll
        for (int i = 0; i < BACKWARD; i++) {
            Four four = {{dp[i][0], dp[i][1], dp[i][2], dp[i][3]}};
            *reinterpret_cast<Four*>(dscores + (r + DOWN * i) * SCORES + 4 * c) = four;
        }
        __syncwarp();  // a row of dscores is written and read by the same eight threads
        weigh<BACKWARD, true>(dscores, tile, dq);
        __syncthreads();  // nobody reads the keys any more
    }
#pragma unroll
    for (int i = 0; i < BACKWARD; i++) {
        int row = r + DOWN * i;
        if (row < unit.count) {
            write_row({dqkv.data}, ((int64)(unit.first + row) * N + n) * D, dq[i], score_scale, D);
        }
    }
}

// sum[i] += over the queries of a tile of weight (query, key 2 r + i) times the query's row of `values`.
__device__ __forceinline__ void weigh_queries(const float* weights, const float* values, float (&sum)[2][2 * PAIRS]) {
    int c = threadIdx.x % ACROSS, r = threadIdx.x / ACROSS;
#pragma unroll 4
    for (int query = 0; query < INNER * DOWN; query++) {
        float w0 = weights[query * SCORES + 2 * r], w1 = weights[query * SCORES + 2 * r + 1];
        const float* row = values + query * STRIDE + 2 * c;
#pragma unroll
        for (int p = 0; p < PAIRS; p++) {
            float a = row[16 * p], b = row[16 * p + 1];
            sum[0][2 * p] += w0 * a;
            sum[0][2 * p + 1] += w0 * b;
            sum[1][2 * p] += w1 * a;
            sum[1][2 * p + 1] += w1 * b;
        }
    }
}

// dqkv[1] and dqkv[2] (T, N, D). Grid (units of 32 keys, N).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_backward_keys(In<REAL> qkv, In<REAL> dcontext, In<float> logs, In<float> deltas, In<int> units,
                            Out<REAL> dqkv, int T, int N, int D, float scale, float score_scale, unsigned threshold,
                            float keep_scale, uint64 seed, uint64 stream) {
    SHARED_MEMORY(float, shared);
    constexpr int QUERIES = INNER * DOWN;
    float* keys = shared;                            // 32 rows
    float* values = keys + KEYS * STRIDE;            // 32 rows
    float* queries = values + KEYS * STRIDE;         // 16 or 32 rows
    float* dcontexts = queries + QUERIES * STRIDE;   // as many
    float* weights = dcontexts + QUERIES * STRIDE;   // as many
    float* dscores = weights + QUERIES * SCORES;     // as many
    Dropout draw = {threshold, keep_scale, seed, stream};
    int n = blockIdx.y, c = threadIdx.x % ACROSS, r = threadIdx.x / ACROSS;
    Unit unit = unit_of(units, KEYS);
    int64 part = (int64)T * N * D;
    In<REAL> q = {qkv.data}, k = {qkv.data + part}, v = {qkv.data + 2 * part};

    float dk[2][2 * PAIRS] = {}, dv[2][2 * PAIRS] = {};
    load_tile<true>(keys, KEYS, k, unit.first, unit.count, n, N, D);
    load_tile<true>(values, KEYS, v, unit.first, unit.count, n, N, D);
    for (int first = unit.begin; first < unit.end; first += QUERIES) {
        int count = min(QUERIES, unit.end - first);
        load_tile<false>(queries, QUERIES, q, first, count, n, N, D);
        load_tile<false>(dcontexts, QUERIES, dcontext, first, count, n, N, D);
        float s[INNER][4] = {}, dp[INNER][4] = {}, log[INNER], delta[INNER];
#pragma unroll
        for (int i = 0; i < INNER; i++) {
            int row = r + DOWN * i;
            log[i] = row < count ? logs[(int64)n * T + first + row] : 0.0f;
            delta[i] = row < count ? deltas[(int64)n * T + first + row] : 0.0f;
        }
        __syncthreads();  // all tiles are there
        products(queries, keys, s);
        products(dcontexts, values, dp);
        through_softmax(s, dp, log, delta, draw, first, count, unit.first - unit.begin, unit.count, n, N, scale);
#pragma unroll
        for (int i = 0; i < INNER; i++) {
            int at = (r + DOWN * i) * SCORES + 4 * c;
            Four weight = {{s[i][0], s[i][1], s[i][2], s[i][3]}}, dscore = {{dp[i][0], dp[i][1], dp[i][2], dp[i][3]}};
            *reinterpret_cast<Four*>(weights + at) = weight;
            *reinterpret_cast<Four*>(dscores + at) = dscore;
        }
        __syncthreads();  // all weights are there
        weigh_queries(weights, dcontexts, dv);
        weigh_queries(dscores, queries, dk);
        __syncthreads();  // nobody reads these queries any more
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int row = 2 * r + i;
        if (row < unit.count) {
            int64 at = ((int64)(unit.first + row) * N + n) * D;
            write_row({dqkv.data + part}, at, dk[i], score_scale, D);
            write_row({dqkv.data + 2 * part}, at, dv[i], 1.0f, D);
        }
    }
}
