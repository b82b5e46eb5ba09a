"""The saved states of a run: whole or not there.

    RUN/recipe.toml          what is being done
    RUN/state-1500/          after 1500 steps: a checkpoint as any other (config.json, model.safetensors, vocabulary),
                             optimizer.safetensors (Adam's m and v), state.json (everything else, the digests of the
                             other files, and one of its own)
    RUN/metrics.jsonl        see `minibert.pretraining.metrics`
    RUN/curves.png           the same as a picture
    RUN/model/               the finished model

A state is written into a hidden folder, every file of it flushed to the disk, and then the folder is renamed: that is
one operation, so a kill or a power cut at any instant leaves it there as a whole or not at all. Only then are older
states taken away, and they are renamed before they are emptied, so that half a state never bears a state's name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.backend import to_numpy
from minibert.checkpoint.hidden_folder import HiddenFolder, new_folder, remove_dead
from minibert.checkpoint.safetensors_file import SafetensorsFile, write_safetensors
from minibert.checkpoint.staging import Staging
from minibert.heads import BertForPreTraining
from minibert.json_file import is_sealed, read_object, seal
from minibert.optim import Optimizer
from minibert.paths import is_file_name
from minibert.pretraining.errors import one_line
from minibert.tokenizer import BertTokenizer

__all__ = [
    "RunError", "Saved", "clear_leftovers", "newest", "only_here", "restore", "save_model_folder", "save_state",
]  # fmt: skip

FORMAT = 2
FORMATS = (1, 2)  # 1: without a digest of state.json itself
_KINDS: dict[str, type | tuple[type, ...]] = {
    "recipe": dict, "data": str, "place": dict, "random": dict, "schedule": dict, "tokens": int, "window": dict,
    "seconds": (int, float), "optimizer_steps": list, "files": dict,
}  # fmt: skip
_STATE = re.compile(r"state-(\d+)")
_LEFTOVER = re.compile(r"\.(state-\d+|model)\.[0-9a-f]{8}\.(part|old)")


class RunError(ValueError):
    """A run that cannot begin, go on, or be saved."""


@dataclass(frozen=True)
class Saved:
    """A state as it lies on the disk: its folder, the steps taken, and the contents of state.json."""

    folder: Path
    step: int
    facts: dict[str, Any]


def states(run: Path) -> list[tuple[int, Path]]:
    """Steps and folders of a run's states, the newest last."""
    found = [(int(m[1]), path) for path in run.iterdir() if (m := _STATE.fullmatch(path.name)) and path.is_dir()]
    return sorted(found)


def newest(run: Path) -> Saved | None:
    """The newest state of a run, whole and with the right digests; None if none was ever saved.

    Raises:
        RunError: it is damaged, which a kill cannot do; the message says from which earlier state to go on.
    """
    found = states(run)
    if not found:
        return None
    step, folder = found[-1]
    try:
        return _read(folder, step)
    except (OSError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"the state {folder} is damaged: {_reason(error)}{_what_to_do(found)}") from error


def _read(folder: Path, step: int) -> Saved:
    """A state whose every byte is what was written. Raises OSError or ValueError with the reason why it is not."""
    facts = read_object(folder / "state.json")
    whole = is_sealed(facts)
    if whole is False or not {"format", "step"} <= facts.keys():
        raise ValueError("state.json is not what was written")
    if facts["format"] not in FORMATS:
        reads = " and ".join(map(str, FORMATS))
        raise RunError(f"{folder} was saved in format {facts['format']!r:.40}, and this minibert reads {reads}")
    if facts["format"] == FORMAT and whole is None:
        raise ValueError("state.json lacks its digest")
    if missing := _KINDS.keys() - facts.keys():
        raise ValueError(f"state.json lacks {', '.join(sorted(missing))}")
    if wrong := sorted(name for name, kind in _KINDS.items() if not isinstance(facts[name], kind)):
        raise ValueError(f"state.json is not what was written: {', '.join(wrong)}")
    if facts["step"] != step:
        raise ValueError(f"state.json is of step {facts['step']!r:.40}: was the folder renamed, or the file swapped?")
    files = facts["files"]
    if not all(map(is_file_name, files)):
        raise ValueError('the "files" of state.json are not what was written')
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {"state.json"}
    for name in sorted(there | files.keys()):
        if name not in there:
            raise ValueError(f"{name} is missing")
        if name not in files:
            raise ValueError(f"{name} does not belong to it")
        if not (folder / name).is_file() or _digest(folder / name) != files[name]:
            raise ValueError(f"{name} is not what was written")
    return Saved(folder, step, facts)


def _what_to_do(found: list[tuple[int, Path]]) -> str:
    """The end of a message about the last of these states: how to resume from an earlier one."""
    for k in range(len(found) - 2, -1, -1):
        step, folder = found[k]
        with suppress(OSError, ValueError):
            _read(folder, step)
            damaged = "it" if k == len(found) - 2 else " and ".join(path.name for _, path in found[k + 1 :])
            return f"; remove {damaged} to go on from {folder.name}, which is sound"
    return "; no earlier state is sound" if len(found) > 1 else "; there is no earlier state"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{Path(error.filename).name if error.filename else 'it'}: {error.strerror}"
    return one_line(error)


