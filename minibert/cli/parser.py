"""argparse with errors of one line, and suggestions for what was mistyped."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from minibert.cli.errors import CommandError
from minibert.cli.suggestions import suggest_choice, suggest_command
from minibert.options import did_you_mean

__all__ = [
    "Parser",
    "bare_command",
    "count",
    "count_or_all",
    "count_or_zero",
    "folder",
    "integer",
    "make_command",
    "model",
    "numbers",
    "path",
    "rate",
    "words",
]

FEW = 6
"""Choices that are all listed in a message, also where one of them is suggested."""

_Raw = argparse.RawDescriptionHelpFormatter


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises CommandError."""

    def _print_message(self, message: str, file: Any = None) -> None:
        """--help and --version. argparse would ignore that stdout cannot take them."""
        from minibert.cli.printing import flush, print_text

        print_text(message)
        flush()

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message}; see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = list(map(str, action.choices))
        near = suggest_command(value, known) if action.dest == "command" else suggest_choice(str(value), known)
        listed = "" if near and len(known) > FEW else f" (choose from {', '.join(known)})"
        raise argparse.ArgumentError(action, f"invalid choice: {value!r}{near}{listed}")

    def unrecognized(self, arguments: Sequence[str]) -> NoReturn:
        """Refuse arguments that no option takes.

        Raises:
            CommandError: always.
        """
        known = [option for action in self._actions for option in action.option_strings]
        near = ""
        if arguments[0].startswith("-"):
            near = did_you_mean(arguments[0].partition("=")[0], known)
        self.error(f"unrecognized arguments: {' '.join(arguments)}{near}")


def make_command(commands: Any, name: str, run: str, about: str, example: str) -> Parser:
    """A command with the options that all have. `run` is module:function below minibert.cli."""
    parser = bare_command(commands, name, f"minibert.cli.{run}", about, example)
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table: one object for each input")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def bare_command(commands: Any, name: str, run: str, about: str, example: str) -> Parser:
    """A command without options."""
    parser: Parser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=_Raw,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


# ---- values of options


def count(text: str) -> int:
    """A number of at least 1."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def count_or_zero(text: str) -> int:
    """A number of at least 0."""
    if text != "0" and not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return int(text)


def count_or_all(text: str) -> int | None:
    """A number of at least 1; None for "all"."""
    if text != "all" and not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, or all, got {text!r}")
    return None if text == "all" else int(text)


def numbers(text: str) -> list[float]:
    """Numbers with commas between."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got {text!r}") from None


def words(text: str) -> list[str]:
    """Words with commas between; none may be empty, but for spaces around."""
    return [word for word in (part.strip() for part in text.split(",")) if word]


def path(text: str) -> str:
    """A path, or a name on the hub, as it was typed; `~` is expanded where it is used."""
    from minibert.paths import as_path

    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty text")
    try:
        as_path(text)
    except ValueError:
        user = text.split("/")[0]
        raise argparse.ArgumentTypeError(f"{text}: there is no home folder {user} on this machine") from None
    return text


def model(text: str) -> str:
    """A folder, or a name on the hub."""
    if match := re.fullmatch(r"https?://(?:www\.)?huggingface\.co/([^?#]+?)/?(?:(?:tree|blob|resolve)/.*)?", text):
        raise argparse.ArgumentTypeError(f"{text} is a URL; expected the name alone: {match[1]}")
    if re.match(r"[a-z][a-z0-9+.-]+://", text):
        raise argparse.ArgumentTypeError(f"{text} is a URL; expected a folder, or a name on the Hugging Face hub")
    return path(text)


def folder(text: str) -> str:
    """A folder, whether it exists or not."""
    from minibert.paths import as_path

    where = as_path(path(text))
    if where.exists() and not where.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file; expected a folder")
    return text


def integer(text: str) -> int:
    """An integer."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an integer, got {text[:50]!r}") from None


def rate(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, such as 5e13, got {text!r}")
    return value
