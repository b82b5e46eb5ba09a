"""One way to try every op: drawn shapes, drawn values, and how to call it.

A `Case` is a function of float64 arrays together with those arrays. The gradient checks, the run on strict arrays and
the kernels' parity tests all walk over `CASES`; a test holds the table against the list of ops that exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minibert import ops
from minibert.autograd import Op, Tensor
from minibert.philox import Key

KEY = Key(seed=20181011, stream=7)


@dataclass
class Case:
    """`function(*tensors)` at `inputs`."""

    function: Callable[..., Tensor]
    inputs: list[np.ndarray]


def generator(draw: Any) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def laid_out(draw: Any, x: np.ndarray) -> np.ndarray:
    """The same values contiguous, transposed in memory, or with gaps between the elements."""
    layout = draw(st.sampled_from(["contiguous", "transposed", "gaps"]))
    if layout == "transposed":
        return np.ascontiguousarray(x.T).T
    if layout == "gaps" and x.ndim:
        wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]))
        wide[..., ::2] = x
        return wide[..., ::2]
    return x


shapes = st.lists(st.integers(1, 5), min_size=0, max_size=3).map(tuple)
matrices = st.tuples(st.integers(1, 5), st.integers(1, 7))


@st.composite
def values(draw: Any, shape: Any = shapes) -> np.ndarray:
    if isinstance(shape, st.SearchStrategy):
        shape = draw(shape)
    return laid_out(draw, generator(draw).standard_normal(shape))


@st.composite
def broadcast_pair(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays whose shapes broadcast: axes of length 1, and missing ones."""
    full = draw(shapes)
    pair = []
    for _ in range(2):
        own = tuple(draw(st.sampled_from([1, n])) for n in full)
        own = own[draw(st.integers(0, len(own))) :]
        pair.append(draw(values(shape=own)))
    return pair[0], pair[1]


def binary(function: Callable[..., Tensor], *, away_from_zero: bool = False) -> st.SearchStrategy[Case]:
    @st.composite
    def case(draw: Any) -> Case:
        x, y = draw(broadcast_pair())
        if away_from_zero:
            y = np.where(y < 0, y - 0.5, y + 0.5)
        return Case(function, [x, y])

    return case()


def unary(function: Callable[..., Tensor], change: Callable[[np.ndarray], np.ndarray] | None = None) -> Any:
    return values().map(lambda x: Case(function, [change(x) if change is not None else x]))


def reduction(function: Callable[..., Tensor]) -> st.SearchStrategy[Case]:
    @st.composite
    def case(draw: Any) -> Case:
        x = draw(values())
        x = x + np.arange(x.size).reshape(x.shape) * 0.01  # no two alike: max has a kink where they are
        axes = st.lists(st.sampled_from(range(-x.ndim, x.ndim)), unique_by=lambda a: a % x.ndim, min_size=1).map(tuple)
        axis = draw(st.one_of(st.none(), st.sampled_from(range(x.ndim)), axes)) if x.ndim else None
        keepdims = draw(st.booleans())
        return Case(lambda t: function(t, axis=axis, keepdims=keepdims), [x])

    return case()


@st.composite
def power(draw: Any) -> Case:
    exponent = draw(st.sampled_from([-2, -0.5, 0, 1, 2, 2.5, 3]))
    return Case(lambda t: ops.power(t, exponent), [np.abs(draw(values())) + 0.5])


@st.composite
def exponential(draw: Any) -> Case:
    base = draw(st.sampled_from([0.5, 1, 2, 10.0]))
    return Case(lambda t: ops.exponential(base, t), [draw(values())])


@st.composite
def pow_arrays(draw: Any) -> Case:
    x, y = draw(broadcast_pair())
    return Case(ops.power, [np.abs(x) + 0.5, y])


@st.composite
def where(draw: Any) -> Case:
    x, y = draw(broadcast_pair())
    condition = generator(draw).random(np.broadcast_shapes(x.shape, y.shape)) < 0.5
    return Case(lambda a, b: ops.where(condition, a, b), [x, y])


@st.composite
def clip(draw: Any) -> Case:
    x = draw(values())
    low, high = draw(st.sampled_from([(-0.5, 0.5), (None, 0.25), (-0.25, None)]))
    for bound in (low, high):  # away from the kinks
        x = x if bound is None else np.where(np.abs(x - bound) < 0.01, x + 0.05, x)
    return Case(lambda t: ops.clip(t, low, high), [x])


@st.composite
def reshape(draw: Any) -> Case:
    x = draw(values())
    target = draw(st.sampled_from([(-1,), (1, -1), (-1, 1), (x.size, 1)]))
    return Case(lambda t: ops.reshape(t, shape=target), [x])


