"""Modules: parameters with names, put together into larger modules.

A module's attributes are its parts: parameters, other modules, or lists of modules. Their names, joined by dots, are
the names in a checkpoint, so the attributes are called what the published checkpoints call them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Protocol, Self, TypeVar

import numpy as np

from minibert import backend, ops
from minibert.autograd import Tensor
from minibert.backend import Array
from minibert.intact import Written, as_written
from minibert.number_like import as_int, is_int
from minibert.philox import numpy_generator

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

_initialise = True


@contextmanager
def skip_init() -> Iterator[None]:
    """Context manager: modules made inside get parameters without memory, all zero and read-only, to be filled later.

    Drawing a hundred million random numbers that a checkpoint then replaces would take longer than reading it.
    """
    global _initialise
    before, _initialise = _initialise, False
    try:
        yield
    finally:
        _initialise = before


class Parameter(Tensor):
    """A tensor that is learned.

    Args:
        shape: the lengths of its axes, for zeros (float32, read-only: set `data`); or one array or Tensor, its values.

    Raises:
        ValueError: neither.
    """

    __slots__ = ()
    updated_in_place = True

    def __init__(self, *shape: Any) -> None:
        if len(shape) == 1 and not is_int(shape[0]):
            values = shape[0].data if isinstance(shape[0], Tensor) else shape[0]
            if not backend.is_array(values):
                raise ValueError(
                    f"a parameter is made of lengths, as in Parameter(2, 3), or of an array; got {shape[0]!r:.60}"
                )
        else:
            lengths = tuple(as_int("a parameter's length", length, least=0) for length in shape)
            values = np.broadcast_to(np.float32(0.0), lengths)
        super().__init__(values, requires_grad=True)


class _HasForward(Protocol[P, R]):
    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


class Module:
    """A part of a model: parameters, other modules, and `forward`.

    Attributes:
        training: True while training: dropout drops. New modules train; `from_pretrained` gives models in evaluation
            mode.
    """

    training: bool = True
    written: ClassVar[Written]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.written = as_written(cls, "forward", "__call__")

    if TYPE_CHECKING:  # for type checkers, calling a module is calling its own forward, arguments and result alike

        @property
        def __call__(self: _HasForward[P, R]) -> Callable[P, R]: ...
    else:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        replaced = isinstance(vars(self).get(name), Parameter)
        if replaced and value is not None and not isinstance(value, (Parameter, Module)):
            raise ValueError(
                f"{type(self).__name__}.{name} is a parameter: a {type(value).__name__} in its place would be neither "
                f"trained nor saved. Set {name}.data, or change it in place under no_grad()"
            )
        object.__setattr__(self, name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes."""
        raise TypeError(f"{type(self).__name__} has no forward")

    def reset_parameters(self) -> None:
        """Draw this module's own parameters anew (not those of the modules inside)."""

    # --- parts and their names --------------------------------------------------------------------------------------

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, with their names."""
        for name, part in _parts(self):
            if isinstance(part, Module):
                yield name, part

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all inside it, with dotted names."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def _all_names(self) -> Iterator[tuple[str, Parameter]]:
        for prefix, module in self.named_modules():
            for name, part in _parts(module):
                if isinstance(part, Parameter):
                    yield f"{prefix}.{name}" if prefix else name, part

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, under its first name: a tied parameter has one gradient and takes one step."""
        seen: set[int] = set()
        for name, parameter in self._all_names():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter once."""
        return (parameter for _, parameter in self.named_parameters())

    def num_parameters(self, only_trainable: bool = False) -> int:
        """How many numbers are learned; with `only_trainable`, without the parameters that are frozen."""
        return sum(one.size for one in self.parameters() if one.requires_grad or not only_trainable)

    # --- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Every parameter's array under each of its names (tied ones under all). The arrays are the model's own."""
        return {name: parameter.numpy() for name, parameter in self._all_names()}

    def load_state_dict(self, state: Mapping[str, Array], *, strict: bool = True, assign: bool = False) -> None:
        """Set parameters by name.

        Args:
            state: arrays (or lists of numbers) by name; converted to each parameter's dtype.
            strict: every parameter must be there, and nothing else.
            assign: take the arrays themselves where the dtype fits, instead of copying them.

        Raises:
            ValueError: missing or unexpected names (if strict), no numbers, or a shape that differs. Nothing has been
                set then.
        """
        own = dict(self._all_names())
        if strict and own.keys() != state.keys():
            missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
            raise ValueError(f"state_dict does not fit: missing {missing}, unexpected {unexpected}")
        found = {name: _array(array, name) for name, array in state.items() if name in own}
        for name, array in found.items():
            if tuple(array.shape) != own[name].shape:
                raise ValueError(f"{name}: expected shape {own[name].shape}, got {tuple(array.shape)}")
        for name, array in found.items():
            parameter = own[name]
            like = parameter.data
            taken = backend.asarray(array, like=like)
            parameter.data = (
                taken if assign or taken is not array else backend.namespace(like).asarray(taken, copy=True)
            )

    # --- modes ------------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Training mode on (or off), here and in all modules inside."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation mode: no dropout."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    @property
    def dtype(self) -> Any:
        """The first parameter's dtype."""
        return self._first().dtype

    @property
    def device(self) -> str:
        """Where the first parameter is: "cpu" or "cuda"."""
        return backend.device_of(self._first().data)

    def _first(self) -> Parameter:
        for parameter in self.parameters():
            return parameter
        raise ValueError(f"{type(self).__name__} has no parameters, so no dtype and no device")

    def to(self, *places: Any, dtype: Any = None, device: str | None = None) -> Self:
        """Convert the parameters' dtype ("float32", "float64") and place ("cpu", "cuda"); gradients are dropped.

        Each may be given without its name: `to("cuda")`, `to("float64")`.

        Raises:
            ValueError: a dtype or device that is not known, or not to be had here.
        """
        for place in places:
            if place in ("cpu", "cuda"):
                device = place
            else:
                dtype = place
        if dtype is not None and _dtype_name(dtype) not in ("float32", "float64"):
            raise ValueError(f"models compute in float32 or float64, on cpu or cuda, not {dtype}")
        for parameter in self.parameters():
            data = parameter.data if device is None else backend.to_device(parameter.data, device)
            parameter.data, parameter.grad = backend.asarray(data, dtype=dtype), None
        return self


    # --- what it looks like ---------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        rows = [f"{name}: {look}" for name, look in self._looks()]
        if not rows:
            return f"{type(self).__name__}({self._settings()})"
        inside = "\n".join(rows).replace("\n", "\n  ")
        return f"{type(self).__name__}({self._settings()}\n  {inside}\n)"

    def _settings(self) -> str:
        """What `repr` says of the module itself: its own parameters with their shapes."""
        return ", ".join(f"{name} {part.shape}" for name, part in vars(self).items() if isinstance(part, Parameter))

    def _looks(self) -> Iterator[tuple[str, str]]:
        """What `repr` lists: the modules inside."""
        return ((name, repr(child)) for name, child in self.children())


