"""What the kernels take of a GPU: the table that is checked in, held against its limits and against the compiler."""

from __future__ import annotations

import pytest

from minibert.kernels.cuda import budget, sources

TABLE = budget.load()


def test_the_table_is_of_these_sources() -> None:
    assert TABLE["sources"] == budget.digests(), "run python -m minibert.kernels.cuda.budget"


def test_every_kernel_is_in_the_table() -> None:
    names = {name for path in sources.FOLDER.glob("*.cu") for name in sources.kernel_names(path.read_text("utf-8"))}
    for architecture in budget.ARCHITECTURES:
        assert {kernel for kernels in TABLE[architecture].values() for kernel in kernels} >= names
        assert list(TABLE[architecture]) == [case.name for case in budget.cases(architecture)]


def test_no_spills_no_local_memory_and_room_for_enough_warps() -> None:
    for architecture, limits in budget.ARCHITECTURES.items():
        for case, kernels in TABLE[architecture].items():
            for kernel, row in kernels.items():
                where = f"{architecture} {case} {kernel}: {row}"
                assert row["stack"] == row["stores"] == row["loads"] == 0, where
                assert row["shared"] <= limits.shared - limits.reserved, where
                computed = budget.occupancy(limits, row["threads"], row["shared"], row["registers"])
                assert row["occupancy"] == pytest.approx(computed, abs=1e-3), where
                # what is bound by memory wants half of the threads (0.469 as registers are rounded); attention computes
                assert computed >= (0.08 if "attention" in case and "delta" not in kernel else 0.45), where


@pytest.mark.parametrize(("number", "blocks"), [(32, 1.0), (64, 0.5), (255, 0.125)])
def test_occupancy(number: int, blocks: float) -> None:
    """65,536 registers hold 2048 threads with 32 each, 1024 with 64, 256 with 255 (rounded up to 256)."""
    assert budget.occupancy(budget.ARCHITECTURES["sm_90"], 128, 0, number) == blocks
    assert budget.occupancy(budget.ARCHITECTURES["sm_90"], 128, 100 * 1024, 32) == 256 / 2048  # two blocks of 101 KB


SAMPLE = {
    "sm_75": ["attention HEAD=128 REAL=bfloat16", "layer_norm PER=1 REAL=float"],
    "sm_90": ["attention_half HEAD=128 REAL=float16", "cross_entropy REAL=bfloat16"],
    "sm_120": ["attention HEAD=64 REAL=float", "adam REAL=float"],
}


@pytest.mark.parametrize("architecture", SAMPLE)
def test_the_compiler_agrees(architecture: str) -> None:
    """Some of the table, compiled anew: another release may take a few registers more, but must not spill or warn."""
    pytest.importorskip("cuda.core", reason="compiling needs NVRTC: pip install 'minibert-numpy[nvrtc]'")
    cases = {case.name: case for case in budget.cases(architecture)}
    for name in SAMPLE[architecture]:
        for kernel, row in budget.measure(architecture, cases[name]).items():
            known = TABLE[architecture][name][kernel]
            assert row["stack"] == row["stores"] == row["loads"] == 0, kernel
            assert (row["threads"], row["shared"]) == (known["threads"], known["shared"]), kernel
            assert row["registers"] <= known["registers"] + 16, kernel


@pytest.mark.slow
@pytest.mark.parametrize("architecture", budget.ARCHITECTURES)
def test_everything_compiles(architecture: str) -> None:
    pytest.importorskip("cuda.core", reason="compiling needs NVRTC: pip install 'minibert-numpy[nvrtc]'")
    for case in budget.cases(architecture):
        for kernel, row in budget.measure(architecture, case).items():
            assert row["stack"] == row["stores"] == row["loads"] == 0, f"{case.name} {kernel}"
