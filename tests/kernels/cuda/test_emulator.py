"""The emulator itself: what it computes, what it counts, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from minibert.kernels.cuda import sources
from minibert.kernels.cuda.emulator import EmulatorError, counted, device_array, no_synchronisation, start_text
from minibert.kernels.cuda.emulator.array import namespace
from tests.kernels.cuda.devices import Emulator

pytestmark = pytest.mark.usefixtures("emulator")

HEADER = sources.with_header('#include "device.cuh"\n')
BODY = """
extern "C" __global__ void kernel_%d(In<float> x, Out<float> y, int n) {
    SHARED_MEMORY(float, shared);
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    (void)x, (void)y, (void)n, (void)shared, (void)i;
    %s
}
"""
_bodies: list[str] = []


def kernel(body: str) -> int:
    """The number of a kernel with that body; all of this file are compiled together."""
    _bodies.append(body)
    return len(_bodies) - 1


def run(number: int, x: np.ndarray, *, blocks: int = 1) -> np.ndarray:
    """y of one of these kernels, in blocks of 64 threads: as many numbers as there are threads."""
    y = device_array(np.zeros(64 * blocks, np.float32))
    start(number, (device_array(x), y, np.int32(0)), blocks=blocks)
    return y.get()


def start(number: int, arguments: Any, *, blocks: int = 1) -> None:
    text = HEADER + "".join(BODY % numbered for numbered in enumerate(_bodies))
    start_text(text, f"kernel_{number}", (blocks,), (64,), arguments, shared=256)


ONES = np.ones(64, np.float32)
NUMBERS = np.arange(64, dtype=np.float32)


TURN = kernel("shared[threadIdx.x] = x[i]; __syncthreads(); y.set(i, shared[63 - threadIdx.x]);")
STATIC = kernel("__shared__ float own[64]; own[threadIdx.x] = x[i]; __syncthreads(); y.set(i, own[threadIdx.x ^ 1]);")
SOME = kernel("if (threadIdx.x % 32 < 8) y.set(i, __shfl_xor_sync(0xffu, x[i], 1));")
UNSET = kernel("y.set(i, shared[threadIdx.x]);")
TIMES = kernel("y.set(i, x[i] * n);")
NEXT = kernel("if (i < 10) y.set(i, x[i] + x[i + 1]);")


def test_shared_memory_and_barrier() -> None:
    np.testing.assert_array_equal(run(TURN, NUMBERS), NUMBERS[::-1])


def test_static_shared_memory_is_the_blocks() -> None:
    many = np.tile(NUMBERS, 40)
    np.testing.assert_array_equal(run(STATIC, many, blocks=40), many[np.arange(2560) ^ 1])


@pytest.mark.parametrize(("number", "expected"), [
    (kernel("y.set(i, __shfl_xor_sync(ALL_LANES, x[i], 5));"), NUMBERS[np.arange(64) ^ 5]),
    (kernel("y.set(i, __shfl_sync(ALL_LANES, x[i], 3));"), np.repeat(NUMBERS[[3, 35]], 32)),
    (kernel("y.set(i, __shfl_down_sync(ALL_LANES, x[i], 4));"), [i + 4 if i % 32 < 28 else i for i in range(64)]),
    (kernel("y.set(i, (float)__ballot_sync(ALL_LANES, x[i] < 2.0f));"), np.repeat([3.0, 0.0], 32)),
    (kernel("y.set(i, warp_sum(x[i]));"), np.repeat([NUMBERS[:32].sum(), NUMBERS[32:].sum()], 32)),
    (kernel("y.set(i, warp_max<8>(x[i]));"), np.arange(64) // 8 * 8 + 7),
    (kernel("y.set(i, block_sum(x[i], shared));"), np.full(64, NUMBERS.sum())),
])  # fmt: skip
def test_what_a_warp_does_together(number: int, expected: Any) -> None:
    np.testing.assert_array_equal(run(number, NUMBERS), np.asarray(expected, np.float32))


def test_a_shuffle_among_some_lanes() -> None:
    expected = np.where(np.arange(64) % 32 < 8, NUMBERS[np.arange(64) ^ 1], 0)
    np.testing.assert_array_equal(run(SOME, NUMBERS), expected)


def test_atomics() -> None:
    text = """
    #include "device.cuh"
    extern "C" __global__ void kernel(InOut<float> y) { y.add(threadIdx.x % 2, 1.0f); }
    """.replace("    #", "#")
    y = device_array(np.zeros(2, np.float32))
    start_text(sources.with_header(text), "kernel", (50,), (64,), (y,))
    np.testing.assert_array_equal(y.get(), [1600, 1600])


@pytest.mark.parametrize(("number", "message"), [
    (kernel("y.set(i + 1, 1.0f);"), "outside the arrays"),
    (kernel("y.set(i, x[i - 1]);"), "outside the arrays"),
    (kernel("y.set(i, x.four(4 * i + 1, 4, true).x[0]);"), "not aligned"),
    (kernel("shared[threadIdx.x + 1] = x[i];"), "behind the shared memory"),
    (kernel("if (threadIdx.x < 40) {\n__syncthreads();\n} else {\n__syncthreads();\n}"), "different barriers"),
    (kernel("if (threadIdx.x % 32 < 8) __shfl_xor_sync(0xffu, x[i], 8);"), "leaves out"),
    (kernel("__shfl_xor_sync(threadIdx.x % 2 ? 0x55555555u : 0xaaaaaaaau, x[i], 2);"), "whose mask leaves it out"),
    (kernel("if (threadIdx.x % 32 != 5) __shfl_xor_sync(ALL_LANES, x[i], 1);"), "has gone elsewhere"),
    (kernel("if (threadIdx.x % 32 != 5) __syncwarp(); else warp_sum(x[i]);"), "different operations"),
])  # fmt: skip
def test_what_a_gpu_would_answer_with_garbage_is_an_error(number: int, message: str) -> None:
    with pytest.raises(EmulatorError, match=message):
        run(number, NUMBERS)


def test_what_nobody_wrote_is_not_a_number() -> None:
    assert np.isnan(run(UNSET, ONES)).all()


@pytest.mark.parametrize(("arguments", "message"), [
    (lambda x, y: (x, y), "wants that many arguments"),
    (lambda x, y: (np.int32(1), x, y), "argument 0: the kernel wants an array"),
    (lambda x, y: (x, y, np.float32(1)), "argument 2: the kernel wants an integer"),
    (lambda x, y: (x, y, np.int64(1)), "argument 2: the kernel wants another size"),
    (lambda x, y: (device_array(np.zeros(64, "f2")), y, np.int32(1)), "argument 0: the kernel wants another size"),
])  # fmt: skip
def test_wrong_arguments(arguments: Any, message: str) -> None:
    x, y = device_array(ONES), device_array(ONES)
    with pytest.raises(EmulatorError, match=message):
        start(TIMES, arguments(x, y))


def test_a_text_that_does_not_compile() -> None:
    with pytest.raises(EmulatorError, match="g\\+\\+ refused a kernel"):
        start_text("nothing at all", "kernel", (1,), (1,), ())


def test_traffic() -> None:
    with counted() as traffic:
        run(NEXT, NUMBERS)
    assert (traffic.loaded, traffic.stored, traffic.launches) == (80, 40, 1)


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "dtype"), [("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)])
def test_16_bits(emulator: Emulator, kind: str, dtype: Any) -> None:
    """Every 16-bit number is widened, and numbers between two of them are rounded, as NumPy and ml_dtypes do it."""
    text = """
