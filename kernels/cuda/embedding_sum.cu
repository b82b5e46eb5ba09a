// y[t] = words[ids[t]] + types[type_ids[t]] + positions[position_ids[t]], and its transpose: row t of dy is added to a
// row of each table.
//
// Backward, many tokens may want to add to one row. Two ways.
//
// With atomics: every number of dy is added where it belongs, as it comes. Quick, but the order is left to chance, and
// with it the last bits of each sum.
//
// Deterministic: the tokens are sorted by row first (stably, on the GPU), so that a row's tokens are a run of the sorted
// list, and one thread adds up a run's numbers in a column, in order. A run may be long, every second token has the same
// segment, so the list is cut at multiples of PIECE as well. A piece that is a whole run goes straight to the table; the
// pieces of a run that crosses a cut go to `partial` and are joined, in order, by a second kernel. Each stretch of PIECE
// tokens has at most two such pieces, one that comes in from the left and one that leaves to the right: two lines of
// `partial` each. Nobody writes where another does.
#include "device.cuh"

constexpr int PIECE = 64;
constexpr int THREADS = 128;  // with four columns each

// y (T, H). One thread per group of four columns, any grid.
extern "C" __global__ void __launch_bounds__(256)
    embedding_sum_forward(In<float> words, In<float> positions, In<float> types, In<int64> ids, In<int64> position_ids,
                          In<int64> type_ids, Out<REAL> y, int T, int H) {
    int groups = (H + 3) / 4;
    bool whole = H % 4 == 0;
    int64 all = (int64)T * groups, step = (int64)gridDim.x * blockDim.x;
    for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += step) {
        int64 t = i / groups;
        int c = 4 * (int)(i % groups);
        Four w = words.four(ids[t] * H + c, H - c, whole), k = types.four(type_ids[t] * H + c, H - c, whole);
        Four p = positions.four(position_ids[t] * H + c, H - c, whole);
#pragma unroll
        for (int e = 0; e < 4; e++) w.x[e] = w.x[e] + k.x[e] + p.x[e];
        y.set_four(t * H + c, w, H - c, whole);
    }
}

// table (rows, H), zero before, += rows of dy (T, H) at ids (T,), in any order. One thread per number, any grid.
extern "C" __global__ void __launch_bounds__(256)
    scatter_atomic(In<REAL> dy, In<int64> ids, InOut<float> table, int T, int H) {
    int64 all = (int64)T * H, step = (int64)gridDim.x * blockDim.x;
    for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += step) {
        table.add(ids[i / H] * H + i % H, dy[i]);
    }
}

// Where the piece that begins at `s` ends, or s itself if none begins there. `order` lists tokens sorted by id.
__device__ __forceinline__ int piece_end(In<int64> order, In<int64> ids, int s, int T) {
    int64 id = ids[order[s]];
    if (s % PIECE != 0 && ids[order[s - 1]] == id) return s;
    int limit = min((s / PIECE + 1) * PIECE, T), e = s + 1;
    while (e < limit && ids[order[e]] == id) e++;
    return e;
}

// The line of `partial` of the piece that begins at s.
__device__ __forceinline__ int line_of(int s) { return 2 * (s / PIECE) + (s % PIECE != 0); }

// Block (s, j): the piece of the sorted list that begins at s, if one does, in columns 512 j ..
extern "C" __global__ void __launch_bounds__(THREADS)
    scatter_pieces(In<REAL> dy, In<int64> order, In<int64> ids, Out<float> table, Out<float> partial, int T, int H) {
    int s = blockIdx.x, end = piece_end(order, ids, s, T), c = 4 * (blockIdx.y * THREADS + threadIdx.x);
    if (end == s || c >= H) return;
    bool whole = H % 4 == 0;
    Four sum = {};
    for (int i = s; i < end; i++) {
        Four row = dy.four(order[i] * H + c, H - c, whole);
#pragma unroll
        for (int e = 0; e < 4; e++) sum.x[e] += row.x[e];
    }
    int64 id = ids[order[s]];
    bool comes_in = s > 0 && ids[order[s - 1]] == id, goes_on = end < T && ids[order[end]] == id;
    if (comes_in || goes_on) {
        partial.set_four((int64)line_of(s) * H + c, sum, H - c, whole);
    } else {
        table.set_four(id * H + c, sum, H - c, whole);
    }
}

// The same grid: where a run begins that goes on over a cut, its pieces are joined.
extern "C" __global__ void __launch_bounds__(THREADS)
    scatter_join(In<float> partial, In<int64> order, In<int64> ids, Out<float> table, int T, int H) {
    int s = blockIdx.x, c = 4 * (blockIdx.y * THREADS + threadIdx.x), next = (s / PIECE + 1) * PIECE;
    int64 id = ids[order[s]];
    if (c >= H || (s > 0 && ids[order[s - 1]] == id) || next >= T || ids[order[next]] != id) return;
    bool whole = H % 4 == 0;
    Four sum = partial.four((int64)line_of(s) * H + c, H - c, whole);
    for (; next < T && ids[order[next]] == id; next += PIECE) {
        Four more = partial.four((int64)line_of(next) * H + c, H - c, whole);
#pragma unroll
        for (int e = 0; e < 4; e++) sum.x[e] += more.x[e];
    }
    table.set_four(id * H + c, sum, H - c, whole);
}
