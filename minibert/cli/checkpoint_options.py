"""What may be typed after convert, average and info. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

from minibert.cli.parser import make_command, model, numbers, path
from minibert.cli.task_options import add_hub
from minibert.models import MINI

__all__ = ["add_commands"]

_DTYPES = ("float64", "float32", "float16", "bfloat16")


def add_commands(commands: Any) -> None:
    """The three commands."""
    _convert(commands)
    _average(commands)
    _info(commands)


def _convert(commands: Any) -> None:
    p = make_command(
        commands,
        "convert",
        "files:convert",
        "any BERT checkpoint to safetensors under today's names",
        "minibert convert old-model/ new-model/ --dtype float16",
    )
    what = "a folder, or a name on the hub (a .bin file needs torch)"
    p.add_argument("source", type=model, metavar="SOURCE", help=what)
    p.add_argument("target", type=path, metavar="TARGET", help="the folder to write")
    p.add_argument("--dtype", choices=_DTYPES, help="as stored in SOURCE if none")
    p.add_argument("--max-shard-size", metavar="SIZE", help="split the weights into files of at most, say, 500MB")
    p.add_argument("--quiet", action="store_true", help="no progress on a terminal")
    add_hub(p)


def _average(commands: Any) -> None:
    p = make_command(
        commands,
        "average",
        "files:average",
        "the mean of the weights of several trainings that went on from the same model",
        "minibert average runs/first/model runs/second/model --out mean/",
    )
    more = "folders, or names on the hub; the rest is the first's"
    p.add_argument("sources", nargs="+", type=model, metavar="MODEL", help=more)
    p.add_argument("--out", required=True, type=path, metavar="FOLDER", help="the folder to write")
    p.add_argument("--shares", type=numbers, metavar="X,Y", help="how much of each (equal shares)")
    p.add_argument("--dtype", choices=_DTYPES, help="as stored in the first MODEL if none")
    p.add_argument("--quiet", action="store_true", help="no progress on a terminal")
    add_hub(p)


def _info(commands: Any) -> None:
    p = make_command(
        commands,
        "info",
        "files:info",
        "what a checkpoint is: sizes, parameters, files, vocabulary",
        "minibert info bert-base-cased",
    )
    p.add_argument("name", nargs="?", type=model, metavar="MODEL", help=f"a folder, or a name on the hub ({MINI})")
    p.add_argument("--model", "-m", type=model, help="the same")
    add_hub(p)
