"""A cache of compiled functions on disk that can make a start faster, and can neither change nor prevent it.

Numba's own cache looks at the file of a function, not at the files of the functions it calls, whose code is part of its
own; it fails on files that are empty, truncated or of another format; two processes that compile at the same time may
exchange their code; and it reads what another user has written. This one replaces it:

- The name of the folder is a digest of every source that may be part of the code, and of the versions of the compiler.
- The key of a function is its name, signature and bytecode, the processor, and the compiler's settings.
- The code lies in a file named by its content (.nbc). A small index (.nbi), named by the key and written last, holds
  the digest of key and code together. A pair that does not match is compiled again and overwritten.
- Who may have written a file is checked before it is read (cache_files.py).

Some parts of Numba that are used here are not public. Where one is missing or fails, the function is compiled.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding as llvm
from numba.core import config

from .cache_files import Generation, places

KERNELS = Path(__file__).parent
FORMAT = b"minibert compiled code 1\n"
_defined: list[Path] = []  # folders whose functions this process has defined
_IRRELEVANT = ("CACHE_", "CUDA_", "THREADING_", "NUMBA_", "COLOR_", "FUNCTION_CACHE_")
"""Beginnings of the names of Numba's settings that do not change the code of a function."""


def generation_of(source: Path) -> Generation | None:
    """Where the compiled code of the functions in the file `source` lies; None if their sources cannot be read."""
    folder = _folder_of(source)
    name = _loaded(folder)
    return None if name is None else _generation(name, str(getattr(config, "CACHE_DIR", "")))


def is_current(source: Path) -> bool:
    """Whether the sources are still those that this process has loaded, not those of an update."""
    folder = _folder_of(source)
    return _name(folder) == _loaded(folder)


def stored() -> dict[Path, int]:
    """Bytes of compiled code in each folder of those that this process uses; only folders that have some."""
    given = str(getattr(config, "CACHE_DIR", ""))
    names = [name for name in map(_loaded, _defined) if name is not None]
    return {folder: size for name in names for folder, size in _generation(name, given).stored().items()}


def _folder_of(source: Path) -> Path:
    """The functions there and those of the kernels, with their constants, are all that one in `source` may use."""
    return KERNELS if KERNELS in source.parents else source.parent


@cache
def _loaded(folder: Path) -> str | None:
    """The name of the generation when the first of its functions was defined."""
    _defined.append(folder)
    return _name(folder)


@cache
def _generation(name: str, given: str) -> Generation:
    return Generation(name, places(given, KERNELS))


def _name(folder: Path) -> str | None:
    digest = sources_digest(folder)
    return None if digest is None else f"minibert-{folder.name}-{digest[:16]}"


def sources_digest(folder: Path) -> str | None:
    """Digest of the kernels' sources, of those in `folder`, and of the compiler's version; None if unreadable."""
    versions = (sys.version, numba.__version__, llvmlite.__version__, llvm.llvm_version_info, np.__version__)
    digest = hashlib.sha256(repr((FORMAT, versions)).encode())
    try:
        kernels = sorted(KERNELS.rglob("*.py"))
        own = [] if folder == KERNELS else sorted(folder.glob("*.py"))
        for source in kernels + own:
            data = source.read_bytes()
            digest.update(f"\n{source.name} {len(data)}\n".encode() + data)
    except OSError:
        return None
    return digest.hexdigest() if kernels and (own or folder == KERNELS) else None


@cache
def _numba() -> Any:
    """Numba's parts that are not public.

    Raises:
        ImportError: this version of Numba has no such thing.
    """
    from numba.core.compiler import CompileResult
    from numba.core.serialize import dumps
    from numba.core.sigutils import normalize_signature

    return SimpleNamespace(CompileResult=CompileResult, dumps=dumps, normalize_signature=normalize_signature)


