"""The ratios as a bar chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minibert.bench.report import Compared, Result

COLOURS = {
    "torch-sdpa": "#d1603d", "torch-eager": "#e8a87c", "onnxruntime": "#3d6fb4", "openvino": "#6a4c93",
    "transformers": "#d1603d", "explicit": "#9aa5b1", "limit": "#2b2d42",
}  # fmt: skip


def draw(results: Sequence[Result], path: Path, title: str) -> None:
    """One group of bars a workload, one bar a peer: the median ratio, with the quartiles as a whisker.

    The axis is logarithmic, so that twice as fast and half as fast are equally long.
    """
    from matplotlib.figure import Figure

    from minibert.checkpoint.staging import Staging

    bars = [(result, one) for result in results for one in result.compared if not one.skipped]
    groups = sum(1 for result in results if any(not one.skipped for one in result.compared))
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(bars) + 0.35 * groups), layout="constrained")
    axes = figure.subplots()
    _bars(axes, bars)
    axes.set_title(title, loc="left", fontsize=11)
    with Staging(path.parent) as stage:
        figure.savefig(stage.open(path.name), format=path.suffix[1:], dpi=150)


def _bars(axes: Any, bars: Sequence[tuple[Result, Compared]]) -> None:
    y, ticks, labels, last = 0.0, [], [], None
    largest = max(one.pairs.ratio().high for _, one in bars)
    smallest = min(one.pairs.ratio().low for _, one in bars)
    for result, one in bars:
        if result is not last:
            y += 1.2 if last is not None else 0.0
            axes.text(0.0, y, result.workload.name, transform=axes.get_yaxis_transform(), weight="bold", fontsize=9)
            y, last = y + 0.8, result
        ratio = one.pairs.ratio()
        colour = COLOURS.get(one.label.split()[0], "#888888")
        hatch = "//" if "padded" in one.label else None
        style = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
        axes.barh(y, ratio.median - 1.0, left=1.0, height=0.8, **style)
        axes.plot([ratio.low, ratio.high], [y, y], color="black", linewidth=1.2)
        beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
        axes.annotate(f"{ratio.median:.2f}", (max(ratio.high, 1.0), y), **beside)
        ticks.append(y)
        labels.append(one.label)
        y += 1.0
    axes.set_xscale("log")
    near = (0.8, 1.25) if largest / smallest < 10 else ()  # their numbers need room
    marks = [m for m in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, *near) if smallest / 1.6 < m < largest * 1.6]
    axes.set_xticks(marks, [f"{m:g}" for m in marks])
    axes.minorticks_off()
    axes.set_xlim(min(0.75, smallest / 1.2), max(1.3, largest * 1.2))
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(ticks, labels, fontsize=8)
    axes.set_ylim(y, -0.8)
    axes.set_xlabel("time of the peer / time of minibert (right of 1: minibert is faster)", fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