@st.composite
def permute_dims(draw: Any) -> Case:
    x = draw(values())
    axes = tuple(draw(st.permutations(range(x.ndim))))
    return Case(lambda t: ops.permute_dims(t, axes=axes), [x])


@st.composite
def broadcast_to(draw: Any) -> Case:
    x, y = draw(broadcast_pair())
    shape = np.broadcast_shapes(x.shape, y.shape)
    return Case(lambda t: ops.broadcast_to(t, shape=shape), [x])


@st.composite
def concat(draw: Any) -> Case:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        shape[axis] = draw(st.integers(1, 4))
        parts.append(draw(values(shape=tuple(shape))))
    return Case(lambda *ts: ops.concat(ts, axis=axis), parts)


@st.composite
def getitem(draw: Any) -> Case:
    x = draw(values(shape=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))))
    i = draw(st.integers(-x.shape[0], x.shape[0] - 1))
    keys: list[Any] = [
        (i,), (i, 0, 0), slice(1, None), (Ellipsis, slice(0, 1)), (slice(None), 0, slice(None, None, 2)),
        None, (None, i), (slice(None), None, Ellipsis), (Ellipsis, slice(None, None, -1)), (slice(None, None, -2), 0),
    ]  # fmt: skip
    chosen = generator(draw).random(x.shape[: draw(st.integers(1, 3))]) < 0.5
    key = draw(st.one_of(st.sampled_from(keys), st.just(chosen)))
    return Case(lambda t: t[key], [x])


@st.composite
def index_key(draw: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """A key with integer arrays, numbers, slices, None, Ellipsis and masks, in any order, for an array of `shape`."""
    common = draw(st.lists(st.integers(1, 3), max_size=2).map(tuple))  # what the index arrays broadcast to
    rng = generator(draw)
    key: list[Any] = []
    axis, dots, masked = 0, False, False
    while axis < len(shape):
        kinds = ["array", "number", "slice", "none", "mask", "list"] + ["dots"] * (not dots)
        match draw(st.sampled_from(kinds)):
            case "array":
                own = tuple(draw(st.sampled_from([1, n])) for n in common)[draw(st.integers(0, len(common))) :]
                key.append(rng.integers(-shape[axis], shape[axis], own))
            case "list":
                key.append(rng.integers(0, shape[axis], common[-1:]).tolist() if common else [0])
            case "number":
                key.append(draw(st.integers(-shape[axis], shape[axis] - 1)))
            case "slice":
                key.append(draw(st.sampled_from([slice(None), slice(1, None), slice(None, None, -1), slice(0, 1)])))
            case "none":
                key.append(None)
                continue
            case "dots":
                key.append(Ellipsis)
                dots, axis = True, axis + draw(st.integers(0, 1)) - 1
            case "mask" if not masked:  # one that chooses a single place broadcasts against any index array
                masked = True
                key.append(np.arange(shape[axis]) == draw(st.integers(0, shape[axis] - 1)))
            case _:
                continue
        axis += 1
        if not dots and draw(st.integers(0, 3)) == 0:  # axes may go unsaid, but behind an Ellipsis they count
            break
    return tuple(key)


@st.composite
def index_arrays(draw: Any) -> Case:
    x = draw(values(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)))
    key = draw(index_key(x.shape))
    return Case(lambda t: t[key], [x])


@st.composite
def take_rows(draw: Any) -> Case:
    x = draw(values(shape=matrices))
    index = np.asarray(draw(st.lists(st.integers(0, x.shape[0] - 1), min_size=1, max_size=8)))
    return Case(lambda t: ops.take_rows(t, index), [x])


@st.composite
def place_rows(draw: Any) -> Case:
    x = draw(values(shape=matrices))
    length = x.shape[0] + draw(st.integers(0, 4))
    index = np.asarray(draw(st.permutations(range(length))))[: x.shape[0]]
    return Case(lambda t: ops.place_rows(t, index, length), [x])


@st.composite
def matmul(draw: Any) -> Case:
    n, k, m = (draw(st.integers(1, 4)) for _ in range(3))
    lead = draw(st.lists(st.integers(1, 3), max_size=2))
    a_lead, b_lead = (tuple(draw(st.sampled_from([1, d])) for d in lead) for _ in range(2))
    return Case(ops.matmul, [draw(values(shape=(*a_lead, n, k))), draw(values(shape=(*b_lead, k, m)))])


