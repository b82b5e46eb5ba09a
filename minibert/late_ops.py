"""The functions of `minibert.ops`, for the modules that these are built on.

`x + y` is an op, and ops are built on tensors: so the modules of `Tensor` look them up at the first use.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class _LateOps:
    """Stands for the module `minibert.ops`."""

    _module: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:
        if self._module is None:
            # Not from sys.modules: where another thread is importing it, this waits until it is whole.
            self._module = importlib.import_module("minibert.ops")
        return getattr(self._module, name)


ops: Any = _LateOps()