#include "device.cuh"
extern "C" __global__ void kernel(In<REAL> x, Out<float> wide, In<float> y, Out<REAL> narrow, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        wide.set(i, x[i]);
        narrow.set(i, y[i]);
    }
}"""
    every = np.arange(2**16, dtype=np.uint16).view(dtype)
    rng = np.random.default_rng(0)
    spread = rng.integers(0, 2**32, 2**16, dtype=np.uint32).view(np.float32)
    finite = every.astype(np.float32)
    with np.errstate(all="ignore"):
        near = np.where(rng.random(2**16) < 0.5, finite * np.float32(1 + 2**-11), finite * np.float32(1 + 2**-8))
        y = np.where(rng.random(2**16) < 0.5, spread, near).astype(np.float32)
        expected = y.astype(dtype)
    wide, narrow = emulator.array(np.zeros(2**16, np.float32)), emulator.array(every)
    arguments = emulator.array(every), wide, emulator.array(y), narrow, np.int32(2**16)
    start_text(sources.with_header(text), "kernel", (1,), (64,), arguments, defines={"REAL": kind})
    np.testing.assert_array_equal(wide.get(), finite)
    np.testing.assert_array_equal(narrow.get().astype(np.float32), expected.astype(np.float32))


@pytest.mark.parametrize(("kind", "dtype"), [("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)])
def test_tensor_cores(emulator: Emulator, kind: str, dtype: Any) -> None:
    text = """
