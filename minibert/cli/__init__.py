"""The command `minibert`: the pipelines, the tokenizer and the checkpoint tools, from a shell.

arguments   what may be typed; `minibert --help` reads no further than this
suggestions the nearest command, option or name to what was typed
completion  scripts for bash, zsh and fish
reading     texts from arguments, a file or stdin, a stretch of lines at a time
answering   texts in, answers out, as they arrive
printing    tables for people, JSON lines for programs
progress    how far a long command has come
writing     .npy files, whole or not at all
tasks       one function for each pipeline
files       tokenize, convert, average, info
corpus      vocabulary, prepare
training    pretrain, resume, evaluate, estimate
messages    errors and warnings on stderr
streams     standard streams that are closed or full
signals     Ctrl-C
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["main"]

WRONG = 2
INTERRUPTED = 130  # 128 + SIGINT, what shells report
PIPE_CLOSED = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments, those of the process by default.

    Returns:
        0; 1 when some of the texts could not be answered; 2 when something is wrong, which is then told in one line on
        stderr beginning with "minibert: "; 130 after Ctrl-C; 141 when the reader of the output went away.
        MINIBERT_TRACEBACK=1 or --debug raise errors instead. SIGTERM and SIGHUP end the process itself, without a file
        half written.
    """
    debug = False
    try:
        arguments = list(sys.argv[1:] if argv is None else argv)
        debug = os.environ.get("MINIBERT_TRACEBACK", "") not in ("", "0") or "--debug" in arguments
        if argv is None:
            _settle_process()
        return _run(arguments)
    except SystemExit as wanted:  # --help and --version; a run that a signal stopped
        return int(wanted.code or 0)
    except BrokenPipeError:
        _discard_output()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        if debug:
            raise
        _report("interrupted")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        from minibert.cli.messages import sentence

        _report(sentence(error))
        return WRONG


def _run(arguments: list[str]) -> int:
    import importlib
    from contextlib import ExitStack

    from minibert.cli.arguments import parse

    args = parse(arguments)  # --help ends here, before anything that takes longer to import
    from minibert import cleanup, environment
    from minibert.cli.messages import Warnings
    from minibert.cli.printing import flush

    with cleanup.on_signals(), Warnings() as warned, ExitStack() as resources:
        environment.check()
        args.warnings, args.resources = warned, resources
        module, _, function = args.run.partition(":")
        run: Callable[[Any], int | None] = getattr(importlib.import_module(module), function)
        status = run(args) or 0
        flush()
        warned.show()
    return status


def _settle_process() -> None:
    """What only the process's own command line may touch: streams, signals, the hub's chatter."""
    import logging

    from minibert.cli import signals, streams

    signals.install()
    streams.settle()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def _report(text: str) -> None:
    """What was answered, then the line that says why there is no more."""
    from minibert.cli.messages import say

    _flush()
    say(text)


def _flush() -> None:
    """Hand over what was answered; a stdout that cannot take it has been reported, or its reader is gone."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        _discard_output()


def _discard_output() -> None:
    from minibert.cli.streams import discard

    discard(sys.stdout)
