"""Rules that hold for every op, the library's and one's own: dtypes in, one array out, fitting gradients back."""

from __future__ import annotations

import copy
import gc
import math
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from minibert import BertForPreTraining, no_grad, ops
from minibert.autograd import Op, Tensor
from minibert.nn import Linear
from tests import tiny


def made(forward: Callable[..., Any], backward: Callable[..., Any] = lambda op, dy: dy) -> type[Op]:
    return type("Made", (Op,), {"forward": forward, "backward": backward})


def real(*shape: int, dtype: str = "float32") -> Tensor:
    return Tensor(np.full(shape, 2.0, dtype), requires_grad=True)


# --- one dtype --------------------------------------------------------------------------------------------------------

# Every function of the library with several tensors, as x (float32) and y (float64) of shape (2, 2).
MIXED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "add": ops.add,
    "subtract": ops.subtract,
    "multiply": ops.multiply,
    "divide": ops.divide,
    "pow": ops.power,
    "matmul": ops.matmul,
    "where": lambda x, y: ops.where([True, False], x, y),
    "concat": lambda x, y: ops.concat([x, y]),
    "linear": ops.linear,
    "projections": lambda x, y: ops.projections(x, [(y, y[0])]),
    "layer_norm": lambda x, y: ops.layer_norm(x, y[0], y[1]),
    "add_layer_norm": lambda x, y: ops.add_layer_norm(x, y[0], x, y[0], y[1]),
    "bias_gelu": lambda x, y: ops.bias_gelu(x, y[0]),
    "linear_cross_entropy": lambda x, y: ops.linear_cross_entropy(x, y, y[0], [0, 1]),
    "embedding_sum": lambda x, y: ops.embedding_sum(x, y, x, ids=[0], position_ids=[0], type_ids=[0]),
}


@pytest.mark.parametrize("name", MIXED)
def test_two_precisions_are_refused_at_once_by_name(name: str) -> None:
    x, y = real(2, 2), real(2, 2, dtype="float64")
    for a, b in ((x, y), (y, x), (x.detach(), y.detach())):
        kinds = f"{a.dtype} and {b.dtype}"
        with pytest.raises(ValueError, match=f"^{name} cannot mix {kinds}; convert .* with x.astype\\('{a.dtype}'\\)"):
            MIXED[name](a, b)
    with pytest.raises(ValueError, match=f"{name} cannot mix float32 and int64"):
        MIXED[name](x, Tensor([[1, 1], [1, 1]]))


def test_integers_beside_floating_numbers_in_an_op_of_one_s_own() -> None:
    pick = made(lambda op, x, i: x[i], lambda op, dy: (np.zeros((2, 3), dy.dtype), None))
    np.testing.assert_array_equal(pick.apply(real(2, 3), np.array([1])), [[2.0] * 3])
    times = made(lambda op, x, n: x * n, lambda op, dy: (dy, None))
    with pytest.raises(ValueError, match="made of float32 and int64 gave float64; convert the integers"):
        times.apply(real(2), np.array([1, 2]))
    with pytest.raises(ValueError, match="made cannot mix float32 and float64"):
        times.apply(real(2), np.array([1.0, 2.0]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "number", [2, 2.0, np.float64(2.0), np.float32(2.0), np.int64(2), np.array(2.0), [2.0, 2.0], (2.0, 2.0)], ids=repr
)
def test_numbers_take_the_dtype_of_the_tensors(number: Any, dtype: str) -> None:
    seen = []

    def forward(op: Op, x: np.ndarray, k: np.ndarray) -> np.ndarray:
        seen.append(k.dtype)
        op.save(x, k)
        product: np.ndarray = x * k
        return product

    scale = made(forward, lambda op, dy: (dy * op.saved[1], np.sum(dy * op.saved[0])))
    x = real(2, dtype=dtype)
    scale.apply(x, number).sum().backward()
    assert seen == [dtype]
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])
    for y in (x * number, number * x, x + number, number / x, x - number, number @ x if np.ndim(number) else x):
        assert isinstance(y, Tensor)
        assert y.dtype == dtype
        assert y.requires_grad


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_numbers_and_what_is_none(dtype: str) -> None:
    x = real(2, 2, dtype=dtype)
    for y in (x * Fraction(1, 2), x @ [[1, 0], [0, 1]], [[1, 0], [0, 1]] @ x, Tensor(Fraction(1, 2)) * 1, x + True):
        assert y.dtype in (dtype, np.float32)
    for thing in (1j, None, "a", {}, {1}, 10**400, object(), np.array(["a"]), np.array([None]), np.array([1j])):
        for call in (lambda v: x + v, lambda v: x @ [v, v], Tensor, made(lambda op, *xs: xs[0]).apply, x.__rmul__):
            with pytest.raises(ValueError, match="expected (a rectangular array of )?numbers|must be a finite number"):
                call(thing)


