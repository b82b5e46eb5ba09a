"""One tiny checkpoint of each kind, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines import checkpoints


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("checkpoints")
    return {kind: checkpoints.write(top / kind, kind) for kind in checkpoints.NAMES}
