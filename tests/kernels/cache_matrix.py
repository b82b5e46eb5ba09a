"""The cache of compiled kernels in every state, in every kind of installation: is the answer right?

    python -m tests.kernels.cache_matrix            all of it, some ten minutes
    python -m tests.kernels.cache_matrix installed  one kind of installation

One real kernel (softmax, which calls functions of other files) runs in a process of its own for each cell. "right": the
answer is bitwise that of a fresh compilation of the same sources, and code was or was not taken from the cache as it
should be. Exit status 1 if any cell is wrong.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json
import numpy as np
from minibert.kernels.cpu import softmax
x = np.linspace(-3, 3, 64, dtype=np.float32).reshape(4, 16)
p = softmax.softmax_forward(x)[0]
stats = [f.stats for f in vars(softmax).values() if hasattr(f, "stats")]
print(json.dumps([p.tobytes().hex(), any(s.cache_hits for s in stats), any(s.cache_misses for s in stats)]))
"""
EACH_SOURCE = """
from minibert.kernels.cpu import code_cache
before, names = code_cache._name(code_cache.KERNELS), set()
sources = sorted(code_cache.KERNELS.rglob("*.py"))
for source in sources:
    text = source.read_bytes()
    source.write_bytes(text + b"#")
    names.add(code_cache._name(code_cache.KERNELS))
    source.write_bytes(text)
assert len(names - {before}) == len(sources) > 30 and code_cache._name(code_cache.KERNELS) == before
"""


class Answer(NamedTuple):
    """What a process computed, and whether it found code in the cache and compiled some."""

    value: str
    found: bool
    compiled: bool


class Installation:
    """A copy of minibert that can be changed, and where its cache is."""

    def __init__(self, scratch: Path, *, checkout: bool = False, given: bool = False, at_home: bool = False) -> None:
        self.top = scratch / "site"
        self.top.mkdir()
        skip = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / "minibert", self.top / "minibert", symlinks=checkout, ignore=skip)
        if checkout:  # minibert/kernels is a link to this folder
            shutil.copytree(ROOT / "kernels", self.top / "kernels", ignore=skip)
        self.kernels = self.top / "minibert" / "kernels" / "cpu"
        self.home = scratch / "home"
        self.cache = scratch / "given" if given else self.home / ".cache" if at_home else self.kernels / "__pycache__"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "MINIBERT_", "XDG_"))},
            "PYTHONPATH": str(self.top), "HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        self.home.mkdir()
        if given:
            self.environment["NUMBA_CACHE_DIR"] = str(self.cache)
        if at_home:
            (self.kernels / "__pycache__").touch()  # nothing can be written beside the sources, not even by root

    def popen(self, program: str = PROGRAM, **options: Any) -> subprocess.Popen[str]:
        """Start a process; root without the right to pass over permissions, so that they count."""
        command = [sys.executable, "-c", program]
        if os.geteuid() == 0 and shutil.which("setpriv"):
            command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", *command]
        return subprocess.Popen(
            command, env=self.environment, cwd=self.top.parent, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def run(self, **options: Any) -> Answer:
        return answer(self.popen(**options))

    def fresh(self) -> str:
        """The answer of these sources without any cache."""
        with tempfile.TemporaryDirectory() as empty:
            other = {**self.environment, "NUMBA_CACHE_DIR": empty}
            command = [sys.executable, "-c", PROGRAM]
            done = subprocess.run(command, env=other, cwd=self.top.parent, text=True, capture_output=True, check=True)
        return Answer(*json.loads(done.stdout)).value

    def files(self, ending: str) -> list[Path]:
        found = [p for p in self.cache.rglob(f"*{ending}") if p.is_file()]
        assert found, f"there is nothing in {self.cache}"
        return found


def answer(process: subprocess.Popen[str]) -> Answer:
    out, err = process.communicate(timeout=300)
    if process.returncode != 0:
        raise AssertionError(f"exit status {process.returncode}: {err.strip().splitlines()[-1:]}")
    return Answer(*json.loads(out))


Check = Callable[[Installation, str], None]
"""Brings the warm cache of an installation, whose right answer is given, into a state, and looks at what follows."""


def _rewrite(change: Callable[[bytes], bytes], *endings: str) -> Check:
    def check(site: Installation, right: str) -> None:
        for ending in endings:
            for file in site.files(ending):
                file.write_bytes(change(file.read_bytes()))
        _compiles_then_finds(site, right)

    return check


def _compiles_then_finds(site: Installation, right: str) -> None:
    first, second = site.run(), site.run()
    assert first.value == second.value == right, "wrong answer"
    assert first == Answer(right, False, True), "something was taken from the cache"
    assert second == Answer(right, True, False), "the cache is not mended"


def _warm(site: Installation, right: str) -> None:
    assert site.run() == Answer(right, True, False)


def _absent(site: Installation, right: str) -> None:
    for folder in site.cache.rglob("minibert-cpu-*"):
        shutil.rmtree(folder)
    _compiles_then_finds(site, right)


def _read_only(site: Installation, right: str) -> None:
    """Found while it is there; without it, compiled each time."""
    with _permissions(site, 0o555):
        assert site.run() == Answer(right, True, False)
    for folder in site.cache.rglob("minibert-cpu-*"):
        shutil.rmtree(folder)
    with _permissions(site, 0o555):
        for _ in range(2):
            assert site.run() == Answer(right, False, True)


@contextmanager
def _permissions(site: Installation, mode: int) -> Iterator[None]:
    folders = [Path(top) for top, _, _ in os.walk(site.top.parent)]
    for folder in folders:
        folder.chmod(mode)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


def _full(site: Installation, right: str) -> None:
    """A file system of 16 kB where that can be mounted, else a limit of 100 bytes on the size of files."""
    for folder in site.cache.rglob("minibert-cpu-*"):
        shutil.rmtree(folder)
    site.cache.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(site.cache)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
        try:
            for _ in range(2):
                assert site.run().value == right
        finally:
            subprocess.run(["umount", str(site.cache)], check=True)
    else:
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))  # noqa: E731
        for _ in range(2):
            assert site.run(preexec_fn=limit) == Answer(right, False, True)
    _compiles_then_finds(site, right)


