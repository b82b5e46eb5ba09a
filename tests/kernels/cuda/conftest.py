"""Where the CUDA kernels run in these tests: in the emulator, and on a GPU where there is one (`pytest -m gpu`)."""

from __future__ import annotations

import pytest

from tests.kernels.cuda.devices import Device, Emulator, Gpu


@pytest.fixture(scope="session")
def emulator() -> Emulator:
    from minibert.kernels.cuda.emulator import why_not

    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return Emulator()


@pytest.fixture(scope="session", params=["emulator", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Device:
    return Gpu() if request.param == "gpu" else request.getfixturevalue("emulator")
