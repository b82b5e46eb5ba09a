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
from collections.abc import Iterator
from typing import Any, ClassVar

from minibert import backend, guard
from minibert.backend import Array
from minibert.intact import Written, as_written, intact
from minibert.modes import Mode
from minibert.operators import Operators

_age = itertools.count()


_grad = Mode("grad", True)


def is_grad_enabled() -> bool:
    """Whether ops are noted on the tape here (in this thread, or asyncio task)."""
    return bool(_grad.get())


def no_grad(function: Any = None) -> Any:
    """Context manager or decorator: nothing is noted on the tape inside, so nothing is kept for a backward pass."""
    return _grad.block("no_grad", False, function)


def enable_grad(function: Any = None) -> Any:
    """Context manager or decorator: the tape runs inside, also within `no_grad()`."""
    return _grad.block("enable_grad", True, function)


class Tensor(Operators):
    """An array together with its gradient.

    Args:
        data: anything `backend.asarray` takes: an array (shared, not copied), nested lists, a number, or a Tensor.
        requires_grad: collect a gradient for this tensor; needs a floating dtype.
        dtype: convert to this dtype ("float32", "float64", ...).

    Attributes:
        data: the array itself: NumPy's, CuPy's, or that of another array-API library.
        grad: the gradient, a Tensor of the same shape and dtype, or None; `backward` adds to it.
        creator: the op that made this tensor, or None for a leaf.

    Raises:
        ValueError: if a gradient is wanted for integers or booleans.
    """

    __slots__ = ("__weakref__", "creator", "data", "grad", "requires_grad")

    def __init__(self, data: Any, *, requires_grad: bool = False, dtype: str | None = None) -> None:
        self.data: Array = backend.asarray(data.data if isinstance(data, Tensor) else data, dtype=dtype)
        if requires_grad and not backend.is_floating(self.data):
            raise ValueError(f"only floating tensors can require a gradient; this one is {self.data.dtype}")
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.creator: Op | None = None

    @property
    def is_leaf(self) -> bool:
        """True for tensors that no recorded op made: parameters and inputs."""
        return self.creator is None

    def detach(self) -> Tensor:
        """The same array, off the tape."""
        return Tensor(self.data)

    def retain_grad(self) -> None:
        """Keep `.grad` for this tensor too, although it is not a leaf."""
        if self.creator is not None:
            self.creator.watcher = weakref.ref(self)

    def backward(self, gradient: Any = None, *, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor with respect to every leaf to that leaf's `.grad`.

        Args:
            gradient: dL/d(self), same shape as self; may be left out for a single number, where it is 1.
            retain_graph: keep the tape, so that `backward` can run once more.

        Raises:
            ValueError: no tape leads here, the gradient's shape is wrong, or the tape was freed already.
        """
        if not self.requires_grad:
            raise ValueError("backward() on a tensor that no gradient is tracked for (requires_grad is False)")
        dy = self._seed(gradient)
        if self.creator is None:
            _accumulate(self, dy, set(), owned=False)
            return
        made_now: set[Tensor] = set()
        pending: dict[Op, Array] = {self.creator: dy}
        for op in _newest_first(self.creator):
            if (dy := pending.pop(op, None)) is not None:
                _through(op, dy, pending, made_now)
        if not retain_graph:
            for op in _newest_first(self.creator):
                op.free()

    def _seed(self, gradient: Any) -> Array:
        if gradient is None:
            if self.size != 1:
                raise ValueError(
                    f"backward() without a gradient needs a single number, this tensor has shape {self.shape}; "
                    "reduce it to a loss, or pass dL/d(tensor) as gradient="
                )
            xp = backend.namespace(self.data)
            return xp.ones_like(self.data)
        dy = backend.asarray(gradient.data if isinstance(gradient, Tensor) else gradient, like=self.data)
        if tuple(dy.shape) != self.shape:
            raise ValueError(f"the gradient has shape {tuple(dy.shape)}, the tensor {self.shape}; they must be equal")
        return dy


class Op(ABC):
    """One differentiable function.

    A subclass writes out

    - `forward(self, *arrays, **options)`: the result, one array. It calls `self.save(...)` with what backward will
      read.
    - `backward(self, dy)`: given dL/d(result), the gradient with respect to each positional input, in order: one
      array, or a tuple with None where there is none.

    Positional inputs are the ones that can have a gradient; everything else (ids, axes, probabilities) is an option.
    `self.needs[i]` says whether input i's gradient is wanted, for ops where leaving it out saves work. An op must not
    return an array that it has saved.
    """

    name: ClassVar[str]
    """The op's name in snake_case, as messages and the tests call it."""
    kernel_name: ClassVar[str | None]
    """The kernels that may run in this class's place (see `minibert.backend`). Not inherited."""
    kernel_parts: ClassVar[tuple[type[Op], ...]]
    """Other ops that this one is made of, for which the kernels stand, too."""
    written: ClassVar[Written]

    def __init_subclass__(
        cls, *, kernel: str | None = None, kernel_parts: tuple[type[Op], ...] = (), **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("_")
        cls.kernel_name, cls.kernel_parts = kernel, kernel_parts
        cls.written = as_written(cls, "forward", "backward")

    def __init__(self) -> None:
        self.age = next(_age)
        self.inputs: tuple[Tensor, ...] = ()
        self.needs: tuple[bool, ...] = ()
        self.saved: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}
        self.kernel: backend.Kernel | None = None
        self.watcher: weakref.ref[Tensor] | None = None
        self._locked: list[Array] = []
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
        """Run the op on tensors (or arrays, or numbers), noting it on the tape if any input wants a gradient."""
        tensors = tuple(x if isinstance(x, Tensor) else Tensor(x) for x in inputs)
        arrays = tuple(t.data for t in tensors)
        recording = _grad.state.get()[0] and any(t.requires_grad for t in tensors)
        op = cls()
        op.needs = tuple(recording and t.requires_grad for t in tensors)
        if cls.kernel_name is not None and intact(cls, *cls.kernel_parts):  # else the code in the class must run
            op.kernel = backend.kernel_for(cls.kernel_name, arrays)
        if op.kernel is None:
            result = op.forward(*arrays, **options)
        else:
            asked = {"needs": op.needs} if op.kernel.asks_needs else {}
            result, op.saved = op.kernel.forward(*arrays, **options, **asked)
        y = Tensor(result)
        if recording:
            op.inputs, op.options = tensors, options
            op._lock()
            y.creator, y.requires_grad = op, True
        return y

    def gradients(self, dy: Array) -> tuple[Array | None, ...]:
        """Run backward, explicit or the kernel's, and check that each gradient fits its input."""
        if self._freed:
            raise ValueError(
                "this part of the graph was freed by an earlier backward(); run forward again, or call the first one "
                "with backward(retain_graph=True)"
            )
        if self.kernel is None:
            result = self.backward(dy)
        else:
            result = self.kernel.backward(dy, self.saved, self.needs, **self.options)
        grads = result if isinstance(result, tuple) else (result,)
        if len(grads) != len(self.inputs):
            raise ValueError(f"{self.name}.backward gave {len(grads)} gradients for {len(self.inputs)} inputs")
        for i, (dx, x) in enumerate(zip(grads, self.inputs, strict=True)):
            if dx is not None and (tuple(dx.shape) != x.shape or dx.dtype != x.dtype):
                raise ValueError(
                    f"{self.name}.backward gave a gradient of shape {tuple(dx.shape)} ({dx.dtype}) "
                    f"for input {i} of shape {x.shape} ({x.dtype})"
                )
        return grads

    def free(self) -> None:
        """Let go of inputs and saved arrays, and make the latter writeable again."""
        for array in self._locked:
            guard.unlock(array)
        self._locked, self.saved, self.inputs, self._freed = [], (), (), True

    def _lock(self) -> None:
        self._locked = [value for value in _flatten(self.saved) if hasattr(value, "shape")]
        for array in self._locked:
            guard.lock(array)

    def __del__(self) -> None:
        for array in getattr(self, "_locked", ()):  # the tape was dropped without a backward pass
            guard.unlock(array)


def _flatten(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _flatten(value)
        else:
            yield value


def _newest_first(last: Op) -> list[Op]:
    """Every op that `last` depends on, and itself, each before the ops that made its inputs."""
    found, stack = {last}, [last]
    while stack:
        for x in stack.pop().inputs:
            if x.creator is not None and x.creator not in found:
                found.add(x.creator)
                stack.append(x.creator)
    return sorted(found, key=lambda op: op.age, reverse=True)


def _through(op: Op, dy: Array, pending: dict[Op, Array], made_now: set[Tensor]) -> None:
    """One step back: hand the gradients of `op`'s inputs to their leaves, or to the ops that made them."""
    watched = op.watcher() if op.watcher is not None else None
    if watched is not None:
        _accumulate(watched, dy, made_now, owned=False)
    for x, dx in zip(op.inputs, op.gradients(dy), strict=True):
        if dx is None or not x.requires_grad:
            continue
        if x.creator is None:
            _accumulate(x, dx, made_now, owned=dx is not dy and getattr(dx, "base", dx) is None)
        elif x.creator in pending:
            pending[x.creator] = pending[x.creator] + dx  # used more than once: the gradients add up
        else:
            pending[x.creator] = dx


def _accumulate(leaf: Tensor, dx: Array, made_now: set[Tensor], *, owned: bool) -> None:
    """leaf.grad += dx. An array that others may hold is copied: scaling one gradient must not scale another.

    `made_now` are the leaves whose gradient arrays this backward pass has made.
    """
    if leaf.grad is None:
        xp = backend.namespace(dx)
        leaf.grad = Tensor(dx if owned else xp.asarray(dx, copy=True))
    elif leaf in made_now:
        leaf.grad.data += dx  # nobody has seen it yet; for a tied embedding, another V x H numbers would be a lot
    else:
        leaf.grad = Tensor(leaf.grad.data + dx)
    made_now.add(leaf)
