"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minibert.bench.card import Card
from minibert.bench.measure import Pairs, Summary, times
from minibert.bench.peers import OURS, REFERENCES
from minibert.bench.workloads import Workload


@dataclass
class Compared:
    """One peer of a workload: what was measured, or why not.

    Attributes:
        label: its name, with how it was given a ragged batch.
        difference: largest difference of the outputs.
        memory: MiB, "peak" and "idle".
        blas: the thread pools in its process.
        skipped: why it was not measured; empty if it was.
    """

    label: str
    pairs: Pairs = field(default_factory=Pairs)
    difference: float = 0.0
    memory: dict[str, float] = field(default_factory=dict)
    blas: list[dict[str, Any]] = field(default_factory=list)
    skipped: str = ""

    @property
    def is_competitor(self) -> bool:
        """Whether it counts among the peers to be faster than."""
        return not self.skipped and self.label not in REFERENCES


@dataclass
class Result:
    """One workload.

    Attributes:
        card: the GPU that it ran on, if it was one.
        gigabytes: what must go through memory, in billions of bytes (`minibert.bench.traffic`).
    """

    workload: Workload
    gflop: float
    tolerance: float
    compared: list[Compared] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    blas: list[dict[str, Any]] = field(default_factory=list)
    card: Card | None = None
    gigabytes: float = 0.0

    def our_turns(self) -> list[list[float]]:
        """Our turns beside all peers."""
        return [turn for one in self.compared for turn in one.pairs.ours]

    def best(self) -> dict[str, Compared]:
        """The competitor that came closest, or was fastest: under "best peer"; where peers were given a ragged batch in
        two ways, one under "best padded" and one under "best sorted"."""
        found: dict[str, Compared] = {}
        for one in self.compared:
            if one.is_competitor:
                _, _, form = one.label.partition(" ")
                what = f"best {form or 'peer'}"
                if what not in found or one.pairs.ratio().median < found[what].pairs.ratio().median:
                    found[what] = one
        return found


HEADERS = ("side", "ms", "quartiles", "GFLOP/s", "ratio", "quartiles", "peak MiB", "added", "difference")
ON_CARD = (*HEADERS[:4], "of card", "GB/s", "of card", *HEADERS[4:7], HEADERS[8])


def text(result: Result) -> str:
    """The table of one workload, with its headline and its last line."""
    lines = [f"{result.workload.name}: {result.workload.about}"]
    turns = result.our_turns()
    measured = [one for one in result.compared if not one.skipped]
    if turns:
        rows = [_row(OURS, times(turns), result, None, result.memory, "")]
        for one in measured:
            difference = "" if one.label == "limit" else f"{one.difference:.0e}"
            rows.append(_row(one.label, times(one.pairs.theirs), result, one.pairs.ratio(), one.memory, difference))
        lines += table(HEADERS if result.card is None else ON_CARD, rows)
    lines += [f"  {one.label}: {one.skipped}" for one in result.compared if one.skipped]
    for what, best in result.best().items():
        ratio = best.pairs.ratio()
        lines.append(f"  {what}: {best.label}, ratio {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})")
    return "\n".join(lines) + "\n"


def _row(
    name: str, seconds: Summary, result: Result, ratio: Summary | None, memory: dict[str, float], difference: str
) -> list[str]:
    peak, idle = memory.get("peak", 0.0), memory.get("idle", 0.0)
    times_and_rate = [
        name,
        _ms(seconds.median),
        f"{_ms(seconds.low)}-{_ms(seconds.high)}",
        f"{result.gflop / seconds.median:.0f}" if result.gflop else "",
    ]
    ratios = [f"{ratio.median:.2f}" if ratio else "", f"{ratio.low:.2f}-{ratio.high:.2f}" if ratio else ""]
    if result.card is not None:
        rate, flops, bandwidth = result.gigabytes / seconds.median, result.card.flops, result.card.bandwidth
        of_flops = f"{result.gflop * 1e9 / seconds.median / flops:.1%}" if flops else ""
        of_bandwidth = f"{rate * 1e9 / bandwidth:.1%}" if bandwidth else ""
        return [*times_and_rate, of_flops, f"{rate:.0f}", of_bandwidth, *ratios, f"{peak:.0f}", difference]
    return [*times_and_rate, *ratios, f"{peak:.0f}", f"{peak - idle:.0f}" if idle else "", difference]


def _ms(seconds: float) -> str:
    """Milliseconds with three digits that count."""
    ms = seconds * 1e3
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[int] = (0,)) -> list[str]:
    """Lines of columns under headers: those numbered in `left` flush left, the others flush right."""
    cells = [list(headers), *map(list, rows)]
    widths = [max(len(row[c]) for row in cells) for c in range(len(headers))]
    lines = []
    for row in cells:
        parts = [
            text.ljust(w) if c in left else text.rjust(w) for c, (text, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(parts)).rstrip())
    return lines


def as_json(results: Sequence[Result], machine: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything, as plain values. Times are in seconds, memory in MiB."""
    return {"machine": machine, "settings": settings, "workloads": [_workload(result) for result in results]}


def _workload(result: Result) -> dict[str, Any]:
    turns = result.our_turns()
    return {
        "name": result.workload.name,
        "about": result.workload.about,
        "gflop": result.gflop,
        "tolerance": result.tolerance,
        **({"gigabytes": result.gigabytes} if result.card is not None else {}),
        "best": {
            what: {"name": best.label, "ratio": best.pairs.ratio().median} for what, best in result.best().items()
        },
        OURS: {"seconds": vars(times(turns)) if turns else None, "memory": result.memory, "thread_pools": result.blas},
        "peers": [_peer(one) for one in result.compared],
    }


def _peer(one: Compared) -> dict[str, Any]:
    if one.skipped:
        return {"name": one.label, "skipped": one.skipped}
    return {
        "name": one.label,
        "seconds": vars(times(one.pairs.theirs)),
        "ratio": vars(one.pairs.ratio()),
        "ratios": one.pairs.ratios(),
        "difference": one.difference,
        "memory": one.memory,
        "thread_pools": one.blas,
        "our_turns": one.pairs.ours,
        "their_turns": one.pairs.theirs,
    }


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Whole or not at all."""
    from minibert.checkpoint.staging import Staging

    with Staging(path.parent) as stage:
        stage.open(path.name).write((json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def overall(results: Sequence[Result]) -> str:
    """The last lines: each workload's ratio to its best peers, and to the limit."""
    rows = []
    for result in results:
        for what, best in result.best().items():
            rows.append([result.workload.name, f"{best.pairs.ratio().median:.2f}", f"{what}, {best.label}"])
        rows += [
            [result.workload.name, f"{one.pairs.ratio().median:.2f}", "limit"]
            for one in result.compared
            if one.label == "limit" and not one.skipped
        ]
    if not rows:
        return ""
    lines = table(("workload", "ratio", "to"), rows, left=(0, 2))
    return "\n".join(["ratios (above 1: minibert is faster)", *lines]) + "\n"
