"""Where a checkpoint lies: a folder on this machine, in this package, or a repository of the Hugging Face hub.

`huggingface_hub` does the fetching, so its cache (HF_HOME, HF_HUB_CACHE), its offline mode (HF_HUB_OFFLINE), its
login (HF_TOKEN) and its progress bars are the ones people know, and what another library has fetched is not fetched
again. Only the files that are asked for are downloaded: a repository often holds the same weights in four formats, of
which one is needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from minibert.checkpoint.errors import CheckpointError, one_line
from minibert.checkpoint.repository import WEIGHT_FILES, Repository
from minibert.models import bundled
from minibert.options import nearest, unknown_option
from minibert.paths import StrPath, as_path

__all__ = ["CONFIG_FILES", "TOKENIZER_FILES", "WEIGHT_FILES", "HubOptions", "resolve"]

CONFIG_FILES = ("config.json",)
TOKENIZER_FILES = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


@dataclass(frozen=True, kw_only=True)
class HubOptions:
    """Where on the hub, or in a folder, the files of a checkpoint lie, and how to fetch them.

    Every `from_pretrained` and `pipeline()` take these options by name (`HubOptions.split` picks them out).

    Attributes:
        revision: branch, tag or commit of the hub repository; its main branch if None.
        cache_dir: where the hub's files are kept, if not where huggingface_hub keeps them.
        local_files_only: use the cache only, send no request. HF_HUB_OFFLINE=1 does the same.
        force_download: download the files even if the cache has them.
        token: for private and gated repositories; None takes the one that `hf auth login` or HF_TOKEN left, False
            sends none.
        subfolder: the folder inside the repository, or inside the local folder, that holds the files.

    Raises:
        CheckpointError: a value of the wrong type, or a subfolder that leads outside.
    """

    revision: str | None = None
    cache_dir: StrPath | None = None
    local_files_only: bool = False
    force_download: bool = False
    token: str | bool | None = None
    subfolder: str | None = ""

    def __post_init__(self) -> None:
        for name in ("local_files_only", "force_download"):
            if not isinstance(getattr(self, name), bool):
                raise CheckpointError(f"{name} must be True or False, got {getattr(self, name)!r}")
        given: Any = self.revision
        if given is not None and (not isinstance(given, str) or not given):
            raise CheckpointError(f"revision must be the name of a branch, tag or commit, got {self.revision!r}")
        if not isinstance(self.token, str | bool | None):
            raise CheckpointError(f"token must be a string, True, False or None, got a {type(self.token).__name__}")
        given = self.subfolder
        if not isinstance(given, str | os.PathLike | None):
            raise CheckpointError(f"subfolder must be the name of a folder, got {given!r}")
        inside = PurePosixPath(str(given or "").replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts:
            raise CheckpointError(f"subfolder {self.subfolder!r} leads outside; expected a folder in the checkpoint")
        object.__setattr__(self, "subfolder", "" if str(inside) == "." else str(inside))

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """`options` as (those that this class has, all others)."""
        own = {field.name for field in fields(cls)}
        return (
            {name: value for name, value in options.items() if name in own},
            {name: value for name, value in options.items() if name not in own},
        )


def resolve(
    name_or_folder: StrPath, *, files: Sequence[str] = CONFIG_FILES + WEIGHT_FILES, **options: Any
) -> Path:
    """The folder that holds a checkpoint; a name on the hub is fetched first.

    Args:
        name_or_folder: a folder, which is returned as it is; one of `minibert.models.MODELS`; or a hub name such as
            "google-bert/bert-base-cased".
        files: the files that are wanted. Those that the repository has are fetched, at least one must be there. Of the
            `WEIGHT_FILES` among them only the best one is fetched, with its shards.
        options: those of `HubOptions`.

    Raises:
        CheckpointError: no such folder and no such repository, nothing usable in it, no permission, no network and
            not cached, an unknown option.
    """
    hub, unknown = HubOptions.split(options)
    if unknown:
        raise CheckpointError(unknown_option("resolve", next(iter(unknown)), [one.name for one in fields(HubOptions)]))
    where = HubOptions(**hub)
    if isinstance(name_or_folder, bytes) or not isinstance(name_or_folder, str | os.PathLike):
        raise CheckpointError(f"expected a folder or a hub name, got a {type(name_or_folder).__name__}")
    if not os.fspath(name_or_folder):
        raise CheckpointError("the name of the checkpoint is empty; expected a folder or a hub name")
    try:
        folder = as_path(name_or_folder)
        if folder.is_dir():
            return _subfolder(folder, where)
        if folder.exists():
            raise CheckpointError(f"{folder} is a file; expected the folder that holds config.json and the weights")
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:  # a name too long, a folder without permission, no such ~user
        raise CheckpointError(f"{one_line(name_or_folder, 80)} is no usable path: {one_line(error, 100)}") from error
    if not isinstance(name_or_folder, str) or _looks_like_a_path(name_or_folder):
        close = _similar(folder)
        raise CheckpointError(f"there is no folder {folder}{f', but there is {close}' if close else ''}; {_EXPECTED}")
    if (ours := bundled(name_or_folder)) is not None:
        return _subfolder(ours, where)
    close = _similar(folder)
    return Repository(name_or_folder, where, f" (but there is {close})" if close else "").fetch(files)


_EXPECTED = "expected a folder with config.json and model.safetensors"


def _subfolder(folder: Path, where: HubOptions) -> Path:
    """`folder`, or the subfolder of it that was asked for."""
    inside = folder / str(where.subfolder)
    if not inside.is_dir():
        kind = "is a file" if inside.exists() else "does not exist"
        raise CheckpointError(f"{inside} {kind}; expected the subfolder of {folder} that holds the checkpoint")
    return inside


def _similar(path: Path) -> Path | None:
    """A folder whose name resembles that of `path`, or of the first part of it that is missing; None without one."""
    while not path.parent.is_dir() and path.parent != path:
        path = path.parent
    try:
        names = [one.name for one in islice(path.parent.iterdir(), 10_000) if one.is_dir()]
    except OSError:
        return None
    close = nearest(path.name, names, cutoff=0.75)
    return path.parent / close if close else None


def _looks_like_a_path(name: str) -> bool:
    """Whether `name` can only be meant as a path: hub names are `name` or `owner/name`, without dots in front."""
    return name.startswith((".", "~", "/")) or "\\" in name or name.count("/") > 1 or name.endswith("/")
