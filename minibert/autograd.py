"""The engine: tensors, ops, and the tape that leads back from a loss to its gradients.

An `Op` is one differentiable function: `forward` and `backward`, written out by hand on plain arrays. `Op.apply` runs
`forward` on the tensors' arrays and, when a gradient is wanted, notes which tensors went in. These notes are the tape.
`Tensor.backward` walks it from the newest op to the oldest: an op is always younger than the ops that made its
inputs, so falling age is a valid order and no recursion is needed, however long the chain.

The tape is freed as it is used. Arrays that an op saves are read-only until then (`minibert.guard`).
"""

from __future__ import annotations

import copy
import itertools
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from minibert import backend, guard, op_checks
from minibert.backend import Array
from minibert.intact import Written, as_written, intact
from minibert.modes import Mode
from minibert.operators import Operators

_age = itertools.count()
checking = 0
"""Above 0 while `gradcheck` runs: then it is looked at whether ops write into arrays that are not their own."""


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
        if holds_tensors(data):
            data = _stacked(data)
        if isinstance(data, Tensor) and data._requires_grad and _grad.state.get()[0]:
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
    def requires_grad(self) -> bool:
        """Whether a gradient is wanted."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if wanted and not op_checks.is_real(self.data):
            raise ValueError(f"only floating tensors can require a gradient; this one is {self.data.dtype}")
        self._requires_grad = bool(wanted)

    @property
    def grad(self) -> Tensor | None:
        """The gradient, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            value = self._as_gradient(value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def _as_gradient(self, value: Any) -> Tensor:
        if not isinstance(value, Tensor) and not backend.is_array(value):
            raise ValueError(f"a gradient is a Tensor, an array, or None, got {type(value).__name__}")
        new: Tensor = value if isinstance(value, Tensor) else Tensor(value)
        ours, given = self.data, new.data
        if new.shape != self.shape or given.dtype != ours.dtype:
            raise ValueError(
                f"a tensor of shape {self.shape} ({ours.dtype}) has a gradient of the same shape and dtype, got "
                f"{new.shape} ({given.dtype})"
            )
        if backend.device_of(given) != backend.device_of(ours):
            raise ValueError(f"a tensor on {backend.device_of(ours)} has its gradient there, got one on another device")
        return new

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
        dy = self._seed(gradient)
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

    # --- copies: of leaves; a part of the tape cannot be copied apart from the rest ---------------------------------

    def __copy__(self) -> Tensor:
        return _made(type(self), self.data, self._requires_grad, self._grad, self.creator)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        self._expect_leaf("deep-copied")
        new = memo[id(self)] = _made(type(self), copy.deepcopy(self.data, memo), self._requires_grad, None)
        new._grad = copy.deepcopy(self._grad, memo)
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        self._expect_leaf("pickled")
        return _made, (type(self), self.data, self._requires_grad, self._grad)

    def _expect_leaf(self, what: str) -> None:
        if self.creator is not None:
            raise ValueError(f"a tensor on the tape cannot be {what} without all that led to it; detach() it first")


def _made(
    kind: type[Tensor], data: Array, requires_grad: bool, grad: Tensor | None, creator: Op | None = None
) -> Tensor:
    """A tensor of these parts, nothing looked at."""
    tensor = object.__new__(kind)
    tensor.data, tensor._requires_grad, tensor._grad, tensor.creator = data, requires_grad, grad, creator
    return tensor


def holds_tensors(value: Any) -> bool:
    """Whether `value` is a list or tuple with a tensor somewhere inside."""
    return isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) or holds_tensors(v) for v in value)


def _stacked(values: Sequence[Any]) -> Tensor:
    """Nested lists with tensors inside, as one tensor; numbers take the tensors' dtype."""
    from minibert import ops  # built on this file

    inner = [_stacked(v) if holds_tensors(v) else v for v in values]
    return ops.stack(as_tensors(inner))


def as_tensors(values: Sequence[Any]) -> tuple[Tensor, ...]:
    """An op's inputs as tensors: numbers, and lists of real ones, take the dtype and device of those they stand beside.

    A number is Python's, NumPy's, or an array without axes: beside float32 also a float64 becomes float32. Integers in
    lists stay integers, since they may be ids.

    Raises:
        ValueError: no numbers.
    """
    arrays = [v.data if isinstance(v, Tensor) else v for v in values if isinstance(v, Tensor) or _has_axes(v)]
    like = next((a for a in arrays if op_checks.is_real(a)), arrays[0] if arrays else None)
    return tuple(v if isinstance(v, Tensor) else _beside(v, like) for v in values)


