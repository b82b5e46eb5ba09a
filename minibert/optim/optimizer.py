"""The part that all optimisers share: groups of parameters, their state, saving and resuming."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minibert import backend
from minibert.autograd import Tensor
from minibert.deferral import deferred_interrupt
from minibert.number_like import as_float, as_int, is_float, is_int

Group = dict[str, Any]
Params = Iterable[Tensor] | Iterable[Mapping[str, Any]]
Todo = tuple[Any, Any, dict[str, Any], Group]
"""What one step does to one parameter: its array, its gradient's, its state, its options."""


class Optimizer(ABC):
    """Steps parameters by their gradients. A subclass gives `options_error`, `new_state` and `update`; it may replace
    `new_states`, `gradient_factor` and `update_all`, which work on all parameters at once.

    Args:
        params: the parameters, or groups of them: dicts with "params" and any of the options, which then hold for that
            group only (see `decay_groups`). A group may carry "param_names", for error messages.
        defaults: the options of a group that does not set its own; "lr" is one of them.

    Attributes:
        param_groups: the groups as dicts, with all options. Change `group["lr"]` and the next step uses it.
        state: what the optimiser keeps for each parameter, by its number, counted through the groups.

    Raises:
        ValueError: no parameters; the same one twice (a tied weight would be stepped twice); one without
            requires_grad; an option that is unknown or out of its range.
    """

    def __init__(self, params: Params, defaults: Mapping[str, Any]) -> None:
        self.name = type(self).__name__
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self.state: dict[int, dict[str, Any]] = {}
        if isinstance(params, (Tensor, Mapping)):
            raise ValueError(f"{self.name}: expected a list of parameters or groups, got one {type(params).__name__}")
        given: list[Any] = list(params)
        if not given:
            raise ValueError(f"{self.name}: got no parameters (was an iterator such as model.parameters() used up?)")
        if len({isinstance(item, Mapping) for item in given}) > 1:
            raise ValueError(f"{self.name}: expected either parameters or groups, got a mixture")
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self.add_param_group(group)

    # --- what a subclass gives --------------------------------------------------------------------------------------

    @abstractmethod
    def options_error(self, options: Mapping[str, Any]) -> str | None:
        """What is wrong with a group's options, as "NAME must be ..., got ..."; None when nothing is."""

    @abstractmethod
    def new_state(self, param: Any) -> dict[str, Any]:
        """The state of a parameter (an array) before its first step: numbers, and arrays of its shape and dtype."""

    @abstractmethod
    def update(self, param: Any, grad: Any, state: dict[str, Any], options: Mapping[str, Any]) -> None:
        """One step of one parameter: changes the array `param` and the contents of `state` in place."""

    def new_states(self, params: list[Any]) -> list[dict[str, Any]]:
        """The states of many parameters (arrays) before their first step."""
        return [self.new_state(param) for param in params]

    def gradient_factor(self, grads: list[Any]) -> float:
        """What a step multiplies all gradients (arrays) with before it uses them; 1 unless a subclass clips."""
        return 1.0

    def update_all(self, todo: list[Todo], factor: float) -> None:
        """One step of many parameters, their gradients times `factor`."""
        for param, grad, state, options in todo:
            self.update(param, grad if factor == 1.0 else grad * factor, state, options)

    # --- what a training loop calls ---------------------------------------------------------------------------------

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add one group: {"params": [...], options...}. Raises ValueError as the class says; nothing is added then."""
        if "params" not in group:
            raise ValueError(f'{self.name}: a group needs "params", got a dict with {sorted(group)}')
        unknown = sorted(set(group) - set(self.defaults) - {"params", "param_names", "initial_lr"})
        if unknown:
            raise ValueError(f"{self.name}: unknown option {unknown[0]!r}; the options are {', '.join(self.defaults)}")
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        new: Group = {**self.defaults, **group, "params": params}
        if error := self.options_error(new):
            raise ValueError(f"{self.name}: {error}")
        _use_python_numbers(new)
        names = new.get("param_names")
        if names is not None and len(names) != len(params):
            raise ValueError(f"{self.name}: a group has {len(params)} params but {len(names)} param_names")
        seen = {id(p) for p, _ in self._pairs()}
        for k, p in enumerate(params):
            label = f"parameter {names[k] if names else len(seen)}"
            if not isinstance(p, Tensor):
                raise ValueError(f"{self.name}: {label} must be a Tensor, got {type(p).__name__}")
            if not p.requires_grad:
                raise ValueError(f"{self.name}: {label} has requires_grad=False; leave frozen parameters out")
            if id(p) in seen:
                raise ValueError(
                    f"{self.name}: {label} is there twice; a tied weight is one parameter and must be stepped once "
                    "(model.named_parameters() and model.parameters() list it once)"
                )
            seen.add(id(p))
        self.param_groups.append(new)

    def step(self) -> None:
        """One step of every parameter that has a gradient; the others stay, and so does their step count.

        Parameters are written in place. One whose array is read-only (a tape still needs its value, or it was mapped
        from a file) gets a new array instead, so that nobody else sees it change.

        Ctrl-C waits until the step is over: all parameters have been stepped then, or none. An exception that another
        thread raises in this one (`PyThreadState_SetAsyncExc`) does not wait; it may leave some parameters stepped and
        others not, and the counts of all advanced. Nothing is written any more then, and `step` may be called again.

        Raises:
            ValueError: a gradient or a state does not fit its parameter. Nothing has been stepped then.
        """
        todo = [(i, p, p.grad.data, group) for i, (p, group) in enumerate(self._pairs()) if p.grad is not None]
        for i, p, grad, _ in todo:
            self._expect_fit(i, p.data, grad, "gradient")
            for key, value in self.state.get(i, {}).items():
                if not isinstance(value, (int, float)):
                    self._expect_fit(i, p.data, value, f"state {key!r}")
        for group in self.param_groups:
            _use_python_numbers(group)  # a rate that was changed may come out of an array
        with deferred_interrupt():
            self._step(todo)

    def _step(self, todo: list[tuple[int, Tensor, Any, Group]]) -> None:
        """The step itself, of parameters (number, parameter, gradient, options) that have been checked."""
        factor = self.gradient_factor([grad for _, _, grad, _ in todo])
        new = {i: p.data for i, p, _, _ in todo if i not in self.state}
        self.state.update(zip(new, self.new_states(list(new.values())), strict=True))
        for _, p, _, _ in todo:
            if isinstance(p.data, (np.ndarray, np.generic)) and not p.data.flags.writeable:
                p.data = np.array(p.data, order="C")
        self.update_all([(p.data, grad, self.state[i], group) for i, p, grad, group in todo], factor)

    def zero_grad(self) -> None:
        """Forget all gradients. `backward` adds to what is there, so call this once a step."""
        for p, _ in self._pairs():
            p.grad = None

    # --- resuming ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that the next step depends on besides parameters and gradients.

        Returns:
            {"state": {number: {...}}, "param_groups": [{options..., "params": [numbers]}]}: NumPy arrays, numbers,
            strings and lists, with the parameters counted through the groups.
        """
        groups, first = [], 0
        for group in self.param_groups:
            options = copy.deepcopy({key: value for key, value in group.items() if key != "params"})
            groups.append({**options, "params": list(range(first, first + len(group["params"])))})
            first += len(group["params"])
        state = {i: {key: _to_host(value) for key, value in entry.items()} for i, entry in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, with the same parameters in the same groups: the same steps to the bit.

        Raises:
            ValueError: groups, names, shapes or options do not fit. Nothing has been changed then.
        """
        where = f"{self.name}.load_state_dict"
        groups = [{k: v for k, v in copy.deepcopy(g).items() if k != "params"} for g in state_dict["param_groups"]]
        ours = [len(group["params"]) for group in self.param_groups]
        theirs = [len(group["params"]) for group in state_dict["param_groups"]]
        if ours != theirs:
            raise ValueError(
                f"{where}: expected groups of {ours} parameters, got {theirs}; build it as it was when saved"
            )
        for own, group in zip(self.param_groups, groups, strict=True):
            if own.get("param_names", group.get("param_names")) != group.get("param_names"):
                raise ValueError(
                    f"{where}: the parameters' names are not those that were saved; is the model the same?"
                )
            if error := self.options_error({**own, **group}):
                raise ValueError(f"{where}: {error}")
        params = [p for p, _ in self._pairs()]
        state: dict[int, dict[str, Any]] = {}
        saved = {int(key): entry for key, entry in state_dict["state"].items()}  # JSON made them strings
        for i in saved:
            if not 0 <= i < len(params):
                raise ValueError(f"{where}: state for parameter {i}, but there are {len(params)}")
        for (i, entry), fresh in zip(saved.items(), self.new_states([params[i].data for i in saved]), strict=True):
            if entry.keys() != fresh.keys():
                raise ValueError(f"{where}: expected state {sorted(fresh)}, got {sorted(entry)}; another optimiser's?")
            state[i] = {name: _from_host(entry[name], fresh[name], f"{where}: {name} of {i}") for name in fresh}
        self.state = state
        for own, group in zip(self.param_groups, groups, strict=True):
            own.update(group)
            _use_python_numbers(own)

    def _pairs(self) -> Iterator[tuple[Tensor, Group]]:
        return ((p, group) for group in self.param_groups for p in group["params"])

    def _expect_fit(self, i: int, param: Any, array: Any, what: str) -> None:
        if tuple(array.shape) == tuple(param.shape) and array.dtype == param.dtype:
            return
        names = [
            n for g in self.param_groups for n in g.get("param_names") or [str(k) for k in range(len(g["params"]))]
        ]
        raise ValueError(
            f"{self.name}: parameter {i} {names[i]} is {tuple(param.shape)} {param.dtype}, but its {what} is "
            f"{tuple(array.shape)} {array.dtype}; convert a model before building its optimiser"
        )


def _use_python_numbers(group: Group) -> None:
    """Options that are NumPy's scalars become Python's numbers: a float64 scalar would widen float32 arithmetic."""
    for name, value in group.items():
        if name == "params":
            continue
        if isinstance(value, tuple | list) and value and all(map(is_float, value)):
            group[name] = tuple(_python_number(one) for one in value)
        elif is_float(value):
            group[name] = _python_number(value)


def _python_number(value: Any) -> int | float:
    return int(value) if is_int(value) else float(value)


def _to_host(value: Any) -> Any:
    """Arrays as NumPy copies; numbers as they are."""
    return value if isinstance(value, (int, float)) else np.array(backend.to_numpy(value))


def _from_host(value: Any, fresh: Any, where: str) -> Any:
    """A saved value, copied into the array of a fresh one."""
    if isinstance(fresh, int):
        return as_int(where, value, least=0)
    if isinstance(fresh, float):
        return as_float(where, value)
    if np.shape(value) != tuple(fresh.shape):
        raise ValueError(f"{where}: expected shape {tuple(fresh.shape)}, got {np.shape(value)}")
    fresh[...] = backend.asarray(np.asarray(value), like=fresh)
    return fresh
