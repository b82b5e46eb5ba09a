"""Every test of the optimisers runs twice: with the explicit update, and with the kernels (however small the input)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minibert import backend
from minibert.modes import Mode


@pytest.fixture(autouse=True, scope="module", params=["explicit", "kernels"])
def _both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    before = backend._switch.on, backend._switch.smallest
    backend._switch.on, backend._switch.smallest = Mode("kernels", request.param == "kernels"), 0
    yield
    backend._switch.on, backend._switch.smallest = before
