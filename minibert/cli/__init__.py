"""The command `minibert`: the pipelines, the tokenizer and the checkpoint tools, from a shell.

arguments   what may be typed; `minibert --help` reads no further than this
reading     texts from arguments, a file or stdin
printing    tables for people, JSON lines for programs
tasks       one function for each pipeline
files       tokenize, convert, average, info
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from minibert import cleanup
from minibert.cli.arguments import CommandError, parse

__all__ = ["main"]

WRONG = 2
INTERRUPTED = 130  # 128 + SIGINT, what shells report
PIPE_CLOSED = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments, those of the process by default.

    Returns:
        0; 2 when something is wrong, which is then told in one line on stderr beginning with "minibert: "; 130 after
        Ctrl-C; 141 when the reader of the output went away. MINIBERT_TRACEBACK=1 or --debug raise errors instead.
        SIGTERM and SIGHUP end the process itself, without a file half written.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = os.environ.get("MINIBERT_TRACEBACK", "") not in ("", "0") or "--debug" in arguments
    if argv is None:
        _settle_streams()
    try:
        with cleanup.on_signals(), warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            given = parse(arguments)
            module, _, function = given.run.partition(":")
            run: Callable[[Any], None] = getattr(importlib.import_module(module), function)
            run(given)
            sys.stdout.flush()
        _tell(told)
        return 0
    except SystemExit as wanted:  # --help and --version
        return int(wanted.code or 0)
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        if debug:
            raise
        _say("interrupted")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        _say(_sentence(error))
        if isinstance(error, OSError):
            _forget_stdout()  # it may be what could not be written, and would be tried again at exit
        return WRONG


def _sentence(error: Exception) -> str:
    """The error in one line."""
    if isinstance(error, OSError) and error.strerror:
        where = error.filename if error.filename is not None else "cannot read or write"
        return f"{where}: {error.strerror}"
    if isinstance(error, CommandError | ValueError):
        return str(error)
    return f"{type(error).__name__}: {error} (not expected; --debug shows where)"


def _say(text: str) -> None:
    print("minibert:", " ".join(text.split()), file=sys.stderr)


def _tell(told: Sequence[warnings.WarningMessage]) -> None:
    """Warnings, each once. After an error they are not told: the one line is the error's."""
    for text in dict.fromkeys(str(w.message) for w in told if issubclass(w.category, UserWarning)):
        _say(f"warning: {text}")


def _settle_streams() -> None:
    """UTF-8 out whatever the locale, since programs read it; the hub's chatter off."""
    import logging

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def _forget_stdout() -> None:
    """Point stdout to nowhere, so that Python does not complain once more when it flushes it at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # no real stdout, as inside a test
        return
