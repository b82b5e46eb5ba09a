"""What a sentence-transformers folder says about its encoder: the modules, the pooling, the longest text, prompts.

    modules.json                        the modules in their order: Transformer, Pooling, then Dense or Normalize
    1_Pooling/config.json               which way of pooling
    2_Dense/                            a linear layer with its weights
    sentence_bert_config.json           max_seq_length, do_lower_case
    config_sentence_transformers.json   prompts, similarity_fn_name

A folder without them is a plain BERT: its sentences are the mean over their tokens.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from minibert.checkpoint.errors import CheckpointError, CheckpointWarning, one_line
from minibert.checkpoint.hub import CONFIG_FILES, TOKENIZER_FILES, WEIGHT_FILES, resolve
from minibert.json_file import read_json
from minibert.number_like import as_int
from minibert.paths import StrPath
from minibert.pipelines.pooling import POOLINGS, pooling_modes
from minibert.sentences.dense import read_dense

__all__ = ["SentenceSettings", "read_sentence_folder"]

_ROOT_FILES = ("modules.json", *CONFIG_FILES, "sentence_bert_config.json", "config_sentence_transformers.json")
_AFTER = ("Dense", "Normalize", "Dropout")
_MODULE_FILES = ("config.json", "sentence_bert_config.json")
_KEY_OF = {mode: f"pooling_mode_{mode}_tokens" for mode in POOLINGS} | {
    "cls": "pooling_mode_cls_token",
    "lasttoken": "pooling_mode_lasttoken",
}


@dataclass
class SentenceSettings:
    """How a folder's encoder makes a vector of a text.

    Attributes:
        encoder: the folder or name that the encoder and its tokenizer are loaded from.
        pooling: some of `POOLINGS`.
        include_prompt: whether the tokens of a prompt count in the pool.
        steps: what comes after the pooling: a `minibert.sentences.dense.Dense`, or "normalize".
        max_seq_length: the most tokens of a text, special ones counted; None: what the model takes.
        do_lower_case: texts are lower-cased before they are tokenized.
        prompts: what is put in front of a text, by name; default_prompt_name: which one if none is named.
        similarity: a key of `minibert.sentences.nearest.SIMILARITIES`.
    """

    encoder: Any
    pooling: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    steps: list[Any] = field(default_factory=list)
    max_seq_length: int | None = None
    do_lower_case: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: str = "cosine"


def read_sentence_folder(name: StrPath, *, pooling: Any = None, **source: Any) -> SentenceSettings:
    """The settings of a folder or a name on the hub.

    Args:
        name: where the checkpoint is.
        pooling: used instead of what the folder says; then the folder need not say it.
        source: those of `minibert.checkpoint.HubOptions`.

    Raises:
        CheckpointError: nothing there, files that cannot be read, or modules that minibert does not have.
    """
    folder = resolve(name, files=_ROOT_FILES, **source)
    modules = _modules(folder) if (folder / "modules.json").is_file() else None
    (_, home), *others = modules or [("Transformer", "")]
    if modules is not None:
        wanted = [f"{path}/{file}" for kind, path in modules if path for file in _files_of(kind)]
        folder = resolve(name, files=(*_ROOT_FILES, *wanted), **source)
    settings = SentenceSettings(encoder=folder / home if home else name)
    _read_lengths(folder / home, settings)
    _read_prompts(folder, settings)
    if pooling is not None:
        settings.pooling = pooling_modes(pooling)
    elif modules is not None:
        path = others[0][1] if others and others[0][0] == "Pooling" else "1_Pooling"
        _read_pooling(folder / path / "config.json", settings)
    for kind, path in others:
        if kind == "Dense":
            settings.steps.append(read_dense(folder / path))
        elif kind == "Normalize":
            settings.steps.append("normalize")
    return settings


def _modules(folder: Path) -> list[tuple[str, str]]:
    """(kind, path) of each module, in order."""
    listed = _json(folder / "modules.json")
    if not isinstance(listed, list) or not listed or not all(isinstance(one, Mapping) for one in listed):
        raise CheckpointError(f"{folder}/modules.json is not a list of modules")
    modules = []
    for place, one in enumerate(listed):
        kind, path = str(one.get("type", "")).rpartition(".")[2], str(one.get("path", ""))
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
            raise CheckpointError(f"{folder}/modules.json names the path {path!r}; expected one inside the folder")
        expected = ("Transformer", "BERT") if place == 0 else ("Pooling", *_AFTER) if place == 1 else _AFTER
        if kind not in expected:
            raise CheckpointError(
                f"{folder}/modules.json: module {place + 1} is {kind or 'without a type'}; minibert has Transformer, "
                f"then Pooling, and after it {', '.join(_AFTER)}"
            )
        modules.append((kind, path))
    return modules


def _files_of(kind: str) -> tuple[str, ...]:
    if kind == "Dense":
        return (*_MODULE_FILES, "model.safetensors", "pytorch_model.bin")
    if kind in ("Transformer", "BERT"):  # the latter is an old name
        return (*_MODULE_FILES, *TOKENIZER_FILES, *WEIGHT_FILES)
    return _MODULE_FILES


def _read_pooling(path: Path, settings: SentenceSettings) -> None:
    """The pooling's config.json: {"pooling_mode_mean_tokens": true, ...}, or {"pooling_mode": "mean"}."""
    if not path.is_file():
        warnings.warn(
            f"{path} is missing: taking the mean over the tokens; say pooling='mean' if that is right, else which",
            CheckpointWarning,
            stacklevel=4,
        )
        return
    config = _object(path)
    settings.include_prompt = bool(config.get("include_prompt", True))
    named = config.get("pooling_mode")
    if named is None:
        named = [mode for mode in POOLINGS if config.get(_KEY_OF[mode])]
        if not named:
            raise CheckpointError(f"{path} switches no way of pooling on; say which: pooling='mean'")
    try:
        settings.pooling = pooling_modes(named if isinstance(named, str) else list(named))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: {one_line(error)}") from error


def _read_lengths(folder: Path, settings: SentenceSettings) -> None:
    path = folder / "sentence_bert_config.json"
    if not path.is_file():
        return
    config = _object(path)
    settings.do_lower_case = bool(config.get("do_lower_case", False))
    if (longest := config.get("max_seq_length")) is not None:
        try:
            settings.max_seq_length = as_int("max_seq_length", longest, least=3)
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from error


def _read_prompts(folder: Path, settings: SentenceSettings) -> None:
    path = folder / "config_sentence_transformers.json"
    if not path.is_file():
        return
    config = _object(path)
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, Mapping) or not all(isinstance(text, str) for text in prompts.values()):
        raise CheckpointError(f"{path}: prompts must be texts by name, got {one_line(prompts, 80)}")
    settings.prompts = dict(prompts)
    settings.default_prompt_name = config.get("default_prompt_name")
    settings.similarity = config.get("similarity_fn_name") or "cosine"


def _object(path: Path) -> Mapping[str, Any]:
    config = _json(path)
    if not isinstance(config, Mapping):
        raise CheckpointError(f"{path} holds a JSON {type(config).__name__}; expected an object of settings")
    return config


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not JSON that can be read: {one_line(error)}") from error
