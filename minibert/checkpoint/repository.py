"""One repository of the Hugging Face hub: which files it has, fetching them, and what its refusals mean.

One request lists the repository before anything is downloaded. It is made without retries, so that a machine without
network falls back to the cache, or fails, at once rather than after half a minute of waiting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.checkpoint.contents import lack_of_weights, other_place, some
from minibert.checkpoint.errors import CheckpointError, one_line
from minibert.json_file import read_object
from minibert.paths import as_path

if TYPE_CHECKING:
    from minibert.checkpoint.hub import HubOptions

__all__ = ["WEIGHT_FILES", "Repository", "wanted_of"]

# The forms that weights come in, best first. Of those in a repository only the first is fetched; an index brings its
# shards.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

_LIST_TIMEOUT_SECONDS = 10.0


def wanted_of(available: Iterable[str], files: Sequence[str]) -> list[str]:
    """Which of `files` to fetch of those `available` in a repository: all, but only one form of the weights."""
    there = set(available)
    chosen = [name for name in files if name in there and name not in WEIGHT_FILES]
    weights = [name for name in WEIGHT_FILES if name in files and name in there]
    return chosen + weights[:1]


class Repository:
    """One hub repository at one revision, and how to get files from it. Files are named relative to the subfolder."""

    def __init__(self, name: str, where: HubOptions, hint: str = "") -> None:
        """`hint` follows "is neither a folder here" in messages: a folder here that resembles the name."""
        self.name, self.where, self.hint = name, where, hint
        self.prefix = f"{where.subfolder}/" if where.subfolder else ""
        self.cache_dir = None if where.cache_dir is None else str(as_path(where.cache_dir))

    def __str__(self) -> str:
        name = repr(self.name) if not self.prefix else f"{self.name!r} (subfolder {self.where.subfolder!r})"
        return name if self.where.revision is None else f"{name} at revision {self.where.revision!r}"

    def fetch(self, files: Sequence[str]) -> Path:
        """The folder in the hub's cache that holds `files`, downloaded if need be; errors as in `hub.resolve`."""
        try:
            from huggingface_hub import constants
        except ValueError as error:  # it reads numbers from the environment when it is imported
            raise CheckpointError(f"an environment variable HF_... has a value that is no number: {error}") from error
        if self.where.local_files_only or constants.HF_HUB_OFFLINE:
            return self._from_cache(files, self._when_offline)
        try:
            listed = self._list()
        except Exception as error:  # the hub's client raises what its HTTP library of the day raises
            explanation = self._explain(error)
            return self._from_cache(files, lambda: explanation)
        available = [name.removeprefix(self.prefix) for name in listed if name.startswith(self.prefix)]
        chosen = wanted_of(available, files)
        self._refuse(chosen, available, files)
        # All files are taken from the commit that the first came from, even if the branch moves meanwhile.
        folder = self._download(chosen[0], self.where.revision)
        commit = self._commit(folder)
        for name in chosen[1:]:
            self._download(name, commit)
        for name in chosen:
            shards = _shards(folder / name) if name.endswith(".index.json") else []
            if lacking := sorted(set(shards) - set(available)):
                raise CheckpointError(
                    f"{self} on the hub lacks {len(lacking)} of the {len(shards)} shards that its {name} names: "
                    f"{some(lacking)}; its upload is incomplete, use another revision"
                )
            for shard in shards:
                self._download(shard, commit)
        return folder

    def _refuse(self, chosen: Sequence[str], available: Sequence[str], files: Sequence[str]) -> None:
        """Raise for a repository that lacks what is wanted, with what it has instead."""
        if self.prefix and not available:
            raise CheckpointError(f"{self} on the hub: there is no such subfolder; check the model's page")
        if any(name in WEIGHT_FILES for name in files) and not any(name in WEIGHT_FILES for name in chosen):
            raise CheckpointError(f"{self} on the hub has no weights that minibert reads: {lack_of_weights(available)}")
        if not chosen:
            places = [place for name in files if (place := other_place(available, name))]
            hint = f"pass subfolder={places[0]!r}" if places else "is it a BERT checkpoint?"
            raise CheckpointError(
                f"{self} on the hub has none of {', '.join(files)}; it has {some(available)}; {hint}"
            )

    def _commit(self, folder: Path) -> str:
        return folder.parents[self.prefix.count("/") - 1].name if self.prefix else folder.name

    def _list(self) -> list[str]:
        """Names of the repository's files."""
        from huggingface_hub import HfApi

        info = HfApi().model_info(
            self.name, revision=self.where.revision, timeout=_LIST_TIMEOUT_SECONDS, token=self.where.token
        )
        return [sibling.rfilename for sibling in info.siblings or []]

    def _download(self, name: str, revision: str | None) -> Path:
        """The folder that holds `name` after it was downloaded."""
        from huggingface_hub import hf_hub_download

        try:
            path = hf_hub_download(
                self.name,
                self.prefix + name,
                revision=revision,
                cache_dir=self.cache_dir,
                token=self.where.token,
                force_download=self.where.force_download,
            )
        except Exception as error:
            raise CheckpointError(f"{name} of {self._explain(error)}") from error
        return Path(path).parent

    def _from_cache(self, files: Sequence[str], why: Callable[[], str]) -> Path:
        """The folder of an earlier download, if it has what is wanted; otherwise an error with the reason `why`."""
        found = wanted_of([name for name in {*files, *WEIGHT_FILES} if self._cached(name)], files)
        weights_wanted = any(name in WEIGHT_FILES for name in files)
        if self.where.force_download or not found:
            raise CheckpointError(why())
        if weights_wanted and not any(name in WEIGHT_FILES for name in found):
            raise CheckpointError(f"{why()} (the cache has its {', '.join(sorted(found))}, but no weights)")
        folder = self._cached(found[0])
        assert folder is not None
        for name in found:
            for shard in _shards(folder / name) if name.endswith(".index.json") else ():
                if self._cached(shard) is None:
                    raise CheckpointError(f"shard {shard} is not in the cache, and {why()}")
        return folder

    def _cached(self, name: str) -> Path | None:
        """The folder in the cache that holds the file, if it is there."""
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            path = try_to_load_from_cache(
                self.name, self.prefix + name, cache_dir=self.cache_dir, revision=self.where.revision
            )
        except HFValidationError as error:
            raise CheckpointError(self._explain(error)) from error
        # Neither None (not known) nor the hub's mark for "known not to exist".
        return Path(path).parent if isinstance(path, str) else None

    def _when_offline(self) -> str:
        return (
            f"{self} is neither a folder here{self.hint} nor in the hub's cache, and nothing may be downloaded "
            "(HF_HUB_OFFLINE or local_files_only); give the path of a folder, or load it once with network"
        )

    def _explain(self, error: Exception) -> str:
        """What the client's error means for the person who asked for this repository."""
        from huggingface_hub import errors

        if isinstance(error, CheckpointError):
            return str(error)
        if isinstance(error, errors.HFValidationError):
            return (
                f"{self} is neither a folder here{self.hint} nor a possible hub name (name or owner/name, of letters, "
                "digits, - _ .)"
            )
        if isinstance(error, errors.GatedRepoError):
            return (
                f"{self} on the hub is open only to people who accepted its terms; accept them on its page, "
                "then run `hf auth login`, set HF_TOKEN or pass token="
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return f"{self} does not exist on the hub, though the repository does; check the revision"
        if isinstance(error, errors.RepositoryNotFoundError):
            return (
                f"{self} is neither a folder here{self.hint} nor a repository on the hub that you may read (401/404); "
                "check the spelling, or for a private one run `hf auth login`, set HF_TOKEN or pass token="
            )
        if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
            return f"{self} on the hub is missing, though the repository lists it; try again or name a revision"
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(status, int) and status < 500:
            return f"{self} was refused by the hub ({status}); {_refusal_advice(status)}"
        if isinstance(error, OSError) and error.errno is not None and getattr(error, "filename", None):
            return f"{self} could not be stored in the hub's cache: {one_line(error)}; make room, or set cache_dir"
        reason = f"{type(error).__name__}: {one_line(error)}"
        return (
            f"{self} is not a folder here{self.hint}, and the hub could not be reached ({reason}); "
            f"{_network_advice(error)}, or give the path of a folder"
        )


def _refusal_advice(status: int) -> str:
    """What to do about an HTTP status that has no error class of its own."""
    if status in (401, 403):
        return "check your login with `hf auth whoami`, or pass token="
    if status == 407:
        return "the proxy wants a login: check HTTPS_PROXY"
    if status == 429:
        return "too many requests: wait a few minutes, or log in with `hf auth login`"
    return "check HF_ENDPOINT and the name, or give the path of a folder"


def _network_advice(error: BaseException) -> str:
    """What to do when there was no answer at all, by the causes in the chain of exceptions."""
    text, seen = "", error
    for _ in range(8):
        text += f" {type(seen).__name__} {seen}".lower()
        following = seen.__cause__ or seen.__context__
        if following is None:
            break
        seen = following
    if "certificate" in text or "ssl" in text:
        return "its TLS certificate is not trusted here: set SSL_CERT_FILE to your organisation's certificates"
    if "proxy" in text:
        return "check the proxy (HTTPS_PROXY, NO_PROXY)"
    if "timeout" in text or "timed out" in text:
        return "it did not answer in time: check the network and try again"
    if getattr(getattr(error, "response", None), "status_code", 0) >= 500:
        return "the server has a fault: try again later"
    return "check the network"


def _shards(index: Path) -> list[str]:
    """The shard files that an index names; an unreadable index is left for the reader to explain."""
    try:
        names = set(read_object(index)["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return sorted(name for name in names if isinstance(name, str) and re.fullmatch(r"[\w.-]+", name))
