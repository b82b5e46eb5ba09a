"""`tokenizer.pad`: filling up rows that were made one by one, as a data loader does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minibert.tokenizer.batch import BatchEncoding
from minibert.tokenizer.options import Options, padded_length

# What a pad is, in each of the lists that a call returns; the ids come from the tokenizer.
_FILL = {"attention_mask": 0, "special_tokens_mask": 1, "offset_mapping": (0, 0)}


def pad_rows(given: Any, options: Options, fill: Mapping[str, Any], with_mask: bool) -> BatchEncoding:
    """Rows (one mapping of lists, or a list of mappings) filled up to one length, as lists.

    Raises ValueError where input_ids are missing or the lists of a row differ in length.
    """
    if isinstance(given, list | tuple):
        if not given or not all(isinstance(row, Mapping) for row in given):
            raise ValueError("pad takes what the tokenizer returned, or a list of it, and at least one row")
        if any(row.keys() != given[0].keys() for row in given):
            raise ValueError("the rows to pad must have the same keys")
        given = {name: [row[name] for row in given] for name in given[0]}
    if not isinstance(given, Mapping) or "input_ids" not in given:
        raise ValueError("pad needs 'input_ids': give what the tokenizer returned, or a list of it")
    lists = {name: _plain(value) for name, value in given.items()}
    ids = lists["input_ids"]
    single = isinstance(ids, list) and bool(ids) and not isinstance(ids[0], list | tuple)
    if single:
        lists = {name: [value] for name, value in lists.items()}
    rows = lists["input_ids"]
    _check_rows(lists, fill)
    if with_mask and "attention_mask" not in lists:
        lists["attention_mask"] = [[1] * len(row) for row in rows]

    length = padded_length([len(row) for row in rows], options)
    padded = {
        name: [_filled(name, row, length, options.padding_side, _FILL | dict(fill)) for row in values]
        if name in _FILL or name in fill
        else values
        for name, values in lists.items()
    }
    return BatchEncoding({name: values[0] for name, values in padded.items()} if single else padded)


def _check_rows(lists: Mapping[str, Any], fill: Mapping[str, Any]) -> None:
    """Raises ValueError where what is to be padded are no lists, or not as long as the row's input_ids."""
    rows = lists["input_ids"]
    for name in ("input_ids", *sorted(lists.keys() & (_FILL | dict(fill)).keys())):
        values = lists[name]
        if not isinstance(values, list) or not all(isinstance(row, list | tuple) for row in values):
            raise ValueError(f"pad takes {name!r} as a list of integers, or as a list of such lists")
        if [len(row) for row in values] != [len(row) for row in rows]:
            raise ValueError(f"the rows of {name!r} are not as long as those of 'input_ids'")


def _filled(name: str, row: list[Any], length: int | None, side: str, fill: Mapping[str, Any]) -> list[Any]:
    if length is None or len(row) >= length:
        return row
    pads = [fill[name]] * (length - len(row))
    return pads + row if side == "left" else row + pads


def _plain(value: Any) -> Any:
    """Arrays, and lists of arrays, as lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
