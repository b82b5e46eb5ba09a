"""What may be typed after `minibert`. Nothing heavy is imported here, so that --help answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

import minibert
from minibert.bench.options import EXAMPLE, add_options
from minibert.cli import checkpoint_options, corpus_options, task_options, training_options
from minibert.cli.errors import CommandError
from minibert.cli.parser import Parser, bare_command, count, make_command, words

__all__ = ["CommandError", "make_parser", "parse"]

DESCRIPTION = "BERT by hand: pipelines, tokenizer and checkpoint tools."
EPILOG = """\
Texts are arguments, or the lines of --file FILE, or the lines of stdin (UTF-8); lines are answered as they arrive. Put
-- before a text that begins with a dash. MODEL is a folder with config.json, weights and vocabulary, or a name on the
Hugging Face hub.

Exit status: 0; 1 when some of the texts could not be answered, which are named on stderr; 2 when none could, or
anything else is wrong; 128 and the signal's number after a signal (130 for Ctrl-C).

`minibert COMMAND --help` has an example for each command."""

GROUPS = {
    "ask a model": ("fill-mask", "features", "next-sentence", "classify", "tokens", "answer", "tokenize"),
    "checkpoints": ("info", "convert", "average"),
    "pretraining": ("vocabulary", "prepare", "estimate", "pretrain", "resume", "evaluate"),
}
REST = "this installation"
"""The group of the commands that are in no other."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command and its options; `run` names the function to call.

    Raises:
        CommandError: what was typed makes no sense.
        SystemExit: after --help or --version.
    """
    parser, commands = make_parser()
    first = arguments[0] if arguments else ""
    if first.startswith("-") and first not in ("-h", "--help", "--version") and len(arguments) > 1:
        parser.error(f"{first} comes before the command; options come after it")
    args, unknown = parser.parse_known_args(arguments)
    if unknown:  # an error of the command, since its --help is the one to look at
        commands.get(args.command, parser).unrecognized(unknown)
    if args.command is None:
        parser.error("which command? " + ", ".join(commands))
    return args


def make_parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser, and that of each command by its name."""
    parser = Parser(
        "minibert",
        usage="minibert [--help] [--version] COMMAND ...",
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minibert {minibert.__version__}")
    commands = parser.add_subparsers(prog="minibert", metavar="COMMAND", dest="command", help=argparse.SUPPRESS)
    for options in (task_options, checkpoint_options, corpus_options, training_options):
        options.add_commands(commands)
    _warm_up(commands)
    _bench(commands)
    _completion(commands)
    made: dict[str, Parser] = commands.choices
    parser.description = DESCRIPTION + "\n\n" + _listing(made)
    return parser, made


def _listing(commands: dict[str, Parser]) -> str:
    """The commands in groups, with what each does."""
    grouped = {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, REST: tuple(name for name in commands if name not in grouped)}
    return "\n".join(line for title, names in groups.items() for line in _group(title, names, commands))


def _group(title: str, names: Iterable[str], commands: dict[str, Parser]) -> Iterable[str]:
    yield f"{title}:"
    for name in names:
        if name in commands:
            about = (commands[name].description or "").rstrip(".")
            yield f"  {name:<14}  {about[:1].lower()}{about[1:]}"


def _warm_up(commands: Any) -> None:
    p = make_command(
        commands,
        "warm-up",
        "compiling:warm_up",
        "compile the kernels for the CPU now, so that the first use is fast",
        "minibert warm-up --training",
    )
    p.add_argument("--training", action="store_true", help="those of training, too")
    p.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="precision (float32)")


def _bench(commands: Any) -> None:
    about = "how fast minibert is, beside other libraries: in turn, each in a process of its own"
    p = bare_command(commands, "bench", "minibert.bench.command:run", about, EXAMPLE)
    p.add_argument("--debug", action="store_true", help="show where an error came from")
    add_options(p, count, words)


def _completion(commands: Any) -> None:
    p = bare_command(
        commands,
        "completion",
        "minibert.cli.completion:completion",
        "a script that completes commands and options at the TAB key of a shell",
        "source <(minibert completion bash)       # in ~/.bashrc\n"
        "  source <(minibert completion zsh)        # in ~/.zshrc, after compinit\n"
        "  minibert completion fish | source        # in ~/.config/fish/config.fish",
    )
    p.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")
    p.add_argument("--debug", action="store_true", help="show where an error came from")
