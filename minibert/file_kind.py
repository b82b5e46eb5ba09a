"""What a file is that is not what its name says: a Git LFS pointer, a web page, an archive, another format of weights.

Downloads and copies go wrong in a few well-known ways. Code that reads files of unknown origin asks here when the
content is not what was expected, so that the message names the cause and not its consequence ("byte 0 is no brace").
"""

from __future__ import annotations

import json
import re
from pathlib import Path

__all__ = ["instead_of", "kind_of", "kind_of_bytes", "what_to_do"]

_MAGIC = (
    (b"version https://git-lfs", "lfs"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x5d\x00\x00\x80\x00", "lzma"),
    (b"PAR1", "parquet"),
    (b"SQLite format 3\x00", "sqlite"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"GGUF", "gguf"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    *((bytes([0x80, protocol]), "torch") for protocol in range(2, 6)),
)
_SAYS = {
    "empty": "it is empty; download it again",
    "lfs": "it is a Git LFS pointer; fetch the real file with `git lfs pull`",
    "html": "it is a web page (HTML); download the file itself (on the hub: the address with /resolve/, not /blob/)",
    "answer": "it is a server's error message; download the file again, with a login if it is private",
    "gzip": "it is compressed with gzip; decompress it with gunzip",
    "bzip2": "it is compressed with bzip2; decompress it with bunzip2",
    "xz": "it is compressed with xz; decompress it with unxz",
    "zstd": "it is compressed with zstd; decompress it with unzstd",
    "7z": "it is a 7z archive; unpack it with 7z x",
    "rar": "it is a RAR archive; unpack it",
    "lz4": "it is compressed with lz4; decompress it with unlz4",
    "lzma": "it is compressed with lzma; decompress it with unlzma",
    "parquet": "it is a Parquet table; save its texts as plain text",
    "sqlite": "it is an SQLite database; save its texts as plain text",
    "tar": "it is a tar archive; unpack it with tar -xf",
    "zip": "it is a zip archive; unpack it",
    "hdf5": "it holds TensorFlow weights (HDF5); use the model's safetensors or PyTorch file",
    "gguf": "it is a GGUF file of llama.cpp; use the model's safetensors or PyTorch file",
    "npy": "it is a NumPy array (.npy)",
    "torch": "it is a pickle (a PyTorch .bin by another name), and weights are never unpickled; name it "
    "pytorch_model.bin and run `minibert convert` where torch is installed",
    "safetensors": "it is a safetensors file by another name; rename it to model.safetensors",
}
_ANSWERS = re.compile(
    rb"\s*(<\?xml|entry not found|repository not found|not found|404|403|401|access (to|denied)|invalid username"
    rb"|invalid credentials|unauthorized|forbidden|429|too many requests|rate limit|bad gateway|service unavailable)",
    re.IGNORECASE,
)


def kind_of(path: Path) -> str | None:
    """A key of the table above for a file that can be recognised by its first bytes; None for any other.

    Raises OSError if it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
    size = path.stat().st_size
    kind = kind_of_bytes(head)
    if kind is not None:
        return _archive(path) if kind == "zip" else kind
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= length <= size - 8:
        return "safetensors"
    if size < 4096 and ((_ANSWERS.match(head) and b"\n" not in head.strip()) or _json_error(path)):
        return "answer"
    return None


def kind_of_bytes(head: bytes) -> str | None:
    """A key of the table above by the first bytes of a file alone, 512 of them or more; None if they are no sign."""
    if not head:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "tar"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    return "html" if start.startswith((b"<!doctype html", b"<html", b"<head")) else None


def what_to_do(kind: str) -> str:
    """"it is ...; what to do" for a kind of file."""
    return _SAYS[kind]


def _archive(path: Path) -> str:
    """"torch" for the zip archive that torch.save writes, "zip" for any other."""
    import zipfile  # for such files only: every start would wait for it

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "torch"  # cut short, as downloads of weights are; the reader says so
    return "torch" if any(name.endswith("data.pkl") for name in names) else "zip"


def _json_error(path: Path) -> bool:
    """Whether a small file is `{"error": ...}`, as web interfaces answer."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "error" in content and len(content) <= 4


def instead_of(path: Path, *expected: str) -> str | None:
    """"it is ...; what to do" for a file of a kind that is recognised and not `expected`; None otherwise.

    A file that cannot be read is left to the caller, whose own attempt fails with the reason.
    """
    try:
        kind = kind_of(path)
    except OSError:
        return None
    return None if kind is None or kind in expected else what_to_do(kind)
