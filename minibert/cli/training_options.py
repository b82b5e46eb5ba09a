"""What may be typed after pretrain, resume, evaluate and estimate. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

from minibert.cli.parser import count, integer, make_command, model, path, rate
from minibert.models import MINI

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """The four commands."""
    _pretrain(commands)
    _resume(commands)
    _evaluate(commands)
    _estimate(commands)


def _pretrain(commands: Any) -> None:
    p = make_command(
        commands,
        "pretrain",
        "training:pretrain",
        "train a BERT from nothing, as a recipe says",
        "minibert pretrain mini --data train/ --held-out held-out/ --out runs/mini --set schedule.steps=5000",
    )
    p.add_argument(
        "recipe", type=path, metavar="RECIPE", help="a TOML file, or a recipe that comes with minibert: mini, ..."
    )
    p.add_argument("--out", "-o", required=True, type=path, metavar="RUN", help="the run's folder, new or empty")
    _folders(p)
    _settings(p)
    _compute(p, "cpu")
    p.add_argument("--quiet", action="store_true", help="no progress")


def _resume(commands: Any) -> None:
    p = make_command(
        commands,
        "resume",
        "training:resume",
        "go on with a run that was stopped; it ends at the same bits",
        "minibert resume runs/mini",
    )
    p.add_argument("run_folder", type=path, metavar="RUN", help="the run's folder")
    _folders(p)
    _compute(p, "where the run was; another place changes the last bits")
    p.add_argument("--quiet", action="store_true", help="no progress")


def _evaluate(commands: Any) -> None:
    p = make_command(
        commands,
        "evaluate",
        "training:evaluate",
        "masked words and next sentences on text that a model has not seen",
        "minibert evaluate runs/mini/model --data book.txt",
    )
    what = f"a folder, or a name on the hub ({MINI})"
    p.add_argument("model", nargs="?", type=model, default=MINI, metavar="MODEL", help=what)
    kinds = "a folder that `minibert prepare` wrote; or text, a file or a folder"
    p.add_argument("--data", required=True, type=path, metavar="PATH", help=kinds)
    p.add_argument(
        "--max-length", type=count, metavar="N", help="the most tokens of an example (the model's own, at most 512)"
    )
    p.add_argument("--examples", type=count, metavar="N", help="how many examples (all)")
    p.add_argument("--batch-size", type=count, default=32, metavar="N", help="examples at once (32)")
    p.add_argument("--seed", type=integer, default=0, metavar="N", help="of the masks (0)")
    p.add_argument("--whole-word-masking", action="store_true", help="mask whole words")
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (cpu)")
    p.add_argument("--quiet", action="store_true", help="no progress on a terminal")


def _estimate(commands: Any) -> None:
    p = make_command(
        commands,
        "estimate",
        "training:estimate",
        "what a recipe will cost: parameters, memory, arithmetic, time",
        "minibert estimate bert-base-cased --ranks 8 --flops 5e13",
    )
    p.add_argument("recipe", type=path, metavar="RECIPE", help="a TOML file, or a recipe that comes with minibert")
    _folders(p)
    _settings(p)
    p.add_argument("--ranks", type=count, default=1, metavar="N", help="computers, or GPUs, that share the work (1)")
    p.add_argument("--flops", type=rate, metavar="X", help="what each of them reaches, in FLOP/s, such as 5e13")
    p.add_argument("--no-measure", action="store_true", help="time nothing on this machine")


def _folders(p: Any) -> None:
    p.add_argument("--data", type=path, metavar="FOLDER", help="the examples, as `minibert prepare` wrote them")
    p.add_argument("--held-out", type=path, metavar="FOLDER", help="the same for evaluation")


def _compute(p: Any, default: str) -> None:
    p.add_argument("--device", choices=("cpu", "cuda"), help=f"where to compute ({default})")
    p.add_argument(
        "--precision", choices=("float32", "float16", "bfloat16"),
        help="of activations on cuda (float32); in float16 the loss is scaled",
    )  # fmt: skip


def _settings(p: Any) -> None:
    p.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="replace a value of the recipe, as in optimizer.lr=3e-4 or phases.0.batch_size=16; may be repeated",
    )  # fmt: skip