@st.composite
def linear(draw: Any) -> Case:
    inputs, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    lead = draw(st.lists(st.integers(1, 4), max_size=2))
    arrays = [draw(values(shape=s)) for s in ((*lead, inputs), (outputs, inputs), (outputs,))]
    return Case(ops.linear, arrays[: draw(st.integers(2, 3))])  # without and with a bias


@st.composite
def projections(draw: Any) -> Case:
    T, inputs, outputs, n = (draw(st.integers(1, 4)) for _ in range(4))
    shapes = [(T, inputs), *[(outputs, inputs), (outputs,)] * n]
    arrays = [draw(values(shape=s)) for s in shapes]
    return Case(lambda x, *p: ops.projections(x, list(zip(p[::2], p[1::2], strict=True))), arrays)


@st.composite
def embedding(draw: Any) -> Case:
    weight = draw(values(shape=matrices))
    ids = np.asarray(draw(st.lists(st.integers(0, weight.shape[0] - 1), min_size=1, max_size=12)))
    if draw(st.booleans()):
        ids = ids.reshape(1, -1)
    return Case(lambda w: ops.embedding(ids, w), [weight])


@st.composite
def layer_norm(draw: Any) -> Case:
    # H = 1 is left out: there the result is beta whatever x is, and 1 / sqrt(eps) = 1e6 drowns the check in rounding
    lead, size = draw(st.lists(st.integers(1, 4), max_size=2)), draw(st.integers(2, 8))
    arrays = [draw(values(shape=s)) for s in ((*lead, size), (size,), (size,))]
    arrays[0] = arrays[0] + np.arange(size)  # a row of equal numbers has no direction to normalise to
    return Case(lambda x, g, b: ops.layer_norm(x, g, b, eps=1e-12), arrays)


@st.composite
def embedding_sum(draw: Any) -> Case:
    size = draw(st.integers(1, 7))
    tables = [draw(values(shape=(draw(st.integers(1, 5)), size))) for _ in range(3)]
    tokens = draw(st.integers(1, 12))
    names = ("ids", "position_ids", "type_ids")
    indices = {
        name: np.asarray(draw(st.lists(st.integers(0, len(table) - 1), min_size=tokens, max_size=tokens)))
        for name, table in zip(names, tables, strict=True)
    }
    return Case(lambda *ts: ops.embedding_sum(*ts, **indices), tables)


@st.composite
def add_layer_norm(draw: Any, p: float = 0.0) -> Case:
    # two columns at least, and no row of equal numbers, as for layer_norm; dropped elements leave the residual's slope
    lead, size = draw(st.lists(st.integers(1, 4), max_size=2)), draw(st.integers(2, 8))
    arrays = [draw(values(shape=s)) for s in ((*lead, size), (size,), (*lead, size), (size,), (size,))]
    arrays[2] = arrays[2] + 3 * np.arange(size)
    return Case(lambda *ts: ops.add_layer_norm(*ts, eps=1e-12, p=p, training=True, key=KEY), arrays)


@st.composite
def attention(draw: Any, p: float = 0.0, stacked: bool = True) -> Case:
    lengths = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(lambda n: sum(n) > 0))
    starts = [0, *np.cumsum(lengths).tolist()]
    shape = (starts[-1], draw(st.integers(1, 3)), draw(st.integers(1, 4)))
    options = {"starts": starts, "p": p, "training": True, "key": KEY}
    if stacked:
        return Case(lambda qkv: ops.self_attention(qkv, **options), [draw(values(shape=(3, *shape)))])
    return Case(lambda q, k, v: ops.attention(q, k, v, **options), [draw(values(shape=shape)) for _ in range(3)])


@st.composite
def cross_entropy(draw: Any) -> Case:
    logits = draw(values(shape=matrices))
    label = st.one_of(st.integers(0, logits.shape[1] - 1), st.just(ops.IGNORE_INDEX))
    labels = np.asarray(draw(st.lists(label, min_size=logits.shape[0], max_size=logits.shape[0])))
    return Case(lambda x: ops.cross_entropy(x, labels), [logits])


@st.composite
def linear_cross_entropy(draw: Any) -> Case:
    M, H, V = (draw(st.integers(1, 5)) for _ in range(3))
    label = st.one_of(st.integers(0, V - 1), st.just(ops.IGNORE_INDEX))
    labels = np.asarray(draw(st.lists(label, min_size=M, max_size=M)))
    arrays = [draw(values(shape=s)) for s in ((M, H), (V, H), (V,))]
    return Case(lambda x, w, b: ops.linear_cross_entropy(x, w, b, labels), arrays)


