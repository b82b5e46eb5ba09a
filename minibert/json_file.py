"""JSON files, ours and those of others: one reader, whose every complaint is one sentence that begins with the file.

Standard parsers leave a good deal open: values nested so deeply that the parser's stack ends, numbers of a million
digits, half a surrogate pair that no file can be written with, a key that stands twice with two values, a file of
gigabytes, a pipe in the place of the file. All of them are refused here, so that no reader needs to think of them.

`seal` and `is_sealed` give an object a digest of its own, for files whose numbers must not change unnoticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from minibert.file_kind import instead_of
from minibert.paths import StrPath, as_path, decode, read_regular

__all__ = ["is_sealed", "parse_json", "read_json", "read_object", "seal"]

# Bytes. The largest tokenizer.json of a BERT has ten million; parsing takes up to 25 times the file in memory.
LIMIT = 64 << 20
DIGEST = "digest"


def read_object(path: StrPath) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: it holds something else; the message is one line and begins with the path.
        OSError: it cannot be read.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a JSON {type(value).__name__}; expected an object")
    return value


def read_json(path: StrPath) -> Any:
    """The JSON value in a file. Raises as `read_object`."""
    data = read_regular(path, LIMIT)
    if wrong := instead_of(as_path(path)):
        raise ValueError(f"{path} is not JSON: {wrong}")
    try:
        text = decode(data, path)
    except ValueError as error:
        raise ValueError(str(error).replace("is not UTF-8", "is not JSON: it is not UTF-8", 1)) from None
    return parse_json(text, str(path))


def parse_json(text: str, name: str) -> Any:
    """The JSON value in a text.

    Raises:
        ValueError: it is none, or not fit for use; the message is one line and begins with `name`.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(f"{name} is not JSON: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"{name} is not JSON: {error.msg} at {place}; mend it or download it again") from None
    except _Twice as error:
        raise ValueError(f"{name} has the key {str(error)[:80]!r} twice, with different values") from None
    except _ConstantError as error:
        raise ValueError(f"{name} is not JSON: it holds {error}, which is no number of JSON") from None
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise ValueError(f"{name} is not usable JSON: {half} is half a character (a lone surrogate)") from None
    except ValueError:  # int() refuses more than 4300 digits
        raise ValueError(f"{name} is not usable JSON: it has a number of thousands of digits") from None
    return value


class _Twice(ValueError):
    """A key that an object has twice."""


class _ConstantError(ValueError):
    """NaN or Infinity."""


def _no_constant(name: str) -> None:
    raise _ConstantError(name)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        for key, value in pairs:
            if repr(made[key]) != repr(value):  # repr: 1 is equal to True
                raise _Twice(key)
    return made


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with a digest of itself as its last entry."""
    return {**content, DIGEST: _digest(content)}


def is_sealed(content: Mapping[str, Any]) -> bool | None:
    """Whether the digest in `content` is that of the rest; None if it has none."""
    if DIGEST not in content:
        return None
    try:
        return bool(content[DIGEST] == _digest({key: value for key, value in content.items() if key != DIGEST}))
    except (RecursionError, UnicodeEncodeError):  # nested too deeply, half a character: nothing that `seal` wrote
        return False


def _digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content as JSON in one form, so that spaces and the order of keys do not matter."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
