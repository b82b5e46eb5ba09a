"""Is a backward right? Compare it with the slope measured by finite differences.

A hand-written backward can be wrong in a way that still trains, only worse: a forgotten sum over a broadcast
axis, a sign, a transposed weight. The definition of the derivative settles it. Step each input entry by `eps`
to either side and watch every output entry,

    dy[j] / dx[i]  ~  (y[j](x + eps e_i) - y[j](x - eps e_i)) / (2 eps),

and hold the table of slopes so measured, the numerical Jacobian, against the one that backward computes, the
analytical Jacobian: what backward returns for an incoming gradient of 1 at output entry j and 0 elsewhere.

The central difference errs by about eps**2 from the curvature and about 1e-16 / eps from rounding in float64,
both far below the tolerances at eps = 1e-6. In float32 the rounding part alone is 0.1: the check wants
float64.

`gradcheck` has the signature and the defaults of `torch.autograd.gradcheck`, without those options that ask
about things this engine does not have (forward mode, vmap, sparse tensors) or that it always checks (gradient
dtypes).
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minibert import backend, guard, op_checks
from minibert._gradcheck_report import cause, describe, failure, function_name, index_of, input_label, pattern
from minibert.autograd import Tensor, enable_grad, no_grad
from minibert.op_checks import GradientError

__all__ = ["GradcheckError", "gradcheck"]

Floats = npt.NDArray[np.float64]
Outputs = tuple[Tensor, ...]


class GradcheckError(RuntimeError):
    """The analytical gradient is not the numerical one. A RuntimeError, as torch's is."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
) -> bool:
    """Check the backward of `func` at `inputs` against central differences.

    Args:
        func: takes `inputs` as positional arguments; returns a Tensor, or a tuple or list of them.
        inputs: one Tensor or a sequence. Each Tensor with requires_grad is checked; anything else is passed
            through. They may be non-contiguous, 0-d, or parameters that func reaches by itself (`lambda *_:
            model(ids)`): the steps are taken on copies that stand in for the tensor's `data`. In the end
            `data` is the caller's own array again, and `grad` what it was, for the inputs and for all other
            leaves that func reached.
        eps: half the distance between the two points of a difference.
        atol, rtol: an entry passes when |received - expected| <= atol + rtol * |expected|.
        raise_exception: raise when the check fails; if False, return False.
        nondet_tol: how far two runs of backward with the same incoming gradient may differ.
        fast_mode: instead of whole Jacobians compare one number, v^T J u, for each input and output. u and v
            come from a generator of fixed seed, their entries of size 0.5 to 1.5 with random signs: two
            forwards an input, one backward an output. If the number is wrong, the whole Jacobians are
            computed to name the entry.

    Returns:
        True. Outputs that do not require grad are left out, unless that is all of them: then func must not
        depend on its inputs. At a kink of func the check may fail although backward is right.

    Raises:
        GradcheckError: the gradients disagree; the message says where and by how much.
        ValueError: the arguments cannot be checked. (An input that is not float64 is a warning.)
    """
    args = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = tuple(i for i, arg in enumerate(args) if isinstance(arg, Tensor) and arg.requires_grad)
    check = _Check(func, args, checked, eps, atol, rtol, nondet_tol)
    check.validate()
    problem = ""
    try:
        with check.tensors_restored():
            check.run(fast_mode)
    except GradcheckError as error:
        problem = str(error)
    # Raised out here, where nothing refers to the tape any more: arrays that it made read-only are free
    # again.
    if problem and raise_exception:
        raise GradcheckError(problem)
    return not problem