def test_a_number_as_a_result_has_the_inputs_dtype() -> None:
    total = made(lambda op, x: float(x.sum()), lambda op, dy: np.full((2,), dy))
    for dtype in ("float32", "float64"):
        x = real(2, dtype=dtype)
        y = total.apply(x)
        assert y.dtype == dtype
        y.backward()
        np.testing.assert_array_equal(x.grad, [1.0, 1.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_options_that_are_numpy_s_numbers_widen_nothing(dtype: str) -> None:
    x, v = real(3, 4, dtype=dtype), real(4, dtype=dtype)
    for y in (
        ops.layer_norm(x, v, v, eps=np.float64(1e-5)),
        ops.add_layer_norm(x, v, x, v, v, eps=np.float64(1e-5), p=np.float64(0.5), training=True),
        ops.dropout(x, np.float64(0.5)),
        x ** np.float64(2.0),
        x.clip(np.float64(0.0)),
    ):
        assert y.dtype == dtype
        y.sum().backward()
    with pytest.raises(ValueError, match="eps must be a finite number of at least 0"):
        ops.layer_norm(x, v, v, eps="small")  # type: ignore[arg-type]


# --- one array out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "what"),
    [(None, "None"), ((1.0, 2.0), "a tuple"), ([1.0], "a list"), (Tensor(1.0), "a Tensor"), ("x", "a str")],
)
def test_what_is_no_array_is_refused(result: Any, what: str) -> None:
    with pytest.raises(ValueError, match=f"made.forward must return one array, got {what}"):
        made(lambda op, x: result).apply(real(2))


def test_integers_end_the_tape() -> None:
    y = made(lambda op, x: x > 1).apply(real(2))
    assert not y.requires_grad
    assert y.is_leaf


# --- gradients that fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gradient", "words"),
    [
        (lambda dy: [dy], "gave a list; it must give an array, or a tuple"),
        (lambda dy: (dy, dy), "gave 2 gradients for 1 inputs"),
        (lambda dy: (), "gave 0 gradients for 1 inputs"),
        (lambda dy: 2.0, "gave a float as the gradient of input 0; it must be an array"),
        (lambda dy: "dy", "gave a str as the gradient of input 0"),
        (lambda dy: Tensor(dy), "gave a Tensor as the gradient of input 0"),
        (lambda dy: dy[:1], r"gave a gradient of shape \(1,\) \(float32\) for input 0 of shape \(2,\)"),
        (lambda dy: dy.astype(np.float64), r"gave a gradient of shape \(2,\) \(float64\) for input 0"),
    ],
)
def test_a_gradient_that_does_not_fit_is_refused(gradient: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"made.backward {words}"):
        made(lambda op, x: x * 1, lambda op, dy: gradient(dy)).apply(real(2)).sum().backward()


def test_gradients_that_are_not_needed_are_not_looked_at() -> None:
    either = made(lambda op, x, y: x * y, lambda op, dy: (dy * 2, "whatever"))
    x = real(2)
    either.apply(x, np.full(2, 2.0, np.float32)).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])


def test_a_gradient_that_two_share_may_be_written_into() -> None:
    def double(op: Op, dy: np.ndarray) -> np.ndarray:
        dy *= 2
        return dy

    twice = made(lambda op, x: x * 2, double)
    x, y, dy = real(2), real(2), np.ones(2, np.float32)
    (twice.apply(x) + twice.apply(y)).backward(dy)
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])
    np.testing.assert_array_equal(y.grad, [2.0, 2.0])
    np.testing.assert_array_equal(dy, [1.0, 1.0])


