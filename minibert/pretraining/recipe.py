"""What a pretraining run does, as a TOML file: model, data, phases, optimiser, schedule, start.

    seed = 1
    save_every = 500            # steps; log_every, evaluate_every, evaluate_examples, keep
    matmul_precision = "medium" # products in bfloat16 where the processor is quick at them

    [model]                     # fields of BertConfig; the vocabulary's size comes from the data
    [data]                      # folder, held_out: what `minibert prepare` wrote
    [[phases]]                  # one or more: share (of the steps) or steps, max_length, batch_size, accumulation
    [optimizer]                 # name, lr, betas, eps, weight_decay, max_grad_norm
    [schedule]                  # steps, warmup, decay
    [start]                     # initialisation, and which parts of it; or the checkpoint to go on from

Every key is checked, and one that is not known is an error that names a known one near it: a misspelt rate must not
become a default for a month. Files read and written by `minibert.pretraining.recipe_file`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from minibert.backend import MATMUL_PRECISIONS
from minibert.config import BertConfig
from minibert.number_like import is_float, is_int
from minibert.options import nearest

__all__ = [
    "DataPart", "OptimizerPart", "Phase", "Recipe", "RecipeError", "SchedulePart", "StartPart", "differences",
]  # fmt: skip


class RecipeError(ValueError):
    """A recipe that cannot be read, or that asks for what cannot be."""


def _need(condition: bool, what: str, value: object) -> None:
    if not condition:
        raise RecipeError(f"{what}, got {value!r}")


def _probability(part: str, name: str, value: float) -> None:
    _need(0.0 <= value <= 1.0, f"{part}.{name} must lie between 0 and 1", value)


@dataclass(frozen=True, kw_only=True)
class DataPart:
    """Where the examples come from, and how they are made (the card's procedure by default).

    Attributes:
        folder, held_out: folders that `minibert prepare` wrote; without the second there is nothing to evaluate on.
        vocabulary_size: how large the vocabulary is meant to be, for `minibert estimate` while there is no data yet;
            when there is, its own vocabulary counts.
        short_sequence_probability, masking_probability, whole_word_masking: as `PretrainingData` takes them.
        next_sentence: False for a corpus of one document, from which no negative pair can be drawn.
    """

    folder: str | None = None
    held_out: str | None = None
    vocabulary_size: int | None = None
    short_sequence_probability: float = 0.1
    masking_probability: float = 0.15
    whole_word_masking: bool = False
    next_sentence: bool = True

    def __post_init__(self) -> None:
        _probability("data", "short_sequence_probability", self.short_sequence_probability)
        _probability("data", "masking_probability", self.masking_probability)
        size = self.vocabulary_size
        _need(size is None or size >= 1, "data.vocabulary_size must be at least 1", size)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of the run.

    Attributes:
        share: of all steps, between 0 and 1; or
        steps: their number. A phase has one of the two.
        max_length: S, the most tokens of an example.
        batch_size: B, examples of one optimiser step.
        accumulation: in how many pieces a step goes through the model; the gradient is that of the whole batch, and
            memory is needed for one piece.
    """

    max_length: int
    batch_size: int
    share: float | None = None
    steps: int | None = None
    accumulation: int = 1

    def __post_init__(self) -> None:
        given = (self.share is not None) + (self.steps is not None)
        _need(given == 1, "a phase has either share or steps", {"share": self.share, "steps": self.steps})
        _need(self.share is None or 0 < self.share <= 1, "phases.share must be above 0 and at most 1", self.share)
        _need(self.steps is None or self.steps >= 1, "phases.steps must be at least 1", self.steps)
        # What `PretrainingData` takes: said here, since a phase's examples are first made when the run comes to it.
        _need(8 <= self.max_length <= 1 << 15, "phases.max_length must lie between 8 and 32768", self.max_length)
        _need(self.batch_size >= 1, "phases.batch_size must be at least 1", self.batch_size)
        _need(
            self.accumulation >= 1 and self.batch_size % self.accumulation == 0,
            f"phases.accumulation must divide batch_size {self.batch_size}",
            self.accumulation,
        )


OPTIMIZERS = ("adamw", "adam", "bertadam")
DECAYS = ("linear", "google", "cosine", "inverse_sqrt", "constant")
INITIALISATIONS = ("normal", "cooccurrence", "checkpoint")


@dataclass(frozen=True, kw_only=True)
class OptimizerPart:
    """`minibert.optim`'s AdamW, Adam or BertAdam; biases and LayerNorms do not decay.

    Attributes:
        eps: 1e-6 for bertadam and 1e-8 for the others if None.
        max_grad_norm: clip all gradients, as one vector, to this norm; 0 for no clipping.
    """

    name: str = "adamw"
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float | None = None
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        _need(self.name in OPTIMIZERS, f"optimizer.name must be one of {', '.join(OPTIMIZERS)}", self.name)
        _need(self.lr > 0 and math.isfinite(self.lr), "optimizer.lr must be above 0", self.lr)
        _need(all(0 <= beta < 1 for beta in self.betas), "optimizer.betas must be at least 0 and below 1", self.betas)
        _need(self.eps is None or self.eps >= 0, "optimizer.eps must be 0 or more", self.eps)
        _need(0 <= self.weight_decay < math.inf, "optimizer.weight_decay must be 0 or more", self.weight_decay)
        _need(self.max_grad_norm >= 0, "optimizer.max_grad_norm must be 0 (none) or more", self.max_grad_norm)


@dataclass(frozen=True, kw_only=True)
class SchedulePart:
    """The rate over the run.

    Attributes:
        steps: of the whole run.
        warmup: steps in which the rate climbs from 0 to its peak.
        decay: "linear" to 0 at the end; "google", the same line begun at step 0; "cosine", half a wave to 0 at the end;
            "inverse_sqrt", which has no end; or "constant". The formulas are in `minibert.optim.schedule`.
    """

    steps: int
    warmup: int = 0
    decay: str = "linear"

    def __post_init__(self) -> None:
        _need(self.steps >= 1, "schedule.steps must be at least 1", self.steps)
        _need(0 <= self.warmup <= self.steps, f"schedule.warmup must lie between 0 and {self.steps}", self.warmup)
        _need(self.decay in DECAYS, f"schedule.decay must be one of {', '.join(DECAYS)}", self.decay)


@dataclass(frozen=True, kw_only=True)
class StartPart:
    """What the weights are before the first step.

    Attributes:
        initialisation: "normal", as in the paper;
            "cooccurrence": `minibert.pretraining.cooccurrence` sets words: the word embeddings, positions: the position
            embeddings, neighbours: the first layer's attention; or
            "checkpoint": those of a trained model (`minibert.pretraining.continuation`).
        checkpoint: its folder or name.
    """

    initialisation: str = "normal"
    checkpoint: str | None = None
    words: bool = True
    positions: bool = True
    neighbours: bool = True

    def __post_init__(self) -> None:
        known = ", ".join(INITIALISATIONS)
        _need(self.initialisation in INITIALISATIONS, f"start.initialisation must be one of {known}",
              self.initialisation)  # fmt: skip
        _need((self.checkpoint is not None) == (self.initialisation == "checkpoint"),
              'start.checkpoint goes with initialisation = "checkpoint"', self.checkpoint)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole run.

    Attributes:
        model: fields of `BertConfig`, without vocab_size.
        seed: of the weights, the examples and dropout.
        log_every: steps between lines of metrics; each tells the mean since the last.
        evaluate_every: steps between evaluations on held-out text; 0 for none but the last.
        evaluate_examples: how many held-out examples each of those looks at (the last: all).
        save_every: steps between saved states.
        keep: how many of them are kept.
        matmul_precision: "highest", or "medium": see `minibert.set_float32_matmul_precision`.
    """

    schedule: SchedulePart
    phases: tuple[Phase, ...]
    model: dict[str, Any] = field(default_factory=dict)
    data: DataPart = field(default_factory=DataPart)
    optimizer: OptimizerPart = field(default_factory=OptimizerPart)
    start: StartPart = field(default_factory=StartPart)
    seed: int = 0
    log_every: int = 10
    evaluate_every: int = 1000
    evaluate_examples: int = 512
    save_every: int = 500
    keep: int = 2
    matmul_precision: str = "highest"

    def __post_init__(self) -> None:
        _need(0 <= self.seed < 2**63, "seed must lie between 0 and 2**63 - 1", self.seed)
        for name in ("log_every", "evaluate_examples", "save_every", "keep"):
            _need(getattr(self, name) >= 1, f"{name} must be at least 1", getattr(self, name))
        known = " or ".join(MATMUL_PRECISIONS)
        _need(self.matmul_precision in MATMUL_PRECISIONS, f"matmul_precision must be {known}", self.matmul_precision)
        _need(self.evaluate_every >= 0, "evaluate_every must be 0 (only at the end) or more", self.evaluate_every)
        _need(len(self.phases) >= 1, "a recipe needs at least one [[phases]]", list(self.phases))
        self.phase_steps()
        config = self.config(1)
        _need(config.type_vocab_size >= 2, "model.type_vocab_size must be at least 2, for the two texts of a pair",
              config.type_vocab_size)  # fmt: skip
        longest = config.max_position_embeddings
        for phase in self.phases:
            _need(
                phase.max_length <= longest,
                f"phases.max_length must be at most the model's max_position_embeddings, {longest}",
                phase.max_length,
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """A recipe from what a TOML file holds. Raises RecipeError."""
        return _fill(cls, values, "")

    def to_dict(self) -> dict[str, Any]:
        """What a TOML file holds; keys without a value are left out, since TOML has none."""
        return _plain(dataclasses.asdict(self))  # type: ignore[no-any-return]

    def config(self, vocab_size: int) -> BertConfig:
        """The model's configuration with a vocabulary of this size. Raises RecipeError."""
        known = set(BertConfig.setting_names()) - {"vocab_size"}
        for name in self.model:
            if name == "vocab_size":
                raise RecipeError("model.vocab_size is not set by hand: it is the size of the data's vocabulary")
            if name not in known:
                raise RecipeError(_unknown(name, known, "model."))
        try:
            return BertConfig(vocab_size=vocab_size, **self.model)
        except ValueError as error:
            raise RecipeError(f"model: {error}") from error

    def phase_steps(self) -> list[int]:
        """How many steps each phase has; together all of the schedule's."""
        total = self.schedule.steps
        ends, done, share = [], 0, 0.0
        for phase in self.phases:
            if phase.steps is not None:
                done += phase.steps
                share += phase.steps / total
            else:
                share += phase.share or 0.0
                done = round(share * total)  # from the sum, so that roundings do not add up
            ends.append(done)
        counts = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
        if ends[-1] != total or min(counts) < 1:
            raise RecipeError(
                f"the phases have {', '.join(map(str, counts))} steps; expected at least 1 each, together "
                f"schedule.steps = {total} (shares must add up to 1)"
            )
        return counts

    def phase_of(self, step: int) -> int:
        """The number of the phase that step 0, 1, ... belongs to."""
        end = 0
        for number, count in enumerate(self.phase_steps()):
            end += count
            if step < end:
                return number
        return len(self.phases) - 1


_FREE = ("save_every", "keep", "data.folder", "data.held_out", "start.checkpoint")
"""What may differ between a saved state and the recipe that goes on with it: it changes nothing in the outcome."""


def differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """ "KEY is X, was Y" for each key in which two recipes (as dicts) make different runs."""
    a, b = _flat(saved), _flat(now)
    return [
        f"{key} is {b.get(key, 'not set')!r}, was {a.get(key, 'not set')!r}"
        for key in sorted(a.keys() | b.keys())
        if key not in _FREE and a.get(key) != b.get(key)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {prefix: value}
    return {k: v for name, one in items for k, v in _flat(one, f"{prefix}.{name}" if prefix else str(name)).items()}


def _plain(value: Any) -> Any:
    """Dicts, lists, numbers and strings, without None."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


# ---- from a dict, with every key and type checked --------------------------------------------------------------------

T = TypeVar("T")
_CALLED = {int: "an integer", float: "a number", bool: "true or false", str: "a text", dict: "a table"}


def _fill(kind: type[T], values: Any, where: str) -> T:
    """A dataclass from a table of a TOML file; `where` is its name with a dot."""
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where.rstrip('.')} must be a table, got {values!r}")
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise RecipeError(_unknown(name, fields, where))
    for name, one in fields.items():
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise RecipeError(f"{where}{name} is missing")
    return kind(**{name: _value(hints[name], value, where + name) for name, value in values.items()})


def _value(hint: Any, value: Any, name: str) -> Any:
    """`value` as the type that a field has."""
    if NoneType in get_args(hint):
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
    if dataclasses.is_dataclass(hint):
        return _fill(hint, value, name + ".")  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        if not isinstance(value, (list, tuple)) or (inner[-1] is not Ellipsis and len(value) != len(inner)):
            raise RecipeError(f"{name} must be a list{'' if inner[-1] is ... else f' of {len(inner)}'}, got {value!r}")
        return tuple(_value(inner[0], one, name) for one in value)
    plain = get_origin(hint) or hint
    if plain is float and is_float(value):
        return float(value)
    if plain is int and is_int(value):
        return int(value)
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise RecipeError(f"{name} must be {_CALLED[plain]}, got {value!r}")
    return dict(value) if plain is dict else value


def _unknown(name: str, known: Any, where: str) -> str:
    near = nearest(name, known, cutoff=0.7)  # names of many settings are short
    guess = f"did you mean {where}{near}? The keys are" if near else "the keys are"
    return f"unknown key {where}{name}; {guess} {', '.join(sorted(known))}"
