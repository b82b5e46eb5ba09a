"""config.json: reading it, checking that it is BERT's, and putting right what published files get wrong."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minibert.checkpoint.contents import files_below, other_place, some
from minibert.checkpoint.errors import CheckpointError, CheckpointWarning, one_line
from minibert.checkpoint.staging import Staging
from minibert.json_file import read_object
from minibert.number_like import is_int
from minibert.paths import StrPath, as_path

__all__ = ["read_config", "read_config_file", "read_json_object", "relabel", "settle_labels", "write_text_file"]


def read_config(folder: StrPath) -> dict[str, Any]:
    """config.json of `folder`; see `read_config_file`.

    Raises:
        CheckpointError: there is none, with the place where it may be; or as `read_config_file`.
    """
    path = as_path(folder) / "config.json"
    if not path.exists():
        raise CheckpointError(_no_config(path))
    return read_config_file(path)


def read_config_file(path: Path) -> dict[str, Any]:
    """The settings of a configuration in JSON.

    A missing or empty `model_type` is taken for BERT's: files of the first years do not have it.

    Raises:
        CheckpointError: it cannot be read, not JSON, not a JSON object, or another `model_type` than "bert".
    """
    config = read_json_object(path)
    kind = config.get("model_type")
    if kind not in (None, "", "bert"):
        raise CheckpointError(
            f'{path} has model_type {kind!r:.40}; minibert reads BERT only ("bert", or none given): use a BERT '
            f"checkpoint, or a library that has {kind!r:.40}"
        )
    if not kind:
        config.pop("model_type", None)
    return config


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds one object.

    Raises CheckpointError with the cause: no such file, not readable, not UTF-8, not JSON but something that is
    recognised (`minibert.file_kind`), not an object.
    """
    try:
        return read_object(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no {path}; expected a JSON file") from error
    except OSError as error:
        reason = one_line(error.strerror or error)
        raise CheckpointError(f"{path} cannot be read: {reason}; check its permissions") from error
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def _no_config(path: Path) -> str:
    """What to say where there is no config.json: is it in a subfolder, or under Google's name?"""
    message = f"there is no {path}; expected a BERT configuration beside the weights"
    if not path.parent.is_dir():
        return message
    names = files_below(path.parent)
    if place := other_place(names, path.name):
        return f"{message}; there is one in {place!r}: pass subfolder={place!r}"
    if "bert_config.json" in names:
        return f"{message}; bert_config.json is Google's name for it: copy it to config.json"
    return f"{message}; found {some([name for name in names if '/' not in name])}"


def write_text_file(path: Path, text: str) -> None:
    """Write a file, whole or not at all. Raises CheckpointError if it cannot be written."""
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; expected the name of a file to write")
    try:
        with Staging(path.parent) as stage:
            stage.open(path.name).write(text.encode())
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {one_line(error.strerror or error)}") from error


def settle_labels(config: Mapping[str, Any], rows: int | None) -> dict[str, Any]:
    """`config` with `num_labels`, `id2label` and `label2id` in agreement.

    Some files say `num_labels: 50` and list two names in `id2label`. The weights decide: `rows` is how many the
    classifier has, None if there is no classifier. If the weights do not say, `num_labels` wins, as it does in
    transformers, with a warning. Names that are not the right number are replaced by LABEL_0, LABEL_1, ...
    """
    settled = dict(config)
    number, names = settled.get("num_labels"), settled.get("id2label")
    if number is None or not is_int(number) or not isinstance(names, Mapping) or len(names) == number:
        return settled
    if rows == len(names):
        settled["num_labels"] = rows
        return settled
    if rows != number:
        warnings.warn(
            f"config.json says num_labels {number} but names {len(names)} labels in id2label; taking {number}",
            CheckpointWarning,
            stacklevel=5,
        )
    return relabel(settled, number)


def relabel(config: Mapping[str, Any], number: int) -> dict[str, Any]:
    """`config` for a head of `number` labels, named LABEL_0, LABEL_1, ... unless it has that many names already."""
    changed = {**config, "num_labels": number}
    names = config.get("id2label")
    if not isinstance(names, Mapping) or len(names) != number:
        changed["id2label"] = {str(i): f"LABEL_{i}" for i in range(number)}
        changed["label2id"] = {f"LABEL_{i}": i for i in range(number)}
    return changed
