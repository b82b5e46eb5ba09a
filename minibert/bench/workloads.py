"""What is measured. Sizes are those that people run BERT-base with on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["encode", "pretrain", "finetune", "attention", "cold"]
Phase = Literal["", "forward", "backward"]

# 64 sentences, in tokens: the long tail of lengths that newspaper and encyclopedia sentences have under WordPiece.
SENTENCES = (
    27, 14, 42, 9, 31, 18, 63, 22, 12, 36, 25, 7, 51, 19, 29, 15, 88, 23, 11, 33, 40, 5,
    26, 17, 58, 21, 30, 13, 46, 24, 8, 35, 20, 120, 28, 16, 10, 38, 25, 72, 32, 4, 19, 44,
    23, 6, 34, 27, 14, 55, 22, 37, 12, 29, 97, 18, 26, 41, 9, 31, 21, 48, 16, 24,
)  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """One thing to measure.

    Attributes:
        name: what it is called on the command line.
        group: the name that asks for this workload and its siblings together.
        kind: which code runs it.
        lengths: tokens of each sequence.
        about: one line for people.
        phase: what of it is timed, where that differs within a kind.
        by_default: whether it runs when no workload is named.
        model: the size of model that it is about, where that is not the one asked for.
    """

    name: str
    group: str
    kind: Kind
    lengths: tuple[int, ...]
    about: str
    phase: Phase = ""
    by_default: bool = True
    model: str = ""

    @property
    def ragged(self) -> bool:
        """Whether sequences differ in length."""
        return len(set(self.lengths)) > 1


def _simple(name: str, kind: Kind, lengths: tuple[int, ...], about: str) -> Workload:
    return Workload(name, name, kind, lengths, about)


def _attention() -> list[Workload]:
    made = []
    phases: tuple[Phase, ...] = ("forward", "backward")
    for count, length in ((8, 128), (2, 512), (1, 2048)):
        for phase in phases:
            about = f"attention of one layer alone, {count} x {length} tokens, {phase}"
            name = f"attention-{length}-{phase}"
            made.append(Workload(name, "attention", "attention", (length,) * count, about, phase))
    for length in (512, 1024, 2048, 4096):
        about = f"attention of one layer alone, 1 x {length} tokens, backward: how memory grows"
        name = f"attention-memory-{length}"
        made.append(Workload(name, "attention-memory", "attention", (length,), about, "backward", by_default=False))
    return made


WORKLOADS = (
    _simple("dense", "encode", (128,) * 8, "encoder, 8 x 128 tokens"),
    _simple("long", "encode", (512,) * 2, "encoder, 2 x 512 tokens"),
    _simple("single", "encode", (16,), "encoder, 1 x 16 tokens"),
    _simple("ragged", "encode", SENTENCES, "encoder, 64 sentences of 4 to 120 tokens"),
    _simple(
        "pretrain-step",
        "pretrain",
        (128,) * 16,
        "one step of pretraining, 16 x 128 tokens, 15 % masked: forward, backward, clip, AdamW",
    ),
    Workload(
        "mini-step",
        "mini-step",
        "pretrain",
        (128,) * 32,
        "one step of pretraining the small model of the recipe mini, 32 x 128 tokens, 15 % masked",
        model="mini",
    ),
    _simple(
        "finetune-step",
        "finetune",
        SENTENCES[:16],
        "one step of fine-tuning a classifier, 16 sentences: forward, backward, clip, AdamW",
    ),
    *_attention(),
    _simple("cold", "cold", (), "from the start of Python to the first answer of fill-mask"),
)

NAMES = tuple(dict.fromkeys(name for w in WORKLOADS for name in (w.group, w.name)))


def chosen(names: Sequence[str]) -> list[Workload]:
    """The workloads, or groups of them, of these names, in the order of the table; without names, the usual ones.

    Raises:
        ValueError: an unknown name.
    """
    for name in names:
        if name not in NAMES:
            groups = ", ".join(dict.fromkeys(w.group for w in WORKLOADS))
            raise ValueError(f"unknown workload {name!r}; expected one of {groups} (minibert bench --list shows all)")
    return [w for w in WORKLOADS if (w.name in names or w.group in names if names else w.by_default)]


def on_cuda(names: Sequence[str]) -> list[Workload]:
    """As `chosen`, of what can be measured on a GPU.

    Raises:
        ValueError: an unknown name, or one that is about the CPU.
    """
    wanted = chosen(names)
    if "cold" in names:
        raise ValueError("the workload cold is about the CPU; it is not measured with --device cuda")
    return [w for w in wanted if w.kind != "cold"]


def shortened(workload: Workload) -> Workload:
    """A few short sequences in place of its own: enough to try the emulated GPU, where time says nothing."""
    lengths = tuple(min(n, 24) for n in workload.lengths[:2])
    return replace(workload, lengths=lengths, about=workload.about + ", cut short")


def by_name(name: str) -> Workload:
    """The workload of this very name."""
    return next(w for w in WORKLOADS if w.name == name)


def size_for(workload: Workload, wanted: str) -> str:
    """The size of model for a workload, when `wanted` was asked for."""
    return workload.model if workload.model and wanted != "tiny" else wanted


# Sizes of models. "mini" is that of minibert/recipes/mini.toml; "tiny" is for trying the command out, its times say
# nothing.
SIZES: dict[str, dict[str, Any]] = {
    "base": {},  # the configuration's defaults are BERT-base's
    "mini": {
        "vocab_size": 8192, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
        "intermediate_size": 1024, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    },
    "tiny": {
        "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    },
}  # fmt: skip