def save_state(
    run: Path,
    step: int,
    model: BertForPreTraining,
    optimizer: Optimizer,
    tokenizer: BertTokenizer,
    facts: Mapping[str, Any],
    *,
    keep: int,
) -> Path:
    """Save everything that the next step depends on, and take away older states than the `keep` newest.

    Raises:
        RunError: the disk is full, or cannot be written; what was there is still there.
    """
    target = run / f"state-{step}"
    if target.exists():
        return target
    try:
        with new_folder(target) as part:
            model.save_pretrained(part, dtype="float32")
            tokenizer.save_pretrained(part)
            _write_moments(part, optimizer)
            files = {path.name: _digest(path) for path in sorted(part.iterdir())}
            counts = [optimizer.state.get(i, {}).get("step", 0) for i in range(_count(optimizer))]
            content = seal({"format": FORMAT, "step": step, **facts, "optimizer_steps": counts, "files": files})
            with Staging(part) as stage:
                stage.open("state.json").write(json.dumps(content, indent=1).encode())
        for _, old in states(run)[:-keep]:
            _remove(old)
    except (OSError, ValueError) as error:  # a ValueError from what writes checkpoints and vocabularies
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise RunError(f"cannot save step {step} to {run}: {reason}; {_last(run)}") from error
    return target


def save_model_folder(run: Path, model: BertForPreTraining, tokenizer: BertTokenizer) -> Path:
    """Write the finished model to RUN/model. Raises RunError as `save_state`."""
    target = run / "model"
    try:
        with new_folder(target) as part:
            model.save_pretrained(part, dtype="float32")
            tokenizer.save_pretrained(part)
    except (OSError, ValueError) as error:
        raise RunError(f"cannot write {target}: {error}; {_last(run)}") from error
    return target


def restore(saved: Saved, model: BertForPreTraining, optimizer: Optimizer) -> None:
    """Put weights, moments and counts back. Raises RunError if they do not fit."""
    try:
        weights = SafetensorsFile(saved.folder / "model.safetensors")
        names = [name for name, _ in model.named_parameters()]
        model.load_state_dict({name: weights.array(name) for name in names}, strict=False)
        moments = SafetensorsFile(saved.folder / "optimizer.safetensors")
        state = optimizer.state_dict()
        state["state"] = {
            i: {"step": count, "m": moments.array(f"m.{name}"), "v": moments.array(f"v.{name}")}
            for (i, name), count in zip(enumerate(_names(optimizer)), saved.facts["optimizer_steps"], strict=True)
            if count
        }
        optimizer.load_state_dict(state)
    except (KeyError, ValueError) as error:
        raise RunError(f"the state {saved.folder} does not fit this run's model: {error}") from error
    except (TypeError, AttributeError, OverflowError) as error:  # of a format without a digest
        raise RunError(f"the state {saved.folder} is damaged: its optimizer_steps are no counts") from error


@contextmanager
def only_here(run: Path) -> Iterator[None]:
    """Hold the run's lock: two processes on one run would write over each other. A killed one holds it no longer.

    Raises:
        RunError: another process holds it, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"another process is at work on {run}; wait for it, or stop it") from None
    except OSError as error:
        raise RunError(f"cannot write to {run}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def clear_leftovers(run: Path) -> None:
    """Remove what a kill left half written; call it with the run's lock held."""
    remove_dead(run)
    for path in run.iterdir():  # of earlier versions
        if _LEFTOVER.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(".") and path.name.endswith(".part") and path.is_file():
            path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Remove a state under another name, so that half a state never has a state's name."""
    hidden = HiddenFolder(folder.parent, folder.name)
    try:
        os.rename(folder, hidden.path / "content")
    finally:
        hidden.remove()


def _write_moments(folder: Path, optimizer: Optimizer) -> None:
    """Adam's m and v by the names of the parameters; none before the first step."""
    arrays = {
        f"{key}.{name}": optimizer.state[i][key]
        for i, name in enumerate(_names(optimizer))
        if i in optimizer.state
        for key in ("m", "v")
    }
    with Staging(folder) as stage:
        shapes = {name: tuple(array.shape) for name, array in arrays.items()}
        write_safetensors(stage.open("optimizer.safetensors"), shapes, "float32", lambda name: to_numpy(arrays[name]))


def _names(optimizer: Optimizer) -> list[str]:
    return [name for group in optimizer.param_groups for name in group["param_names"]]


def _count(optimizer: Optimizer) -> int:
    return len(_names(optimizer))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _last(run: Path) -> str:
    found = states(run)
    return f"the last good state is {found[-1][1].name}" if found else "no state was saved before"
