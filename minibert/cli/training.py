"""pretrain, resume, evaluate, estimate: the commands around `minibert.pretraining`."""

from __future__ import annotations

import argparse
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING

from minibert.cli.printing import print_facts, print_json
from minibert.paths import as_path

if TYPE_CHECKING:
    from minibert.pretraining.evaluation import Evaluation
    from minibert.pretraining.recipe import Recipe
    from minibert.pretraining.training import Outcome

__all__ = ["estimate", "evaluate", "pretrain", "resume"]


def pretrain(args: argparse.Namespace) -> None:
    """A new run."""
    from minibert.pretraining.training import pretrain as run

    where = {"device": args.device, "precision": args.precision}
    _report(args, run(_recipe(args), as_path(args.out), **where, quiet=args.quiet))


def resume(args: argparse.Namespace) -> None:
    """A run that was stopped."""
    from minibert.pretraining.training import resume as run

    folder, data, held_out = as_path(args.run_folder), _absolute(args.data), _absolute(args.held_out)
    where = {"device": args.device, "precision": args.precision}
    _report(args, run(folder, data=data, held_out=held_out, **where, quiet=args.quiet))


def evaluate(args: argparse.Namespace) -> None:
    """A model on held-out text."""
    from minibert.pretraining.held_out import evaluate_model
    from minibert.pretraining.progress import counting

    with counting("example", quiet=args.quiet) as on_batch:
        found = evaluate_model(
            args.model,
            as_path(args.data),
            max_length=args.max_length,
            examples=args.examples,
            batch_size=args.batch_size,
            seed=args.seed,
            whole_word_masking=args.whole_word_masking,
            device=args.device,
            on_batch=on_batch,
        )
    if args.json:
        print_json({"model": args.model, "data": args.data, **found.to_dict()})
    else:
        print_facts(_figures(found))


def _figures(found: Evaluation) -> list[tuple[str, object]]:
    asked = found.nsp_accuracy is not None
    return [
        ("masked words, first", found.mlm_top1),
        ("masked words, among five", found.mlm_top5),
        ("masked words, loss", found.mlm_loss),
        ("the most frequent word alone", found.most_frequent_top1),
        ("next sentence", found.nsp_accuracy if asked else "not asked (one document, or no such head)"),
        *([("next sentence, loss", found.nsp_loss)] if asked else []),
        ("examples", f"{found.examples:,}"),
        ("masked words", f"{found.masked:,}"),
    ]


def estimate(args: argparse.Namespace) -> None:
    """What a recipe costs."""
    from minibert.pretraining.estimate import estimate as work_out

    found = work_out(_recipe(args), ranks=args.ranks, flops=args.flops, measure=not args.no_measure)
    if args.json:
        print_json(asdict(found))
    else:
        print_facts(found.facts())


def _recipe(args: argparse.Namespace) -> Recipe:
    from minibert.pretraining.recipe_file import read_recipe

    settings = list(args.set)
    for key, folder in (("folder", args.data), ("held_out", args.held_out)):
        if folder is not None:
            settings.append(f"data.{key}={_absolute(folder)}")
    return read_recipe(args.recipe, settings=settings)


def _absolute(folder: str | None) -> str | None:
    return None if folder is None else str(as_path(folder).absolute())


def _report(args: argparse.Namespace, outcome: Outcome) -> None:
    """How a run ended; a run that a signal stopped ends the command as that signal would have."""
    from minibert.pretraining.metrics import time_spent
    from minibert.pretraining.progress import duration

    found = outcome.evaluation
    seconds, waited = time_spent(outcome.run / "metrics.jsonl")
    if args.json:
        summary = {"run": str(outcome.run), "step": outcome.step, "finished": outcome.finished}
        spent = {"seconds": seconds, "data_seconds": waited}
        print_json({**summary, **spent, "evaluation": found.to_dict() if found else None})
    elif outcome.finished:
        facts: list[tuple[str, object]] = [("steps", f"{outcome.step:,}"), ("model", str(outcome.run / "model"))]
        share = f"{waited / seconds:.2%}" if seconds else "nothing"
        facts += [("time", f"{duration(seconds)}, {share} of it waiting for examples")]
        if found is not None:
            facts += [(f"held out: {name}", value) for name, value in _figures(found)]
        print_facts(facts)
    if outcome.signal == signal.SIGINT:
        raise KeyboardInterrupt
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)