#include "tensor_cores.cuh"
extern "C" __global__ void kernel(In<REAL> a, In<REAL> b, Out<float> rows, Out<float> columns) {
    SHARED_MEMORY(float, shared);
    REAL* left = reinterpret_cast<REAL*>(shared);
    REAL* right = left + 16 * 16;
    for (int i = threadIdx.x; i < 256; i += 32) {
        left[i] = a.data[i];
        right[i] = b.data[i];
    }
    __syncwarp();
    unsigned x[4], y[2];
    float d[4] = {}, e[4] = {};
    fragment_a<16>(x, left, 0, 0);
    fragment_b_of_rows<16>(y, right, 8, 0);
    mma(REAL(), d, x, y);
    fragment_b_of_columns<16>(y, right, 0, 8);
    mma(REAL(), e, x, y);
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    for (int k = 0; k < 4; k++) {
        rows.set((g + k / 2 * 8) * 8 + 2 * t + k % 2, d[k]);
        columns.set((g + k / 2 * 8) * 8 + 2 * t + k % 2, e[k]);
    }
}"""
    a, b = np.random.default_rng(0).integers(-8, 9, (2, 16, 16)).astype(dtype)
    rows, columns = (emulator.array(np.zeros((16, 8), np.float32)) for _ in range(2))
    arguments = emulator.array(a), emulator.array(b), rows, columns
    start_text(sources.with_header(text), "kernel", (1,), (32,), arguments, shared=1024, defines={"REAL": kind})
    wide = a.astype(np.float32), b.astype(np.float32)  # small integers: every sum is exact
    np.testing.assert_array_equal(rows.get(), wide[0] @ wide[1][8:].T)
    np.testing.assert_array_equal(columns.get(), wide[0] @ wide[1][:, 8:])


# ---- arrays ----------------------------------------------------------------------------------------------------------


def test_arrays_of_the_device_refuse_what_cupys_refuse() -> None:
    x = device_array(ONES)
    for mixed in (lambda: x + ONES, lambda: ONES + x, lambda: x[np.arange(3)], lambda: np.asarray(x)):
        with pytest.raises(TypeError):
            mixed()
    with pytest.raises(TypeError, match="unhashable"):  # CuPy's devices compare, and have no hash
        hash(x.device)
    assert x.device == device_array(ONES).device
    assert (x * 2 + np.float32(1)).get().tolist() == [3.0] * 64
    x[:3] = 0
    x += 1
    assert float(x.sum()) == 64 * 2 - 3


def test_looking_at_a_number_makes_the_cpu_wait() -> None:
    x = device_array(ONES)
    with no_synchronisation():
        y = x.sum()
        looks: list[Callable[[], Any]] = [
            lambda: float(y), lambda: bool(y > 0), lambda: y.get(), lambda: y.item(), lambda: [0, 1][y],
            lambda: x[x > 0], lambda: (x > 0).nonzero(), lambda: namespace.unique(x),  # how many are there?
        ]  # fmt: skip
        x[x > 2] = 0  # a mask to write by is no question
        for look in looks:
            with pytest.raises(RuntimeError, match="makes the CPU wait"):
                look()
    assert float(y) == 64