@dataclass
class _Check:
    """One call of gradcheck.

    A Jacobian here is a float64 array (entries of x, entries of y), both unrolled in row-major order: the
    transpose of the textbook's, so that a row is what one step of one input entry does.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    checked: tuple[int, ...]
    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    grads: list[tuple[Tensor, Tensor | None]] = field(default_factory=list)  # to be put back afterwards

    def validate(self) -> None:
        name = function_name(self.func)
        if not self.checked:
            given = ", ".join(type(arg).__name__ for arg in self.args) or "none"
            raise ValueError(
                f"gradcheck: {name}: expected an input Tensor with requires_grad=True, got {given} without; "
                "set it on what is to be checked"
            )
        if not (self.eps > 0 and math.isfinite(self.eps)):
            raise ValueError(f"gradcheck: eps must be a finite number above 0, got {self.eps!r}")
        for option in ("atol", "rtol", "nondet_tol"):
            if not getattr(self, option) >= 0:
                raise ValueError(f"gradcheck: {option} must be 0 or more, got {getattr(self, option)!r}")
        for i in self.checked:
            dtype = str(self.args[i].dtype).rpartition(".")[2]
            if dtype != "float64":
                warnings.warn(
                    f"gradcheck: {input_label(self.func, i)} of {name} is {dtype}, not float64: rounding in "
                    "the differences is then as large as the tolerances, and right gradients are likely to fail",
                    stacklevel=3,
                )

    @contextmanager
    def tensors_restored(self) -> Iterator[None]:
        """Put back the inputs' arrays, and the gradients of all leaves that func reached, whatever happens.

        An input that an op made is a leaf meanwhile: the check ends at the inputs.
        """
        inputs = [self.args[i] for i in self.checked]
        before = [(x, x.data, x.creator) for x in inputs]
        self.grads = [(x, x.grad) for x in inputs]
        op_checks.checking += 1
        try:
            for x in inputs:
                x.creator = None
            yield
        finally:
            op_checks.checking -= 1
            for x, data, creator in reversed(before):  # the first entry of a tensor that is there twice counts
                x.data, x.creator = data, creator
            for x, grad in reversed(self.grads):
                x.grad = grad

    def run(self, fast_mode: bool) -> None:
        """Raise GradcheckError if a gradient is wrong."""
        with enable_grad():
            outputs = self.call()
        self.grads += [(x, x.grad) for x in _leaves(outputs)]
        kept = [k for k, y in enumerate(outputs) if y.requires_grad]
        for k in kept:
            self.expect_reproducible(outputs[k])
        if fast_mode and kept and self.fast_agrees(outputs, kept):
            return
        analytical = {k: self.analytical(outputs[k]) for k in kept}
        for i in self.checked:
            numerical = self.numerical(i, outputs)
            for k in kept or range(len(outputs)):  # nothing requires grad: then the slopes must be zero
                received = analytical[k][i] if kept else np.zeros_like(numerical[k])
                self.compare(i, k, numerical[k], received, outputs)
        if fast_mode and kept:
            raise GradcheckError(
                f"gradcheck: {describe(self.func, outputs[kept[0]])}: the gradient is wrong along a random "
                f"direction, though each entry is within atol={self.atol:g}, rtol={self.rtol:g}\n"
                "  hint: many small errors; fast_mode=False with a smaller rtol shows them"
            )

    def call(self) -> Outputs:
        """The outputs as a tuple of Tensors. An input that func writes into has its old contents again."""
        before = [_flat(self.args[i].data) for i in self.checked]
        try:
            outputs = self.func(*self.args)
        except GradientError as error:
            raise GradcheckError(f"gradcheck: {function_name(self.func)}: {error}\n  hint: {error.hint}") from error
        for i, old in zip(self.checked, before, strict=True):
            array = self.args[i].data
            if not np.array_equal(_flat(array), old, equal_nan=True):
                del outputs  # and with them the tape, which may hold the array
                if guard.is_writeable(array):
                    array[...] = _like(old, array)
                raise GradcheckError(
                    f"gradcheck: {function_name(self.func)}: func changed {input_label(self.func, i)} in place\n"
                    "  hint: func does not change its inputs; work on a copy"
                )
        outputs = tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)
        for y in outputs:
            if not isinstance(y, Tensor):
                name, given = function_name(self.func), type(y).__name__
                raise ValueError(f"gradcheck: {name} must return a Tensor or a tuple of Tensors, got {given}")
        return outputs

    # --- backward's answer ----------------------------------------------------------------------------------

    def gradients(self, output: Tensor, dy: Floats) -> dict[int, Floats]:
        """dx for each checked input, unrolled, from one backward with the incoming gradient dy."""
        for i in self.checked:
            self.args[i].grad = None
        try:
            output.backward(_like(dy, output.data), retain_graph=True)
        except Exception as error:
            raise GradcheckError(
                f"gradcheck: {describe(self.func, output)}: backward failed: {failure(error)}\n  hint: {cause(error)}"
            ) from error
        result = {}
        for i in self.checked:
            x = self.args[i]
            result[i] = np.zeros(x.size) if x.grad is None else _flat(x.grad.data)  # None: no path leads here
        return result

    def analytical(self, output: Tensor) -> dict[int, Floats]:
        """The Jacobian of one output for each checked input: one backward for each output entry."""
        jacobians = {i: np.zeros((self.args[i].size, output.size)) for i in self.checked}
        for j in range(output.size):
            for i, dx in self.gradients(output, _one_hot(j, output.size)).items():
                jacobians[i][:, j] = dx
        return jacobians

    def expect_reproducible(self, output: Tensor) -> None:
        """Two backwards of one random incoming gradient through one graph give the same."""
        dy = _direction(np.random.default_rng(1), output.size)
        first, second = self.gradients(output, dy), self.gradients(output, dy)
        for i in self.checked:
            with np.errstate(invalid="ignore"):
                apart = np.abs(first[i] - second[i])
            apart[(first[i] == second[i]) | (np.isnan(first[i]) & np.isnan(second[i]))] = 0.0  # also infinities
            if (apart <= self.nondet_tol).all():
                continue
            entry = int(np.argmax(np.nan_to_num(apart, nan=np.inf)))
            raise GradcheckError(
                f"gradcheck: {describe(self.func, output)}: backward is not deterministic for "
                f"{input_label(self.func, i)}\n"
                f"  at index {index_of(entry, self.args[i])} the first run gave {first[i][entry]:.9g}, the "
                f"second {second[i][entry]:.9g}, for the same incoming gradient (nondet_tol={self.nondet_tol:g})\n"
                "  hint: backward must not draw random numbers, nor change what forward saved"
            )

    # --- the differences' answer ----------------------------------------------------------------------------

    def slopes(self, i: int, direction: Floats) -> list[Floats]:
        """(y(x + eps u) - y(x - eps u)) / (2 eps) of each output, for the direction u on input i."""
        x = self.args[i]
        array = x.data
        middle = _flat(array)
        try:
            # Copies: the tape may have made the array itself read-only, and the caller's must not change.
            x.data = _like(middle + self.eps * direction, array)
            above = self.values()
            x.data = _like(middle - self.eps * direction, array)
            below = self.values()
        finally:
            x.data = array
        return [(a - b) / (2 * self.eps) for a, b in zip(above, below, strict=True)]

    def values(self) -> list[Floats]:
        """The outputs at the inputs' present data, unrolled."""
        with no_grad():
            return [_flat(y.data) for y in self.call()]

    def numerical(self, i: int, outputs: Outputs) -> list[Floats]:
        """The Jacobian for one input of each output: two forwards for each input entry."""
        size = self.args[i].size
        jacobians = [np.zeros((size, y.size)) for y in outputs]
        for entry in range(size):
            for jacobian, slope in zip(jacobians, self.slopes(i, _one_hot(entry, size)), strict=True):
                jacobian[entry] = slope
        return jacobians

    # --- the comparison -------------------------------------------------------------------------------------

    def close(self, expected: Any, received: Any) -> Any:
        """Entry by entry; False where either is NaN."""
        return np.abs(received - expected) <= self.atol + self.rtol * np.abs(expected)

    def fast_agrees(self, outputs: Outputs, kept: list[int]) -> bool:
        """v^T J u for each input and output: by differences along u, and by one backward of v."""
        draw = np.random.default_rng(0)
        u = {i: _direction(draw, self.args[i].size) for i in self.checked}
        v = {k: _direction(draw, outputs[k].size) for k in kept}
        analytical = {k: self.gradients(outputs[k], v[k]) for k in kept}
        for i in self.checked:
            slopes = self.slopes(i, u[i])
            if not all(self.close(slopes[k] @ v[k], analytical[k][i] @ u[i]) for k in kept):
                return False
        return True

    def compare(self, i: int, k: int, expected: Floats, received: Floats, outputs: Outputs) -> None:
        """Raise GradcheckError, naming the worst entry, unless the two Jacobians agree."""
        wrong = ~self.close(expected, received)
        if not wrong.any():
            return
        excess = np.abs(received - expected) / (self.atol + self.rtol * np.abs(expected) + 1e-300)
        excess = np.where(wrong, np.nan_to_num(excess, nan=np.inf), -1.0)
        a, b = (int(n) for n in np.unravel_index(int(np.argmax(excess)), excess.shape))
        output = "the output" if len(outputs) == 1 else f"output {k}"
        hint = "func gives different outputs for the same input; fix its seed"
        if np.array_equal(self.values()[k], self.values()[k], equal_nan=True):
            hint = pattern(expected, received, self.close)
        raise GradcheckError(
            f"gradcheck: {describe(self.func, outputs[k])}: the gradient of {input_label(self.func, i)} is "
            "wrong\n"
            f"  at index {index_of(a, self.args[i])} of the input and {index_of(b, outputs[k])} of {output}: "
            f"expected {expected[a, b]:.9g} (numerical), received {received[a, b]:.9g} (analytical)\n"
            f"  {wrong.sum()} of {wrong.size} entries of the Jacobian disagree, in {wrong.any(axis=1).sum()} "
            f"of {len(wrong)} input entries (atol={self.atol:g}, rtol={self.rtol:g}); the worst is shown"
            + (f"\n  hint: {hint}" if hint else "")
        )


