"""Texts in, answers out, as they arrive: some lines are answered, printed and flushed before the next are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from minibert.backend import kernels_off
from minibert.cli import signals
from minibert.cli.errors import CommandError
from minibert.cli.messages import say
from minibert.cli.printing import Table, clip, flush, print_json, print_line
from minibert.cli.progress import TextProgress
from minibert.cli.reading import Line, Texts

__all__ = ["Outcome", "PipelineAnswers", "answer_texts", "as_json", "headed", "in_table"]

LITTLE = 1500
"""Characters so far, below which the kernels stay off: most commands end after a few texts, and loading Numba takes
longer than the kernels would save (BERT-base, one sentence: 0.6 s with them, 0.3 s without)."""

SOME_UNANSWERED, NONE_ANSWERED = 1, 2


@dataclass
class Outcome:
    """One text of a command and what became of it.

    Attributes:
        line: the text and where it came from.
        item: what was asked of it: the text, a pair, a question with its context.
        value: the answer.
        problem: why there is none; empty if there is one.
    """

    line: Line
    item: Any = None
    value: Any = None
    problem: str = ""


Answers = Callable[[Sequence[Any]], Sequence[Any]]
"""Items to an answer for each, or to the ValueError that says why there is none."""
Show = Callable[[Sequence[Outcome]], None]


def answer_texts(
    args: argparse.Namespace, texts: Texts, *, item_of: Callable[[Line], Any], answers: Answers, show: Show
) -> int:
    """Answer all texts of a command.

    Args:
        args: the command's arguments.
        texts: the texts.
        item_of: what is asked of a line; raises ValueError for a line of another form.
        answers: the answers to some items.
        show: prints some outcomes, whether answered or not.

    Returns:
        The exit status: 0; 1 if some texts could not be answered, 2 if none could. Each is named on stderr.

    Raises:
        CommandError: the only text, given as an argument, cannot be answered; or the input is no text at all.
    """
    answered = failed = 0
    with TextProgress(args, texts) as progress:
        for stretch in texts:
            outcomes = _outcomes(stretch, item_of, answers)
            signals.check()
            wrong = [outcome for outcome in outcomes if outcome.problem]
            if wrong and texts.single:
                raise CommandError(wrong[0].problem)
            progress.clear()
            show(outcomes)
            flush()
            for outcome in wrong:
                say(f"{outcome.line.where}: {outcome.problem}")
            args.warnings.show()
            failed += len(wrong)
            answered += len(outcomes) - len(wrong)
            progress.update(answered + failed)
    if not failed:
        return 0
    return SOME_UNANSWERED if answered else NONE_ANSWERED


def _outcomes(stretch: Sequence[Line], item_of: Callable[[Line], Any], answers: Answers) -> list[Outcome]:
    outcomes = [Outcome(line, problem=line.problem) for line in stretch]
    for outcome in outcomes:
        if not outcome.problem:
            try:
                outcome.item = item_of(outcome.line)
            except ValueError as error:
                outcome.problem = str(error)
    asked = [outcome for outcome in outcomes if not outcome.problem]
    if asked:
        for outcome, value in zip(asked, answers([outcome.item for outcome in asked]), strict=True):
            if isinstance(value, ValueError):
                outcome.problem = getattr(value, "reason", str(value))
            else:
                outcome.value = value
    return outcomes


class PipelineAnswers:
    """A pipeline's answers; an item that it refuses has the error in the place of its answer.

    Args:
        pipe: the pipeline, with its options.
    """

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._options = pipe.options({"errors": "return", "show_progress": False})  # the command shows its own progress
        self._characters = 0

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        """An answer or an error for each item."""
        self._characters += sum(len(str(item)) for item in items)
        with kernels_off() if self._characters < LITTLE else nullcontext():
            return list(self._pipe.run(items, self._options))


# ---- ways to show outcomes


def as_json(fields: Callable[[Outcome], dict[str, Any]]) -> Show:
    """One object a text: `fields` of it, or {"text", "line" or "argument", "error"} if it could not be answered."""

    def show(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.problem:
                kind = "argument" if outcome.line.where.startswith("argument ") else "line"
                print_json({"text": outcome.line.text, kind: outcome.line.number, "error": outcome.problem})
            else:
                print_json(fields(outcome))

    return show


def headed(heading: Callable[[Outcome], str], body: Callable[[Outcome], None]) -> Show:
    """Below each text a table of its own, printed by `body`."""

    def show(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.line.number > 1:
                print_line()
            print_line(clip(outcome.line.text if outcome.problem else heading(outcome)))
            if outcome.problem:
                print_line(f"  not answered: {clip(outcome.problem, 200)}")
            else:
                body(outcome)

    return show


def in_table(
    table: Table, rows: Callable[[Outcome], Sequence[Sequence[Any]]], unanswered: Callable[[str], Any]
) -> Show:
    """One table of all texts. `unanswered` makes the row of a text, as it can be shown, that has no answer."""

    def show(outcomes: Sequence[Outcome]) -> None:
        table.add(row for one in outcomes for row in ([unanswered(one.line.text)] if one.problem else rows(one)))

    return show
