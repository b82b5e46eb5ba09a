"""One safetensors file: what is read is what the library wrote, and the other way round; damage is told in one line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from minibert.checkpoint import CheckpointError
from minibert.checkpoint.safetensors_file import (
    SafetensorsFile,
    bfloat16_bits,
    widen_bfloat16,
    write_safetensors,
)


def _write(path: Path, state: dict[str, np.ndarray], dtype: str) -> None:
    with path.open("wb") as file:
        write_safetensors(file, {name: array.shape for name, array in state.items()}, dtype, state.__getitem__)


def _state() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    shapes: dict[str, tuple[int, ...]] = {"matrix": (13, 7), "row": (37,), "single": (1, 1), "none": (0, 3)}
    return {name: generator.standard_normal(shape).astype("f4") for name, shape in shapes.items()}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64"])
def test_reads_what_the_library_writes(tmp_path: Path, dtype: str) -> None:
    state = {name: (10 * array).astype(dtype) for name, array in _state().items()}
    save_file(state, tmp_path / "x.safetensors")
    file = SafetensorsFile(tmp_path / "x.safetensors")
    assert file.entries.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(file.array(name), array)
        assert file.array(name).dtype == array.dtype


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_library_reads_what_is_written(tmp_path: Path, dtype: str) -> None:
    state = _state()
    _write(tmp_path / "x.safetensors", state, dtype)
    back = load_file(tmp_path / "x.safetensors")
    assert back.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(back[name], array.astype(dtype))


def test_scalars_and_turned_arrays_are_written_in_row_major_order(tmp_path: Path) -> None:
    state = {"scalar": np.array(2.5, "f4"), "turned": np.arange(6, dtype="f4").reshape(2, 3).T}
    _write(tmp_path / "x.safetensors", state, "float32")
    back = load_file(tmp_path / "x.safetensors")
    assert back["scalar"].shape == ()
    np.testing.assert_array_equal(back["turned"], state["turned"])


def test_arrays_are_writable_and_the_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": np.ones((5, 3), "f4")}, path)
    before = path.read_bytes()
    array = SafetensorsFile(path).array("a")
    array += 41
    assert array[0, 0] == 42
    assert path.read_bytes() == before
    assert SafetensorsFile(path).array("a")[0, 0] == 1


def test_arrays_outlive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": np.arange(9, dtype="f4")}, path)
    array = SafetensorsFile(path).array("a")
    path.unlink()
    assert array.sum() == 36


def test_a_file_without_alignment_gives_aligned_arrays(tmp_path: Path) -> None:
    """Before 2023 headers were not padded, so that floats could begin on any byte."""
    header = b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}'
    header += b" " * (1 - len(header) % 4 + 4)  # data at an odd address
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + np.array([1, 2, 3], "<f4").tobytes())
    array = SafetensorsFile(path).array("a")
    assert array.flags.aligned
    assert array.tolist() == [1, 2, 3]


@given(hnp.arrays(np.uint16, hnp.array_shapes(max_dims=2, max_side=9)))
def test_bfloat16_survives_the_way_there_and_back(bits: np.ndarray) -> None:
    """Every bfloat16 is a float32, so widening and rounding back is the identity (a NaN may become another NaN)."""
    wide = widen_bfloat16(bits)
    assert wide.dtype == np.float32
    again = bfloat16_bits(wide)
    numbers = ~np.isnan(wide)
    np.testing.assert_array_equal(again[numbers], bits[numbers])
    assert np.isnan(widen_bfloat16(again)[~numbers]).all()


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_bfloat16_is_the_nearest_one(number: float) -> None:
    rounded = bfloat16_bits(np.array([number], "f4"))
    # The two candidates around the number: its own upper half, and the next bit pattern away from zero.
    below = np.array([number], "f4").view(np.uint32) >> np.uint32(16)
    candidates = np.concatenate([below, below + np.uint32(1)]).astype(np.uint16)
    with np.errstate(over="ignore"):
        distance = np.abs(widen_bfloat16(candidates).astype("f8") - number)
    # The bit pattern after the largest bfloat16 is infinity; it stands for 2**128 in rounding.
    distance[np.isinf(distance)] = abs(2.0**128 - abs(number))
    best = candidates[distance == distance.min()]
    assert rounded[0] in best
    if len(best) == 2:
        assert rounded[0] % 2 == 0


def test_bfloat16_known_bits() -> None:
    np.testing.assert_array_equal(
        bfloat16_bits(np.array([1.0, -2.0, 3.140625, np.inf, 0.0], "f4")), [0x3F80, 0xC000, 0x4049, 0x7F80, 0]
    )


def test_a_weight_beyond_float16_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"big holds 70000.*float16 cannot"):
        _write(tmp_path / "x.safetensors", {"big": np.array([1.0, 7e4], "f4")}, "float16")


def _sound(path: Path) -> bytes:
    save_file(_state(), path)
    return path.read_bytes()


DAMAGE: dict[str, tuple[Any, str]] = {
    "half": (lambda whole: whole[: len(whole) // 2], "end too early"),
    "header only": (lambda whole: whole[:20], "end too early"),
    "longer": (lambda whole: whole + b"more", "do not fit its header"),
    "empty": (lambda whole: b"", "it is empty"),
    "pickle": (lambda whole: pickle.dumps({"weights": [1.0]}), "pickle.*never unpickled"),
    "zip pickle": (lambda whole: b"PK\x03\x04" + whole, "pickle.*never unpickled"),
    "pointer": (lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "text": (lambda whole: b"<!doctype html><html>not found</html>", "not a sound safetensors file"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_told_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.safetensors"
    damage, message = DAMAGE[kind]
    path.write_bytes(damage(_sound(path)))
    with pytest.raises(CheckpointError, match=message) as caught:
        SafetensorsFile(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no file"):
        SafetensorsFile(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="is a folder"):
        SafetensorsFile(tmp_path)


def test_a_dtype_that_numpy_lacks(tmp_path: Path) -> None:
    header = b'{"scale":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}'
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(CheckpointError, match=r"scale is stored as F8_E4M3.*quantised"):
        SafetensorsFile(path).array("scale")