def _has_axes(value: Any) -> bool:
    return backend.is_array(value) and value.ndim > 0


def _beside(value: Any, like: Array | None) -> Tensor:
    if like is None or isinstance(value, (bool, np.bool_)) or value is None or _has_axes(value):
        return Tensor(value)
    if isinstance(value, (list, tuple)):
        if holds_tensors(value) or backend.asarray(value).dtype.kind != "f":
            return Tensor(value)
    elif backend.is_array(value) and not isinstance(value, np.generic) and value.dtype.kind == "b":
        return Tensor(value)
    if not op_checks.is_real(like) and op_checks.is_real(backend.asarray(value)):
        return Tensor(value)
    return Tensor(backend.asarray(value, like=like))


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
        if _grad.state.get()[0]:
            for x in inputs:
                if x._requires_grad:
                    recording = True
                    break
        mixed = _several_dtypes(arrays)
        on_cpu = not mixed or backend.device_of(arrays[0]) == "cpu"
        if mixed and on_cpu:
            op_checks.expect_one_dtype(cls.name, arrays, strict=cls.strict)
        op = cls()
        op.needs = tuple([recording and x._requires_grad for x in inputs])
        if cls.kernel_name is not None and intact(cls, *cls.kernel_parts):  # else the code in the class must run
            op.kernel = backend.kernel_for(cls.kernel_name, arrays)
        if mixed and not on_cpu and op.kernel is None:  # on a GPU a kernel says itself which dtypes it takes
            op_checks.expect_one_dtype(cls.name, arrays, strict=cls.strict)
        result = op._computed(arrays, options)
        if mixed and op.kernel is None:
            op_checks.expect_dtype_kept(cls.name, result, arrays)
        if recording and op_checks.is_real(result):
            op.inputs, op.options = inputs, options
            op._lock()
            return _made(Tensor, result, True, None, op)
        return _made(Tensor, result, False, None)

    def _computed(self, arrays: tuple[Array, ...], options: dict[str, Any]) -> Array:
        """forward's result, explicit or the kernel's."""
        if self.kernel is not None:
            asked = {"needs": self.needs} if self.kernel.asks_needs else {}
            result, self.saved = self.kernel.forward(*arrays, **options, **asked)
            return result
        before = op_checks.copies(arrays) if checking else None
        try:
            result = self.forward(*arrays, **options)
        except Exception as error:
            op_checks.refuse_write(self.name, "forward", error, arrays)
            raise
        if before is not None:
            op_checks.expect_unchanged(self.name, "forward", "its input", arrays, before)
        return result if type(result) is np.ndarray else op_checks.as_result(self.name, result, arrays)

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
            result = self._stepped_back(dy)
        return op_checks.as_gradients(self.name, result, self.inputs, self.needs)

    def _stepped_back(self, dy: Array) -> Any:
        if not self.strict:
            dy = backend.namespace(dy).asarray(dy, copy=True)  # others may hold it, and code of one's own may write
        watched = [*_flatten(self.saved), *(x.data for x in self.inputs)] if checking else []
        before = op_checks.copies(watched)
        try:
            result = self.backward(dy)
        except Exception as error:
            error.add_note(f"raised in {self.name}.backward")
            op_checks.refuse_write(self.name, "backward", error, ())
            raise
        op_checks.expect_unchanged(self.name, "backward", "saved array or input", watched, before)
        return result

    def free(self) -> None:
        """Let go of inputs and saved arrays, and make the latter writeable again."""
        self._locked, self.saved, self.inputs, self._freed = [], (), (), True

    def _lock(self) -> None:
        for value in _flatten(self.saved):
            if hasattr(value, "shape"):
                self._locked.append(guard.lock(value))


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


def _several_dtypes(arrays: tuple[Array, ...]) -> bool:
    if len(arrays) < 2:
        return False
    first = arrays[0].dtype
    for array in arrays:
        dtype = array.dtype
        if dtype is not first and dtype != first:
            return True
    return False


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
            _accumulate(x, dx, made_now, owned=_is_owned(dx, dy, grads))
        elif x.creator in pending:
            pending[x.creator] = pending[x.creator] + dx  # used more than once: the gradients add up
        else:
            pending[x.creator] = dx


def _is_owned(dx: Array, dy: Array, grads: tuple[Array | None, ...]) -> bool:
    """Whether backward made this array, for one input: no view, not the incoming gradient, nothing that is saved."""
    writeable = getattr(getattr(dx, "flags", None), "writeable", True)
    return dx is not dy and getattr(dx, "base", dx) is None and writeable and sum(g is dx for g in grads) == 1


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
