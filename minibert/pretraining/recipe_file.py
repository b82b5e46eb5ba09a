"""Recipes as files: reading, single values set from outside, writing."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minibert.checkpoint import Staging
from minibert.install import MissingLibrary
from minibert.options import did_you_mean
from minibert.paths import StrPath, as_path, decode, read_regular
from minibert.pretraining.errors import one_line
from minibert.pretraining.recipe import Recipe, RecipeError

__all__ = ["bundled", "read_recipe", "write_recipe"]

LIMIT = 1 << 20  # bytes of a recipe
_FOLDER = Path(__file__).parent.parent / "recipes"


def bundled() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def read_recipe(name: StrPath, *, settings: Iterable[str] = ()) -> Recipe:
    """The recipe in a file, or one that comes with the package by its name ("mini").

    Args:
        settings: "KEY=VALUE" each, replacing single values: "optimizer.lr=3e-4", "phases.0.batch_size=16".

    Relative folders of data in the file are meant from the file's own folder, those in `settings` from the current one.

    Raises:
        RecipeError: no such file, no TOML, or a recipe that is not sound.
    """
    path, settings = as_path(name), list(settings)
    if not path.is_file() and str(name) in bundled():  # a folder may well bear the name of the recipe it came from
        path = _FOLDER / f"{name}.toml"
    try:
        values = tomllib.loads(decode(read_regular(path, LIMIT), path))
    except FileNotFoundError:
        hint = did_you_mean(str(name), bundled())
        raise RecipeError(
            f"there is no recipe {name}; expected a TOML file, or one of {', '.join(bundled())}{hint}"
        ) from None
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe {path} is not TOML: {error}") from error
    except RecursionError:
        raise RecipeError(f"the recipe {path} is not usable: its values are nested too deeply") from None
    except ValueError as error:  # not text, no file, too large; or a number of thousands of digits
        reason = str(error).removeprefix(f"{path} ")
        told = one_line(error) if reason == str(error) else f"it {reason}"
        what = "is not TOML" if "UTF-8" in reason else "cannot be read"
        raise RecipeError(f"the recipe {path} {what}: {told}") from error
    _absolute(values, path.parent)
    changed = copy.deepcopy(values)
    for setting in settings:
        _set(changed, setting)
    _absolute(changed, Path.cwd())
    try:
        return Recipe.from_dict(changed)
    except RecipeError as error:
        if changed != values and _is_sound(values):  # the settings are at fault, not the file
            raise RecipeError(f"recipe {name}, changed by {', '.join(settings)}: {error}") from error
        raise RecipeError(f"recipe {name}: {error}") from error


def _is_sound(values: dict[str, Any]) -> bool:
    try:
        Recipe.from_dict(values)
    except RecipeError:
        return False
    return True


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write `folder`/recipe.toml, whole or not at all. Raises OSError."""
    try:
        import tomli_w
    except ImportError:
        raise MissingLibrary("tomli-w", "writing a recipe") from None
    with Staging(folder) as stage:
        stage.open("recipe.toml").write(tomli_w.dumps(recipe.to_dict()).encode())


def _absolute(values: dict[str, Any], base: Path) -> None:
    data = values.get("data")
    if isinstance(data, dict):
        for key in ("folder", "held_out"):
            if isinstance(data.get(key), str):
                data[key] = str((base / as_path(data[key])).absolute())
    start = values.get("start")
    if isinstance(start, dict) and isinstance(start.get("checkpoint"), str):
        folder = base / as_path(start["checkpoint"])
        if folder.is_dir():  # else it is a name
            start["checkpoint"] = str(folder.absolute())


def _set(values: dict[str, Any], setting: str) -> None:
    """Put one "KEY=VALUE" in its place."""
    key, sign, text = setting.partition("=")
    if not sign or not key.strip():
        raise RecipeError(f"expected KEY=VALUE, such as optimizer.lr=3e-4, got {setting!r}")
    *path, last = key.strip().split(".")
    place: Any = values
    for k, part in enumerate(path):
        place = _inside(place, part, ".".join(path[: k + 1]))
    if isinstance(place, list):
        place[_number(place, last, key)] = _parsed(text)
    elif isinstance(place, dict):
        place[last] = _parsed(text)
    else:
        raise RecipeError(f"{key}: {'.'.join(path)} is a value, and has no {last}")


def _inside(place: Any, part: str, name: str) -> Any:
    if isinstance(place, list):
        return place[_number(place, part, name)]
    if isinstance(place, dict):
        return place.setdefault(part, {})
    raise RecipeError(f"{name}: there is nothing of that name in the recipe")


def _number(place: list[Any], part: str, name: str) -> int:
    if not part.isdecimal() or int(part) >= len(place):
        raise RecipeError(f"{name}: expected a number from 0 to {len(place) - 1}, got {part!r}")
    return int(part)


def _parsed(text: str) -> Any:
    """A value as TOML writes it; anything else is a text, so that paths need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
