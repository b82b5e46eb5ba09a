"""The options of a call, checked and made explicit, by the rules that people know from transformers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minibert.number_like import as_float, as_int, is_float, is_int
from minibert.tokenizer.encoding import STRATEGIES

NO_LIMIT = int(1e30)  # what files write when a model has no maximum length
UNLIMITED = int(1e20)
PADDINGS = ("longest", "max_length", "do_not_pad")
SIDES = ("right", "left")


class Defaults(Protocol):
    """What a tokenizer brings along."""

    model_max_length: int
    padding_side: str
    truncation_side: str

    def num_special_tokens_to_add(self, pair: bool = False) -> int: ...


@dataclass(frozen=True)
class Options:
    """What a call was asked for, with nothing left to be guessed."""

    padding: str
    truncation: str
    max_length: int | None
    stride: int
    multiple: int | None
    padding_side: str
    truncation_side: str

    def room(self, specials: int) -> int | None:
        """Tokens of text that a row takes beside `specials` special ones; None: no limit."""
        if self.truncation == "do_not_truncate" or self.max_length is None:
            return None
        if self.max_length < specials:
            raise ValueError(f"max_length={self.max_length} does not even hold the {specials} special tokens of a row")
        return self.max_length - specials


def resolve_options(
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    stride: int,
    multiple: int | None,
    padding_side: str | None,
    truncation_side: str | None,
    tokenizer: Defaults,
) -> Options:
    """The options with every "as usual" replaced by what it means.

    `max_length` alone (`padding` and `truncation` left as they are) truncates. Without it the model's length counts,
    and where that is unknown nothing is cut or filled up.
    """
    if max_length is not None and padding is False and truncation is None:
        truncation = True
    pad = _choice("padding", padding, {True: "longest", False: "do_not_pad"}, PADDINGS)
    cut = _choice(
        "truncation", truncation, {True: "longest_first", False: "do_not_truncate", None: "do_not_truncate"}, STRATEGIES
    )
    max_length = _count("max_length", max_length)
    multiple = _count("pad_to_multiple_of", multiple)
    stride = _count("stride", stride) or 0
    if padding is True and max_length is not None and cut == "do_not_truncate":
        warnings.warn(
            "max_length does nothing with padding=True and no truncation; padding='max_length' pads to it", stacklevel=4
        )
    if max_length is None and tokenizer.model_max_length <= UNLIMITED:
        if pad == "max_length" or cut != "do_not_truncate":
            max_length = tokenizer.model_max_length
    elif max_length is None:
        pad = "do_not_pad" if pad == "max_length" else pad
        cut = "do_not_truncate"
    if cut != "do_not_truncate" and max_length is not None:
        if stride and stride >= max_length - tokenizer.num_special_tokens_to_add():
            raise ValueError(
                f"stride={stride} leaves nothing new for a row of max_length={max_length}"
                f" with {tokenizer.num_special_tokens_to_add()} special tokens: it must be smaller"
            )
        if pad != "do_not_pad" and multiple and max_length % multiple:
            raise ValueError(f"max_length={max_length} is no multiple of pad_to_multiple_of={multiple}")
    sides = (
        check_side("padding_side", padding_side or tokenizer.padding_side),
        check_side("truncation_side", truncation_side or tokenizer.truncation_side),
    )
    return Options(pad, cut, max_length, stride, multiple, *sides)


def padded_length(lengths: Sequence[int], options: Options) -> int | None:
    """The length that rows are filled up to; None: no padding."""
    if options.padding == "do_not_pad" or not lengths:
        return None
    wanted = max(lengths) if options.padding == "longest" or options.max_length is None else options.max_length
    return -(-wanted // options.multiple) * options.multiple if options.multiple else wanted


def length_limit(value: Any) -> int:
    """`model_max_length` as a count of tokens; files write huge numbers, floats too, where there is no limit.

    Raises:
        ValueError: it is no number, or smaller than 1.
    """
    if value is None or (isinstance(value, float) and value == float("inf")):
        return NO_LIMIT
    if is_float(value) and not is_int(value) and as_float("model_max_length", value).is_integer():
        value = int(value)
    return as_int("model_max_length", value, least=1)


def check_side(name: str, side: Any) -> str:
    """`side`, if it is "right" or "left"; a ValueError with the option's name otherwise."""
    if side not in SIDES:
        raise ValueError(f"{name} is 'right' or 'left', not {side!r}")
    return str(side)


def _choice(name: str, value: Any, meanings: dict[Any, str], choices: Sequence[str]) -> str:
    if isinstance(value, bool | np.bool_) or value is None:
        if value in meanings:
            return meanings[value]
    elif isinstance(value, str) and value in choices:
        return str(value)
    raise ValueError(f"{name}={value!r} is unknown; choose True, False or one of {', '.join(choices)}")


def _count(name: str, value: Any) -> int | None:
    if value is not None and not (is_int(value) and value >= 0):
        raise ValueError(f"{name} must be a non-negative integer, not {value!r}")
    return None if value is None else as_int(name, value)