def _dtype_name(dtype: Any) -> str:
    try:
        return str(np.dtype(dtype))
    except TypeError:
        return str(dtype)


def _array(values: Any, name: str) -> Array:
    """An array as it is, or one made of numbers in lists; a ValueError with the parameter's name otherwise."""
    if isinstance(values, Tensor):
        return values.data
    if backend.is_array(values):
        return values
    try:
        return backend.asarray(values, dtype="float64")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _parts(module: Module) -> Iterator[tuple[str, Any]]:
    """The attributes with their names; those in a list, tuple or dictionary are named by their place, as "layers.0"."""
    for name, part in vars(module).items():
        if isinstance(part, (list, tuple, dict)):
            inside = part.items() if isinstance(part, dict) else enumerate(part)
            yield from [(f"{name}.{key}", one) for key, one in inside]
        else:
            yield name, part


class ModuleList(Module):
    """Modules in a row, named "0", "1", ..."""

    def __init__(self, modules: list[Module]) -> None:
        self.modules = modules

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules with their numbers as names."""
        return ((str(i), module) for i, module in enumerate(self.modules))

    def _looks(self) -> Iterator[tuple[str, str]]:
        """Modules in a row that look the same are listed once."""
        for look, same in groupby(self.children(), lambda child: repr(child[1])):
            names = [name for name, _ in same]
            yield names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}", look

    def __iter__(self) -> Iterator[Module]:
        return iter(self.modules)

    def __getitem__(self, i: int) -> Module:
        return self.modules[i]

    def __len__(self) -> int:
        return len(self.modules)


def truncated_normal(shape: tuple[int, ...], std: float) -> np.ndarray:
    """Normal numbers, those beyond two standard deviations drawn again: how BERT's weights begin.

    Returns:
        `shape`, float32.
    """
    generator = numpy_generator()
    draws: np.ndarray = generator.standard_normal(shape, dtype=np.float32)
    while (far := np.abs(draws) > 2.0).any():
        draws[far] = generator.standard_normal(int(far.sum()), dtype=np.float32)
    draws *= np.float32(std)
    return draws


class Linear(Module):
    """y = x W^T + b, with `weight` (O, I) and `bias` (O,).

    Args:
        weight: use this parameter, which belongs to another module, as the weight (a tied weight).
    """

    def __init__(self, inputs: int, outputs: int, *, std: float = 0.02, weight: Parameter | None = None) -> None:
        self.weight = Parameter(outputs, inputs) if weight is None else weight
        self.bias = Parameter(outputs)
        self.std = std
        self.tied = weight is not None
        if _initialise:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight from a truncated normal, bias zero; a tied weight is left to its owner."""
        if not self.tied:
            self.weight.data = truncated_normal(self.weight.shape, self.std)
        self.bias.data = np.zeros(self.bias.shape, np.float32)

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        return ops.linear(x, self.weight, self.bias)


class Embedding(Module):
    """A table of rows, `weight` (V, H), looked up by number."""

    def __init__(self, count: int, size: int, *, std: float = 0.02) -> None:
        self.weight = Parameter(count, size)
        self.std = std
        if _initialise:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Rows from a truncated normal."""
        self.weight.data = truncated_normal(self.weight.shape, self.std)

    def forward(self, ids: Any) -> Tensor:
        """Integers (...) to (..., H)."""
        return ops.embedding(ids, self.weight)


class LayerNorm(Module):
    """Layer normalisation; the scale gamma is called `weight` and the shift beta `bias`, as in checkpoints."""

    def __init__(self, size: int, *, eps: float = 1e-12) -> None:
        self.weight = Parameter(size)
        self.bias = Parameter(size)
        self.eps = eps
        if _initialise:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale one, shift zero."""
        self.weight.data = np.ones(self.weight.shape, np.float32)
        self.bias.data = np.zeros(self.bias.shape, np.float32)

    def forward(self, x: Tensor) -> Tensor:
        """(..., H) to (..., H)."""
        return ops.layer_norm(x, self.weight, self.bias, eps=self.eps)


class Dropout(Module):
    """Dropout with probability `p` while training."""

    def __init__(self, p: float) -> None:
        self.p = p

    def _settings(self) -> str:
        return f"p={self.p}"

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; unchanged in evaluation mode."""
        return ops.dropout(x, self.p, training=self.training)
