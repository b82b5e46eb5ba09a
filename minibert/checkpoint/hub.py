"""Where a checkpoint lies: a folder on this machine, in this package, or a repository of the Hugging Face hub.

`huggingface_hub` does the fetching, so its cache (HF_HOME, HF_HUB_CACHE), its offline mode (HF_HUB_OFFLINE), its
login (HF_TOKEN) and its progress bars are the ones people know, and what another library has fetched is not fetched
again. Only the files that are asked for come down: a repository often holds the same weights in four formats, and we
want one of them.

One request lists the repository before anything is downloaded. It is made without retries, so that a machine without
network falls back to the cache, or fails, at once rather than after half a minute of waiting.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from minibert.checkpoint.errors import CheckpointError, one_line
from minibert.models import bundled

__all__ = ["CONFIG_FILES", "TOKENIZER_FILES", "WEIGHT_FILES", "resolve"]

CONFIG_FILES = ("config.json",)
TOKENIZER_FILES = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# The forms that weights come in, best first. Of those in a repository only the first is fetched; an index brings its
# shards.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

_LIST_TIMEOUT_SECONDS = 10.0


def resolve(
    name_or_folder: str | os.PathLike[str],
    *,
    files: Sequence[str] = CONFIG_FILES + WEIGHT_FILES,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """The folder that holds a checkpoint; a name on the hub is fetched first.

    Args:
        name_or_folder: a folder, which is returned as it is; one of `minibert.models.MODELS`; or a hub name such as
            "google-bert/bert-base-cased".
        files: the files that are wanted. Those that the repository has are fetched, at least one must be there. Of the
            `WEIGHT_FILES` among them only the best one is fetched, with its shards.
        revision: branch, tag or commit of the hub repository; its main branch if None.
        cache_dir: where the hub's files are kept, if not where huggingface_hub keeps them.
        local_files_only: use what the cache has, ask nobody. HF_HUB_OFFLINE=1 does the same.
        token: for private repositories; None takes the one that `hf auth login` or HF_TOKEN left.

    Raises:
        CheckpointError: no such folder and no such repository, nothing usable in it, no permission, no network and
            not cached.
    """
    if not os.fspath(name_or_folder):
        raise CheckpointError("the name of the checkpoint is empty; expected a folder or a hub name")
    try:
        folder = Path(name_or_folder).expanduser()
        if folder.is_dir():
            return folder
        if folder.exists():
            raise CheckpointError(f"{folder} is a file; expected the folder that holds config.json and the weights")
    except (OSError, RuntimeError) as error:  # a name too long, a folder without permission, no such ~user
        raise CheckpointError(f"{one_line(name_or_folder, 80)} is no usable path: {one_line(error, 100)}") from error
    if not isinstance(name_or_folder, str) or _looks_like_a_path(name_or_folder):
        raise CheckpointError(f"there is no folder {folder}; expected a folder with config.json and model.safetensors")
    if (ours := bundled(name_or_folder)) is not None:
        return ours
    repository = _Repository(
        name_or_folder, revision, None if cache_dir is None else str(Path(cache_dir).expanduser()), token
    )
    return repository.fetch(files, local_files_only)


def _looks_like_a_path(name: str) -> bool:
    """Whether `name` can only be meant as a path: hub names are `name` or `owner/name`, without dots in front."""
    return name.startswith((".", "~", "/")) or "\\" in name or name.count("/") > 1 or name.endswith("/")


def wanted_of(available: Iterable[str], files: Sequence[str]) -> list[str]:
    """Which of `files` to fetch of those `available` in a repository: all, but only one form of the weights."""
    there = set(available)
    chosen = [name for name in files if name in there and name not in WEIGHT_FILES]
    weights = [name for name in WEIGHT_FILES if name in files and name in there]
    return chosen + weights[:1]


class _Repository:
    """One hub repository at one revision, and how to get files from it."""

    def __init__(self, name: str, revision: str | None, cache_dir: str | None, token: str | bool | None) -> None:
        self.name, self.revision, self.cache_dir, self.token = name, revision, cache_dir, token

    def __str__(self) -> str:
        return repr(self.name) if self.revision is None else f"{self.name!r} at revision {self.revision!r}"

    def fetch(self, files: Sequence[str], local_files_only: bool) -> Path:
        from huggingface_hub import constants

        if local_files_only or constants.HF_HUB_OFFLINE:
            return self._from_cache(files, self._when_offline)
        try:
            available = self._list()
        except Exception as error:  # the hub's client raises what its HTTP library of the day raises
            explanation = self._explain(error)
            return self._from_cache(files, lambda: explanation)
        chosen = wanted_of(available, files)
        if not chosen:
            raise CheckpointError(
                f"{self} on the hub has none of {', '.join(files)}; it has {_some(available)}. "
                "Is it a BERT checkpoint for PyTorch or safetensors?"
            )
        # All files are taken from the commit that the first came from, even if the branch moves meanwhile.
        folder = self._download(chosen[0], self.revision).parent
        for name in chosen:
            path = self._download(name, folder.name)
            for shard in _shards(path) if name.endswith(".index.json") else ():
                self._download(shard, folder.name)
        return folder

    def _list(self) -> list[str]:
        """Names of the repository's files."""
        from huggingface_hub import HfApi

        info = HfApi().model_info(self.name, revision=self.revision, timeout=_LIST_TIMEOUT_SECONDS, token=self.token)
        return [sibling.rfilename for sibling in info.siblings or []]

    def _download(self, name: str, revision: str | None) -> Path:
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(self.name, name, revision=revision, cache_dir=self.cache_dir, token=self.token))
        except Exception as error:
            raise CheckpointError(f"{name} of {self._explain(error)}") from error

    def _from_cache(self, files: Sequence[str], why: Callable[[], str]) -> Path:
        """The folder of an earlier download, if it has what is wanted; otherwise an error with the reason `why`."""
        found = wanted_of([name for name in {*files, *WEIGHT_FILES} if self._cached(name)], files)
        weights_wanted = any(name in WEIGHT_FILES for name in files)
        if not found or (weights_wanted and not any(name in WEIGHT_FILES for name in found)):
            raise CheckpointError(why())
        folder = self._cached(found[0])
        assert folder is not None
        for name in found:
            for shard in _shards(folder / name) if name.endswith(".index.json") else ():
                if self._cached(shard) is None:
                    raise CheckpointError(f"shard {shard} is not in the cache, and {why()}")
        return folder

    def _cached(self, name: str) -> Path | None:
        """The snapshot folder in the cache if the file is there."""
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            path = try_to_load_from_cache(self.name, name, cache_dir=self.cache_dir, revision=self.revision)
        except HFValidationError as error:
            raise CheckpointError(self._explain(error)) from error
        # Neither None (not known) nor the hub's mark for "known not to exist".
        if not isinstance(path, str):
            return None
        return Path(path).parents[name.count("/")]

    def _when_offline(self) -> str:
        return (
            f"{self} is neither a folder here nor in the hub's cache, and nothing may be downloaded (HF_HUB_OFFLINE or "
            "local_files_only); give the path of a folder, or load it once with network"
        )

    def _explain(self, error: Exception) -> str:
        """What the client's error means for the person who asked for this repository."""
        from huggingface_hub import errors

        if isinstance(error, CheckpointError):
            return str(error)
        if isinstance(error, errors.HFValidationError):
            return f"{self} is neither a folder here nor a possible hub name (name or owner/name, letters digits - _ .)"
        if isinstance(error, errors.GatedRepoError):
            return (
                f"{self} on the hub is open only to people who accepted its terms; accept them on its page, "
                "then run `hf auth login` or set HF_TOKEN"
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return f"{self} does not exist on the hub, though the repository does; check the revision"
        if isinstance(error, errors.RepositoryNotFoundError):
            return (
                f"{self} is neither a folder here nor a repository on the hub that you may read (401/404); check the "
                "spelling, or for a private one run `hf auth login` or set HF_TOKEN"
            )
        if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
            return f"{self} on the hub is missing, though the repository lists it; try again or name a revision"
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            return f"{self} was refused by the hub ({status}); check your login with `hf auth whoami`"
        if isinstance(error, OSError) and error.errno is not None and getattr(error, "filename", None):
            return f"{self} could not be stored in the hub's cache: {one_line(error)}"
        reason = f"{type(error).__name__}: {one_line(error)}"
        return (
            f"{self} is not a folder here, and the hub could not be reached ({reason}); check the network, or give the "
            "path of a folder"
        )


def _shards(index: Path) -> list[str]:
    """The shard files that an index names; an unreadable index is left for the reader to explain."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return sorted(name for name in names if isinstance(name, str) and re.fullmatch(r"[\w.-]+", name))


def _some(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(sorted(names)[:most]) or "no files at all"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
