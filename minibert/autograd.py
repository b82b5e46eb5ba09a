"""The engine: tensors, ops, and the tape that leads back from a loss to its gradients.

An `Op` is one differentiable function: `forward` and `backward`, written out by hand on plain arrays. `Op.apply` runs
`forward` on the tensors' arrays and, when a gradient is wanted, notes which tensors went in. These notes are the tape.
`Tensor.backward` walks it from the newest op to the oldest: an op is always younger than the ops that made its
inputs, so falling age is a valid order and no recursion is needed, however long the chain.

The tape is freed as it is used. Arrays that an op saves are read-only until then (`minibert.guard`).
"""

from __future__ import annotations

import itertools
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from minibert import backend, guard, op_checks, op_inputs
from minibert.backend import Array
from minibert.copying import Copies, make_tensor
from minibert.grad_mode import enable_grad, grad_mode, is_grad_enabled, no_grad
from minibert.gradient_values import Gradients, is_owned, seed
from minibert.intact import Written, as_written, intact
from minibert.operators import Operators

__all__ = ["Op", "Tensor", "as_tensors", "enable_grad", "is_grad_enabled", "no_grad"]

_age = itertools.count()


class Tensor(Gradients, Copies, Operators):
    """An array together with its gradient.

    Args:
        data: anything `backend.asarray` takes: an array (shared, not copied), nested lists, a number. Or a Tensor, or
            lists of them: then the gradient runs through to these.
        requires_grad: collect a gradient for this tensor; needs a floating dtype.
        dtype: convert to this dtype ("float32", "float64", ...).

    Attributes:
        data: the array itself: NumPy's, CuPy's, or that of another array-API library.
        grad: the gradient, a Tensor of the same shape and dtype, or None; `backward` adds to it.
        requires_grad: whether a gradient is wanted.
        creator: the op that made this tensor, or None for a leaf.

    Raises:
        ValueError: no numbers; a gradient is wanted for integers or booleans, or apart from the tape that leads here.
    """

    __slots__ = ("__weakref__", "_grad", "_requires_grad", "creator", "data")

    def __init__(self, data: Any, *, requires_grad: bool = False, dtype: str | None = None) -> None:
        self._grad: Tensor | None = None
        self._requires_grad = False
        self.creator: Op | None = None
        if op_inputs.holds_tensors(data):
            data = op_inputs.stacked(data)
        if isinstance(data, Tensor) and data._requires_grad and grad_mode.state.get()[0]:
            if requires_grad:
                raise ValueError(
                    "this tensor is made from one that requires a gradient, and gets its own from there; for a leaf of "
                    "its own write Tensor(x.detach(), requires_grad=True)"
                )
            same = data.astype(data.data.dtype if dtype is None else dtype)
            self.data: Array = same.data
            self.creator, self._requires_grad = same.creator, same._requires_grad
            return
        self.data = backend.asarray(data.data if isinstance(data, Tensor) else data, dtype=dtype)
        self.requires_grad = requires_grad

    @property
    def is_leaf(self) -> bool:
        """True for tensors that no recorded op made: parameters and inputs."""
        return self.creator is None

    def detach(self) -> Tensor:
        """The same array, off the tape."""
        return Tensor(self.data)

    def retain_grad(self) -> None:
        """Keep `.grad` for this tensor too, although it is not a leaf.

        Raises:
            ValueError: no gradient is tracked for it.
        """
        if not self._requires_grad:
            raise ValueError("retain_grad() on a tensor that no gradient is tracked for (requires_grad is False)")
        if self.creator is not None and not any(watcher() is self for watcher in self.creator.watchers):
            self.creator.watchers.append(weakref.ref(self))

    def backward(self, gradient: Any = None, *, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor with respect to every leaf to that leaf's `.grad`.

        If an op raises, every leaf has the gradient that it had before.

        Args:
            gradient: dL/d(self), same shape as self; may be left out for a single number, where it is 1.
            retain_graph: keep the tape, so that `backward` can run once more.

        Raises:
            ValueError: no tape leads here, the gradient's shape is wrong, or the tape was freed already.
        """
        if not self._requires_grad:
            raise ValueError("backward() on a tensor that no gradient is tracked for (requires_grad is False)")
        dy = seed(self, gradient)
        made_now: dict[Tensor, Tensor | None] = {}
        if self.creator is None:
            _accumulate(self, dy, made_now, owned=False)
            return
        pending: dict[Op, Array] = {self.creator: dy}
        order = _newest_first(self.creator)
        try:
            for op in order:
                if (dy := pending.pop(op, None)) is not None:
                    _through(op, dy, pending, made_now)
                if not retain_graph:
                    op.free()
        except BaseException:
            for tensor, before in made_now.items():
                tensor._grad = before
            if not retain_graph:
                for op in order:
                    op.free()
            raise


def as_tensors(values: Sequence[Any]) -> tuple[Tensor, ...]:
    """An op's inputs as tensors, all alike (`op_inputs.converted`).

    Raises:
        ValueError: no numbers.
    """
    return tuple(v if isinstance(v, Tensor) else Tensor(v) for v in op_inputs.converted(values))


class Op(ABC):
    """One differentiable function.

    A subclass writes out

    - `forward(self, *arrays, **options)`: the result, one array. It calls `self.save(...)` with what backward will
      read.
    - `backward(self, dy)`: given dL/d(result), the gradient with respect to each positional input, in order: one
      array, or a tuple with None where there is none.

    Positional inputs are the ones that can have a gradient; everything else (ids, axes, probabilities) is an option.
    Floating inputs have one dtype, and numbers are converted to it. `self.needs[i]` says whether input i's gradient is
    wanted, for ops where leaving it out saves work. An op must not return an array that it has saved, nor change its
    inputs.
    """

    name: ClassVar[str]
    """The op's name in snake_case, as messages and the tests call it."""
    kernel_name: ClassVar[str | None]
    """The kernels that may run in this class's place (see `minibert.backend`). Not inherited."""
    kernel_parts: ClassVar[tuple[type[Op], ...]]
    """Other ops that this one is made of, for which the kernels stand, too."""
    written: ClassVar[Written]
    strict: ClassVar[bool]
    """Whether integers may not stand beside floating inputs: so in the library's own ops."""

    def __init_subclass__(
        cls, *, kernel: str | None = None, kernel_parts: tuple[type[Op], ...] = (), **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("_")
        cls.kernel_name, cls.kernel_parts = kernel, kernel_parts
        cls.strict = cls.__module__.startswith("minibert.")
        cls.written = as_written(cls, "forward", "backward")

    def __init__(self) -> None:
        self.age = next(_age)
        self.inputs: tuple[Tensor, ...] = ()
        self.needs: tuple[bool, ...] = ()
        self.saved: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}
        self.kernel: backend.Kernel | None = None
        self.watchers: list[weakref.ref[Tensor]] = []
        self._locked: list[guard.Hold | None] = []  # what is saved is read-only as long as they are kept
        self._freed = False

    @abstractmethod
    def forward(self, *arrays: Any, **options: Any) -> Array:
        """The function's value."""

    @abstractmethod
    def backward(self, dy: Array) -> Array | tuple[Array | None, ...]:
        """The chain rule, one step: from dL/d(result) to dL/d(inputs)."""

    def save(self, *values: Any) -> None:
        """Keep arrays (or plain numbers) for backward, as `self.saved`."""
        self.saved = values

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> Tensor:
        """Run the op on tensors (or arrays, or numbers), noting it on the tape if any input wants a gradient.

        Raises:
            ValueError: inputs of several dtypes, or what forward raises.
        """
        for x in inputs:
            if not isinstance(x, Tensor):
                inputs = as_tensors(inputs)
                break
        arrays = tuple([x.data for x in inputs])
        recording = False
        if grad_mode.state.get()[0]:
            for x in inputs:
                if x._requires_grad:
                    recording = True
                    break
        mixed = op_checks.several_dtypes(arrays)
        op = cls()
        op.needs = tuple([recording and x._requires_grad for x in inputs])
        if cls.kernel_name is not None and intact(cls, *cls.kernel_parts):  # else the code in the class must run
            op.kernel = backend.kernel_for(cls.kernel_name, arrays)
        if mixed and (op.kernel is None or backend.device_of(arrays[0]) == "cpu"):  # a GPU's kernel says what it takes
            op_checks.expect_one_dtype(cls.name, arrays, strict=cls.strict)
        if op.kernel is None:
            result = op_checks.run_forward(op, arrays, options)
        else:
            asked = {"needs": op.needs} if op.kernel.asks_needs else {}
            result, op.saved = op.kernel.forward(*arrays, **options, **asked)
        if mixed and op.kernel is None:
            op_checks.expect_dtype_kept(cls.name, result, arrays)
        if recording and op_checks.is_real(result):
            op.inputs, op.options = inputs, options
            op._locked = guard.lock_all(op.saved)
            return make_tensor(Tensor, result, True, None, op)
        return make_tensor(Tensor, result, False, None)

    def gradients(self, dy: Array) -> tuple[Array | None, ...]:
        """Run backward, explicit or the kernel's, and check that each gradient that is needed fits its input."""
        if self._freed:
            raise ValueError(
                "this part of the graph was freed by an earlier backward(); run forward again, or call the first one "
                "with backward(retain_graph=True)"
            )
        if self.kernel is not None:
            result = self.kernel.backward(dy, self.saved, self.needs, **self.options)
        else:
            result = op_checks.run_backward(self, dy)
        return op_checks.as_gradients(self.name, result, self.inputs, self.needs)

    def free(self) -> None:
        """Let go of inputs and saved arrays, and make the latter writeable again."""
        self._locked, self.saved, self.inputs, self._freed = [], (), (), True


def _newest_first(last: Op) -> list[Op]:
    """Every op that `last` depends on, and itself, each before the ops that made its inputs."""
    found, stack = {last}, [last]
    while stack:
        for x in stack.pop().inputs:
            if x.creator is not None and x.creator not in found:
                found.add(x.creator)
                stack.append(x.creator)
    return sorted(found, key=lambda op: op.age, reverse=True)


def _through(op: Op, dy: Array, pending: dict[Op, Array], made_now: dict[Tensor, Tensor | None]) -> None:
    """One step back: hand the gradients of `op`'s inputs to their leaves, or to the ops that made them."""
    for watcher in op.watchers:
        if (watched := watcher()) is not None:
            _accumulate(watched, dy, made_now, owned=False)
    grads = op.gradients(dy)
    for x, dx in zip(op.inputs, grads, strict=True):
        if dx is None or not x._requires_grad:
            continue
        if x.creator is None:
            _accumulate(x, dx, made_now, owned=is_owned(dx, dy, grads))
        elif x.creator in pending:
            pending[x.creator] = pending[x.creator] + dx  # used more than once: the gradients add up
        else:
            pending[x.creator] = dx


def _accumulate(leaf: Tensor, dx: Array, made_now: dict[Tensor, Tensor | None], *, owned: bool) -> None:
    """leaf.grad += dx. An array that others may hold is copied: scaling one gradient must not scale another.

    `made_now` are the leaves whose gradient arrays this backward pass has made, with the gradients before it.
    """
    grad = leaf.grad
    if grad is not None and leaf in made_now:
        grad.data += dx  # seen by no other code yet; for a tied embedding, another V x H numbers would be a lot
        return
    made_now.setdefault(leaf, grad)
    if grad is None:
        xp = backend.namespace(dx)
        leaf._grad = Tensor(dx if owned else xp.asarray(dx, copy=True))
    else:
        leaf._grad = Tensor(grad.data + dx)