@cache
def _processor() -> str:
    """Functions are written for this processor, whatever Numba is told to compile for."""
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def _settings() -> list[tuple[str, Any]]:
    names = (name for name in dir(config) if name.isupper() and not name.startswith(_IRRELEVANT))
    return [(name, getattr(config, name)) for name in names]


class CodeCache:
    """The cache of one function: what Numba's dispatcher asks for compiled code, and gives it to.

    Args:
        function: the Python function.
        options: those that it is compiled with.
        generation: where the code lies.
        is_current: whether the sources are still those that the generation is named after.
    """

    def __init__(
        self, function: Any, options: dict[str, Any], generation: Generation, is_current: Callable[[], bool]
    ) -> None:
        source = Path(function.__code__.co_filename)
        name = f"{source.stem}.{function.__qualname__}-{function.__code__.co_firstlineno}"
        self._name = name.replace("<", "").replace(">", "")  # `<locals>`, which Windows would refuse
        self._function = function
        self._options = sorted((key, sorted(x) if isinstance(x, set) else x) for key, x in options.items())
        self._generation = generation
        self._is_current = is_current

    @property
    def cache_path(self) -> str | None:
        """The folder that code is written to."""
        return None if self._generation.folder is None else str(self._generation.folder)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled function for `signature`, or None if there is none that is sound."""
        target_context.refresh()
        try:
            key = self._key(signature, target_context)
            for index in self._generation.read(self._index(key)):
                digest = index.removeprefix(FORMAT).decode("ascii")
                for code in self._generation.read(self._code(digest)):
                    if _digest(key, code) == digest:
                        return self._rebuilt(signature, target_context, code)
        except Exception:  # another version of Numba, a broken file that has the right digest: as if there were none
            return None
        return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep a compiled function, if it can be."""
        try:
            if compiled.library.has_dynamic_globals or any(not part.can_cache for part in compiled.lifted):
                return
            if not self._is_current():
                return  # an update has replaced the sources since this process read them
            key = self._key(signature, compiled.target_context)
            code = _numba().dumps(compiled._reduce())
            digest = _digest(key, code)
            self._generation.write(self._code(digest), code)
            self._generation.write(self._index(key), FORMAT + digest.encode("ascii"))
        except Exception:  # no space, no permission, another version of Numba: the next start compiles it again
            return

    def enable(self) -> None:
        """Part of the interface; this cache is always enabled."""

    def disable(self) -> None:
        """Part of the interface; this cache is always enabled."""

    def flush(self) -> None:
        """Part of the interface: `dispatcher.recompile()` overwrites what it compiles."""

    def _rebuilt(self, signature: Any, target_context: Any, code: bytes) -> Any:
        compiled = _numba().CompileResult._rebuild(target_context, *pickle.loads(code))
        wanted, _ = _numba().normalize_signature(signature)
        return compiled if tuple(compiled.signature.args) == tuple(wanted) else None

    def _key(self, signature: Any, target_context: Any) -> bytes:
        """Everything that the code of this function depends on, beside the sources, in 32 bytes."""
        arguments, returned = _numba().normalize_signature(signature)
        kinds = [f"{type(kind).__name__} {kind}" for kind in (*arguments, returned)]
        function = self._function
        cells = b""
        if function.__closure__:
            cells = _numba().dumps(tuple(cell.cell_contents for cell in function.__closure__))
        parts = (self._name, function.__module__, self._options, kinds, function.__code__.co_code, cells)
        target = target_context.codegen().magic_tuple(), _processor(), _settings()
        return hashlib.blake2b(repr((parts, target)).encode(), digest_size=32).digest()

    def _index(self, key: bytes) -> str:
        return f"{self._name}.{key.hex()[:16]}.nbi"

    def _code(self, digest: str) -> str:
        return f"{self._name}.{digest[:16]}.nbc"


def _digest(key: bytes, code: bytes) -> str:
    return hashlib.blake2b(key + code, digest_size=16).hexdigest()
