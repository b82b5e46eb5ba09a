"""A run's curves as a picture: losses, and what evaluation found. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minibert.checkpoint import Staging
from minibert.number_like import is_float
from minibert.pretraining.metrics import read_metrics

__all__ = ["draw_curves"]


def draw_curves(run: Path) -> bool:
    """Write RUN/curves.png from RUN/metrics.jsonl; False if matplotlib is not installed, or there is nothing yet."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    lines = list(read_metrics(run / "metrics.jsonl"))
    training = [line for line in lines if "loss" in line]
    held_out = [{"step": line["step"], **line["evaluation"]} for line in lines if "evaluation" in line]
    if not training:
        return False
    figure = Figure(figsize=(11, 4.6), layout="constrained")  # no pyplot: it would keep the figure, and choose a screen
    FigureCanvasAgg(figure)
    losses, shares = figure.subplots(1, 2)
    _line(losses, training, "mlm_loss", "masked words, training", "C0", alpha=0.5)
    _line(losses, training, "nsp_loss", "next sentence, training", "C1", alpha=0.5)
    _line(losses, held_out, "mlm_loss", "masked words, held out", "C0", marker=".")
    _line(losses, held_out, "nsp_loss", "next sentence, held out", "C1", marker=".")
    losses.set(xlabel="step", ylabel="loss", title=run.name, ylim=(0, None))
    _line(shares, held_out, "mlm_top1", "masked words, first", "C0", marker=".")
    _line(shares, held_out, "mlm_top5", "masked words, among five", "C2", marker=".")
    _line(shares, held_out, "nsp_accuracy", "next sentence", "C1", marker=".")
    _line(shares, held_out, "most_frequent_top1", "the most frequent word alone", "grey", linestyle=":")
    shares.set(xlabel="step", ylabel="share right on held-out text", ylim=(0, 1))
    for axes in (losses, shares):
        axes.grid(alpha=0.3)
        if axes.get_lines():
            axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)  # over no line
    with Staging(run) as stage:
        figure.savefig(stage.open("curves.png"), format="png", dpi=110)
    return True


def _line(axes: Any, lines: list[dict[str, Any]], key: str, label: str, colour: str, **style: Any) -> None:
    lines = [line for line in lines if is_float(line.get(key))]
    if lines:
        axes.plot([line["step"] for line in lines], [line[key] for line in lines], color=colour, label=label, **style)