def _leaves(outputs: Outputs) -> list[Tensor]:
    """The tensors, other than results of ops, that backward from `outputs` would give gradients to."""
    leaves: dict[int, Tensor] = {}
    ops = [y.creator for y in outputs if y.creator is not None]
    seen = set(ops)
    while ops:
        for x in ops.pop().inputs:
            if x.creator is None:
                leaves[id(x)] = x
            elif x.creator not in seen:
                seen.add(x.creator)
                ops.append(x.creator)
    return list(leaves.values())


def _direction(draw: np.random.Generator, size: int) -> Floats:
    """Entries of size 0.5 to 1.5 with random signs: none is so small that an error there could hide."""
    sign: Floats = draw.choice([-1.0, 1.0], size)
    return draw.uniform(0.5, 1.5, size) * sign


def _one_hot(entry: int, size: int) -> Floats:
    row = np.zeros(size)
    row[entry] = 1.0
    return row


def _flat(array: Any) -> Floats:
    """A float64 copy on the host, unrolled in row-major order."""
    return np.array(backend.to_numpy(array), dtype=np.float64).reshape(-1)


def _like(flat: Floats, array: Any) -> Any:
    """The unrolled numbers as a new array of the same shape, dtype, library and device as `array`."""
    return backend.namespace(array).reshape(backend.asarray(flat, like=array), array.shape)


class _CallableModule(ModuleType):
    """`minibert.gradcheck` names this module and the function in it, and which of the two an import gives would depend
    on what was imported before. So the module can be called too."""

    __call__ = staticmethod(gradcheck)


sys.modules[__name__].__class__ = _CallableModule
