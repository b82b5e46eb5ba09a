"""argparse with errors of one line, and suggestions for what was mistyped."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from minibert.cli.errors import CommandError
from minibert.cli.suggestions import did_you_mean, suggest_command

__all__ = ["Parser", "count", "count_or_all", "count_or_zero", "make_command", "numbers", "path", "words"]

_Raw = argparse.RawDescriptionHelpFormatter


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises CommandError."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message}; see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = list(map(str, action.choices))
        near = suggest_command(value, known) if action.dest == "command" else did_you_mean(str(value), known)
        choose = near or f" (choose from {', '.join(known)})"
        raise argparse.ArgumentError(action, f"invalid choice: {value!r}{choose}")

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
    except ValueError as error:  # no such ~user
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


Count = Callable[[str], int]