def test_gradients_of_several_leaves_are_arrays_of_their_own() -> None:
    def same(op: Op, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        both = dy * 1
        return both, both

    def saved(op: Op, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return op.saved[1], op.saved[0]

    def product(op: Op, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        op.save(x, y)
        z: np.ndarray = x * y
        return z

    for backward in (same, saved, lambda op, dy: (dy, dy)):
        x, y = real(2), real(2)
        made(product, backward).apply(x, y).sum().backward()
        assert x.grad is not None
        assert y.grad is not None
        for other in (y.grad, x, y):
            assert not np.shares_memory(x.grad.data, other.data)
        x.grad.data *= 100.0


def test_a_gradient_is_retained_once() -> None:
    x = real(2)
    y = x * 3.0
    y.retain_grad()
    y.retain_grad()
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.grad, [12.0, 12.0])


def test_writing_into_what_the_tape_holds_names_the_op() -> None:
    def halve(op: Op, x: np.ndarray) -> np.ndarray:
        x *= 0.5
        return x

    x = real(2)
    y = x * x
    with pytest.raises(ValueError, match=r"made.forward writes into an array that is read-only \(input 0 is\)"):
        made(halve).apply(x)

    def spoil(op: Op, dy: np.ndarray) -> np.ndarray:
        op.saved[0][:] = 0.0
        return dy

    def save(op: Op, x: np.ndarray) -> np.ndarray:
        op.save(x)
        return x + 0

    with pytest.raises(ValueError, match=r"made.backward writes into an array that is read-only"):
        made(save, spoil).apply(x).sum().backward()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [4.0, 4.0])
    x.data[0] = 1.0


# --- an op that raises ------------------------------------------------------------------------------------------------


class Fails(Op):
    stage = "backward"

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.save(x)
        if self.stage == "forward":
            raise KeyError("forward")
        return x * 3

    def backward(self, dy: np.ndarray) -> np.ndarray:
        if self.stage == "backward":
            raise KeyError("backward")
        return dy * 3


@pytest.mark.parametrize("before", [None, 5.0])
@pytest.mark.parametrize("stage", ["forward", "backward"])
def test_an_op_that_raises_leaves_nothing_behind(stage: str, before: float | None, monkeypatch: Any) -> None:
    monkeypatch.setattr(Fails, "stage", stage)
    x, w = real(2), real(2)
    for leaf in (x, w):
        leaf.grad = None if before is None else np.full(2, before, np.float32)  # type: ignore[assignment]
    held = None
    try:
        middle = Fails.apply(x * x)
        (middle * w).sum().backward()  # w has its gradient before the op fails
    except KeyError as error:
        held = error
    assert held is not None
    if stage == "forward":
        held = None  # its frames hold x * x, which is on the tape rightly
    gc.collect()
    for leaf in (x, w):
        assert (leaf.grad is None) == (before is None)
        assert leaf.grad is None or leaf.grad.tolist() == [5.0, 5.0]
        leaf.data[:] = 2.0
    monkeypatch.setattr(Fails, "stage", "")
    (Fails.apply(x * x) * w).sum().backward()
    first = before or 0.0
    np.testing.assert_array_equal(x.grad, [first + 24.0] * 2)
    np.testing.assert_array_equal(w.grad, [first + 12.0] * 2)


def test_a_kept_tape_survives_an_op_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    x = real(2)
    y = Fails.apply(x).sum()
    with pytest.raises(KeyError):
        y.backward(retain_graph=True)
    monkeypatch.setattr(Fails, "stage", "")
    y.backward()
    np.testing.assert_array_equal(x.grad, [3.0, 3.0])


# --- tensors made of tensors ------------------------------------------------------------------------------------------


def test_tensors_made_of_tensors_stay_on_the_tape() -> None:
    x = Tensor([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    y = x * 2.0
    for z in (
        Tensor(y), Tensor(y, dtype="float32"), Tensor([y[0], y[1], y[2]]), Tensor((y[0], 4.0, y[2])),
        Tensor([[y[0]], [y[1]], [np.float64(6.0)]]), Tensor([y]),
    ):  # fmt: skip
        assert z.requires_grad
        assert z.dtype == (np.float32 if z.ndim == 1 and z.dtype == np.float32 else np.float64)
        np.testing.assert_array_equal(z.numpy().reshape(-1), [2.0, 4.0, 6.0])
    x.grad = None
    (Tensor([y[0], [y][0][2]]) * Tensor(y, dtype="float32").astype("float64")[:2]).sum().backward()
    np.testing.assert_array_equal(x.grad, [8.0, 12.0, 8.0])  # of 2a 2a + 2c 2b at 1, 2, 3
    plain = Tensor([y[0].detach(), y[1].detach()])
    assert not plain.requires_grad
    assert plain.dtype == np.float64
    with no_grad():
        assert not Tensor(y).requires_grad
        assert Tensor(y, requires_grad=True).is_leaf
    with pytest.raises(ValueError, match=r"for a leaf of its own write Tensor\(x.detach\(\), requires_grad=True\)"):
        Tensor(y, requires_grad=True)
    with pytest.raises(ValueError, match="cannot mix"):
        Tensor([y[0], Tensor(1.0)])
    assert ops.add(x, [y[0], 1.0, y[2]]).requires_grad
    assert Tensor([np.float64(0.1), 0.2]).dtype == np.float64
    assert Tensor([[0.1, 0.2]]).dtype == np.float32


# --- gradients set by hand --------------------------------------------------------------------------------------------


def test_what_a_gradient_may_be() -> None:
    w = real(2, 3)
    for value in (np.ones((2, 3), np.float32), Tensor(np.ones((2, 3), np.float32))):
        w.grad = value  # type: ignore[assignment]
        assert isinstance(w.grad, Tensor)
    w.sum().backward()
    np.testing.assert_array_equal(w.grad, np.full((2, 3), 2.0))
    for value, words in (
        (np.ones((3, 2), np.float32), r"shape \(2, 3\) \(float32\) has a gradient .* got \(3, 2\) \(float32\)"),
        (Tensor(np.ones((2, 3))), r"got \(2, 3\) \(float64\)"),
        (1.0, "a gradient is a Tensor, an array, or None, got float"),
        ([[1.0] * 3] * 2, "got list"),
    ):
        with pytest.raises(ValueError, match=words):
            w.grad = value  # type: ignore[assignment]
    np.testing.assert_array_equal(w.grad, np.full((2, 3), 2.0))
    del w.grad
    assert w.grad is None


def test_integers_cannot_be_made_to_require_a_gradient() -> None:
    x = Tensor([1, 2])
    with pytest.raises(ValueError, match="only floating tensors can require a gradient; this one is int64"):
        x.requires_grad = True
    assert not x.requires_grad
    y = Tensor([1.0])
    y.requires_grad = True
    assert (y * 2.0).requires_grad
    with pytest.raises(ValueError, match="no gradient is tracked"):
        x.retain_grad()


# --- copies -----------------------------------------------------------------------------------------------------------


def test_copies_of_leaves() -> None:
    w = real(2)
    w.grad = Tensor(np.ones(2, np.float32))
    y = w * w  # the tape holds w's array
    for new in (copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        assert new.requires_grad
        np.testing.assert_array_equal(new, w.numpy())
        np.testing.assert_array_equal(new.grad, [1.0, 1.0])
        new.data = np.array(new.data)
        new.data[0] = 7.0
        new.grad.data[0] = 7.0
    np.testing.assert_array_equal(w.grad, [1.0, 1.0])
    np.testing.assert_array_equal(w, [2.0, 2.0])
    shared = copy.copy(y)
    shared.sum().backward()
    np.testing.assert_array_equal(w.grad, [5.0, 5.0])
    for fails in (copy.deepcopy, pickle.dumps):
        with pytest.raises(ValueError, match="a tensor on the tape cannot be .* detach\\(\\) it first"):
            fails(w * 2.0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_models_keep_what_is_tied(copied: Any) -> None:
    model, batch = tiny.model(BertForPreTraining), tiny.batch()

    def loss(m: Any) -> Tensor:
        result: Tensor = m(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation).loss
        return result

    loss(model).backward()
    new = copied(model)
    assert new.cls.predictions.decoder.weight is new.bert.embeddings.word_embeddings.weight
    assert [n for n, _ in new.named_parameters()] == [n for n, _ in model.named_parameters()]
    for p, q in zip(new.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad, q.grad)
        assert not np.shares_memory(p.data, q.data)
    new.zero_grad()
    loss(new).backward()
    for p, q in zip(new.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad, q.grad)


# --- parameters -------------------------------------------------------------------------------------------------------


def test_a_parameter_is_not_replaced_by_a_tensor() -> None:
    dense = Linear(2, 3)
    names = set(dense.state_dict())
    for value in (Tensor(np.ones((3, 2))), np.ones((3, 2)), 0.5):
        with pytest.raises(ValueError, match="Linear.weight is a parameter: a .* would be neither trained nor saved"):
            dense.weight = value  # type: ignore[assignment]
    assert set(dense.state_dict()) == names
    dense.weight = Linear(2, 3).weight
    dense.bias = None  # type: ignore[assignment]
    assert set(dense.state_dict()) == {"weight"}
    assert dense(Tensor(np.ones((1, 2), np.float32))).shape == (1, 3)


def test_parameters_are_updated_in_place() -> None:
    dense = Linear(2, 3)
    weight, array = dense.weight, dense.weight.data
    x = Tensor(np.ones((1, 2), np.float32))
    with pytest.raises(ValueError, match=r"a leaf that requires a gradient cannot be changed in place while the tape"):
        dense.weight -= 1.0
    before = array.copy()
    with no_grad():
        dense.weight -= 1.0
        dense.weight *= np.float64(2.0)
        dense.weight += np.ones(2, np.float32)
        dense.weight /= 2
        dense.weight **= 2
    assert dense.weight is weight
    assert weight.data is array
    np.testing.assert_allclose(array, (before - 0.5) ** 2, rtol=1e-6)  # float32, a few roundings
    y = dense(x * 2.0)  # saves the weight for backward
    old = weight.numpy().copy()
    with no_grad():
        dense.weight *= 0.0
    assert dense.weight is weight
    np.testing.assert_array_equal(weight, np.zeros((3, 2)))
    x.requires_grad = True
    np.testing.assert_array_equal(array, old)
    del y
    with no_grad(), pytest.raises(ValueError, match=r"`\+=` would make a \(4, 3, 2\) float32 of a tensor \(3, 2\)"):
        dense.weight += np.ones((4, 3, 2), np.float32)
    weight.requires_grad = False
    dense.weight += 1.0
    assert dense.weight is weight
    with pytest.raises(ValueError, match=r"`\*=` on a tensor that wants no gradient would lose"):
        dense.weight *= dense.bias[0]
    for bias in (dense.bias,):
        bias.grad = Tensor(np.ones(3, np.float32))
        with no_grad():
            bias -= 0.5 * bias.grad  # the loop of plain gradient descent
    np.testing.assert_array_equal(dense.bias, np.full(3, -0.5))
    square = Tensor(np.full((2, 2), 2.0), requires_grad=True)
    same = square
    with no_grad():
        square @= np.eye(2)
    assert square is same


def test_an_update_in_place_spares_what_a_tape_holds() -> None:
    w = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    view = Tensor(w.data[:1], requires_grad=True)
    y = (view * view).sum()
    with no_grad():
        w -= 5.0
    np.testing.assert_array_equal(w, [-4.0, -3.0])
    y.backward()
    np.testing.assert_array_equal(view.grad, [2.0])


def test_other_tensors_are_bound_anew() -> None:
    x = Tensor(np.array([1.0]), requires_grad=True)
    total = start = Tensor(np.array([0.0]))
    for _ in range(3):
        total += x * 2.0
    total *= 2.0
    np.testing.assert_array_equal(start, [0.0])
    total.backward()
    np.testing.assert_array_equal(x.grad, [12.0])


def test_a_forgotten_return_is_noticed() -> None:
    class Forgetful(Op):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x * 2

        def backward(self, dy: np.ndarray) -> Any:
            dy *= 2

    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.warns(RuntimeWarning, match="forgetful.backward returned None.* is its `return` missing"):
        Forgetful.apply(x).sum().backward()
    assert x.grad is None


def test_an_op_without_gradient_says_so_in_a_tuple() -> None:
    class Sign(Op):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return np.sign(x)

        def backward(self, dy: np.ndarray) -> tuple[None]:
            return (None,)

    x = Tensor([1.0, -2.0], requires_grad=True)
    (Sign.apply(x) * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, -1.0])


def test_a_number_that_widens_is_named_below_the_traceback() -> None:
    class Scaled(Op):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x / math.sqrt(8)

        def backward(self, dy: np.ndarray) -> np.ndarray:
            wide: np.ndarray = dy / np.sqrt(8)
            return wide

    with pytest.raises(ValueError, match="float64") as caught:
        Scaled.apply(Tensor(np.ones(3, np.float32), requires_grad=True)).sum().backward()
    assert any("np.sqrt" in note for note in caught.value.__notes__)