@st.composite
def bias_gelu(draw: Any) -> Case:
    lead, size = draw(st.lists(st.integers(1, 4), max_size=2)), draw(st.integers(1, 6))
    return Case(ops.bias_gelu, [2.5 * draw(values(shape=(*lead, size))), draw(values(shape=(size,)))])


@st.composite
def binary_cross_entropy(draw: Any) -> Case:
    logits = draw(values(shape=matrices))
    targets = generator(draw).random(logits.shape)
    return Case(lambda x: ops.binary_cross_entropy(x, targets), [logits])


rows_of_scores = values(shape=st.tuples(st.integers(1, 4), st.integers(1, 6)))

CASES: dict[str, st.SearchStrategy[Case]] = {
    "abs": unary(ops.absolute, lambda x: np.where(x < 0, x - 0.1, x + 0.1)),
    "add": binary(ops.add),
    "add_layer_norm": st.one_of(add_layer_norm(), add_layer_norm(p=0.3)),
    "as_type": unary(lambda t: ops.astype(t, "float64")),  # rounding has no slope to measure; see test_values
    "attention": st.one_of(attention(), attention(p=0.3), attention(stacked=False)),
    "bias_gelu": bias_gelu(),
    "binary_cross_entropy": binary_cross_entropy(),
    "broadcast_to": broadcast_to(),
    "clip": clip(),
    "concat": concat(),
    "cross_entropy": cross_entropy(),
    "divide": binary(ops.divide, away_from_zero=True),
    "dropout": values().map(lambda x: Case(lambda t: ops.dropout(t, 0.4, key=KEY), [x])),
    "embedding": embedding(),
    "embedding_sum": embedding_sum(),
    "exp": unary(ops.exp),
    "exponential": exponential(),
    "gelu": unary(lambda t: ops.gelu(t), lambda x: 2.5 * x),
    "gelu_tanh": unary(lambda t: ops.gelu(t, approximate="tanh"), lambda x: 2.5 * x),
    "get_item": getitem(),
    "layer_norm": layer_norm(),
    "linear": linear(),
    "linear_cross_entropy": linear_cross_entropy(),
    "log": unary(ops.log, lambda x: np.abs(x) + 0.5),
    "log_softmax": rows_of_scores.map(lambda x: Case(ops.log_softmax, [3.0 * x])),
    "matmul": matmul(),
    "max": reduction(ops.max),
    "min": reduction(ops.min),
    "mean": reduction(ops.mean),
    "multiply": binary(ops.multiply),
    "negative": unary(ops.negative),
    "permute_dims": permute_dims(),
    "place_rows": place_rows(),
    "pow": pow_arrays(),
    "power": power(),
    "projections": projections(),
    "relu": unary(ops.relu, lambda x: np.where(x < 0, x - 0.1, x + 0.1)),
    "reshape": reshape(),
    "sigmoid": unary(ops.sigmoid, lambda x: 3.0 * x),
    "silu": unary(lambda t: ops.silu(t, scale=1.702), lambda x: 2.5 * x),
    "softmax": rows_of_scores.map(lambda x: Case(ops.softmax, [3.0 * x])),
    "sqrt": unary(ops.sqrt, lambda x: np.abs(x) + 0.5),
    "subtract": binary(ops.subtract),
    "sum": reduction(ops.sum),
    "take_rows": take_rows(),
    "tanh": unary(ops.tanh),
    "where": where(),
}

COMPOSITIONS: dict[str, st.SearchStrategy[Case]] = {
    "index_arrays": index_arrays(),
    "expand_dims": values().flatmap(
        lambda x: st.integers(-x.ndim - 1, x.ndim).map(lambda a: Case(lambda t: ops.expand_dims(t, axis=a), [x]))
    ),
    "flatten": values().map(lambda x: Case(ops.flatten, [x])),
    "squeeze": values().map(lambda x: Case(ops.squeeze, [x])),
    "stack": values().map(lambda x: Case(lambda a, b: ops.stack([a, b], axis=-1), [x, x + 1])),
    "std": values(shape=st.tuples(st.integers(2, 5), st.integers(1, 4))).map(
        lambda x: Case(lambda t: ops.std(t, axis=0, correction=1), [x])
    ),
    "var": reduction(ops.var),
}
"""Functions that are put together from the ops above, checked in the same way."""


def all_ops() -> dict[str, type[Op]]:
    """Every op of the library, by name: the subclasses of `Op` that its own modules define."""
    import minibert.heads  # noqa: F401 (whatever defines an op has been imported after this)

    found: dict[str, type[Op]] = {}
    waiting = [Op]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if cls.__module__.startswith("minibert."):
                found[cls.name] = cls
    return found
