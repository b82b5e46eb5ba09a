"""Which tensor of a file belongs to which parameter of a model: an explicit map, in which every name is accounted for.

The attributes of our modules are the names of the released checkpoints, so most of the map is the identity. What
differs between checkpoints of fifteen years is this:

* LayerNorm's scale and shift were called `gamma` and `beta` (TensorFlow's names); they are `weight` and `bias` now.
* A bare encoder has `embeddings...`, a model with a head has `bert.embeddings...`; each may be loaded into the other.
* PyTorch puts `module.` in front of all names when a model is saved in its wrapper for several GPUs, and `_orig_mod.`
  in the one for compiled models.
* The masked-language-model head's output matrix is the word embedding itself (tied). Files hold it once or twice. Its
  bias is found as `cls.predictions.bias`, as `cls.predictions.decoder.bias`, or as both.
* `embeddings.position_ids` is a table 0 .. 511 that old versions kept among the weights. It is no weight.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from minibert.checkpoint.errors import CheckpointError

__all__ = ["TIED_BIAS", "TIED_WEIGHT", "NameMap", "is_head", "match_names", "modern_name"]

PREFIX = "bert."

# Second name -> first name of what is one parameter. Files that transformers writes hold the first only.
TIED_WEIGHT = {"cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"}
TIED_BIAS = {"cls.predictions.decoder.bias": "cls.predictions.bias"}

_NOT_A_WEIGHT = re.compile(r"(^|\.)embeddings\.(position_ids|token_type_ids)$")
_LEGACY = re.compile(r"(^|.*\.)LayerNorm\.(gamma|beta)$")
_WRAPPER = re.compile(r"^((module|_orig_mod)\.)+")
_ENCODER = re.compile(r"^(bert\.)?(embeddings|encoder)\.")
# The parts that some BERT models have and others do not: left over without a word, or re-initialised with a warning.
_KNOWN_PARTS = re.compile(r"^(bert\.)?(pooler|cls|classifier|qa_outputs)\.")


def modern_name(name: str) -> str:
    """Without a wrapper's prefix, and with `LayerNorm.weight` and `.bias` for `.gamma` and `.beta`."""
    name = _WRAPPER.sub("", name)
    found = _LEGACY.match(name)
    if found is None:
        return name
    return name[: -len(found[2])] + {"gamma": "weight", "beta": "bias"}[found[2]]


def is_head(name: str) -> bool:
    """Whether a model can start without this weight: a pooler or a task's head, not the embeddings or the encoder."""
    return _ENCODER.match(name) is None


def is_known_part(name: str) -> bool:
    """Whether a left-over tensor belongs to a part that another BERT model would use."""
    return _KNOWN_PARTS.match(name) is not None


def is_weight(name: str) -> bool:
    """Whether a tensor of a file is a weight at all; position ids are not."""
    return _NOT_A_WEIGHT.search(name) is None


@dataclass
class NameMap:
    """What became of every name.

    Attributes:
        filled: parameter of the model -> tensor of the file that fills it.
        missing: parameters that no tensor fills.
        unexpected: tensors that fill no parameter, as the file spells them; without position ids.
        doubles: parameter -> a second tensor of the file for it (the tied matrix, written twice); the two must be
            equal.
    """

    filled: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    doubles: dict[str, str] = field(default_factory=dict)


def match_names(found: Iterable[str], wanted: Iterable[str], *, tied: Mapping[str, str] | None = None) -> NameMap:
    """Map the names in a file to the names of a model.

    Args:
        found: names as the file spells them.
        wanted: names of the model's parameters; both names of a tied one, or only the first.
        tied: second name -> first name of parameters that are one in this model; by default the MLM head's.

    Raises:
        CheckpointError: two tensors of the file claim the same parameter (`LayerNorm.gamma` beside `LayerNorm.weight`).
    """
    tied = {**TIED_WEIGHT, **TIED_BIAS} if tied is None else tied
    names = list(wanted)
    places = set(names)
    # A second name may stand in the file alone: it is accepted wherever the first name is wanted by a model with that
    # head.
    accepted = places | {second for second in tied if _has_part(second, places)}
    result = NameMap()
    for name in found:
        if not is_weight(name):
            continue
        place = _place(modern_name(name), accepted)
        if place is None:
            result.unexpected.append(name)
        elif place in result.filled:
            raise CheckpointError(
                f"{name} and {result.filled[place]} of the file are both {place} of the model; expected one"
            )
        else:
            result.filled[place] = name
    for second, first in tied.items():
        _share(result.filled, result.doubles, second, first, places)
    result.filled = {name: result.filled[name] for name in names if name in result.filled}
    result.missing = [name for name in names if name not in result.filled]
    return result


def _has_part(name: str, places: set[str]) -> bool:
    """Whether the model has the part that `name` is in: `cls.predictions.` for the decoder."""
    part = ".".join(name.split(".")[:2]) + "."
    return any(place.startswith(part) for place in places)


def _place(name: str, accepted: set[str]) -> str | None:
    """`name` with the prefix as the model has it, or None if the model has no such parameter."""
    if name in accepted:
        return name
    other = name.removeprefix(PREFIX) if name.startswith(PREFIX) else PREFIX + name
    return other if other in accepted else None


def _share(filled: dict[str, str], doubles: dict[str, str], second: str, first: str, places: set[str]) -> None:
    """One tensor for both names of a tied parameter: the first's if there is one, otherwise the second's."""
    if first in filled and second in filled:
        doubles[first] = filled[second]
    source = filled.get(first, filled.get(second))
    if source is None:
        return
    for name in (first, second):
        if name in places:
            filled[name] = source
        else:
            filled.pop(name, None)
