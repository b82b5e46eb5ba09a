"""The rows of a vocabulary: which token has which id, whatever it is given as.

vocab.txt has one token a line, and the line's number is the id. As in Google's `load_vocab` and in the tokenizers
library, spaces at the ends of a line do not count, a blank line is a row that no word has, and of a token that stands
there twice the last line counts; the row of the earlier one stays reserved, so that no id moves. (Blank lines at the
end of the file are not counted: nothing comes after them, and editors put them there.)
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any, NamedTuple

from minibert.file_kind import instead_of
from minibert.json_file import LIMIT
from minibert.number_like import as_int
from minibert.paths import StrPath, as_path, decode, read_regular

MOST_ID = 2**31 - 1  # ids are kept as 32-bit integers in the files of other programs
EXAMPLES = 3


class Rows(NamedTuple):
    """`ids`: token -> id. `shadowed`: id -> token, of lines that come again further down. `size`: all rows."""

    ids: dict[str, int]
    shadowed: dict[int, str]
    size: int


def vocabulary_rows(vocab: Any) -> Rows:
    """The rows of a vocab.txt (a path), a list of tokens (their places are the ids) or a mapping token -> id.

    Raises:
        ValueError: it is none of these, it is empty, or two tokens have one id.
    """
    if isinstance(vocab, Rows):
        rows = vocab
    elif isinstance(vocab, str | PathLike):
        rows = read_vocab(vocab)
    elif isinstance(vocab, Mapping):
        rows = _from_mapping(vocab)
    elif isinstance(vocab, Iterable) and not isinstance(vocab, bytes):
        rows = _from_tokens(list(vocab), "given as a list")
    else:
        raise ValueError(f"vocab must be a file, a list of tokens or a mapping token -> id, not {type(vocab).__name__}")
    if not rows.ids:
        raise ValueError("the vocabulary is empty")
    return rows


def read_vocab(path: StrPath) -> Rows:
    """The rows of a vocab.txt, in UTF-8 with or without a byte order mark, with any of the usual line ends.

    Raises:
        ValueError: it cannot be read, or is not UTF-8.
    """
    try:
        data = read_regular(path, LIMIT)
        if wrong := instead_of(as_path(path), "empty"):
            raise ValueError(f"the vocabulary {path} is no list of tokens: {wrong}")
        text = decode(data, path)
    except OSError as error:
        raise ValueError(f"cannot read the vocabulary {path}: {error.strerror or error}") from None
    lines = re.split("\r\n|\r|\n", text)
    lines = [line.strip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return _from_tokens(lines, str(path))


def lines_of(rows: Rows) -> list[str] | None:
    """The lines of a vocab.txt that is read as these rows; None where no such file can say them."""
    tokens = rows.shadowed | {id: token for token, id in rows.ids.items()}
    if len(tokens) != rows.size or tokens[0].startswith("\ufeff"):
        return None
    lines = [tokens[id] for id in range(rows.size)]
    unlike = any(line != line.strip() or "\n" in line or "\r" in line for line in lines)
    return None if unlike or not lines[-1] else lines


def _from_tokens(tokens: list[Any], origin: str) -> Rows:
    ids: dict[str, int] = {}
    shadowed: dict[int, str] = {}
    for id, token in enumerate(tokens):
        if not isinstance(token, str):
            raise ValueError(f"the vocabulary {origin}: entry {id} is no string but {token!r}")
        token = str(token)  # np.str_ is a string, too
        if token in ids:
            shadowed[ids[token]] = token
        ids[token] = id
    if shadowed:
        _warn_of_repeats(ids, shadowed, origin)
    return Rows(ids, shadowed, len(tokens))


def _warn_of_repeats(ids: Mapping[str, int], shadowed: Mapping[int, str], origin: str) -> None:
    examples = [
        f"{repr(token) if token else 'a blank line'} on lines {id + 1} and {ids[token] + 1}"
        for id, token in list(shadowed.items())[:EXAMPLES]
    ]
    more = ", ..." if len(shadowed) > EXAMPLES else ""
    lines = "1 line that comes" if len(shadowed) == 1 else f"{len(shadowed)} lines that come"
    warnings.warn(
        f"the vocabulary {origin} has {lines} again further down ({'; '.join(examples)}{more}): the last one counts,"
        " and the ids of the others stay unused",
        stacklevel=_outside(),
    )


def _from_mapping(vocab: Mapping[Any, Any]) -> Rows:
    ids: dict[str, int] = {}
    owners: dict[int, str] = {}
    for token, id in vocab.items():
        if not isinstance(token, str):
            raise ValueError(f"a vocabulary maps strings to non-negative integers; {token!r} is no string")
        number = as_int(f"a vocabulary maps strings to non-negative integers; the id of {token!r}", id, least=0,
                        most=MOST_ID)  # fmt: skip
        if number in owners:
            pair = f"{owners[number]!r} and {token!r}"
            raise ValueError(f"two tokens of the vocabulary have the same id: {pair} have {number}")
        ids[str(token)] = number
        owners[number] = token
    return Rows(ids, {}, 1 + max(owners, default=-1))


def _outside() -> int:
    """The `stacklevel` of the caller outside this package, whose vocabulary it is."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("minibert."):
        level, frame = level + 1, frame.f_back
    return level
