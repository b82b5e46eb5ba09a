"""What each kernel takes of a GPU, for every architecture: registers, shared memory, and how full the GPU can get.

    python -m minibert.kernels.cuda.budget          # compile what has changed and write budget.json; minutes

No GPU and no driver are needed, only NVRTC (`pip install 'minibert-numpy[nvrtc]'`). The tests hold budget.json against
the sources: a kernel that starts to spill registers to memory, or takes more than the table says, fails.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from . import attention, sources
from .arrays import MAX_HEAD
from .cross_entropy import SHARED as CROSS_ENTROPY_SHARED
from .layer_norm import backward_shape, forward_shape

TABLE = Path(__file__).with_name("budget.json")


class Limits(NamedTuple):
    """Of one multiprocessor (CUDA C++ Programming Guide, table "technical specifications per compute capability").

    All have 65,536 registers, given to warps in units of 256, and from sm_80 on each block costs 1 KB of shared memory.
    """

    threads: int
    blocks: int
    shared: int
    reserved: int = 1024


ARCHITECTURES = {
    "sm_75": Limits(1024, 16, 64 * 1024, 0),
    "sm_80": Limits(2048, 32, 164 * 1024),
    "sm_86": Limits(1536, 16, 100 * 1024),
    "sm_89": Limits(1536, 24, 100 * 1024),
    "sm_90": Limits(2048, 32, 228 * 1024),
    "sm_100": Limits(2048, 32, 228 * 1024),
    "sm_120": Limits(1536, 24, 100 * 1024),
}


@dataclass(frozen=True)
class Case:
    """One source with its defines, and the block (threads, bytes of shared memory) of each of its kernels."""

    source: str
    defines: tuple[tuple[str, str | int], ...]
    blocks: tuple[tuple[str, int, int], ...]

    @property
    def name(self) -> str:
        """As in the table: "attention HEAD=64 REAL=float"."""
        return " ".join([self.source, *(f"{key}={value}" for key, value in self.defines)])


def cases(architecture: str) -> Iterator[Case]:
    """Everything that is compiled for one architecture: rows as in BERT-base and -large, heads of every size."""
    for kind in ("float", "float16", "bfloat16"):
        defines = (("REAL", kind),)
        forward, backward = forward_shape(1, 768), backward_shape(1, 768)
        for source in ("layer_norm", "add_layer_norm"):
            ways = (f"{source}_forward", forward[1][0], forward[2]), (f"{source}_backward", backward[1][0], backward[2])
            yield Case(source, (("PER", 1), *defines), ways)
        names = ("bias_gelu_forward", "gelu_forward", "gelu_backward", "gelu_tanh_forward", "gelu_tanh_backward")
        gelu = [(name, 256, 0) for name in names]
        yield Case("bias_gelu", defines, (*gelu, ("bias_gelu_backward", 128, 0)))
        yield Case("dropout", defines, (("dropout", 256, 0),))
        yield Case("column_sums", defines, (("column_sums", 128, 0),))
        rows = ("weigh_rows", "mean_loss", "cross_entropy_forward", "cross_entropy_backward", "score_rows")
        yield Case("cross_entropy", defines, tuple((name, 256, CROSS_ENTROPY_SHARED) for name in rows))
        scatter = ("scatter_pieces", 128, 0), ("scatter_join", 128, 0)
        yield Case("embedding_sum", defines,
                   (("embedding_sum_forward", 256, 0), ("scatter_atomic", 256, 0), *scatter))  # fmt: skip
        for head in range(16, MAX_HEAD + 1, 16):
            plain = kind == "float" or (kind, architecture) == ("bfloat16", "sm_75")
            source = "attention" if plain else "attention_half"
            tiled = ("attention_forward", "attention_backward_queries", "attention_backward_keys")
            blocks = tuple((name, attention.THREADS, attention.shape(source, name, head)[1]) for name in tiled)
            yield Case(source, (("HEAD", head), *defines), (*blocks, ("attention_delta", attention.THREADS, 0)))
    adam = ("adam_step", 256, 0), ("sum_of_squares", 256, 32), ("norm_and_factor", 256, 2048)
    yield Case("adam", (("REAL", "float"),), adam)


def occupancy(limits: Limits, threads: int, shared: int, registers: int) -> float:
    """The share of a multiprocessor's threads that blocks of this kind can fill."""
    warps = -(-threads // 32)
    of_registers = 65_536 // (warps * -(-registers * 32 // 256) * 256)
    of_shared = limits.shared // max(1, -(-(shared + limits.reserved) // 128) * 128)
    blocks = min(limits.blocks, limits.threads // threads, of_registers, of_shared)
    return blocks * warps * 32 / limits.threads


_FUNCTION = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers", re.DOTALL,
)  # fmt: skip


def measure(architecture: str, case: Case) -> dict[str, dict[str, Any]]:
    """Compile one case: for each kernel what the table says of it.

    Raises:
        ValueError: the compiler warned.
        ImportError: there is no cuda.core.
    """
    from cuda.core import Program, ProgramOptions

    log = io.StringIO()
    macros = [(key, str(value)) for key, value in case.defines]
    options = ProgramOptions(arch=architecture, std="c++17", define_macro=macros, ptxas_options=["-v"])
    Program(sources.text(case.source), "c++", options).compile("cubin", logs=log)
    if "warning" in log.getvalue().lower():
        raise ValueError(f"{case.name} for {architecture}: the compiler warns:\n{log.getvalue()}")
    found = {match["name"]: match for match in _FUNCTION.finditer(log.getvalue())}
    result = {}
    for kernel, threads, shared in case.blocks:
        numbers = {key: int(found[kernel][key]) for key in ("registers", "stack", "stores", "loads")}
        filled = occupancy(ARCHITECTURES[architecture], threads, shared, numbers["registers"])
        result[kernel] = {"threads": threads, "shared": shared, **numbers, "occupancy": round(filled, 3)}
    return result


def digests() -> dict[str, str]:
    """A digest of each source with its headers: the table belongs to these."""
    names = sorted(path.stem for path in sources.FOLDER.glob("*.cu"))
    return {name: hashlib.sha256(sources.text(name).encode()).hexdigest()[:16] for name in names}


def load() -> Mapping[str, Any]:
    """The table as it was checked in."""
    table: Mapping[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def main() -> int:
    """Compile what has changed since the table was made, for every architecture, and write the table."""
    before, now = load() if TABLE.exists() else {"sources": {}}, digests()
    changed = {name for name in now if before["sources"].get(name) != now[name]}
    wanted = [(architecture, case) for architecture in ARCHITECTURES for case in cases(architecture)]
    known = {key: before[key[0]][key[1].name] for key in wanted
             if key[1].source not in changed and key[1].name in before.get(key[0], {})}  # fmt: skip
    jobs = [key for key in wanted if key not in known]
    with ProcessPoolExecutor() as pool:
        for key, kernels in zip(jobs, pool.map(measure, *zip(*jobs, strict=True)) if jobs else (), strict=True):
            known[key] = kernels
            sys.stderr.write(f"{key[0]} {key[1].name}\n")
    lines = [f'  "sources": {json.dumps(now)}']
    for architecture in ARCHITECTURES:
        rows = {case.name: known[key] for key in wanted for place, case in [key] if place == architecture}
        inner = ",\n".join(
            f'    "{name}": {{\n' + ",\n".join(f'      "{k}": {json.dumps(v)}' for k, v in kernels.items()) + "\n    }"
            for name, kernels in rows.items()
        )
        lines.append(f'  "{architecture}": {{\n{inner}\n  }}')
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
