"""`from_pretrained`: a checkpoint becomes a model.

The model is made without drawing random weights for what the file will fill, and the file's arrays become its
parameters without a copy, so loading costs little more than reading the file. What the file does not have is
initialised as for a new model.

What is reported, and how:
* wrong shapes are an error with the tensor, the shape expected and the shape found (`ignore_mismatched_sizes=True`
  re-initialises such heads);
* a missing part of the embeddings or the encoder is an error, because a BERT with random layers inside is never meant
  (`strict=False` allows it, with a warning);
* a missing head (starting a fine-tuning) or pooler is a warning that names what is newly initialised;
* left-over heads are silent, left-over tensors of no BERT model are a warning.
`output_loading_info=True` returns all of this by name.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.config_file import read_config, relabel, settle_labels
from minibert.checkpoint.consistent import read_consistently
from minibert.checkpoint.elsewhere import LOADING, without_meaning
from minibert.checkpoint.errors import CheckpointError, CheckpointWarning, one_line
from minibert.checkpoint.hub import CONFIG_FILES, WEIGHT_FILES, HubOptions, resolve
from minibert.checkpoint.names import TIED_BIAS, TIED_WEIGHT, NameMap, is_head, is_known_part, match_names, modern_name
from minibert.checkpoint.weights import Weights, read_weights
from minibert.number_like import is_int
from minibert.options import unknown_option
from minibert.paths import StrPath, about

if TYPE_CHECKING:
    from minibert.bert import BertPreTrainedModel
    from minibert.config import BertConfig

__all__ = ["LoadingInfo", "load_config", "load_model"]

Array = NDArray[Any]
Model = TypeVar("Model", bound="BertPreTrainedModel")


class LoadingInfo(TypedDict):
    """What `output_loading_info=True` returns beside the model; the keys are transformers'.

    missing_keys: parameters that were newly initialised. unexpected_keys: tensors of the file that were not used.
    mismatched_keys: (name, shape in the file, shape in the model) of parameters re-initialised for their shape.
    error_msgs: empty.
    """

    missing_keys: set[str]
    unexpected_keys: set[str]
    mismatched_keys: set[tuple[str, tuple[int, ...], tuple[int, ...]]]
    error_msgs: list[str]


@dataclass
class _Plan:
    """How a checkpoint fills a model: the name map, what does not fit, and the config as the weights correct it."""

    names: NameMap
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    untie: bool = False


def load_config(folder: Path, weights: Weights, overrides: Mapping[str, Any]) -> BertConfig:
    """The folder's configuration with the labels settled by the weights and then `overrides` applied.

    Raises CheckpointError for an override that no BERT configuration has.
    """
    from minibert.config import BertConfig

    rows = next(iter(weights.shape("classifier.weight")), None) if "classifier.weight" in weights else None
    stored = settle_labels(read_config(folder), rows)
    try:
        return BertConfig.from_dict(_overridden(stored, overrides))
    except CheckpointError:
        raise
    except ValueError as error:
        with about(folder / "config.json", CheckpointError):
            BertConfig.from_dict(stored)  # raises, unless an override is what is wrong
        raise CheckpointError(str(error)) from None


def _overridden(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    from minibert.config import BertConfig

    known = BertConfig.setting_names()
    for name in overrides:
        if name not in known and name not in settings and not BertConfig.keeps(name):
            own = ("config", "dtype", "strict", "ignore_mismatched_sizes", "output_loading_info")
            close = [*known, *own, *(one.name for one in fields(HubOptions))]
            raise CheckpointError(unknown_option("from_pretrained", name, close))
    changed = {**settings, **overrides}
    if is_int(overrides.get("num_labels")):
        # New names for a new number of labels, unless they were given too.
        changed = relabel(changed, int(overrides["num_labels"]))
    return changed


def load_model(
    cls: type[Model],
    name_or_folder: str | os.PathLike[str],
    *,
    config: BertConfig | StrPath | None = None,
    dtype: Any = "float32",
    strict: bool = True,
    ignore_mismatched_sizes: bool = False,
    output_loading_info: bool = False,
    making: Mapping[str, Any] | None = None,
    **options: Any,
) -> Model:
    """A model of class `cls` with the weights of a checkpoint, in evaluation mode.

    Args:
        cls: any of the BERT models; the checkpoint may be of another one.
        name_or_folder: as in `resolve`.
        config: used instead of the checkpoint's own; a folder or a name stands for its configuration.
        dtype: "float32", "float64", or "auto" (float64 if the file's weights are, float32 otherwise); NumPy's and
            torch's dtypes too, and `torch_dtype` as another name for it.
        strict: whether missing embeddings or encoder weights are an error.
        ignore_mismatched_sizes: re-initialise heads and poolers of another shape instead of refusing.
        output_loading_info: return (model, `LoadingInfo`).
        making: what `cls` is called with beside the configuration.
        options: those of `HubOptions` (revision, token, subfolder, ...); all others are settings of the configuration
            to change, such as `num_labels=3`. Options of other libraries without a meaning here
            (`low_cpu_mem_usage`, `trust_remote_code`, ...) are accepted.

    Raises:
        CheckpointError: not found, not readable, not BERT, wrong shapes, or (with `strict`) an incomplete encoder.
        ValueError: a configuration that BertConfig refuses.
    """
    hub, overrides = HubOptions.split(without_meaning(options, LOADING))
    chosen = None if config is None else _configuration(config, hub)
    if "torch_dtype" in overrides:  # its old name; as a setting of the configuration it would change nothing
        if dtype != "float32":
            raise CheckpointError("dtype and torch_dtype are two names for one thing; give one of them")
        dtype = overrides.pop("torch_dtype")
    folder = resolve(name_or_folder, files=CONFIG_FILES + WEIGHT_FILES, **hub)
    settings, weights = read_consistently(folder, CONFIG_FILES + WEIGHT_FILES, lambda: _read(folder, chosen, overrides))
    precision = _precision(dtype, weights)
    model, plan = _plan_for(cls, settings, weights, folder, making or {})
    _refuse(plan, folder, strict, ignore_mismatched_sizes)
    _fill(model, plan, weights, precision)
    model.eval()
    _warn_about(cls.__name__, plan, folder)
    if output_loading_info:
        # Said in the docstring, not in the type: every other caller would have to distinguish the two.
        return cast(Model, (model, _info(plan)))
    return model


def _configuration(given: Any, hub: Mapping[str, Any]) -> BertConfig:
    from minibert.config import BertConfig

    if isinstance(given, str | os.PathLike):
        return BertConfig.from_pretrained(given, **hub)
    if not isinstance(given, BertConfig):
        raise CheckpointError(f"config must be minibert's BertConfig, a folder or a name, got a {type(given).__name__}")
    return given


def _read(folder: Path, config: BertConfig | None, overrides: Mapping[str, Any]) -> tuple[BertConfig, Weights]:
    """The configuration, `config` if it was given, with `overrides`; and the weights."""
    if config is not None:
        weights = read_weights(folder)
        return type(config).from_dict(_overridden(config.to_dict(), overrides)) if overrides else config, weights
    read_config(folder)  # its faults are reported before those of the weights
    weights = read_weights(folder)
    return load_config(folder, weights, overrides), weights


def _precision(dtype: Any, weights: Weights) -> np.dtype[Any]:
    if dtype is None or type(dtype).__module__ == "torch" or isinstance(dtype, str):
        dtype = str(dtype or "float32").removeprefix("torch.")
    if dtype == "auto":
        return np.dtype("float64" if any(weights.stored(name) == "F64" for name in weights) else "float32")
    try:
        precision: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        precision = np.dtype(object)
    if precision not in (np.dtype("float32"), np.dtype("float64")):
        raise CheckpointError(
            f'dtype is {dtype!r}; expected "float32", "float64" or "auto" (16-bit files are widened when read)'
        )
    return precision


def _plan_for(
    cls: type[Model], config: BertConfig, weights: Weights, folder: Path, making: Mapping[str, Any]
) -> tuple[Model, _Plan]:
    """An unfilled model and the plan to fill it. A decoder unlike the embeddings is untied, as transformers does."""
    with about(folder / "config.json", CheckpointError):
        model, plan = _match(cls, config, weights, making)
    if plan.untie:
        warnings.warn(
            f"{folder}: cls.predictions.decoder.weight differs from the word embeddings, although config.json "
            "ties them; keeping both (tie_word_embeddings=False in the config says so)",
            CheckpointWarning,
            stacklevel=4,
        )
        config = type(config).from_dict({**config.to_dict(), "tie_word_embeddings": False})
        model, plan = _match(cls, config, weights, making)
    if not plan.names.filled:
        few = ", ".join(plan.names.unexpected[:4])
        raise CheckpointError(
            f"{folder}: none of its {len(weights)} tensors belongs to {cls.__name__}; it has {few}, ...; is it of "
            "another architecture? minibert reads BERT only"
        )
    return model, plan


_MOST_LAYERS = 1000


def _match(cls: type[Model], config: BertConfig, weights: Weights, making: Mapping[str, Any]) -> tuple[Model, _Plan]:
    from minibert.nn import skip_init

    if config.num_hidden_layers > max(_MOST_LAYERS, len(weights)):  # they would be made one by one
        raise CheckpointError(
            f"num_hidden_layers is {config.num_hidden_layers:.6g}, and there are {len(weights)} tensors"
        )
    try:
        with skip_init():
            model = cls(config, **making)
    except (OverflowError, MemoryError, ValueError) as error:
        raise CheckpointError(f"no model of these sizes can be made: {one_line(error)}") from error
    tied = {**TIED_BIAS, **(TIED_WEIGHT if config.tie_word_embeddings else {})}
    shapes = {name: tuple(array.shape) for name, array in model.state_dict().items()}
    plan = _Plan(match_names(weights, shapes, tied=tied))
    for place, second in plan.names.doubles.items():
        if not _equal(weights, plan.names.filled[place], second):
            if place in TIED_WEIGHT.values():
                plan.untie = True
            for name in (place, *(other for other, first in TIED_BIAS.items() if first == place)):
                if name in plan.names.filled:  # the bias that is added is the decoder's
                    plan.names.filled[name] = second
    for place, name in plan.names.filled.items():
        if weights.stored(name) not in ("F64", "F32", "F16", "BF16"):
            raise CheckpointError(
                f"{weights.file(name)}: {name} is stored as {weights.stored(name)}; expected floating-point weights "
                "(a quantised checkpoint? use the original one)"
            )
        if weights.shape(name) != shapes[place]:
            plan.mismatched[place] = (weights.shape(name), shapes[place])
    return model, plan


def _equal(weights: Weights, first: str, second: str) -> bool:
    if weights.shape(first) != weights.shape(second):
        return False
    a, b = weights[first], weights[second]
    return a.ctypes.data == b.ctypes.data or bool(np.array_equal(a, b))


def _refuse(plan: _Plan, folder: Path, strict: bool, ignore_mismatched_sizes: bool) -> None:
    """Raise for what must not pass silently: wrong shapes, holes in the encoder."""
    wrong = [name for name in plan.mismatched if not (ignore_mismatched_sizes and is_head(name))]
    if wrong:
        found, expected = plan.mismatched[wrong[0]]
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        hint = "num_labels, or ignore_mismatched_sizes=True to re-initialise it" if is_head(wrong[0]) else "config.json"
        raise CheckpointError(
            f"{folder}: {wrong[0]} has shape {found}, the model expects {expected}{more}; check {hint}"
        )
    holes = [name for name in plan.names.missing if not is_head(name)]
    if holes and strict:
        raise CheckpointError(
            f"{folder} lacks {len(holes)} weights of the encoder: {_some(holes)}; check num_hidden_layers in "
            "config.json, or pass strict=False to initialise them at random"
        )


def _fill(model: BertPreTrainedModel, plan: _Plan, weights: Weights, precision: np.dtype[Any]) -> None:
    """Put the file's arrays into the model, and random numbers where the file has none."""
    arrays: dict[str, Array] = {}  # a tensor that fills two names is one array in both
    for place, name in plan.names.filled.items():
        if place not in plan.mismatched and name not in arrays:
            arrays[name] = weights[name].astype(precision, copy=False)
    state = {place: arrays[name] for place, name in plan.names.filled.items() if place not in plan.mismatched}
    fresh = {*plan.names.missing, *plan.mismatched}
    for place, module in model.named_modules():
        if any(name.rpartition(".")[0] == place for name in fresh):
            module.reset_parameters()
    for name, parameter in model.named_parameters():
        if name in fresh:
            # A module that draws nothing for itself leaves its parameters without memory: they begin at zero.
            parameter.data = np.array(parameter.data, precision)
        else:
            parameter.data = np.broadcast_to(precision.type(0), parameter.shape)  # says the dtype, takes no memory
    model.load_state_dict(state, strict=not fresh, assign=True)


def _warn_about(model: str, plan: _Plan, folder: Path) -> None:
    fresh = [*plan.names.missing, *plan.mismatched]
    if fresh:
        warnings.warn(
            f"{model} from {folder}: newly initialised, as the checkpoint has no such weights: {_some(fresh)}; "
            "train the model before you use it",
            CheckpointWarning,
            stacklevel=4,
        )
    strange = [name for name in plan.names.unexpected if not is_known_part(modern_name(name))]
    if strange:
        warnings.warn(
            f"{model} from {folder}: {len(strange)} tensors were not used: {_some(strange)}; check config.json "
            "(num_hidden_layers?)",
            CheckpointWarning,
            stacklevel=4,
        )


def _info(plan: _Plan) -> LoadingInfo:
    return {
        "missing_keys": set(plan.names.missing),
        "unexpected_keys": set(plan.names.unexpected),
        "mismatched_keys": {(name, found, expected) for name, (found, expected) in plan.mismatched.items()},
        "error_msgs": [],
    }


def _some(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