def _foreign(what: str) -> Check:
    def check(site: Installation, right: str) -> None:
        if os.geteuid() != 0:
            raise NotImplementedError("only root can give files away")
        paths = site.files(".nb?") if what == "files" else list(site.cache.rglob("minibert-cpu-*"))
        for path in paths:
            os.chown(path, 12345, 12345)
        first = site.run()
        assert first == Answer(right, False, True), first
        assert site.run().value == right

    return check


def _writable(site: Installation, right: str) -> None:
    for file in site.files(".nb?"):
        file.chmod(0o666)
    _compiles_then_finds(site, right)


def _each_source(site: Installation, right: str) -> None:
    process = site.popen(EACH_SOURCE)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-300:]


def _stale(site: Installation, right: str) -> None:
    """exp of an update is another function, in a file that the kernel calls."""
    source = site.kernels / "vector_math.py"
    before = source.read_text()
    after = before.replace("n, p = _reduce32(x)\n", "n, p = _reduce32(x + x)\n")
    assert after != before
    source.write_text(after)
    try:
        new = site.fresh()
        assert new != right, "the planted change does nothing"
        _compiles_then_finds(site, new)
    finally:
        source.write_text(before)
    assert site.run() == Answer(right, True, False), "the code of the first version is gone"


def _concurrent(site: Installation, right: str) -> None:
    for folder in site.cache.rglob("minibert-cpu-*"):
        shutil.rmtree(folder)
    for process in [site.popen() for _ in range(4)]:
        assert answer(process).value == right
    assert site.run() == Answer(right, True, False)


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


STATES: dict[str, Check] = {
    "warm": _warm,
    "absent": _absent,
    "read-only": _read_only,
    "disk full": _full,
    "index empty": _rewrite(lambda _: b"", ".nbi"),
    "code empty": _rewrite(lambda _: b"", ".nbc"),
    "both cut": _rewrite(lambda data: data[: len(data) // 2], ".nbi", ".nbc"),
    "bit of the index flipped": _rewrite(_flip, ".nbi"),
    "bit of the code flipped": _rewrite(_flip, ".nbc"),
    "garbage": _rewrite(lambda data: os.urandom(len(data)), ".nbi", ".nbc"),
    "files of another user": _foreign("files"),
    "folder of another user": _foreign("folder"),
    "files that others may write": _writable,
    "stale by each source": _each_source,
    "stale, another answer": _stale,
    "four processes at once": _concurrent,
}
INSTALLATIONS: dict[str, dict[str, bool]] = {
    "installed": {},
    "checkout": {"checkout": True},
    "NUMBA_CACHE_DIR": {"given": True},
    "user's cache": {"at_home": True},
}


def main() -> int:
    wrong, width = 0, max(map(len, STATES)) + 2
    kinds = sys.argv[1:] or list(INSTALLATIONS)
    print(" " * width + "".join(f"{name:<18}" for name in kinds))
    cells: dict[tuple[str, str], str] = {}
    for kind in kinds:
        with tempfile.TemporaryDirectory() as scratch:
            site = Installation(Path(scratch), **INSTALLATIONS[kind])
            right = site.fresh()
            site.run()
            kept = Path(scratch) / "warm"
            shutil.copytree(site.cache, kept)
            for state, check in STATES.items():
                shutil.rmtree(site.cache)
                shutil.copytree(kept, site.cache)
                try:
                    check(site, right)
                    cells[state, kind] = "right"
                except NotImplementedError:
                    cells[state, kind] = "not tried"
                except AssertionError as error:
                    wrong += 1
                    cells[state, kind] = "WRONG"
                    print(f"{state}, {kind}: {error}", file=sys.stderr)
    for state in STATES:
        print(f"{state:<{width}}" + "".join(f"{cells[state, kind]:<18}" for kind in kinds))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
