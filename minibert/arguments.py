"""The arguments of a model's call: what is refused, and why."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from minibert.options import unknown_option
from minibert.packing import ModelInputs

__all__ = ["ArgumentError", "check_arguments"]


class ArgumentError(ValueError, TypeError):
    """A call with arguments that the model does not have: bad input, and a TypeError as for any function."""


def check_arguments(model: Any, args: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Raise ArgumentError for arguments by position beside input_ids, and for names that `model.forward` does not have.

    Libraries disagree on whether attention_mask or token_type_ids comes second, and one taken for the other gives wrong
    answers without an error; so both are taken by name only.
    """
    kind = type(model)
    if not kind.forward.__module__.startswith("minibert."):
        return  # a user's own model takes its own arguments
    if len(args) > 1:
        raise ArgumentError(
            f"{kind.__name__} takes input_ids alone by position, got {len(args)} arguments: say "
            "attention_mask=..., token_type_ids=... by name (libraries order them differently, and one taken for the "
            "other gives wrong answers)"
        )
    known = _names(kind.forward)
    for name in named:
        if name not in known:
            raise ArgumentError(unknown_option(kind.__name__, name, known))


@functools.cache
def _names(forward: Any) -> frozenset[str]:
    own = {name for name in inspect.signature(forward).parameters if name not in ("self", "inputs")}
    return frozenset(own | ModelInputs.__annotations__.keys())
