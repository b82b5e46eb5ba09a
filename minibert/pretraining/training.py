"""Pretraining from the first step to the last, with whatever happens in between. (BERT, section 3.1 and appendix A.2)

    pretrain(recipe, run)      a new run
    resume(run)                a run that was stopped, by whatever it was

After each step, in this order: a line of metrics, an evaluation, a saved state, where they are due. So the metrics up
to a state's step are those that an uninterrupted run has written by then, and a resumed run goes on behind them. What
the next step depends on is in the state: weights, Adam's moments, the number of steps, the place in the data, the place
in the sequence of random draws. Numbers are added up in the same order every time, so the run ends at the same bits.

On a GPU the steps are handed over one after another, and nobody waits for them: losses are read when a line of metrics,
an evaluation or a state is due, and only then is it seen whether they are finite. In float16 a step may be left out
(see `minibert.precision`): it is one of the run's steps, with its examples, but not one of the schedule's, which then
ends that many steps above its last rate.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from minibert.paths import StrPath, as_path
from minibert.pretraining import state as saving
from minibert.pretraining.compute import Compute
from minibert.pretraining.progress import Progress
from minibert.pretraining.recipe import DataPart, Recipe, RecipeError, differences
from minibert.pretraining.recipe_file import read_recipe, write_recipe
from minibert.pretraining.state import RunError, Saved
from minibert.pretraining.trainer import Outcome, Trainer, open_data, told_as

__all__ = ["Outcome", "open_data", "pretrain", "resume"]


def pretrain(
    recipe: Recipe,
    run: StrPath,
    *,
    device: str | None = None,
    precision: str | None = None,
    quiet: bool = False,
    stream: TextIO | None = None,
) -> Outcome:
    """Begin a run in folder `run`, which must be new or empty, and go on to its end.

    Args:
        device, precision: "cpu" or "cuda", and what activations are kept in there: see `Compute`.

    Raises:
        DeviceError: there is no such device here, or it has not this precision.
        RecipeError: the recipe names no data, or asks for what cannot be.
        RunError: the folder holds a run already, cannot be written, or a state cannot be saved.
        ValueError: data that is not sound; a gradient that is not finite.
    """
    run = as_path(run)
    compute = Compute.chosen(device, precision)
    if recipe.data.folder is None:
        raise RecipeError("the recipe names no data: set data.folder (--data FOLDER, what `minibert prepare` wrote)")
    _check_free(run)
    data = open_data(recipe.data.folder, recipe, recipe.phases[0])
    recipe = replace(recipe, data=replace(_wherever(recipe.data), vocabulary_size=data.vocabulary_size))
    recipe.config(data.vocabulary_size)
    with told_as("cannot begin a run in", run):
        run.mkdir(parents=True, exist_ok=True)
    with saving.only_here(run):
        _check_free(run)  # since somebody else may have begun one there meanwhile
        progress = Progress(recipe.schedule.steps, 0, stream=stream, quiet=quiet)
        trainer = Trainer(recipe, run, None, progress, compute)
        with told_as("cannot begin a run in", run):  # only now, so that a start that fails leaves no run behind
            write_recipe(run, recipe)
        return trainer.run_to_the_end()


def resume(
    run: StrPath,
    *,
    data: str | None = None,
    held_out: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    quiet: bool = False,
    stream: TextIO | None = None,
) -> Outcome:
    """Go on with a run to its end: from its newest state, or from the beginning if it has none.

    Args:
        data, held_out: where the prepared folders are now, if they were moved.
        device, precision: as for `pretrain`; where the run was before if None. A state fits any device.

    Raises:
        RunError: no run there, a damaged state, a recipe or data that are not those of the state, another process that
            is at it; and as `pretrain`. States are as they were then.
    """
    run = as_path(run)
    if not (run / "recipe.toml").is_file():
        raise RunError(f"{run} is no run: it has no recipe.toml; begin one with `minibert pretrain`")
    recipe = read_recipe(run / "recipe.toml")
    given: dict[str, Any] = {"folder": data, "held_out": held_out}
    moved = {name: value for name, value in given.items() if value is not None}
    recipe = replace(recipe, data=replace(recipe.data, **moved))
    with saving.only_here(run):
        saved = saving.newest(run)
        if saved is not None and (changed := _changes(saved, recipe)):
            raise RunError(
                f"{run}/recipe.toml disagrees with {saved.folder.name}: {'; '.join(changed)}; put it back, or "
                "begin a new run"
            )
        before = saved.facts.get("compute") if saved is not None else None
        compute = Compute.chosen(device, precision, before)
        saving.clear_leftovers(run)
        progress = Progress(recipe.schedule.steps, saved.step if saved else 0, stream=stream, quiet=quiet)
        if saved is not None and (change := compute.moved(before)):
            progress.say(change)
        return Trainer(recipe, run, saved, progress, compute).run_to_the_end()


def _check_free(run: Path) -> None:
    if (run / "recipe.toml").exists():
        raise RunError(f"{run} holds a run already: go on with `minibert resume {run}`, or choose another folder")
    if run.is_dir() and any(not path.name.startswith(".") for path in run.iterdir()):
        raise RunError(f"{run} is not empty; a run needs a folder of its own")


def _wherever(part: DataPart) -> DataPart:
    """With folders that are the same ones wherever the run is gone on with."""
    given = part.folder, part.held_out
    folder, held_out = (None if name is None else str(as_path(name).absolute()) for name in given)
    return replace(part, folder=folder, held_out=held_out)


def _changes(saved: Saved, recipe: Recipe) -> list[str]:
    """In what the recipe would make another run than the one that was saved; keys that came later have defaults."""
    return differences(Recipe.from_dict(saved.facts["recipe"]).to_dict(), recipe.to_dict())
